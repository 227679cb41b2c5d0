//! The same operations, drawn from a seed, on two backends: whatever one answers the other must answer.
//!
//! A [`Step`] names what it expects relative to what happened before, so that any part of a sequence can be played by itself:
//! what is left of a sequence after [`shrunk`] is the least that tells the two backends apart. Compared are the answers of each
//! step, revisions and sequences included, and in the end everything that listeners were told meanwhile, and everything that is
//! there. Hashes need not be the same in both, only the same for every reader of one.
//!
//! Only for backends that answer without faults: what the two may do when something is broken is not the same.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use aether_domain::ids::{
    ActorAddress, Epoch, FeedName, MessageId, NodeRef, Nonce, Revision, Sequence, Slot, Term, Version,
};
use aether_domain::ports::{
    AppendError, BusUpdate, Claim, ControlUpdate, Delivery, EventFilter, Expected, GatewayAnswer, GatewayRequest,
    Heard, LogUpdate, Ports, ReadError, ReadMode, SaveError, StartAt, Updates, WriteError,
};
use aether_domain::records::{
    ActorSnapshot, Checkpoint, ControlKey, ControlRecord, FeedState, PayloadCodec, Position, StoredCommit, StoredEntry,
};
use aether_domain::testing::life;
use aether_domain::time::WallTime;
use aether_infra_memory::GatewayCall;
use futures_util::StreamExt as _;
use futures_util::future::try_join;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;

use crate::World;
use crate::samples;

/// How long anything may take that is told to a listener.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// More bytes than one message of a snapshot has.
const LARGE_BYTES: usize = 300 * 1024;

/// What a write expects, relative to what this sequence has written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Nothing there.
    Nothing,
    /// What was written last.
    Last,
    /// What was written so many writes before that.
    Before(usize),
    /// More than there is.
    Beyond(u64),
}

/// One operation, by one of two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// By the second of them.
    pub second: bool,
    /// Tells what is written from everything else.
    pub nonce: u64,
    /// Which.
    pub op: Op,
}

/// An operation of some port. Numbers are taken modulo how many there are of what they name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named like its port's operation")]
pub enum Op {
    ControlWrite(usize, Aim),
    ControlRead(usize),
    LogAppend(Aim),
    LogRead(Aim, usize),
    Commit(usize, Aim),
    History(usize, Aim),
    FreshHistory(usize, Aim),
    SnapshotSave(usize, u64, bool),
    SnapshotLoad(usize, u64),
    WakeSet(usize, bool, Aim),
    WakeRead(usize),
    WakesPending(u16, u16, u64, usize),
    CheckpointWrite(usize, Aim),
    CheckpointRead(usize),
    Checkpoints,
    LetterKeep(usize),
    LettersRead(u64, usize),
    LetterForget(u64),
    Send(bool, usize),
    BusEnd,
    Claim,
    Ask(usize),
}

/// `count` steps drawn from `seed`.
pub fn drawn(seed: u64, count: usize) -> Vec<Step> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let aim = |dice: &mut ChaCha8Rng| match dice.random_range(0..10) {
        0 => Aim::Nothing,
        1 => Aim::Before(dice.random_range(1..4)),
        2 => Aim::Beyond(dice.random_range(1..4)),
        _ => Aim::Last,
    };
    let step = |nonce: u64| {
        let (which, dice) = (dice.random_range(0..usize::MAX), &mut dice);
        let op = match dice.random_range(0..44) {
            0..=6 => Op::ControlWrite(which, aim(dice)),
            7 | 8 => Op::ControlRead(which),
            9..=12 => Op::LogAppend(aim(dice)),
            13 => Op::LogRead(aim(dice), dice.random_range(0..6)),
            14..=19 => Op::Commit(which, aim(dice)),
            20 => Op::History(which, aim(dice)),
            21 => Op::FreshHistory(which, aim(dice)),
            22 | 23 => Op::SnapshotSave(which, dice.random_range(0..8), dice.random_ratio(1, 16)),
            24 => Op::SnapshotLoad(which, dice.random_range(0..8)),
            25..=27 => Op::WakeSet(which, dice.random_ratio(1, 4), aim(dice)),
            28 => Op::WakeRead(which),
            29 => {
                Op::WakesPending(dice.random(), dice.random(), dice.random_range(0..100_000), dice.random_range(0..5))
            }
            30..=32 => Op::CheckpointWrite(which, aim(dice)),
            33 => {
                if dice.random_ratio(1, 2) {
                    Op::Checkpoints
                } else {
                    Op::CheckpointRead(which)
                }
            }
            34 | 35 => Op::LetterKeep(which),
            36 => Op::LettersRead(dice.random_range(0..5), dice.random_range(0..5)),
            37 => Op::LetterForget(dice.random_range(0..6)),
            38 => Op::BusEnd,
            40 | 41 => Op::Claim,
            42 | 43 => Op::Ask(which),
            _ => Op::Send(dice.random_ratio(1, 4), which),
        };
        Step { second: dice.random_ratio(1, 3), nonce, op }
    };
    (1..=count as u64).map(step).collect()
}

