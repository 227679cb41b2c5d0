//! Shards that are moved, while everything fails that can and while nothing does.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use aether::test_cluster::TestCluster;
use aether_domain::assignment::AssignmentEvent;
use aether_domain::policy::Pin;
use aether_domain::records::{CommandMark, StoredCommit};
use aether_domain::testing::history::{Agreed, Book, Told};
use aether_domain::topology::TopologyEvent;
use aether_domain::{NodeId, Sequence, ShardId};
use futures_util::future::{join, join_all};

use crate::plan::{Failure, Plan};
use crate::tally::{Add, Read, Tally, kept};

/// How many actors are asked. Most have a shard for themselves.
const TALLIES: u64 = 48;
/// How many ask at once, each several at once.
const ASKERS: u64 = 24;
/// How many one of them asks without waiting for answers.
const AT_ONCE: u64 = 8;
/// How long one of them waits at most until it asks again.
const PAUSE_MAX_MILLIS: u64 = 200;
/// How often one question is asked at most, each time for 30 s.
const TRIES_MAX: usize = 8;

/// What came of a storm of moves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    /// What was compared.
    pub(crate) agreed: Agreed,
    /// How many questions were asked, repeats not counted.
    pub(crate) asks: u64,
    /// How many of them nobody answered in any try.
    pub(crate) unanswered: u64,
    /// How many shards changed hands by a move that was completed.
    pub(crate) moves: u64,
    /// How many moves were given up.
    pub(crate) given_up: u64,
    /// How often something was broken.
    pub(crate) strikes: u64,
    /// How many instants were looked at for two owners of one shard.
    pub(crate) looks: u64,
    /// How much virtual time it took.
    pub(crate) passed: Duration,
}

impl std::ops::AddAssign for Moved {
    fn add_assign(&mut self, more: Self) {
        self.agreed += more.agreed;
        self.asks += more.asks;
        self.unanswered += more.unanswered;
        self.moves += more.moves;
        self.given_up += more.given_up;
        self.strikes += more.strikes;
        self.looks += more.looks;
        self.passed += more.passed;
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agreed, asks, unanswered, moves, given_up, strikes, looks, passed } = self;
        write!(
            f,
            "{asks} asks ({unanswered} never answered), {moves} shards moved, {given_up} moves given up, {strikes} things \
             broken, no two owners at {looks} instants, {:.0} s of virtual time; {agreed}",
            passed.as_secs_f64()
        )
    }
}

/// Whether anything fails but moves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Nodes die, freeze and are cut off, messages and answers are lost, the server goes away.
    Foul,
    /// Nodes come and go in good order, and nothing else happens: no ask may fail, and every asker's order holds.
    Fair,
}

struct Play<'a> {
    cluster: &'a TestCluster,
    weather: Weather,
    /// Which tally was told which total.
    book: RefCell<Book<String, u64>>,
    left: Cell<u64>,
    unanswered: Cell<u64>,
    strikes: &'a Cell<usize>,
    looks: Cell<u64>,
    /// Whether everything has been asked: whoever breaks things comes to an end.
    over: Cell<bool>,
    /// The node that is asked to leave, if one is: nobody begins to ask through it.
    leaving: RefCell<Option<String>>,
}

