//! What is broken in one storm, and when: decided before it begins, so that it can be written down, played again, and made
//! less until only what matters is left.
//!
//! A seed first draws a *swarm*: which kinds of fault strike at all, how hard each, how many nodes there are and which server
//! is imitated. Some seeds have only kills, others only lost acknowledgements, some nothing at all. From that the [`Strike`]s
//! are drawn, each with its time. A [`Plan`] is one line of text, and is read back from it.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::time::Duration;

use aether::test_cluster::TestCluster;
use aether_domain::NodeId;
use aether_domain::assignment::ShardState;
use aether_domain::testing::shrunk;
use aether_infra_memory::{Loss, Target};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// The most things that are broken in one storm.
const STRIKES_MAX: u64 = 4_000;
/// The fewest questions that a plan is made less to.
const ASKS_MIN: u64 = 12;
/// How many storms are played to find the least that fails.
const PLAYS_MAX: u64 = 200;
/// How many questions meet an election of the server's streams that is broken off for them, at most.
const ELECTION_OPERATIONS_MAX: u64 = 64;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A node is killed, and started again.
    Kill,
    /// A node is stopped for a while.
    Pause,
    /// A node is cut off for a while.
    Cut,
    /// A node leaves in good order, or one joins.
    Leave,
    /// The server is away for a while.
    Outage,
    /// The server's streams have no leader for some operations.
    Election,
    /// A node's next message is lost.
    Message,
    /// Writes that were held back arrive.
    Land,
    /// The outcome of a node's next write of that kind is unknown to it.
    Lose(Target, Loss),
}

impl Fault {
    const ALL: [Self; 8] =
        [Self::Kill, Self::Pause, Self::Cut, Self::Leave, Self::Outage, Self::Election, Self::Message, Self::Land];
    const TARGETS: [(Target, &str); 5] = [
        (Target::Control, "control"),
        (Target::Log, "log"),
        (Target::Events, "commit"),
        (Target::Checkpoints, "checkpoint"),
        (Target::Wakes, "wake"),
    ];
    const LOSSES: [(Loss, &str); 3] = [(Loss::Stored, "stored"), (Loss::NotStored, "not-stored"), (Loss::Late, "late")];

    fn all() -> impl Iterator<Item = Self> {
        let losses = Self::TARGETS
            .iter()
            .flat_map(|(target, _)| Self::LOSSES.iter().map(|(loss, _)| Self::Lose(*target, *loss)));
        Self::ALL.into_iter().chain(losses)
    }

    /// Whether it takes its time.
    fn lasts(self) -> bool {
        matches!(self, Self::Kill | Self::Pause | Self::Cut | Self::Outage)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Lose(target, loss) = self else { return f.write_str(&format!("{self:?}").to_lowercase()) };
        let target = Self::TARGETS.iter().find(|(one, _)| one == target).map_or("", |(_, name)| name);
        let loss = Self::LOSSES.iter().find(|(one, _)| one == loss).map_or("", |(_, name)| name);
        write!(f, "{target}-{loss}")
    }
}

impl FromStr for Fault {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::all().find(|fault| fault.to_string() == text).ok_or_else(|| format!("{text} is no fault"))
    }
}

/// One thing that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strike {
    /// How many milliseconds after the storm's beginning, or as soon as the one before is over.
    at: u64,
    fault: Fault,
    /// Which of the nodes, modulo how many there are.
    node: u64,
    /// Of those that lead, or that a shard is on its way from or to, if there are any.
    involved: bool,
    /// For how many milliseconds, or operations of an election.
    lasts: u64,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, fault, node, involved, lasts } = self;
        write!(f, "{at}:{fault}:{node}{}:{lasts}", if *involved { "!" } else { "" })
    }
}

impl FromStr for Strike {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split(':').collect();
        let [at, fault, node, lasts] = parts[..] else { return Err(format!("{text} is no strike")) };
        let involved = node.ends_with('!');
        Ok(Self {
            at: number(at)?,
            fault: fault.parse()?,
            node: number(node.trim_end_matches('!'))?,
            involved,
            lasts: number(lasts)?,
        })
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}

/// Everything about a storm that is decided before it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What everything else is drawn from while it is played.
    pub(crate) seed: u64,
    /// How much is asked.
    pub(crate) asks: u64,
    pub(crate) nodes: usize,
    pub(crate) three_replicas: bool,
    pub(crate) strikes: Vec<Strike>,
}