/// Where two backends differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// At which step, from 0; behind the last one: in what listeners were told, or what is there then.
    pub at: usize,
    /// What each says.
    pub said: [String; 2],
}

/// Plays the steps on an empty namespace of each backend, side by side.
///
/// # Errors
/// A backend cannot be had.
pub async fn difference(worlds: &[Arc<dyn World>; 2], steps: &[Step]) -> anyhow::Result<Option<Difference>> {
    let (mut first, mut second) = try_join(Play::begin(&*worlds[0]), Play::begin(&*worlds[1])).await?;
    for (at, step) in steps.iter().enumerate() {
        let said = [first.step(step).await, second.step(step).await];
        if said[0] != said[1] {
            return Ok(Some(Difference { at, said }));
        }
    }
    let both = [first.told().await, second.told().await];
    let kept = first.kept().await.into_iter().zip(second.kept().await).map(<[String; 2]>::from);
    let differ = std::iter::once(both).chain(kept).find(|said| said[0] != said[1]);
    Ok(differ.map(|said| Difference { at: steps.len(), said }))
}

/// The steps without those that the difference does not need.
///
/// # Errors
/// As [`difference`].
pub async fn shrunk(worlds: &[Arc<dyn World>; 2], mut steps: Vec<Step>) -> anyhow::Result<Vec<Step>> {
    if let Some(Difference { at, .. }) = difference(worlds, &steps).await? {
        steps.truncate(at + 1);
    }
    let mut length = steps.len().next_power_of_two();
    while length > 0 {
        let mut at = 0;
        while at < steps.len() {
            let end = (at + length).min(steps.len());
            let fewer = [&steps[..at], &steps[end..]].concat();
            if difference(worlds, &fewer).await?.is_some() {
                steps = fewer;
            } else {
                at = end;
            }
        }
        length /= 2;
    }
    Ok(steps)
}

/// One backend, two nodes' connections to it, and what this sequence has made of it.
struct Play {
    place: Box<dyn crate::Place>,
    ports: [Ports; 2],
    lives: [NodeRef; 2],
    /// The revisions under each key, oldest first; so with everything below.
    control: BTreeMap<ControlKey, Vec<u64>>,
    log: Vec<Position>,
    histories: BTreeMap<ActorAddress, Vec<Position>>,
    wakes: BTreeMap<ActorAddress, Vec<u64>>,
    checkpoints: BTreeMap<FeedName, Vec<u64>>,
    sent: usize,
    claimed: usize,
    watch: Updates<ControlUpdate>,
    follow: Updates<LogUpdate>,
    bus: Updates<BusUpdate>,
    inbox: Updates<Delivery>,
    claims: Updates<Heard>,
    /// Answers what comes through the gateway; ends with this.
    _answering: JoinSet<()>,
}

fn actors() -> [ActorAddress; 4] {
    [("account", "anna"), ("account", "bert"), ("odd", "\u{fc}.*> "), ("k", "anna")]
        .map(|(kind, id)| samples::actor(kind, id))
}

fn feed(which: usize) -> FeedName {
    FeedName::new(["totals", "t", "audit-2"][which % 3]).expect("a name")
}

/// One of the records that are told apart by `nonce`.
fn control_record(which: usize, nonce: u64) -> ControlRecord {
    let (a, b) = (life("a", 1), life("b", 1));
    match which % 6 {
        0 => samples::lease(&a, nonce),
        1 => samples::member(&a, nonce),
        2 => samples::member(&b, nonce),
        3 => samples::release(&a, nonce, Vec::new()),
        4 => samples::placement(nonce),
        _ => samples::snapshot(16, Epoch(1_000 + nonce), nonce),
    }
}