impl Play<'_> {
    async fn ask(&self, through: &str, asker: u64, id: u64) {
        let (cluster, name) = (self.cluster, self.cluster.next_name());
        let (actor, reads) = (format!("tally/{id}"), cluster.draw(10) == 0);
        let by = 1 + u64::try_from(name.0 % 7).unwrap_or(0);
        let mut through = through.to_owned();
        for attempt in 0..TRIES_MAX {
            let call = match self.weather {
                Weather::Fair if attempt == 0 => self.book.borrow_mut().call_in_turn(actor.clone(), name.0, asker),
                _ => self.book.borrow_mut().call(actor.clone(), name.0),
            };
            let answer = if reads {
                cluster.ask_through::<Tally, _, _>(&through, name, id, Read).await
            } else {
                cluster.ask_through::<Tally, _, _>(&through, name, id, Add { by }).await
            };
            let told = match &answer {
                Ok(total) if reads => Told::Seen { value: *total, fresh: true },
                Ok(total) => Told::Done(*total),
                Err(error) if error.maybe_applied() => Told::Unsure,
                Err(_) => Told::No,
            };
            self.book.borrow_mut().told(call, told);
            match answer {
                Ok(_) => return,
                Err(error) if self.weather == Weather::Fair => {
                    panic!("{through} is told at {:?}: {error}, and nothing was broken", cluster.elapsed())
                }
                Err(_) => cluster.advance(Duration::from_millis(200)).await,
            }
            through = self.somebody().await;
        }
        self.unanswered.set(self.unanswered.get() + 1);
    }

    /// A node to ask through: any that runs and is not about to leave.
    async fn somebody(&self) -> String {
        loop {
            let mut running = self.cluster.running();
            running.retain(|id| self.leaving.borrow().as_ref() != Some(id));
            if !running.is_empty() {
                return running.swap_remove(self.cluster.draw(running.len() as u64) as usize);
            }
            self.cluster.advance(Duration::from_millis(100)).await;
        }
    }

    async fn work(&self) {
        join_all((0..ASKERS).map(|asker| self.ask_on(asker))).await;
        self.over.set(true);
    }

    async fn ask_on(&self, asker: u64) {
        while let Some(left) = self.left.get().checked_sub(AT_ONCE) {
            self.left.set(left);
            // The order of what is asked without waiting is promised through one node only.
            let (through, id) = (self.somebody().await, self.cluster.draw(TALLIES));
            join_all((0..AT_ONCE).map(|_| self.ask(&through, asker, id))).await;
            self.cluster.advance(Duration::from_millis(self.cluster.draw(PAUSE_MAX_MILLIS))).await;
        }
    }

    /// Lets an operator want some of the tallies elsewhere, again and again.
    async fn shift(&self, shards: &BTreeSet<ShardId>) {
        let shards: Vec<_> = shards.iter().copied().collect();
        loop {
            self.cluster.advance(Duration::from_millis(50 + self.cluster.draw(400))).await;
            let running = self.cluster.running();
            let pick = |_| {
                let shard = shards[self.cluster.draw(shards.len() as u64) as usize];
                let node = &running[self.cluster.draw(running.len() as u64) as usize];
                Pin { shard, node: NodeId::new(node.as_str()).expect("it runs under that name") }
            };
            let pins: Vec<_> = (0..4).map(pick).collect();
            self.cluster
                .want(|policy| {
                    for pin in &pins {
                        policy.pins.retain(|old| old.shard != pin.shard);
                        policy.pins.push(pin.clone());
                    }
                    policy.pins.sort_by_key(|pin| pin.shard);
                })
                .await;
        }
    }

    /// Restarts one node after the other in good order, and lets one come and go.
    async fn come_and_go(&self) {
        for nth in (0..).take_while(|_| !self.over.get()) {
            let running = self.cluster.running();
            let id = running[nth % running.len()].clone();
            // What was begun through it is over first: whoever asks through a node that ends is told so.
            self.leaving.replace(Some(id.clone()));
            self.cluster.advance(Duration::from_millis(500)).await;
            self.cluster.drain(&id).await;
            self.leaving.replace(None);
            self.cluster.add(&id).await;
            self.strikes.set(self.strikes.get() + 1);
            self.cluster.advance(Duration::from_secs(2)).await;
        }
    }

    /// Looks every millisecond whether two take one shard for theirs.
    async fn look(&self, shards: &BTreeSet<ShardId>) {
        loop {
            let twice = self.cluster.owned_twice(shards.iter().copied());
            assert_eq!(twice, None, "two own a shard at {:?}", self.cluster.elapsed());
            self.looks.set(self.looks.get() + 1);
            self.cluster.advance(Duration::from_millis(1)).await;
        }
    }
}

/// Moves shards for as long as it takes to ask so often. In fair weather nothing of the plan strikes.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn storm_of_moves(plan: &Plan, weather: Weather) -> Result<Moved, Failure> {
    Failure::of(|strikes| play(plan, weather, strikes))
}

