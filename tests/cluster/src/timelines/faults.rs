//! What a storm breaks, and in what order: drawn from a seed, so that the same seed breaks the same, though not at the same
//! moments of what is asked. How each is broken and mended; not what must hold meanwhile, nor how long it goes on.

use std::{
    fmt,
    num::NonZeroU32,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Result, anyhow};
use clap::ValueEnum;
use xtask::{cluster, nats::NatsServer};

use super::{Stage, askers::Dice, stage::END_LIMIT};
use crate::Weather;

/// How long something stays broken at least.
const BROKEN_MIN: Duration = Duration::from_millis(200);
/// One in so many stays broken for so many times as long: nodes are given up, servers elect others.
const LONG_ONE_IN: u64 = 5;
const LONG_TIMES: u32 = 4;
/// One in so many is broken together with another.
const TOGETHER_ONE_IN: u64 = 3;

/// How late a slow link carries, in milliseconds.
const LATE_MILLIS: std::ops::Range<u64> = 20..500;
/// What a throttled link carries, in bytes a second. A node under load sends and hears more.
const RATE_BYTES: std::ops::Range<u64> = 8 * 1024..128 * 1024;

/// What can be broken. Of two at once, what stands first is mended first: a node that starts needs its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Fault {
    /// A node's connection to its servers ends, and it gets no other.
    Cut,
    /// Nothing comes through between a node and its servers, and nobody is told.
    Hole,
    /// A node hears nothing from its servers, which hear it.
    Deaf,
    /// A node's servers hear nothing from it; it hears them.
    Mute,
    /// Everything between a node and its servers arrives 20 to 500 ms late.
    Latency,
    /// Between a node and its servers 8 to 128 KiB a second come through.
    Throttle,
    /// A node's connection fails and what is on its way is lost, twice.
    Reset,
    /// A nats-server is killed (SIGKILL) and started again.
    NatsKill,
    /// A nats-server is frozen (SIGSTOP) and goes on.
    NatsStop,
    /// Every nats-server is asked to end and started again.
    NatsRestart,
    /// Two nats-servers, or one and all others, lose their connections to each other.
    RouteCut,
    /// Nothing comes through between two nats-servers, or one and all others, and nobody is told.
    RouteHole,
    /// A node more joins, and is asked to end.
    Join,
    /// A node is frozen (SIGSTOP) and goes on.
    Stop,
    /// A node is killed (SIGKILL) and started again.
    Kill,
    /// A node is asked to end, hands over, and is started again.
    Drain,
}

impl Fault {
    /// Whether there must be several servers for it.
    pub fn needs_routes(self) -> bool {
        matches!(self, Self::RouteCut | Self::RouteHole)
    }

    /// All of these that so many servers can have; all there are if none is named.
    ///
    /// # Errors
    /// One of those that are named needs more servers.
    pub fn chosen(named: &[Self], servers: usize) -> Result<Vec<Self>> {
        let possible = |fault: &Self| servers > 1 || !fault.needs_routes();
        if let Some(fault) = named.iter().find(|fault| !possible(fault)) {
            return Err(anyhow!("{fault} needs servers that are connected to each other: --nats 3"));
        }
        let mut chosen = if named.is_empty() { Self::value_variants() } else { named }.to_vec();
        chosen.retain(possible);
        chosen.sort_unstable();
        chosen.dedup();
        Ok(chosen)
    }

    fn is_of_nats(self) -> bool {
        (Self::NatsKill..=Self::RouteHole).contains(&self)
    }

    /// Whether it may be so together with another: a node that starts gives up without servers, and with a part of them
    /// whole there is something to ask.
    fn together_with(self, other: Self) -> bool {
        let needs_nats_alone = |fault: Self| fault.is_of_nats() || fault == Self::Join;
        !(needs_nats_alone(self) && needs_nats_alone(other))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().ok_or(fmt::Error)?.get_name())
    }
}

/// One fault at one place, for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// What is broken.
    pub fault: Fault,
    /// Which one of those that can be broken so: the number of a node, a server, or what is between servers.
    place: usize,
    /// How long it stays so.
    span: Duration,
    /// How late, or how much a second.
    strength: u32,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, place, span, .. } = self;
        write!(f, "{fault} {} for {:.1} s", place + 1, span.as_secs_f64())
    }
}

/// What is broken in turn: every fault once, in any order, before one comes again.
pub(super) struct Deck {
    faults: Vec<Fault>,
    left: Vec<Fault>,
    dice: Dice,
    nodes: usize,
    servers: usize,
    broken_max: Duration,
}