impl Plan {
    /// What that seed means.
    pub(crate) fn draw(seed: u64, asks: u64, nodes: std::ops::RangeInclusive<usize>) -> Self {
        // Other dice than the cluster's.
        let mut dice = SmallRng::seed_from_u64(seed ^ 0x0005_7A12);
        let (nodes, three_replicas) = (dice.random_range(nodes), dice.random_ratio(1, 2));
        let mut weights: Vec<(Fault, u64)> = Fault::ALL.map(|fault| (fault, 0)).to_vec();
        let losses: Vec<_> = Fault::LOSSES.iter().filter(|_| dice.random_ratio(1, 2)).collect();
        for (target, _) in Fault::TARGETS {
            weights.extend(losses.iter().map(|(loss, _)| (Fault::Lose(target, *loss), 0)));
        }
        for (_, weight) in &mut weights {
            *weight = if dice.random_ratio(2, 5) { dice.random_range(1..=8) } else { 0 };
        }
        let gap = 100_u64 << dice.random_range(0..5_u32);
        let mut plan = Self { seed, asks, nodes, three_replicas, strikes: Vec::new() };
        let sum: u64 = weights.iter().map(|(_, weight)| weight).sum();
        let mut at = 0;
        let strikes = if sum > 0 { asks.min(STRIKES_MAX) } else { 0 };
        for _ in 0..strikes {
            let mut nth = dice.random_range(0..sum);
            let struck = weights.iter().find(|(_, weight)| {
                let met = nth < *weight;
                nth = nth.saturating_sub(*weight);
                met
            });
            let fault = struck.map_or(Fault::Land, |(fault, _)| *fault);
            at += dice.random_range(0..2 * gap);
            // Most are short; some are longer than it takes to miss a node.
            let magnitude = dice.random_range(0..7_u32);
            let (node, involved) = (dice.random_range(0..60), dice.random_ratio(1, 2));
            let lasts = match fault {
                Fault::Outage => dice.random_range(25..50 << magnitude),
                Fault::Election => dice.random_range(1..=ELECTION_OPERATIONS_MAX),
                fault if fault.lasts() => dice.random_range(100..200 << magnitude),
                _ => 0,
            };
            plan.strikes.push(Strike { at, fault, node, involved, lasts });
            at += if fault.lasts() { lasts } else { 0 };
        }
        plan
    }

    /// How often each kind of fault strikes.
    pub(crate) fn swarm(&self) -> BTreeMap<String, u64> {
        let mut swarm = BTreeMap::new();
        for strike in &self.strikes {
            *swarm.entry(strike.fault.to_string()).or_default() += 1;
        }
        swarm
    }

    /// Breaks one thing after the other until it is `over`; `struck` counts them.
    pub(crate) async fn strike(&self, cluster: &TestCluster, over: &Cell<bool>, struck: &Cell<usize>) {
        let began = cluster.elapsed();
        for strike in &self.strikes {
            let due = (began + Duration::from_millis(strike.at)).saturating_sub(cluster.elapsed());
            cluster.advance(due).await;
            if over.get() {
                return;
            }
            struck.set(struck.get() + 1);
            strike.fall(cluster).await;
        }
    }

    /// The least of it that still fails, with what is wrong then. First it is made shorter, then whole kinds of
    /// fault are left out, then single strikes, and in the end what else is not needed.
    ///
    /// `play` answers what is wrong, and how many things had been broken by then. After [`PLAYS_MAX`] plays it is good enough.
    pub(crate) fn least(self, play: impl Fn(&Self) -> Result<(), Failure>) -> (Self, Option<String>) {
        // What had not been broken by then is of no account, unless somebody waited for it.
        let plays = Cell::new(0);
        let fails = |plan: Self| {
            plays.set(plays.get() + 1);
            if plays.get() > PLAYS_MAX {
                return None;
            }
            let mut met = plan.clone();
            met.strikes.truncate(play(&plan).err()?.struck);
            Some(if met == plan || play(&met).is_ok() { plan } else { met })
        };
        let Some(mut plan) = fails(self.clone()) else { return (self, None) };
        while plan.lessen(&fails, |plan| plan.asks = (plan.asks / 2).max(ASKS_MIN)) {}
        for fault in Fault::all() {
            plan.lessen(&fails, |plan| plan.strikes.retain(|strike| strike.fault != fault));
        }
        plan.strikes =
            shrunk(plan.strikes.clone(), |strikes| fails(Self { strikes: strikes.to_vec(), ..plan.clone() }).is_some());
        while plan.lessen(&fails, |plan| plan.asks = (plan.asks / 2).max(ASKS_MIN)) {}
        plan.lessen(&fails, |plan| plan.three_replicas = false);
        let what = play(&plan).err().map(|failure| failure.what);
        (plan, what)
    }

