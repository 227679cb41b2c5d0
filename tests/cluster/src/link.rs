//! A TCP proxy between two programs, a node and its servers or two servers, so that their connection can be cut, held,
//! slowed down or reset without any right to touch the network.
//!
//! It understands nothing of what it carries. What is held is not lost: as with a network that drops packets and
//! recovers before TCP gives up, the bytes arrive late. Only a reset loses what is on its way. A client that learns other
//! addresses from a server would get past it; servers started by [`xtask::nats`] tell none.

use std::{net::Ipv4Addr, num::NonZeroU32, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    runtime::Runtime,
    sync::watch,
};

/// How many bytes are carried at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Of what may pass in a second, a throttled link carries one part in so many at once.
const PIECES_PER_SECOND: u32 = 20;

/// How long to wait after the system had no connection for us.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// What a link does with what it is to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Carries everything at once.
    Fair,
    /// Carries everything this much later.
    Slow(Duration),
    /// Carries no more than so many bytes a second each way.
    Throttled(NonZeroU32),
    /// Carries nothing, ends what is open and lets nobody in: both ends know at once.
    Cut,
    /// Carries nothing and tells nobody. What was sent meanwhile arrives when the weather is fair again.
    Hole,
    /// As a hole for what the client is sent; what the client sends arrives.
    Deaf,
    /// As a hole for what the client sends; what it is sent arrives.
    Mute,
}

/// Whose bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    FromClient,
    ToClient,
}

impl Weather {
    fn holds(self, way: Way) -> bool {
        match self {
            Self::Hole => true,
            Self::Deaf => way == Way::ToClient,
            Self::Mute => way == Way::FromClient,
            Self::Fair | Self::Slow(_) | Self::Throttled(_) | Self::Cut => false,
        }
    }

    fn bytes_at_once(self) -> usize {
        match self {
            Self::Throttled(rate) => {
                usize::try_from(rate.get() / PIECES_PER_SECOND).map_or(CHUNK_BYTES, |part| part.clamp(1, CHUNK_BYTES))
            }
            _ => CHUNK_BYTES,
        }
    }

    /// How much later so many bytes arrive.
    fn delays(self, bytes: usize) -> Duration {
        match self {
            Self::Slow(span) => span,
            Self::Throttled(rate) => Duration::from_secs(bytes as u64) / rate.get(),
            _ => Duration::ZERO,
        }
    }
}

/// What is so now, and how many times everything open was reset.
#[derive(Clone, Copy, Debug)]
struct Sky {
    weather: Weather,
    resets: u64,
}

/// Everything one client sends to and hears from its servers. Dropping it cuts it.
#[derive(Debug)]
pub struct Link {
    sky: watch::Sender<Sky>,
    ports: Vec<u16>,
}

/// The threads that carry.
#[derive(Debug)]
pub struct Carrier(Runtime);

impl Carrier {
    /// Starts the one thread that carries for all links.
    ///
    /// # Errors
    /// The system has no thread for us.
    pub fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Ok(Self(runtime.context("a thread that carries")?))
    }

    /// A link to these servers, `nats://host:port` or `host:port` each. It has as many addresses.
    ///
    /// # Errors
    /// There is no port for it.
    pub fn link(&self, servers: &[String]) -> Result<Link> {
        let (sky, watched) = watch::channel(Sky { weather: Weather::Fair, resets: 0 });
        let mut ports = Vec::new();
        for server in servers {
            let listener = self.0.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).context("a port for a link")?;
            ports.push(listener.local_addr()?.port());
            let server = server.trim_start_matches("nats://").to_owned();
            self.0.spawn(take_in(listener, server, watched.clone()));
        }
        Ok(Link { sky, ports })
    }
}

impl Link {
    /// Where the client connects, in the order of the servers.
    pub fn urls(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("nats://{}:{port}", Ipv4Addr::LOCALHOST)).collect()
    }

    /// The same as ports of this machine.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// From now on it is so.
    pub fn becomes(&self, weather: Weather) {
        self.sky.send_modify(|sky| sky.weather = weather);
    }

    /// Resets every open connection: both ends are told that it has failed, and what is on its way is lost. A new one is let in.
    pub fn resets(&self) {
        self.sky.send_modify(|sky| sky.resets += 1);
    }
}