impl Deck {
    pub(super) fn new(faults: &[Fault], seed: u64, nodes: usize, servers: usize, broken_max: Duration) -> Self {
        Self { faults: faults.to_vec(), left: Vec::new(), dice: Dice::of(seed), nodes, servers, broken_max }
    }

    /// How long nothing is broken before the next.
    pub(super) fn calm(&self) -> Duration {
        self.within(self.broken_max / 3)
    }

    /// Whether every fault was drawn as often as every other.
    pub(super) fn is_through(&self) -> bool {
        self.left.is_empty()
    }

    /// What is broken next: one, or two at once.
    pub(super) fn draw(&mut self) -> Vec<Strike> {
        let first = self.next_fault();
        let mut strikes = vec![self.strike(first, None)];
        if self.dice.below(TOGETHER_ONE_IN) == 0 && self.left.last().is_some_and(|next| first.together_with(*next)) {
            let second = self.next_fault();
            let elsewhere = self.strike(second, Some(strikes[0].place));
            strikes.push(elsewhere);
            strikes.sort_unstable_by_key(|strike| strike.fault);
        }
        strikes
    }

    fn next_fault(&mut self) -> Fault {
        loop {
            if let Some(fault) = self.left.pop() {
                return fault;
            }
            self.left.clone_from(&self.faults);
            for place in (1..self.left.len()).rev() {
                let other = self.pick(place + 1);
                self.left.swap(place, other);
            }
        }
    }

    fn strike(&self, fault: Fault, taken: Option<usize>) -> Strike {
        let places = match fault {
            Fault::NatsKill | Fault::NatsStop => self.servers,
            Fault::NatsRestart | Fault::Join => 1,
            // Each server alone, or each two: of three that is as many.
            Fault::RouteCut | Fault::RouteHole => 2 * self.servers,
            _ => self.nodes,
        };
        let mut place = self.pick(places);
        if taken == Some(place) {
            place = (place + 1) % places;
        }
        let long = if self.dice.below(LONG_ONE_IN) == 0 { LONG_TIMES } else { 1 };
        let span = (BROKEN_MIN + self.within(self.broken_max)) * long;
        let range = if fault == Fault::Throttle { RATE_BYTES } else { LATE_MILLIS };
        let strength = u32::try_from(range.start + self.dice.below(range.end - range.start)).unwrap_or(u32::MAX);
        Strike { fault, place, span, strength }
    }

    fn within(&self, span: Duration) -> Duration {
        Duration::from_millis(self.dice.below(span.as_millis() as u64 + 1))
    }

    fn pick(&self, count: usize) -> usize {
        self.dice.below(count as u64) as usize
    }
}

/// What is broken and not yet mended.
struct Broken {
    strike: Strike,
    /// A node that is on its way in.
    joining: Option<JoinHandle<Result<()>>>,
}

impl Strike {
    /// Breaks all of these at once, and mends each after its time, also if another cannot be broken or mended.
    ///
    /// # Errors
    /// One cannot be broken or mended: a node does not end when asked to, or does not become ready again; a server does not
    /// come back.
    pub(super) fn all(strikes: &[Self], stage: &mut Stage) -> Result<()> {
        let broken: Vec<_> = strikes.iter().map(|strike| strike.begin(stage)).collect();
        thread::sleep(strikes.iter().map(|strike| strike.span).max().unwrap_or_default());
        let mended: Vec<_> = broken.into_iter().map(|broken| broken?.mend(stage)).collect();
        mended.into_iter().collect()
    }

    fn node(&self) -> String {
        format!("n{}", self.place + 1)
    }

    fn begin(self, stage: &mut Stage) -> Result<Broken> {
        let (dir, node) = (stage.cluster.dir(), self.node());
        let mut joining = None;
        match self.fault {
            Fault::Cut | Fault::Hole | Fault::Deaf | Fault::Mute | Fault::Latency | Fault::Throttle => {
                stage.link(&node)?.becomes(self.weather());
            }
            Fault::Reset => stage.link(&node)?.resets(),
            Fault::NatsKill => stage.servers[self.place].kill()?,
            Fault::NatsStop => stage.servers[self.place].stop()?,
            Fault::NatsRestart => stage.servers.iter_mut().try_for_each(NatsServer::terminate)?,
            Fault::RouteCut | Fault::RouteHole => self.parts(stage, self.weather()),
            Fault::Join => {
                let (dir, guest) = (dir.to_path_buf(), stage.guest());
                joining = Some(thread::spawn(move || cluster::begin(&dir, &guest)));
            }
            Fault::Stop => cluster::stop(dir, &node)?,
            Fault::Kill => stage.node(&node)?.process.kill()?,
            Fault::Drain => stage.node(&node)?.process.terminate()?,
        }
        Ok(Broken { strike: self, joining })
    }

