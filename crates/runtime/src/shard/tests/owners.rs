//! Two nodes that both believe to own the shard, over one history, with one judge.
//!
//! What is drawn from a seed: who is asked what and how fresh it must be, repeats under the same id and under the
//! application's own, copies that arrive late, answers lost, writes that land late or meet others, reads that are a few
//! records behind, snapshots of either, actors that leave memory, a shard given to the other node while this one goes on. In the end the judge
//! of [`aether_domain::testing::history`] compares what was told with what is stored.
//!
//! There are three ways for both to believe. *Forced*: each has an epoch of its own, as the log gives them, and both serve
//! leases hold all the time, as if no clock could be trusted. *Twins*: both even have the same epoch, which no log gives.
//! *Bounded*: one is given the shard only when the other's lease is over, as it is while clocks keep their bound.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::mutants::{Mutant, is_on};
use aether_domain::ports::{Answer, AppendError, ReadMode};
use aether_domain::records::{ActorSnapshot, CommitRecord, PayloadCodec, Position, StoredCommit, WarmActor};
use aether_domain::testing::history::{Agreed, Book, Call, Kept, Told};
use aether_domain::{CommandId, Epoch, Incarnation, MessageId, Monotonic, NodeId, Sequence, WallTime};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::counter::{Add, Counter, Get, Happened, Odd, TooFew};
use super::scene::actor;
use crate::actor::{Actor as _, KindRegistry, Settings, codec};
use crate::message::{Outcome, Payload, Work};
use crate::shard::input::{Effect, Fact, Found, Input, Now};
use crate::shard::machine::ShardMachine;
use crate::shard::memory::{Memory, MemoryLimits};
use crate::shard::snapshots::after;

/// How many things happen in one run.
const STEPS: usize = 160;
/// How many operations are asked again at most.
const OPEN_MAX: usize = 12;
/// How many good answers end whatever is under way.
const SETTLE_MAX: usize = 4_000;
/// How many runs of each kind there are, unless `AETHER_SEEDS` says more.
const SEEDS: u64 = 1_500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Believing {
    Forced,
    Twins,
    Bounded,
}

struct Owner {
    machine: ShardMachine<u64>,
    me: Incarnation,
    serving: bool,
    /// Asked and not answered.
    asked: Vec<Effect<u64>>,
}

/// What is asked, again and again.
#[derive(Clone, Copy)]
enum Wish {
    Add(u64),
    /// Adds to an odd total only.
    Odd(u64),
}

struct Operation {
    name: u128,
    wish: Wish,
    /// Whether it is the application's name: then each try has an id of its own.
    message: bool,
    /// The ids of its tries.
    sequences: Vec<u64>,
}

struct World {
    how: Believing,
    dice: ChaCha8Rng,
    at: Monotonic,
    owners: Vec<Owner>,
    epoch: u64,
    history: Vec<StoredCommit>,
    /// Those saved, by either owner.
    snapshots: Vec<ActorSnapshot>,
    /// Every state ever captured of the actor, by either owner.
    captured: Vec<WarmActor>,
    /// Appends on their way: they may land at any later moment, under their own expectation.
    late: Vec<(CommitRecord, Sequence)>,
    book: Book<&'static str, u64>,
    /// What each try waits for.
    calls: BTreeMap<u64, (Call, ReadMode)>,
    open: Vec<Operation>,
    /// Everything that was ever sent: a copy of it may come again.
    sent: Vec<(Wish, CommandId, u64, Option<MessageId>)>,
    sequences: u64,
    tokens: u64,
    wrong: Option<String>,
}