async fn take_in(listener: TcpListener, server: String, sky: watch::Receiver<Sky>) {
    loop {
        let mut link_gone = sky.clone();
        let client = tokio::select! {
            biased;
            gone = link_gone.wait_for(|_| false) => { drop(gone); return }
            client = listener.accept() => client,
        };
        let Ok((client, _)) = client else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        if sky.borrow().weather != Weather::Cut {
            tokio::spawn(carry(client, server.clone(), sky.clone()));
        }
    }
}

/// Carries one connection until one end has ended it or the link is cut or reset.
async fn carry(mut client: TcpStream, server: String, mut sky: watch::Receiver<Sky>) {
    // A new connection needs both ways, and gets nowhere where one is held, as the first packets of any other would.
    let passes = |sky: &Sky| !sky.weather.holds(Way::FromClient) && !sky.weather.holds(Way::ToClient);
    if sky.wait_for(passes).await.is_err() {
        return;
    }
    let resets = sky.borrow().resets;
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    // Small messages are what is measured.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let reset = {
        let ((client_out, client_in), (server_out, server_in)) = (client.split(), server.split());
        let (from_client, to_client) = (sky.clone(), sky.clone());
        let ends = sky.wait_for(|now| now.weather == Weather::Cut || now.resets != resets);
        tokio::select! {
            ended = ends => ended.is_ok_and(|now| now.resets != resets),
            () = one_way(client_out, server_in, Way::FromClient, from_client) => false,
            () = one_way(server_out, client_in, Way::ToClient, to_client) => false,
        }
    };
    if reset {
        // Closed so, it is no orderly end.
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

async fn one_way(mut from: tcp::ReadHalf<'_>, mut to: tcp::WriteHalf<'_>, way: Way, mut sky: watch::Receiver<Sky>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        let mut left = &chunk[..length];
        while !left.is_empty() {
            let Ok(weather) = sky.wait_for(|now| !now.weather.holds(way)).await.map(|now| now.weather) else { return };
            let (piece, rest) = left.split_at(weather.bytes_at_once().min(left.len()));
            let late = weather.delays(piece.len());
            // The shortest sleep is a millisecond, and a call passes here eight times.
            if !late.is_zero() {
                tokio::time::sleep(late).await;
            }
            if to.write_all(piece).await.is_err() {
                return;
            }
            left = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read, Write},
        net::{TcpListener, TcpStream},
    };

    use xtask::clock::{Deadline, Stopwatch, wait_for};

    use super::*;

    /// Ends of a connection through a link: the client's and the server's.
    fn connected(carrier: &Carrier) -> (Link, TcpStream, TcpStream) {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let url = format!("nats://{}", server.local_addr().expect("bound"));
        let link = carrier.link(&[url]).expect("a link");
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, link.ports()[0])).expect("it lets us in");
        let (server, _) = server.accept().expect("it comes through");
        for end in [&client, &server] {
            end.set_read_timeout(Some(Duration::from_millis(200))).expect("a limit");
        }
        (link, client, server)
    }

    fn heard(end: &mut TcpStream) -> Option<[u8; 2]> {
        let mut word = [0; 2];
        end.read_exact(&mut word).is_ok().then_some(word)
    }

    #[test]
    fn in_fair_weather_everything_is_carried_both_ways() {
        let carrier = Carrier::new().expect("a thread");
        let (_link, mut client, mut server) = connected(&carrier);
        client.write_all(b"hi").expect("written");
        assert_eq!(heard(&mut server), Some(*b"hi"));
        server.write_all(b"ho").expect("written");
        assert_eq!(heard(&mut client), Some(*b"ho"));
    }

    #[test]
    fn what_is_sent_into_a_hole_arrives_when_it_is_over() {
        let carrier = Carrier::new().expect("a thread");
        let (link, mut client, mut server) = connected(&carrier);
        link.becomes(Weather::Hole);
        client.write_all(b"hi").expect("nobody tells the sender");
        assert_eq!(heard(&mut server), None);
        link.becomes(Weather::Fair);
        assert_eq!(heard(&mut server), Some(*b"hi"));
    }

    #[test]
    fn a_cut_ends_what_is_open_and_lets_nobody_in() {
        let carrier = Carrier::new().expect("a thread");
        let (link, mut client, mut server) = connected(&carrier);
        link.becomes(Weather::Cut);
        for end in [&mut client, &mut server] {
            assert_eq!(end.read(&mut [0; 2]).ok(), Some(0), "it is told that the other end is gone");
        }
        let mut late = TcpStream::connect((Ipv4Addr::LOCALHOST, link.ports()[0])).expect("the system answers");
        late.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
        assert!(matches!(late.read(&mut [0; 2]), Ok(0) | Err(_)), "and nobody speaks");
    }

    #[test]
    fn a_slow_link_carries_later() {
        let carrier = Carrier::new().expect("a thread");
        let (link, mut client, mut server) = connected(&carrier);
        link.becomes(Weather::Slow(Duration::from_millis(80)));
        let since = Stopwatch::start();
        client.write_all(b"hi").expect("written");
        assert_eq!(heard(&mut server), Some(*b"hi"));
        assert!(since.elapsed() >= Duration::from_millis(80));
    }

    #[test]
    fn a_deaf_client_hears_nothing_until_it_is_over_and_is_heard_meanwhile() {
        let carrier = Carrier::new().expect("a thread");
        let (link, mut client, mut server) = connected(&carrier);
        link.becomes(Weather::Deaf);
        server.write_all(b"ho").expect("nobody tells the sender");
        client.write_all(b"hi").expect("written");
        assert_eq!((heard(&mut server), heard(&mut client)), (Some(*b"hi"), None));
        link.becomes(Weather::Fair);
        assert_eq!(heard(&mut client), Some(*b"ho"));
    }

    #[test]
    fn a_mute_client_is_not_heard_until_it_is_over_and_hears_meanwhile() {
        let carrier = Carrier::new().expect("a thread");
        let (link, mut client, mut server) = connected(&carrier);
        link.becomes(Weather::Mute);
        client.write_all(b"hi").expect("nobody tells the sender");
        server.write_all(b"ho").expect("written");
        assert_eq!((heard(&mut client), heard(&mut server)), (Some(*b"ho"), None));
        link.becomes(Weather::Fair);
        assert_eq!(heard(&mut server), Some(*b"hi"));
    }

    #[test]
    fn nobody_new_comes_through_while_either_way_is_held() {
        let carrier = Carrier::new().expect("a thread");
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        server.set_nonblocking(true).expect("it can be looked at");
        let link = carrier.link(&[server.local_addr().expect("bound").to_string()]).expect("a link");
        for weather in [Weather::Hole, Weather::Deaf, Weather::Mute] {
            link.becomes(weather);
            let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, link.ports()[0])).expect("the system answers");
            client.set_read_timeout(Some(Duration::from_millis(50))).expect("a limit");
            assert_eq!(heard(&mut client), None);
            assert!(server.accept().is_err(), "nobody came through {weather:?}");
            link.becomes(Weather::Fair);
            let limit = Deadline::after(Duration::from_secs(5));
            wait_for("it to come through", limit, || Ok(server.accept().ok())).expect("it is fair");
        }
    }

    #[test]
    fn a_throttled_link_carries_so_many_bytes_a_second_and_loses_none() {
        let carrier = Carrier::new().expect("a thread");
        let (link, mut client, mut server) = connected(&carrier);
        link.becomes(Weather::Throttled(NonZeroU32::new(20_000).expect("not 0")));
        let (sent, since) = ((0..=249).cycle().take(8_000).collect::<Vec<u8>>(), Stopwatch::start());
        client.write_all(&sent).expect("the system takes it");
        let mut came = vec![0; sent.len()];
        server.read_exact(&mut came).expect("all of it comes");
        assert!(
            since.elapsed() >= Duration::from_millis(350),
            "two fifths of a second's bytes took {:?}",
            since.elapsed()
        );
        assert_eq!(came, sent);
    }

    #[test]
    fn a_reset_fails_what_is_open_loses_what_is_on_its_way_and_lets_others_in() {
        let carrier = Carrier::new().expect("a thread");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let link = carrier.link(&[listener.local_addr().expect("bound").to_string()]).expect("a link");
        let connect = || {
            let client = TcpStream::connect((Ipv4Addr::LOCALHOST, link.ports()[0])).expect("it lets us in");
            (client, listener.accept().expect("it comes through").0)
        };
        let (mut client, mut server) = connect();
        link.becomes(Weather::Mute);
        client.write_all(b"hi").expect("nobody tells the sender");
        link.resets();
        for end in [&mut client, &mut server] {
            let failed = end.read(&mut [0; 2]).expect_err("it is told that the connection failed");
            assert_eq!(failed.kind(), ErrorKind::ConnectionReset);
        }
        link.becomes(Weather::Fair);
        let (mut client, mut server) = connect();
        client.write_all(b"ho").expect("written");
        assert_eq!(heard(&mut server), Some(*b"ho"));
    }
}