/// The number that an aim names, of those written.
fn aimed(written: Option<&Vec<u64>>, aim: Aim) -> u64 {
    let written = written.map_or(&[][..], Vec::as_slice);
    let last = written.last().copied().unwrap_or(0);
    match aim {
        Aim::Nothing => 0,
        Aim::Last => last,
        Aim::Before(back) => written.len().checked_sub(back + 1).map_or(0, |at| written[at]),
        Aim::Beyond(more) => last + more,
    }
}

fn expected(number: u64) -> Expected {
    if number == 0 { Expected::Absent } else { Expected::At(Revision(number)) }
}

fn sequences(positions: &[Position]) -> Vec<u64> {
    positions.iter().map(|at| at.sequence.0).collect()
}

/// An answer without what differs from backend to backend.
fn read<T: Debug>(answer: Result<T, ReadError>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(ReadError::Unavailable { .. }) => "unavailable".to_owned(),
        Err(ReadError::Corrupt { sequence, .. }) => format!("corrupt at {sequence}"),
    }
}

fn saved(answer: Result<(), SaveError>) -> String {
    match answer {
        Ok(()) => "kept".to_owned(),
        Err(SaveError::Unavailable { .. }) => "unavailable".to_owned(),
        Err(SaveError::TooLarge { .. }) => "too large".to_owned(),
    }
}

/// Notes a write that was stored.
fn written(written: &mut Vec<u64>, answer: Result<Revision, WriteError>) -> String {
    match answer {
        Ok(revision) => {
            written.push(revision.0);
            format!("written, {revision:?}")
        }
        Err(WriteError::Conflict { actual }) => format!("conflict with {actual:?}"),
        Err(WriteError::Unknown { .. }) => "unknown".to_owned(),
        Err(WriteError::Unavailable { .. }) => "unavailable".to_owned(),
    }
}

fn appended(written: &mut Vec<Position>, answer: Result<Position, AppendError>) -> String {
    match answer {
        Ok(at) => {
            written.push(at);
            format!("appended at {:?}", at.sequence)
        }
        Err(AppendError::Conflict { expected, actual }) => format!("conflict with {actual:?}, not {expected:?}"),
        Err(AppendError::Unknown { .. }) => "unknown".to_owned(),
        Err(AppendError::Unavailable { .. }) => "unavailable".to_owned(),
        Err(AppendError::TooLarge { .. }) => "too large".to_owned(),
    }
}

/// A commit as it is compared: its hash only with what its writer was answered.
fn commits(known: &[Position], stored: &[StoredCommit]) -> String {
    let commit =
        |stored: &StoredCommit| (stored.at.sequence, known.contains(&stored.at), format!("{:?}", stored.record));
    format!("{:?}", stored.iter().map(commit).collect::<Vec<_>>())
}

fn entries(known: &[Position], stored: &[StoredEntry]) -> String {
    let entry = |stored: &StoredEntry| (stored.at.sequence, known.contains(&stored.at), format!("{:?}", stored.entry));
    format!("{:?}", stored.iter().map(entry).collect::<Vec<_>>())
}

fn snapshot(which: u64, nonce: u64, large: bool) -> ActorSnapshot {
    let text = format!("\"{}\"", "x".repeat(if large { LARGE_BYTES } else { nonce as usize % 100 }));
    ActorSnapshot {
        at: Position { sequence: Sequence(which), hash: nonce },
        version: Version(nonce),
        shard_epoch: Epoch(3),
        schema: 1,
        codec: PayloadCodec::Json,
        state: text.into_bytes().into(),
        origins: Vec::new(),
        messages: Vec::new(),
        timers: samples::open_timers(),
    }
}

fn claim(nonce: u64) -> Claim {
    let leads = nonce.is_multiple_of(3).then_some(Term(nonce));
    let serves = nonce.is_multiple_of(2).then_some(u64::MAX - nonce);
    let (leader, epoch) = (leads.map(|_| life("a", nonce)), Epoch(nonce));
    Claim { node: life("a", 1), leads, term: Term(nonce), leader, epoch, hash: !nonce, serves }
}

/// A client's request; now and then something about it is odd.
fn call(which: usize, nonce: u64) -> GatewayCall {
    let ids = ["anna", "\u{fc}.*> /", "%41", " "];
    let payloads = ["null", "{\"amount\":12}", "\"\u{1f980}\"", "[1e300,-0.0]", "123456789012345678901234567890"];
    GatewayCall {
        kind: ["account", "odd-1", "Account"][which % 3].to_owned(),
        id: ids[which / 3 % ids.len()].to_owned(),
        command: ["reply", "reject", "fail"][which / 16 % 3].to_owned(),
        payload: payloads[which / 64 % payloads.len()].into(),
        message: nonce.is_multiple_of(2).then_some(MessageId(u128::from(nonce) << 64)),
        mode: [ReadMode::Strict, ReadMode::Leased, ReadMode::Log][which / 512 % 3],
        timeout: TOLD_WITHIN,
    }
}