fn play(plan: &Plan, weather: Weather, strikes: &Cell<usize>) -> Result<Moved, String> {
    let cluster = TestCluster::seeded(plan.seed).nodes(plan.nodes).actor::<Tally>();
    // Three replicas hold elections, and a command that is refused by itself meanwhile may be overtaken.
    let foul = weather == Weather::Foul;
    let cluster = if foul && plan.three_replicas { cluster.three_replicas() } else { cluster };
    cluster.run(async |cluster| {
        let shards: BTreeSet<_> = (0..TALLIES).filter_map(|id| cluster.shard_of::<Tally>(id)).collect();
        let play = Play {
            cluster: &cluster,
            weather,
            book: RefCell::default(),
            left: Cell::new(plan.asks.next_multiple_of(AT_ONCE)),
            unanswered: Cell::default(),
            strikes,
            looks: Cell::default(),
            over: Cell::default(),
            leaving: RefCell::default(),
        };
        let breaking = async {
            match weather {
                Weather::Foul => plan.strike(&cluster, &play.over, strikes).await,
                Weather::Fair => play.come_and_go().await,
            }
        };
        let mut working = std::pin::pin!(join(play.work(), breaking));
        let mut shifting = std::pin::pin!(play.shift(&shards));
        let mut looking = std::pin::pin!(play.look(&shards));
        tokio::select! {
            biased;
            () = &mut looking => {}
            _ = &mut working => {}
            () = &mut shifting => {}
        }
        cluster.end_faults().await;
        cluster.check_at_rest().await?;
        let stores = cluster.hub().stores();
        let (mut moves, mut given_up) = (0, 0);
        for event in stores.entries(Sequence::ZERO).iter().flat_map(|stored| &stored.entry.events) {
            match event {
                TopologyEvent::Assignment(AssignmentEvent::ShardMigrated { shards, .. }) => moves += shards.len(),
                TopologyEvent::Assignment(AssignmentEvent::ShardMigrationFailed { shards, .. }) => {
                    given_up += shards.len();
                }
                _ => {}
            }
        }
        let history = |actor: &String| {
            let found = stores.histories().find(|(address, _)| address.key.to_string() == *actor);
            kept(found.map_or(&[][..], |(_, commits)| commits))
        };
        let agreed = play.book.borrow().check_all(history).map_err(|wrong| {
            let wrong = wrong.to_string();
            format!("{wrong}\n{}", told_of(&cluster, &wrong).join("\n"))
        })?;
        Ok(Moved {
            agreed,
            asks: plan.asks.next_multiple_of(AT_ONCE),
            unanswered: play.unanswered.get(),
            moves: moves as u64,
            given_up: given_up as u64,
            strikes: strikes.get() as u64,
            looks: play.looks.get(),
            passed: cluster.elapsed(),
        })
    })
}

/// What happened to the operations that a judge's words name, and what the log had to say meanwhile.
fn told_of(cluster: &TestCluster, wrong: &str) -> Vec<String> {
    let is_name = |word: &&str| word.len() > 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let names: Vec<_> = wrong.split(|char: char| !char.is_ascii_alphanumeric()).filter(is_name).collect();
    let actor = wrong.split(':').next().unwrap_or_default();
    let trace = cluster.trace();
    let named = |line: &&String| line.len() < 400 && names.iter().any(|name| line.contains(*name));
    let moment = |line: &String| line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
    let times: Vec<_> = trace.iter().filter(named).filter_map(moment).collect();
    let (first, last) = (times.iter().min().copied().unwrap_or(0), times.iter().max().copied().unwrap_or(0));
    let meant = |line: &&String| named(line) || line.contains(&format!("asks {actor} ")) && moment(line) >= Some(first);
    let told: Vec<_> = trace.iter().filter(meant).take(60).cloned().collect();
    let stores = cluster.hub().stores();
    let began = stores.entries(Sequence::ZERO).first().map_or(0, |stored| stored.entry.at.unix_millis);
    let meanwhile = stores.entries(Sequence::ZERO).iter().filter_map(|stored| {
        let at = stored.entry.at.unix_millis - began;
        let events: Vec<_> = stored.entry.events.iter().map(|event| format!("{event:?}")).collect();
        (at + 100 > first && at < last + 100)
            .then(|| format!("{at:>8} entry {}: {}", stored.entry.epoch, events.join("; ")))
    });
    let of_actor =
        stores.histories().filter(|(address, _)| address.key.to_string() == actor).flat_map(|(_, commits)| commits);
    let kept = of_actor.filter_map(|StoredCommit { record, at }| {
        let when = record.at.unix_millis - began;
        let command = |mark: &CommandMark| format!("{} as {:x?}", mark.id, mark.message.map(|message| message.0));
        let commands: Vec<_> = record.commands.iter().map(command).collect();
        let (place, epoch, owner) = (at.sequence, record.shard_epoch, record.owner);
        (when + 20 > first && when < last + 20)
            .then(|| format!("{when:>8} record {place} of {owner} under {epoch}: {}", commands.join(", ")))
    });
    told.into_iter().chain(meanwhile).chain(kept).collect()
}
