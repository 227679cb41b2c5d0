//! Nodes, a server and faults in one virtual time, and one queue of everything that will happen.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use aether_domain::orders::Orders;
use aether_domain::policy::PlacementPolicy;
use aether_domain::topology::TopologyEvent;
use aether_domain::{Monotonic, Nonce, Sequence};
use aether_infra_memory::fabric::{Fabric, Faults, OpId};
use aether_runtime::control::Input;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::act::Act;
use crate::checks::Checks;
use crate::node::{Due, Node, Purpose};
use crate::scenario::{CALM_BEFORE_HEALING, Scenario};
use crate::supervisor::Supervisor;
use crate::trace::Trace;
use crate::watch::{CLAIM_EVERY, Watches};

/// A run under way.
pub struct World {
    pub(crate) scenario: Scenario,
    pub(crate) now: Monotonic,
    pub(crate) fabric: Fabric,
    pub(crate) nodes: Vec<Node>,
    pub(crate) checks: Checks,
    pub(crate) asked: BTreeMap<OpId, Purpose>,
    /// Death certificates under way, by their ways to the server.
    pub(crate) supervisors: BTreeMap<usize, Supervisor>,
    pub(crate) supervisors_begun: usize,
    pub(crate) trace: Trace,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) dice: ChaCha8Rng,
    pub(crate) queue: BTreeMap<(Monotonic, u64), Happening>,
    planned: u64,
    /// What an operator wanted of placement last.
    pub(crate) wanted: Option<PlacementPolicy>,
    /// What operators ask beside that.
    pub(crate) orders: Orders,
    pub(crate) watches: Watches,
    /// When claims are told next.
    claims_at: Monotonic,
    pub(crate) healed: bool,
    /// Whether somebody was found unwell when everything healed.
    pub(crate) distrust: bool,
    /// Whether somebody who had left was back without a part after everything healed.
    pub(crate) awaits_drain: bool,
    pub(crate) outage: bool,
    /// How long after the healing it came to rest.
    pub(crate) rested_after: Option<Duration>,
    pub(crate) over: bool,
}

/// Something that will happen.
pub(crate) enum Happening {
    Act(Act),
    Of {
        node: usize,
        session: u64,
        due: Due,
    },
    /// A process of that place has been reaped.
    Reaped {
        of: usize,
        token: Nonce,
    },
    /// A certificate is to look at its timers.
    Certify {
        link: usize,
    },
    /// The server's streams keep their leaders from now on.
    CalmDown,
    Heal,
    Look,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// A hash of everything that happened, in order: the same for the same seed.
    pub trace_hash: u64,
    /// How much time it simulated.
    pub simulated: Duration,
    /// How long after the healing it came to rest.
    pub rested_after: Duration,
    /// How often each fault struck and each kind of thing happened.
    pub counts: BTreeMap<String, u64>,
    /// What was written into the log, in order: each entry's term, leader and cause, and the names of its events.
    pub entries: Vec<String>,
}

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The run's seed.
    pub seed: u64,
    /// When, in simulated time.
    pub at: Duration,
    /// What.
    pub what: String,
    /// The last things that happened.
    pub tail: Vec<String>,
}

impl World {
    /// A run that has not begun. Everything that happens is written to `trace`, a line each.
    pub fn new(scenario: Scenario, trace: Option<Box<dyn io::Write>>) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(scenario.seed ^ 0x5EED);
        // Another process of a node runs on another machine, with another clock.
        let others = scenario.clocks.iter().cycle().skip(1);
        let nodes = scenario.clocks.iter().enumerate().map(|(number, clock)| Node::new(number, false, *clock));
        let elsewhere = others.take(scenario.clocks.len()).enumerate();
        let nodes = nodes.chain(elsewhere.map(|(number, clock)| Node::new(number, true, *clock)));
        let nodes = nodes.chain(scenario.clocks.first().map(|clock| Node::stranger(*clock))).collect();
        let fabric = Fabric::new(scenario.manner, scenario.faults.clone(), dice.next_u64());
        let mut world = Self {
            now: Monotonic::ZERO,
            fabric,
            nodes,
            checks: Checks::default(),
            asked: BTreeMap::new(),
            supervisors: BTreeMap::new(),
            supervisors_begun: 0,
            trace: Trace::new(trace),
            counts: BTreeMap::new(),
            dice,
            queue: BTreeMap::new(),
            planned: 0,
            wanted: None,
            orders: Orders::default(),
            watches: Watches::default(),
            claims_at: Monotonic::ZERO,
            healed: false,
            distrust: false,
            awaits_drain: false,
            outage: false,
            rested_after: None,
            over: false,
            scenario,
        };
        for (node, at) in world.scenario.starts.clone().into_iter().enumerate() {
            world.plan(at, Happening::Act(Act::Start(node)));
        }
        for (at, act) in world.scenario.acts.clone() {
            world.plan(at, Happening::Act(act));
        }
        let heals_at = world.scenario.heals_at;
        world.plan(heals_at.saturating_sub(CALM_BEFORE_HEALING), Happening::CalmDown);
        world.plan(heals_at, Happening::Heal);
        world
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The first thing that must not be.
    pub fn run(mut self) -> Result<Run, Box<Failure>> {
        self.trace.line(self.now, format_args!("{:?}", self.scenario));
        while !self.over {
            if let Err(what) = self.next() {
                let (seed, at, tail) = (self.scenario.seed, self.now.since_start(), self.trace.tail());
                return Err(Box::new(Failure { seed, at, what, tail }));
            }
        }
        for (fault, times) in self.fabric.struck() {
            *self.counts.entry((*fault).to_owned()).or_default() += times;
        }
        if self.checks.drains_awaited > 0 {
            self.counts.insert("drain met a return".into(), self.checks.drains_awaited);
        }
        if self.checks.died > 0 {
            self.counts.insert("certificate shortened a failure".into(), self.checks.died);
        }
        if self.scenario.beyond {
            self.counts.insert("clocks too far apart".into(), 1);
        }
        self.counts.insert("entries".into(), self.checks.truth.epoch().0);
        self.counts.insert("events".into(), self.trace.lines());
        let entries = self.fabric.stores().entries(Sequence::ZERO).iter().map(|stored| {
            let (entry, names) = (&stored.entry, stored.entry.events.iter().map(TopologyEvent::name));
            format!("{} {} {}: {}", entry.term, entry.leader, entry.cause, names.collect::<Vec<_>>().join(" "))
        });
        let entries = entries.collect();
        Ok(Run {
            entries,
            seed: self.scenario.seed,
            trace_hash: self.trace.hash(),
            simulated: self.now.since_start(),
            rested_after: self.rested_after.unwrap_or_default(),
            counts: self.counts,
        })
    }