/// Answers with all of the request, in the way that it asks for.
fn echo(request: &GatewayRequest) -> GatewayAnswer {
    let GatewayRequest { kind, id, command, payload, message, mode, timeout, trace: _, respond: _ } = request;
    let said = format!("{:?}", (kind, id, command, payload, message, mode, timeout));
    match &**command {
        "reply" => GatewayAnswer::Replied(payload.clone()),
        "reject" => GatewayAnswer::Rejected(payload.clone()),
        _ => GatewayAnswer::Failed { code: "invalid", reason: said, maybe_applied: message.is_some() },
    }
}

/// What a listener says next, or nothing if it is late.
async fn next<T>(updates: &mut Updates<T>) -> Option<T> {
    tokio::time::timeout(TOLD_WITHIN, updates.next()).await.ok().flatten()
}

impl Play {
    async fn begin(world: &dyn World) -> anyhow::Result<Self> {
        let place = world.place().await?;
        let lives = [life("a", 1), life("b", 1)];
        let ports = [place.connect(&lives[0].node).await?, place.connect(&lives[1].node).await?];
        let watch = ports[1].control.watch().await?;
        let follow = ports[1].log.follow(Sequence::ZERO).await?;
        let bus = ports[1].bus.subscribe(&EventFilter::default(), StartAt::Beginning).await?;
        let inbox = ports[1].transport.listen(&lives[1]).await?;
        let claims = ports[1].claims.listen().await?;
        let requests = ports[1].gateway.listen(Box::pin(std::future::pending())).await?;
        let mut answering = JoinSet::new();
        answering.spawn(requests.for_each(|request| {
            let answer = echo(&request);
            (request.respond)(answer)
        }));
        Ok(Self {
            place,
            ports,
            lives,
            control: BTreeMap::new(),
            log: Vec::new(),
            histories: BTreeMap::new(),
            wakes: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            sent: 0,
            claimed: 0,
            watch,
            follow,
            bus,
            inbox,
            claims,
            _answering: answering,
        })
    }