impl World {
    fn new(how: Believing, seed: u64) -> Self {
        let mut kinds = KindRegistry::new();
        let settings = Settings { snapshot_every: 3, ..Counter::settings() };
        kinds.register_with::<Counter>(settings).expect("the counter is well defined");
        let memory = Arc::new(Memory::new(MemoryLimits::default(), &kinds));
        let kinds = Arc::new(kinds);
        let owner = |me: u64| Owner {
            machine: ShardMachine::new(kinds.clone(), seed ^ (me << 40), memory.clone()),
            me: Incarnation(me),
            serving: true,
            asked: Vec::new(),
        };
        Self {
            how,
            dice: ChaCha8Rng::seed_from_u64(seed),
            at: Monotonic::from_start(Duration::from_secs(100)),
            owners: vec![owner(1), owner(2)],
            epoch: 5,
            history: Vec::new(),
            snapshots: Vec::new(),
            captured: Vec::new(),
            late: Vec::new(),
            book: Book::default(),
            calls: BTreeMap::new(),
            open: Vec::new(),
            sent: Vec::new(),
            sequences: 0,
            tokens: 0,
            wrong: None,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.dice.random_range(0..bound)
    }

    fn step(&mut self, owner: usize, input: Input<u64>) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let one = &mut self.owners[owner];
            let now = Now { at: self.at, wall: WallTime::default(), serving: one.serving };
            one.machine.step(now, input);
            for effect in one.machine.take_effects(Vec::new) {
                match effect {
                    Effect::Respond { to, outcome, lease } => {
                        let over = lease && !self.owners[owner].serving && !is_on(Mutant::ServesWithoutLease);
                        self.told(to, &outcome, over);
                    }
                    Effect::EndTurn { actor, ticket } => inputs.push(Input::TurnOver { actor, ticket }),
                    Effect::CaptureMore => inputs.push(Input::CaptureMore),
                    Effect::Captured { actors, .. } => self.captured.extend(actors),
                    Effect::Fact(Fact::Quarantined { reason, .. }) => self.wrong = Some(format!("set aside: {reason}")),
                    Effect::Load { .. } | Effect::Append { .. } | Effect::Look { .. } | Effect::Save { .. } => {
                        self.owners[owner].asked.push(effect);
                    }
                    _ => {}
                }
            }
        }
    }

    fn told(&mut self, token: u64, outcome: &Outcome, lease_over: bool) {
        let Some((call, mode)) = self.calls.remove(&token) else { return };
        let value = |payload: &Payload| match payload {
            Payload::Typed(value) => match (value.downcast_ref::<u64>(), value.downcast_ref::<TooFew>()) {
                (Some(total), _) | (_, Some(TooFew { total })) => *total,
                _ => panic!("it is a total"),
            },
            Payload::Encoded(codec, bytes) => codec::decode::<u64>(*codec, bytes)
                .or_else(|_| codec::decode::<TooFew>(*codec, bytes).map(|few| few.total))
                .expect("it is a total"),
        };
        let told = match outcome {
            _ if lease_over => Told::No,
            Outcome::Replied(reply) => Told::Done(value(reply)),
            // Whatever happens to clocks: a `Log` answer and a rejection are fresh, unless an old one was asked for.
            Outcome::Looked(reply) => {
                let fresh = mode == ReadMode::Log || (mode == ReadMode::Strict && self.how == Believing::Bounded);
                Told::Seen { value: value(reply), fresh }
            }
            Outcome::Rejected(no) => Told::Seen { value: value(no), fresh: mode != ReadMode::Leased },
            Outcome::Other(
                Answer::Unavailable { maybe_applied: true, .. }
                | Answer::Expired { maybe_applied: true }
                | Answer::Invalid { maybe_applied: true, .. },
            ) => Told::Unsure,
            Outcome::Other(_) => Told::No,
        };
        self.book.told(call, told);
    }

    #[expect(clippy::too_many_arguments, reason = "a command has as many parts")]
    fn deliver(
        &mut self,
        owner: usize,
        wish: Option<Wish>,
        id: CommandId,
        floor: u64,
        message: Option<MessageId>,
        mode: ReadMode,
        attempt: usize,
    ) -> u64 {
        self.tokens += 1;
        let token = self.tokens;
        let typed: (&str, Payload) = match wish {
            Some(Wish::Add(by)) => ("add", Payload::Typed(Box::new(Add { by }))),
            Some(Wish::Odd(by)) => ("odd", Payload::Typed(Box::new(Odd { by }))),
            None => ("get", Payload::Typed(Box::new(Get {}))),
        };
        let work = Work {
            trace: None,
            id,
            floor,
            actor: actor(1),
            command: typed.0.into(),
            payload: typed.1,
            message,
            mode,
            deadline: self.at + Duration::from_secs(10),
            attempt: attempt.min(255) as u8,
        };
        self.step(owner, Input::Command(work, token));
        token
    }

    /// The lowest id that is still asked.
    fn floor(&self) -> u64 {
        let open = self.open.iter().flat_map(|operation| &operation.sequences).min().copied();
        open.unwrap_or(self.sequences + 1)
    }

    fn ask(&mut self) {
        let owner = self.below(2);
        let nth = self.below(OPEN_MAX * 2);
        if nth >= self.open.len() {
            if self.open.len() == OPEN_MAX {
                // Whoever asked it has heard enough.
                let gone = self.below(OPEN_MAX);
                self.open.remove(gone);
            }
            let by = self.dice.random_range(1..9);
            let wish = if self.below(3) == 0 { Wish::Odd(by) } else { Wish::Add(by) };
            let message = self.below(2) == 0;
            self.sequences += 1;
            let name = u128::from(self.sequences);
            self.open.push(Operation { name, wish, message, sequences: vec![self.sequences] });
            let last = self.open.len() - 1;
            return self.ask_again(owner, last);
        }
        if matches!(self.open[nth].wish, Wish::Odd(_)) {
            // Whoever was told no asks no more, and this one does not wait to hear it.
            return;
        }
        if self.open[nth].message {
            self.sequences += 1;
            let sequence = self.sequences;
            self.open[nth].sequences.push(sequence);
        }
        self.ask_again(owner, nth);
    }

    fn ask_again(&mut self, owner: usize, nth: usize) {
        let Operation { name, wish, message, sequences } = &self.open[nth];
        let (name, wish, attempt) = (*name, *wish, if *message { 1 } else { 2 });
        let id = CommandId { origin: Incarnation(9), sequence: *sequences.last().expect("it has a try") };
        let message = message.then_some(MessageId(name));
        let mode = if self.below(8) == 0 { ReadMode::Leased } else { ReadMode::Strict };
        let call = self.book.call("counter", name);
        let floor = self.floor();
        self.sent.push((wish, id, floor, message));
        self.calls.insert(self.tokens + 1, (call, mode));
        self.deliver(owner, Some(wish), id, floor, message, mode, attempt);
    }

    fn read(&mut self) {
        let owner = self.below(2);
        let mode = [ReadMode::Strict, ReadMode::Log, ReadMode::Leased][self.below(3)];
        self.sequences += 1;
        let id = CommandId { origin: Incarnation(9), sequence: self.sequences };
        let call = self.book.call("counter", (1 << 64) | u128::from(self.sequences));
        self.calls.insert(self.tokens + 1, (call, mode));
        let floor = self.floor();
        self.deliver(owner, None, id, floor, None, mode, 1);
    }

    /// A copy of something sent before arrives; nobody waits for its answer.
    fn copy(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let nth = self.below(self.sent.len());
        let (wish, id, floor, message) = self.sent[nth];
        if matches!(wish, Wish::Add(_)) {
            // Whoever asked it and was told that it is not stored did not know of the copy.
            self.book.call("counter", message.map_or(u128::from(id.sequence), |message| message.0));
            let owner = self.below(2);
            self.deliver(owner, Some(wish), id, floor, message, ReadMode::Strict, 2);
        }
    }

    fn store(&mut self, record: CommitRecord, after: Sequence) -> Result<Position, AppendError> {
        let tail = self.history.last().map_or(Sequence::ZERO, |last| last.at.sequence);
        if tail != after && !is_on(Mutant::CommitsWithoutCas) {
            return Err(AppendError::Conflict { expected: after, actual: Some(tail) });
        }
        let sequence = Sequence(tail.0 + self.dice.random_range(1..4));
        let at = Position { sequence, hash: sequence.0 * 1000 };
        self.history.push(StoredCommit { record, at });
        Ok(at)
    }

    /// What lies behind `after`, perhaps as it was a few records ago.
    fn look(&mut self, after: Sequence, good: bool) -> Vec<StoredCommit> {
        let behind = if good { 0 } else { [0, 0, 1, 2, 3][self.below(5)] };
        let known = &self.history[..self.history.len().saturating_sub(behind)];
        known.iter().filter(|commit| commit.at.sequence > after).cloned().collect()
    }

    fn answer(&mut self, owner: usize, good: bool) {
        if self.owners[owner].asked.is_empty() {
            return;
        }
        let nth = if good { 0 } else { self.below(self.owners[owner].asked.len()) };
        let lost = || "lost".into();
        let input = match self.owners[owner].asked.remove(nth) {
            Effect::Load { actor, ticket, part, .. } => {
                // Any of those that fit, or none, as stores keep and replicas know them.
                let fitting = self.snapshots.iter().filter(|kept| kept.at.sequence <= part.up_to).cloned();
                let mut fitting: Vec<_> = fitting.map(Box::new).collect();
                let nth = if good { fitting.len().saturating_sub(1) } else { self.below(fitting.len() + 1) };
                let snapshot = (nth < fitting.len()).then(|| fitting.swap_remove(nth));
                let commits = self.look(after(snapshot.as_deref()), good);
                Input::Loaded { actor, ticket, found: Ok(Found { snapshot, commits }) }
            }
            Effect::Save { actor, snapshot } => {
                if good || self.below(4) > 0 {
                    self.snapshots.push((*snapshot).clone());
                }
                Input::Saved { actor, outcome: Ok(()) }
            }
            Effect::Look { actor, nonce, after, .. } => {
                Input::Looked { actor, nonce, found: Ok(self.look(after, good)) }
            }
            Effect::Append { actor, record, after, .. } => {
                let nonce = record.nonce;
                let record = (*record).clone();
                let outcome = match if good { 9 } else { self.below(10) } {
                    0 => {
                        // It is there, and nobody says so.
                        let _ = self.store(record, after);
                        Err(AppendError::Unknown { cause: lost() })
                    }
                    1 => Err(AppendError::Unknown { cause: lost() }),
                    2 => {
                        self.late.push((record, after));
                        Err(AppendError::Unknown { cause: lost() })
                    }
                    3 => Err(AppendError::Conflict { expected: after, actual: None }),
                    4 => Err(AppendError::Unavailable { cause: lost() }),
                    _ => self.store(record, after),
                };
                Input::Appended { actor, nonce, outcome }
            }
            _ => unreachable!("only what is answered is kept"),
        };
        self.step(owner, input);
    }

    fn land(&mut self) {
        if !self.late.is_empty() {
            let nth = self.below(self.late.len());
            let (record, after) = self.late.remove(nth);
            let _ = self.store(record, after);
        }
    }

    /// One of them is given the shard; the other one goes on believing, unless it is told.
    fn give(&mut self) {
        let owner = self.below(2);
        let other = 1 - owner;
        if self.how != Believing::Twins {
            self.epoch += 1;
        }
        if self.how == Believing::Bounded {
            self.owners[other].serving = false;
            self.owners[owner].serving = true;
        }
        let (me, epoch) = (self.owners[owner].me, Epoch(self.epoch));
        self.step(owner, Input::Activate { me, epoch });
        if self.below(3) == 0 {
            self.step(other, Input::Deactivate { owner: None });
        }
    }

    /// One of them is asked for the shard; what it captures may follow at once, and the other one is given it.
    fn hand_over(&mut self) {
        let owner = self.below(2);
        if self.how != Believing::Twins {
            self.epoch += 1;
        }
        let to = NodeId::new("b").expect("a node's name");
        self.step(owner, Input::Drain { drain_epoch: Epoch(self.epoch), to });
        self.give();
        self.warm();
    }

    /// A captured state comes to either of them: the last one mostly, or any that there ever was.
    fn warm(&mut self) {
        let (owner, nth) = (self.below(2), self.below(self.captured.len().max(1)));
        let last = self.captured.len().saturating_sub(1);
        let nth = if self.below(3) == 0 { nth } else { last };
        if let Some(warm) = self.captured.get(nth).cloned() {
            self.step(owner, Input::Warm(vec![vec![warm]]));
        }
    }

    fn tick(&mut self, time: Duration) {
        self.at = self.at + time;
        for owner in 0..2 {
            self.step(owner, Input::Tick);
        }
    }

    fn play(&mut self) {
        for owner in 0..2 {
            let me = self.owners[owner].me;
            if self.how != Believing::Twins {
                self.epoch += 1;
            }
            if self.how == Believing::Bounded {
                self.owners[owner].serving = owner == 1;
            }
            self.step(owner, Input::Activate { me, epoch: Epoch(self.epoch) });
        }
        for _ in 0..STEPS {
            match self.below(40) {
                0..10 => self.ask(),
                10..16 => self.read(),
                16..33 => {
                    let owner = self.below(2);
                    self.answer(owner, false);
                }
                33 => self.copy(),
                34 => self.land(),
                35 => self.give(),
                36 if self.below(3) == 0 => self.warm(),
                36 => self.hand_over(),
                // Long enough for its callers to give up; long enough for it to leave memory.
                37 => self.tick(Duration::from_secs(11)),
                38 if self.below(4) == 0 => self.tick(Duration::from_secs(3_600)),
                _ => self.tick(Duration::from_millis(100)),
            }
        }
        self.settle();
        // Whoever waits for a lease that does not come back gives up.
        self.tick(Duration::from_secs(11));
        self.settle();
    }

    fn settle(&mut self) {
        for _ in 0..SETTLE_MAX {
            let Some(owner) = (0..2).find(|owner| !self.owners[*owner].asked.is_empty()) else { break };
            self.answer(owner, true);
        }
    }

    fn judged(mut self) -> Result<Agreed, String> {
        self.play();
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        if let Some((token, _)) = self.calls.first_key_value() {
            return Err(format!("{token} was never answered"));
        }
        let (mut total, mut commands) = (0, Vec::new());
        for StoredCommit { record, .. } in &self.history {
            if record.events.len() != record.commands.len() {
                return Err("each command has one event".to_owned());
            }
            for (mark, event) in record.commands.iter().zip(&record.events) {
                let event = codec::decode(PayloadCodec::Json, &event.payload).expect("it is an event");
                let Happened::Added { by } = event else { panic!("only additions are asked") };
                total += by;
                commands.push((Some(mark.message.map_or(u128::from(mark.id.sequence), |message| message.0)), total));
            }
        }
        let kept = Kept { commits: &self.history, born: Some(0), commands };
        self.book.check("counter", &kept).map_err(|wrong| wrong.to_string())
    }
}