    fn next(&mut self) -> Result<(), String> {
        let own = self.queue.first_key_value().map(|((at, _), _)| *at);
        let at = match (own, self.fabric.next_event_at()) {
            (Some(own), Some(theirs)) => own.min(theirs),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => return Err("nothing will ever happen again".into()),
        };
        self.now = self.now.max(at);
        if self.now >= self.claims_at {
            self.claims_at = self.now + CLAIM_EVERY;
            self.claim()?;
        }
        let events = self.fabric.step(self.now);
        self.check_stores()?;
        for event in events {
            self.reached(event)?;
        }
        while let Some(first) = self.queue.first_entry().filter(|first| first.key().0 <= self.now) {
            match first.remove() {
                Happening::Act(act) => self.act(act)?,
                Happening::Of { node, session, due } => {
                    if self.nodes[node].session == session {
                        self.due(node, due)?;
                    }
                }
                Happening::Reaped { of, token } => self.reaped(of, token),
                Happening::Certify { link } => self.certify(link, Input::Tick),
                Happening::CalmDown => {
                    let calm = Faults { election_every: None, ..self.scenario.faults.clone() };
                    self.fabric.set_faults(self.now, calm);
                }
                Happening::Heal => self.heal()?,
                Happening::Look => self.look()?,
            }
        }
        Ok(())
    }

    pub(crate) fn plan(&mut self, after_start: Duration, what: Happening) -> (Monotonic, u64) {
        self.planned += 1;
        let key = (Monotonic::from_start(after_start).max(self.now), self.planned);
        self.queue.insert(key, what);
        key
    }
    pub(crate) fn plan_act(&mut self, after: Duration, act: Act) {
        self.plan((self.now + after).since_start(), Happening::Act(act));
    }
    pub(crate) fn plan_due(&mut self, at: Monotonic, node: usize, due: Due) -> (Monotonic, u64) {
        let session = self.nodes[node].session;
        self.plan(at.since_start(), Happening::Of { node, session, due })
    }
    /// Plans when a node is woken, instead of when it was to be.
    pub(crate) fn plan_wake(&mut self, node: usize) {
        let lag = self.draw(self.scenario.lag.clone());
        let Some(at) = self.nodes[node].wakes_at(self.now) else { return };
        let before = self.nodes[node].process.as_mut().and_then(|process| process.wake.take());
        if let Some(before) = before {
            self.queue.remove(&before);
        }
        let wake = self.plan_due(at + lag, node, Due::Wake);
        if let Some(process) = &mut self.nodes[node].process {
            process.wake = Some(wake);
        }
    }
    pub(crate) fn draw(&mut self, between: RangeInclusive<Duration>) -> Duration {
        self.dice.random_range(between)
    }
    /// How long a release takes now.
    pub(crate) fn draw_release(&mut self) -> Duration {
        let drawn = self.draw(self.scenario.release.clone());
        if self.healed { Duration::ZERO } else { drawn }
    }
    pub(crate) fn count(&mut self, what: &str) {
        match self.counts.get_mut(what) {
            Some(times) => *times += 1,
            None => drop(self.counts.insert(what.to_owned(), 1)),
        }
    }
}
