//! A TCP proxy between one node and the servers it connects to, so that their connection can be cut, held or slowed down
//! without any right to touch the network.
//!
//! It understands nothing of what it carries. What is held is not lost: as with a network that drops packets and
//! recovers before TCP gives up, the bytes arrive late. A client that learns other addresses from a server would get
//! past it; servers started by [`xtask::nats`] tell none.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    runtime::Runtime,
    sync::watch,
};

/// How many bytes are carried at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long to wait after the system had no connection for us.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// What a link does with what it is to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Carries everything at once.
    Fair,
    /// Carries everything this much later.
    Slow(Duration),
    /// Carries nothing, ends what is open and lets nobody in: both ends know at once.
    Cut,
    /// Carries nothing and tells nobody. What was sent meanwhile arrives when the weather is fair again.
    Hole,
}

/// Everything one node sends to and hears from its servers. Dropping it cuts it.
#[derive(Debug)]
pub struct Link {
    weather: watch::Sender<Weather>,
    urls: Vec<String>,
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

    /// A link to these servers, `nats://host:port` each. It has as many addresses.
    ///
    /// # Errors
    /// There is no port for it.
    pub fn link(&self, servers: &[String]) -> Result<Link> {
        let (weather, watched) = watch::channel(Weather::Fair);
        let mut urls = Vec::new();
        for server in servers {
            let listener = self.0.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).context("a port for a link")?;
            urls.push(format!("nats://{}", listener.local_addr()?));
            let server = server.trim_start_matches("nats://").to_owned();
            self.0.spawn(take_in(listener, server, watched.clone()));
        }
        Ok(Link { weather, urls })
    }
}

impl Link {
    /// Where the node connects, in the order of the servers.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// From now on it is so.
    pub fn becomes(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn take_in(listener: TcpListener, server: String, weather: watch::Receiver<Weather>) {
    loop {
        let mut link_gone = weather.clone();
        let client = tokio::select! {
            biased;
            gone = link_gone.wait_for(|_| false) => { drop(gone); return }
            client = listener.accept() => client,
        };
        let Ok((client, _)) = client else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        if *weather.borrow() != Weather::Cut {
            tokio::spawn(carry(client, server.clone(), weather.clone()));
        }
    }
}

/// Carries one connection until one end has ended it or the link is cut.
async fn carry(client: TcpStream, server: String, mut weather: watch::Receiver<Weather>) {
    // A new connection gets nowhere in a hole, as the first packet of any other would.
    if weather.wait_for(|now| *now != Weather::Hole).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    // Small messages are what is measured.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((client_out, client_in), (server_out, server_in)) = (client.into_split(), server.into_split());
    let mut cut = weather.clone();
    tokio::select! {
        _ = cut.wait_for(|now| *now == Weather::Cut) => {}
        () = one_way(client_out, server_in, weather.clone()) => {}
        () = one_way(server_out, client_in, weather) => {}
    }
}

async fn one_way(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, mut weather: watch::Receiver<Weather>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let Ok(length @ 1..) = from.read(&mut chunk).await else { return };
        let slow = match weather.wait_for(|now| *now != Weather::Hole).await.as_deref() {
            Ok(Weather::Slow(span)) => *span,
            Ok(_) => Duration::ZERO,
            Err(_) => return,
        };
        // The shortest sleep is a millisecond, and a call passes here eight times.
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use xtask::clock::Stopwatch;

    use super::*;

    /// Ends of a connection through a link: the client's and the server's.
    fn connected(carrier: &Carrier) -> (Link, TcpStream, TcpStream) {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let url = format!("nats://{}", server.local_addr().expect("bound"));
        let link = carrier.link(&[url]).expect("a link");
        let client = TcpStream::connect(link.urls()[0].trim_start_matches("nats://")).expect("it lets us in");
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
        let mut late = TcpStream::connect(link.urls()[0].trim_start_matches("nats://")).expect("the system answers");
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
}