/// Plays runs until one is wrong: its seed and what is wrong with it.
fn first_wrong(how: Believing, seeds: Range<u64>) -> Result<Agreed, (u64, String)> {
    let mut agreed = Agreed::default();
    for seed in seeds {
        let judged = std::panic::catch_unwind(|| World::new(how, seed).judged());
        agreed += judged.unwrap_or_else(|_| Err("it panicked".to_owned())).map_err(|wrong| (seed, wrong))?;
    }
    Ok(agreed)
}

#[track_caller]
fn holds(how: Believing) {
    let seeds = std::env::var("AETHER_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    let agreed = first_wrong(how, 0..seeds).unwrap_or_else(|(seed, wrong)| panic!("{how:?}, seed {seed}: {wrong}"));
    assert!(agreed.done > seeds && agreed.seen > seeds && agreed.unsure > seeds / 10, "too little happens: {agreed}");
}

#[test]
fn with_two_owners_forced_nothing_acknowledged_is_lost_or_doubled_and_no_rejection_or_log_read_is_old() {
    holds(Believing::Forced);
}

#[test]
fn so_it_is_with_two_owners_of_one_epoch() {
    holds(Believing::Twins);
}

#[test]
fn while_leases_keep_their_bound_no_strict_read_is_old_either() {
    holds(Believing::Bounded);
}

/// The net must catch fish: each rule of what becomes of commands is taken away in turn.
#[cfg(aether_mutants)]
#[test]
fn each_rule_of_commands_that_is_taken_away_is_missed() {
    use aether_domain::mutants::take_away;

    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    let of_commands = Mutant::ALL.iter().filter(|(mutant, ..)| mutant.is_of_commands());
    let all_rules = of_commands.clone().count();
    for (mutant, name, rule, _) in of_commands {
        take_away(Some(*mutant));
        let all = [Believing::Forced, Believing::Twins, Believing::Bounded];
        let found =
            all.iter().find_map(|how| first_wrong(*how, 0..3_000).err().map(|(seed, wrong)| (how, seed, wrong)));
        take_away(None);
        match found {
            Some((how, seed, wrong)) => println!("{name:<24} {rule:<4} {how:?} seed {seed}: {wrong}"),
            None => missed.push(name),
        }
    }
    // `cargo xtask mutants` waits for this line.
    println!("{} of {all_rules} rules of commands are missed when they are taken away", all_rules - missed.len());
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