    /// Changes it, if it fails then too; answers whether it does.
    fn lessen(&mut self, fails: &impl Fn(Self) -> Option<Self>, change: impl Fn(&mut Self)) -> bool {
        let mut less = self.clone();
        change(&mut less);
        let less = if less == *self { None } else { fails(less) };
        less.map(|less| *self = less).is_some()
    }
}

/// What is wrong with a storm.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) what: String,
    /// How many things had been broken by then.
    pub(crate) struck: usize,
}

impl Failure {
    /// Of a play that counts what it breaks, if it fails. A panic is a failure like another.
    pub(crate) fn of<R>(play: impl FnOnce(&Cell<usize>) -> Result<R, String>) -> Result<R, Self> {
        let struck = Cell::new(0);
        let played = catch_unwind(AssertUnwindSafe(|| play(&struck))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
            Err(format!("it panicked: {text}"))
        });
        played.map_err(|what| Self { what, struck: struck.get() })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, asks, nodes, three_replicas, strikes } = self;
        write!(f, "{seed} {asks} {nodes} {}", if *three_replicas { 3 } else { 1 })?;
        strikes.iter().try_for_each(|strike| write!(f, " {strike}"))
    }
}

impl FromStr for Plan {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let mut next = || words.next().ok_or_else(|| format!("{text} is no plan")).and_then(number);
        let (seed, asks, nodes, replicas) = (next()?, next()?, next()?, next()?);
        let nodes = usize::try_from(nodes).map_err(|error| error.to_string())?;
        let strikes = words.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { seed, asks, nodes, three_replicas: replicas == 3, strikes })
    }
}

impl Strike {
    /// Breaks it, and undoes that after its time.
    async fn fall(&self, cluster: &TestCluster) {
        let mut nodes = cluster.running();
        let (running, time) = (nodes.len(), Duration::from_millis(self.lasts));
        let involved: Vec<_> = involved(cluster).into_iter().filter(|id| nodes.contains(id)).collect();
        if self.involved && !involved.is_empty() {
            nodes = involved;
        }
        let id = nodes[(self.node % nodes.len() as u64) as usize].clone();
        match self.fault {
            Fault::Kill if running > 2 => {
                cluster.kill(&id).await;
                cluster.advance(time).await;
                cluster.restart(&id).await;
            }
            Fault::Kill => {}
            Fault::Pause => {
                cluster.pause(&id);
                cluster.advance(time).await;
                cluster.resume(&id);
            }
            Fault::Cut => {
                cluster.cut(&id);
                cluster.advance(time).await;
                cluster.heal(&id);
            }
            Fault::Leave if running > 3 => cluster.drain(&id).await,
            Fault::Leave => {
                let running = cluster.running();
                let next = (1..=running.len() + 1).map(|nth| format!("n{nth}")).find(|id| !running.contains(id));
                cluster.add(&next.expect("there are names enough")).await;
            }
            Fault::Outage => {
                cluster.outage(true);
                cluster.advance(time).await;
                cluster.outage(false);
            }
            Fault::Election => cluster.hub().fail_over(u32::try_from(self.lasts).unwrap_or(1)),
            Fault::Message => cluster.lose_message(&id),
            Fault::Land => drop(cluster.land_late_writes()),
            Fault::Lose(Target::Events, loss) => cluster.lose_commit(&id, loss),
            Fault::Lose(target, loss) => cluster.hub().lose_next_ack(&name(&id), target, loss),
        }
    }
}

fn name(id: &str) -> NodeId {
    NodeId::new(id).expect("it runs under that name")
}

/// Who leads, and the sources and destinations of what is on its way.
fn involved(cluster: &TestCluster) -> BTreeSet<String> {
    let Some(topology) = cluster.topology() else { return BTreeSet::new() };
    let name = |life| topology.cluster().owner(life).map(|member| member.node.node.to_string());
    let moving = topology.assignment().iter().filter_map(|(_, state)| match state {
        ShardState::Draining { from, to, .. } => Some([from, to]),
        _ => None,
    });
    moving.flatten().filter_map(name).chain(cluster.leader()).collect()
}