    fn weather(&self) -> Weather {
        match self.fault {
            Fault::Cut | Fault::RouteCut => Weather::Cut,
            Fault::Hole | Fault::RouteHole => Weather::Hole,
            Fault::Deaf => Weather::Deaf,
            Fault::Mute => Weather::Mute,
            Fault::Latency => Weather::Slow(Duration::from_millis(self.strength.into())),
            Fault::Throttle => Weather::Throttled(NonZeroU32::MIN.saturating_add(self.strength)),
            _ => Weather::Fair,
        }
    }

    /// One server from all others, or two of them from each other.
    fn parts(&self, stage: &Stage, weather: Weather) {
        let (servers, server) = (stage.servers.len(), self.place / 2);
        if self.place.is_multiple_of(2) {
            stage.routes().become_around(server, weather);
        } else {
            stage.routes().become_between(server, (server + 1) % servers, weather);
        }
    }
}

impl Broken {
    fn mend(self, stage: &mut Stage) -> Result<()> {
        let Self { strike, joining } = self;
        let node = strike.node();
        match strike.fault {
            Fault::Cut | Fault::Hole | Fault::Deaf | Fault::Mute | Fault::Latency | Fault::Throttle => {
                stage.link(&node)?.becomes(Weather::Fair);
            }
            Fault::Reset => stage.link(&node)?.resets(),
            Fault::NatsKill => stage.servers[strike.place].restart()?,
            Fault::NatsStop => stage.servers[strike.place].cont()?,
            Fault::NatsRestart => stage.servers.iter_mut().try_for_each(NatsServer::restart)?,
            Fault::RouteCut | Fault::RouteHole => strike.parts(stage, Weather::Fair),
            Fault::Join => {
                let joined = joining.map_or_else(|| Ok(Ok(())), JoinHandle::join);
                joined.map_err(|_| anyhow!("a join panicked"))??;
                stage.guest_leaves()?;
            }
            Fault::Stop => cluster::resume(stage.cluster.dir(), &node)?,
            Fault::Kill => cluster::restart(stage.cluster.dir(), &node)?,
            Fault::Drain => {
                stage.node(&node)?.process.wait_gone(END_LIMIT)?;
                cluster::restart(stage.cluster.dir(), &node)?;
            }
        }
        if strike.fault.is_of_nats() { stage.servers_healthy() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_millis(700);

    fn all(servers: usize) -> Vec<Fault> {
        Fault::chosen(&[], servers).expect("all that there can be")
    }

    fn drawn(seed: u64, turns: usize) -> Vec<Vec<Strike>> {
        let mut deck = Deck::new(&all(3), seed, 5, 3, SPAN);
        (0..turns).map(|_| deck.draw()).collect()
    }

    #[test]
    fn the_same_seed_breaks_the_same_and_another_does_not() {
        assert_eq!(drawn(7, 300), drawn(7, 300));
        assert_ne!(drawn(7, 30), drawn(8, 30));
    }

    #[test]
    fn every_fault_is_played_once_before_any_comes_again() {
        let mut deck = Deck::new(&all(3), 1, 5, 3, SPAN);
        for _ in 0..50 {
            let mut round = Vec::new();
            while round.is_empty() || !deck.is_through() {
                round.extend(deck.draw().into_iter().map(|strike| strike.fault));
            }
            round.sort_unstable();
            assert_eq!(round, all(3));
        }
    }

    #[test]
    fn two_at_once_are_neither_of_one_node_nor_both_of_nats() {
        let together = (0..20).flat_map(|seed| drawn(seed, 300)).filter(|strikes| strikes.len() > 1);
        let mut count = 0;
        for strikes in together {
            let (one, other) = (strikes[0], strikes[1]);
            assert!(one.fault < other.fault && one.fault.together_with(other.fault), "{one}, {other}");
            let of_nodes = |strike: Strike| !strike.fault.is_of_nats() && strike.fault != Fault::Join;
            assert!(one.place != other.place || !of_nodes(one) || !of_nodes(other), "{one}, {other}");
            count += 1;
        }
        assert!(count > 500, "{count}");
    }

    #[test]
    fn what_needs_several_servers_is_refused_of_one_and_left_out_where_nothing_is_named() {
        assert_eq!(all(3).len(), all(1).len() + 2);
        let refused = Fault::chosen(&[Fault::Kill, Fault::RouteCut], 1).expect_err("there is one");
        assert_eq!(refused.to_string(), "route-cut needs servers that are connected to each other: --nats 3");
        let twice = [Fault::Kill, Fault::Cut, Fault::Kill];
        assert_eq!(Fault::chosen(&twice, 1).expect("they can be"), [Fault::Cut, Fault::Kill]);
    }
}