    /// Does one step and says how it ended.
    async fn step(&mut self, step: &Step) -> String {
        let ports = self.ports[usize::from(step.second)].clone();
        let (nonce, nth) = (step.nonce, |which: usize| actors()[which % 4].clone());
        match step.op {
            Op::ControlWrite(which, aim) => {
                let record = control_record(which, nonce);
                let at = expected(aimed(self.control.get(&record.key()), aim));
                let answer = ports.control.write(&record, at).await;
                written(self.control.entry(record.key()).or_default(), answer)
            }
            Op::ControlRead(which) => read(ports.control.read(&control_record(which, 0).key()).await),
            Op::LogAppend(aim) => {
                let after = Sequence(aimed(Some(&sequences(&self.log)), aim));
                let entry = samples::entry(nonce, Position { sequence: after, hash: 0 });
                appended(&mut self.log, ports.log.append(&entry, after).await)
            }
            Op::LogRead(aim, limit) => {
                let after = Sequence(aimed(Some(&sequences(&self.log)), aim));
                read(ports.log.read(after, limit).await.map(|stored| entries(&self.log, &stored)))
            }
            Op::Commit(which, aim) => {
                let history = self.histories.entry(nth(which)).or_default();
                let after = Sequence(aimed(Some(&sequences(history)), aim));
                let before = Position { sequence: after, hash: 0 };
                let record = samples::commit(nonce, Version(nonce), before);
                appended(history, ports.events.append(&nth(which), &record, after).await)
            }
            Op::History(which, aim) | Op::FreshHistory(which, aim) => {
                let history = self.histories.entry(nth(which)).or_default();
                let after = Sequence(aimed(Some(&sequences(history)), aim));
                let answer = match step.op {
                    Op::History(..) => ports.events.read(&nth(which), after).await,
                    _ => ports.events.read_fresh(&nth(which), after).await,
                };
                read(answer.map(|stored| commits(history, &stored)))
            }
            Op::SnapshotSave(which, at, large) => {
                saved(ports.snapshots.save(&nth(which), &snapshot(at, nonce, large)).await)
            }
            Op::SnapshotLoad(which, up_to) => read(ports.snapshots.load(&nth(which), Sequence(up_to)).await),
            Op::WakeSet(which, clear, aim) => {
                let wakes = self.wakes.entry(nth(which)).or_default();
                let at = expected(aimed(Some(wakes), aim));
                // Never two at one time: which of them is first nobody promises.
                let time = (!clear).then_some(WallTime { unix_millis: nonce * 37 % 99_991 });
                let answer = ports.wakes.set(&nth(which), time, at).await;
                written(wakes, answer)
            }
            Op::WakeRead(which) => read(ports.wakes.read(&nth(which)).await),
            Op::WakesPending(one, other, until, limit) => {
                let slots = [Slot(one.min(other))..=Slot(one.max(other))];
                read(ports.wakes.pending(&slots, WallTime { unix_millis: until }, limit).await)
            }
            Op::CheckpointWrite(which, aim) => {
                let feed = feed(which);
                let written_before = self.checkpoints.entry(feed.clone()).or_default();
                let at = expected(aimed(Some(written_before), aim));
                let owner = self.lives[usize::from(step.second)].clone();
                let (position, nonce) = (Sequence(nonce), Nonce(nonce));
                let checkpoint = Checkpoint { feed, position, owner, nonce, state: FeedState::Held };
                written(written_before, ports.checkpoints.write(&checkpoint, at).await)
            }
            Op::CheckpointRead(which) => read(ports.checkpoints.read(&feed(which)).await),
            Op::Checkpoints => read(ports.checkpoints.all().await),
            Op::LetterKeep(which) => {
                let letters = samples::letters();
                // The largest is for the suite.
                let small: Vec<_> = letters.iter().filter(|letter| letter.reason.len() < 100).collect();
                saved(ports.dead_letters.keep(small[which % small.len()]).await)
            }
            Op::LettersRead(after, limit) => read(ports.dead_letters.read(Sequence(after), limit).await),
            Op::LetterForget(sequence) => saved(ports.dead_letters.forget(Sequence(sequence)).await),
            Op::Send(nobody, which) => {
                let frames = samples::odd_frames();
                let frame = frames[which % frames.len()].clone();
                let to = if nobody { life("nobody", 1) } else { self.lives[1].clone() };
                // From one connection only: between two there is no order.
                let sent = self.ports[0].transport.send(&self.lives[0], &to, vec![frame]).await.is_ok();
                self.sent += usize::from(sent && !nobody);
                format!("sent: {sent}")
            }
            Op::BusEnd => read(ports.bus.end().await),
            Op::Claim => {
                // From one connection only, as messages.
                let told = self.ports[0].claims.tell(&claim(nonce)).await.is_ok();
                self.claimed += usize::from(told);
                format!("told: {told}")
            }
            Op::Ask(which) => match self.place.ask(call(which, nonce)).await {
                Ok(answer) => format!("{answer:?}"),
                Err(_) => "unavailable".to_owned(),
            },
        }
    }

    /// Everything that is there, as a node reads it that knows nothing.
    async fn kept(&self) -> Vec<String> {
        let ports = &self.ports[1];
        let log = ports.log.read(Sequence::ZERO, self.log.len() + 1).await;
        let mut kept = vec![
            format!("feeds: {}", read(ports.checkpoints.all().await)),
            format!("last of all commits: {}", read(ports.bus.end().await)),
            format!("letters: {}", read(ports.dead_letters.read(Sequence::ZERO, 100).await)),
            format!("log: {}", read(log.map(|stored| entries(&self.log, &stored)))),
        ];
        for key in (0..6).map(|which| control_record(which, 0).key()) {
            kept.push(format!("{key:?}: {}", read(ports.control.read(&key).await)));
        }
        for actor in actors() {
            let known = self.histories.get(&actor).map_or(&[][..], Vec::as_slice);
            let history = ports.events.read_fresh(&actor, Sequence::ZERO).await;
            kept.push(format!("history of {actor:?}: {}", read(history.map(|stored| commits(known, &stored)))));
            let snapshot = ports.snapshots.load(&actor, Sequence(u64::MAX)).await;
            kept.push(format!("snapshot of {actor:?}: {}", read(snapshot)));
            kept.push(format!("wake of {actor:?}: {}", read(ports.wakes.read(&actor).await)));
        }
        kept
    }

    /// What was told to those who have listened since the beginning: everything that was written, once it has come.
    async fn told(&mut self) -> String {
        let told = [self.watched().await, self.followed().await, self.heard().await, self.received().await];
        format!("{told:?}, {}", self.claimed().await)
    }

    /// Each key's last record. Those between may be skipped.
    async fn watched(&mut self) -> String {
        let watched = |key: &ControlKey| *key != ControlKey::TopologySnapshot;
        let last = self.control.iter().filter(|(key, written)| watched(key) && !written.is_empty());
        let mut missing: BTreeMap<_, _> =
            last.map(|(key, written)| (key.clone(), written[written.len() - 1])).collect();
        let mut told = BTreeMap::new();
        while !missing.is_empty() {
            match next(&mut self.watch).await {
                Some(ControlUpdate::Record(stored)) => {
                    let key = stored.record.key();
                    if missing.get(&key).is_some_and(|revision| stored.revision.0 >= *revision) {
                        missing.remove(&key);
                    }
                    told.insert(key, stored);
                }
                Some(ControlUpdate::CaughtUp) => {}
                other => return format!("{other:?} while {missing:?} are missing"),
            }
        }
        format!("{told:?}")
    }

    async fn followed(&mut self) -> String {
        let mut told = Vec::new();
        while told.len() < self.log.len() {
            match next(&mut self.follow).await {
                Some(LogUpdate::Entry(stored)) => told.push(stored),
                other => return format!("{other:?} behind {} entries", told.len()),
            }
        }
        entries(&self.log, &told)
    }

    async fn heard(&mut self) -> String {
        let known: Vec<Position> = self.histories.values().flatten().copied().collect();
        let mut told = Vec::new();
        while told.len() < known.len() {
            match next(&mut self.bus).await {
                Some(BusUpdate::EventStored { actor, commit }) => told.push((actor, commits(&known, &[commit]))),
                Some(BusUpdate::Reached(_)) => {}
                other => return format!("{other:?} behind {} commits", told.len()),
            }
        }
        format!("{told:?}")
    }

    async fn received(&mut self) -> String {
        let mut told = Vec::new();
        while told.len() < self.sent {
            match next(&mut self.inbox).await {
                Some(Delivery::Frames { from, frames }) => told.push((from, frames)),
                other => return format!("{other:?} behind {} messages", told.len()),
            }
        }
        format!("{told:?}")
    }

    async fn claimed(&mut self) -> String {
        let mut told = Vec::new();
        while told.len() < self.claimed {
            match next(&mut self.claims).await {
                Some(heard) => told.push(heard),
                None => return format!("nothing behind {} claims", told.len()),
            }
        }
        format!("{told:?}")
    }
}

/// A sequence that tells two backends apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it was drawn from.
    pub seed: u64,
    /// What is left of it: the least that tells them apart.
    pub steps: Vec<Step>,
    /// What they say to that.
    pub difference: Difference,
    /// The two.
    pub backends: [String; 2],
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, steps, difference: Difference { at, said }, backends } = self;
        writeln!(f, "seed {seed}: step {at} of {} ends in two ways", steps.len())?;
        for (backend, said) in backends.iter().zip(said) {
            writeln!(f, "{backend}: {said}")?;
        }
        write!(f, "steps:")?;
        steps.iter().try_for_each(|step| write!(f, "\n  {step:?}"))
    }
}

/// Plays `count` steps drawn from `seed`, and of what tells the two apart gives the least.
///
/// # Errors
/// As [`difference`].
pub async fn found(worlds: &[Arc<dyn World>; 2], seed: u64, count: usize) -> anyhow::Result<Option<Found>> {
    let drawn = drawn(seed, count);
    let Some(first) = difference(worlds, &drawn).await? else { return Ok(None) };
    let least = shrunk(worlds, drawn.clone()).await?;
    let (steps, difference) = match difference(worlds, &least).await? {
        Some(again) => (least, again),
        None => (drawn, first),
    };
    let backends = worlds.each_ref().map(|world| world.backend().to_owned());
    Ok(Some(Found { seed, steps, difference, backends }))
}

/// Plays `sequences` of so many steps each, some side by side, and says how many; see [`difference`].
///
/// # Panics
/// If the backends differ: with the seed, the least steps that tell them apart, and what each says.
pub async fn agree(worlds: [Arc<dyn World>; 2], seed: u64, sequences: u64, steps: usize) -> usize {
    let play = |seed: u64| {
        let worlds = worlds.clone();
        async move {
            if let Some(found) = found(&worlds, seed, steps).await.expect("the backends are there") {
                panic!("{found}");
            }
        }
    };
    let plays = futures_util::stream::iter(seed..seed + sequences).map(play).buffer_unordered(4);
    plays.count().await * steps
}
