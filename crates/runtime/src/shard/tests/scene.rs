//! One shard on a stage: a script says what happens, and after `->` what the machine does about it.
//!
//! ```text
//! 1 add 5          -> load                 command 1 (its number is its sequence); `leased`, `log`, `json`, `floor=`,
//!                                          `msg=`, `id=`, `within=` and `@actor` may follow
//! loaded           -> append 1 after 0     the oldest load is answered from the store
//! ack              -> 1=5                  the oldest append reaches the store and is answered
//! crowd                                    from here on others are ready to run: a turn ends when the script says `turn`
//! warm                                     the actor comes as it was captured last; `old`: first; `torn`, `later`, ...
//! saved                                    the oldest snapshot reaches the store; `not saved`: it does not
//! 2 get            -> 2=5?                 `?`: given only while the serve lease holds
//! 3 later 500      -> wake by 501          a reminder after 500 ms: first a wake, then the record. It is 1 ms now
//! kept             -> append 3 set add@501 after 1
//! wait 500         -> append fired add after 2          time passes, and the shard looks whom it has to look at
//! wakes                                    the store's wakes are read, as after the shard was taken
//! reborn 6 2                               as `activate 6`, and the owner is life 2
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::ports::{AppendError, ReadError, ReadMode, SaveError};
use aether_domain::records::{
    ActorSnapshot, CommandMark, CommitRecord, EventRecord, PayloadCodec, Position, StoredCommit, TimerChange, Wake,
    WarmActor,
};
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, CommandId, Epoch, Incarnation, MessageId, Monotonic, NodeId, Nonce,
    Revision, Sequence, Slot, Version, WallTime,
};

use super::counter::{
    Add, Beat, Boom, Chain, Counter, Crowd, Curse, Cut, Demand, Fuse, Fused, Get, Grow, Happened, Later, Missed, Odd,
    Pad, Recite, Still,
};
use super::said::describe;
use crate::actor::{Actor, KindRegistry, Settings, codec};
use crate::message::{Payload, Work};
use crate::shard::input::{Effect, Found, Input, Keep, NotRead, Now};
use crate::shard::machine::ShardMachine;
use crate::shard::memory::{Memory, MemoryLimits};
use crate::shard::snapshots::after;

/// Whose commands they are unless told.
const ORIGIN: u64 = 9;
/// The life that owns the shard.
const ME: Incarnation = Incarnation(1);

pub(super) struct Scene {
    machine: ShardMachine<u64>,
    memory: Arc<Memory>,
    at: Monotonic,
    serving: bool,
    /// Whether others are ready to run, so that a turn does not end at once.
    crowd: bool,
    /// Asked and not answered yet, oldest first.
    pub(super) asked: Vec<Effect<u64>>,
    pub(super) histories: BTreeMap<u64, Vec<StoredCommit>>,
    /// Every actor ever captured, newest last.
    pub(super) captured: Vec<WarmActor>,
    /// Those saved, newest last.
    pub(super) snapshots: BTreeMap<u64, Vec<ActorSnapshot>>,
    pub(super) wakes: BTreeMap<u64, Wake>,
    /// On their way, each under the expectation before its revision.
    late_wakes: Vec<(u64, Wake)>,
    /// What the next record is stored at: sequences are of a stream shared by many.
    sequence: u64,
}

/// Plays a script on a shard owned under epoch 5.
#[track_caller]
pub(super) fn play(script: &str) {
    play_on(Scene::new(), script);
}

/// Plays a script on that shard, owned under epoch 5.
#[track_caller]
pub(super) fn play_on(mut scene: Scene, script: &str) {
    scene.tell("activate 5");
    let mut wrong = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (cue, expected) = line.split_once("->").map_or((line, ""), |(cue, expected)| (cue.trim(), expected.trim()));
        let done = scene.tell(cue);
        if done != expected {
            writeln!(wrong, "{cue}\n   expected -> {expected}\n   was      -> {done}").expect("text can be written");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

pub(super) fn actor(number: u64) -> ActorAddress {
    let kind = ActorKind::new("counter").expect("a kind");
    let id = ActorId::new(number.to_string()).expect("an id");
    ActorAddress { key: ActorKey { kind, id }, slot: Slot(7) }
}

pub(super) fn number(actor: &ActorAddress) -> u64 {
    actor.key.id.as_str().parse().expect("actors are numbered here")
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a node's name")
}

fn lost() -> Box<dyn std::error::Error + Send + Sync> {
    "the answer was lost".into()
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::with_snapshots_every(0)
    }

    /// A snapshot is due after so many events; 0: never.
    pub(super) fn with_snapshots_every(snapshot_every: u32) -> Self {
        Self::run_by(Settings { snapshot_every, snapshot_bytes: 0, ..Counter::settings() })
    }

    /// Counters are run by these settings.
    pub(super) fn run_by(settings: Settings) -> Self {
        let mut kinds = KindRegistry::new();
        kinds.register_with::<Counter>(settings).expect("the counter is well defined");
        let memory = Arc::new(Memory::new(MemoryLimits::default(), &kinds));
        Self {
            machine: ShardMachine::new(Arc::new(kinds), 7, memory.clone()),
            memory,
            at: Monotonic::from_start(Duration::from_secs(100)),
            serving: true,
            crowd: false,
            asked: Vec::new(),
            histories: BTreeMap::new(),
            captured: Vec::new(),
            snapshots: BTreeMap::new(),
            wakes: BTreeMap::new(),
            late_wakes: Vec::new(),
            sequence: 0,
        }
    }

    /// Lets something happen and says what the machine does about it.
    pub(super) fn tell(&mut self, cue: &str) -> String {
        let (cue, on) = cue.split_once('@').map_or((cue, 1), |(cue, on)| (cue, on.parse().expect("an actor")));
        let words: Vec<&str> = cue.split_whitespace().collect();
        let input = match words[..] {
            ["activate", epoch] => Input::Activate { me: ME, epoch: Epoch(parse(epoch)) },
            ["reborn", epoch, life] => Input::Activate { me: Incarnation(parse(life)), epoch: Epoch(parse(epoch)) },
            ["more"] => Input::CaptureMore,
            ["drain", epoch, to] => Input::Drain { drain_epoch: Epoch(parse(epoch)), to: node(to) },
            ["lost"] => Input::Deactivate { owner: None },
            ["lost", "to", owner] => Input::Deactivate { owner: Some(node(owner)) },
            ["tick", millis] => {
                self.at = self.at + Duration::from_millis(parse(millis));
                Input::Tick
            }
            ["wait", millis] => {
                self.at = self.at + Duration::from_millis(parse(millis));
                Input::Look
            }
            ["wakes"] => Input::Wakes {
                wakes: self.wakes.values().filter(|wake| wake.at.is_some()).cloned().collect(),
                until: WallTime { unix_millis: self.wall().unix_millis + 1_500_000 },
            },
            ["kept"] => self.kept(on, true, false),
            ["lost", "keep"] => self.kept(on, true, true),
            ["late", "keep"] => {
                let input = self.kept(on, false, false);
                if let Input::WakeKept { outcome: Ok(wake), .. } = &input {
                    self.late_wakes.push((on, wake.clone()));
                }
                let Input::WakeKept { actor, record, .. } = input else { unreachable!("it is a wake") };
                Input::WakeKept { actor, record, outcome: Err(lost()) }
            }
            ["not", "kept"] => self.kept(on, false, true),
            ["crowd"] => {
                self.crowd = true;
                return String::new();
            }
            ["pause"] => return self.serve(false),
            ["resume"] => return self.serve(true),
            ["foreign", epoch, by] => return self.foreign(on, parse(epoch), Happened::Added { by: parse(by) }),
            ["ghost", epoch, by, message] => {
                self.foreign(on, parse(epoch), Happened::Added { by: parse(by) });
                let last = self.histories.get_mut(&on).and_then(|history| history.last_mut()).expect("it was stored");
                let id = CommandId { origin: Incarnation(77), sequence: 1 };
                let (message, reply) =
                    (Some(MessageId(parse(message).into())), bytes::Bytes::copy_from_slice(by.as_bytes()));
                last.record.commands.push(CommandMark { id, floor: 1, message, reply });
                return String::new();
            }
            ["cursed", epoch] => return self.foreign(on, parse(epoch), Happened::Cursed),
            ["fires", epoch] => return self.foreign_firing(on, parse(epoch)),
            ["damage"] => return self.damage(on),
            ["forget", records] => return self.forget(on, parse(records) as usize),
            ["evict", most] => {
                let now = self.now();
                let evicted = self.machine.evict(None, parse(most) as usize, now);
                return [format!("{evicted} left"), self.carry_out()].join("; ").trim_end_matches("; ").to_owned();
            }
            ["no", "room"] => self.not_read(on, NotRead::Busy),
            ["too", "late"] => self.not_read(on, NotRead::Late),
            ["lives", ref lives @ ..] => {
                Input::Lives(Arc::new(lives.iter().map(|life| Incarnation(parse(life))).collect()))
            }
            ["loaded", ref how @ ..] => self.loaded(on, how),
            ["load", "fails"] => self.not_loaded(on, ReadError::Unavailable { cause: lost() }),
            ["load", "corrupt"] => self.not_loaded(on, ReadError::Corrupt { sequence: 1, reason: "torn".into() }),
            ["load", "old"] => self.loaded(on, &["old"]),
            ["warm", ref how @ ..] => self.warm(on, how),
            ["saved"] => self.saved(on, true),
            ["not", "saved"] => self.saved(on, false),
            ["looked"] => self.looked(on, Ok(())),
            ["look", "fails"] => self.looked(on, Err(ReadError::Unavailable { cause: lost() })),
            ["turn"] => self.turn_over(on),
            ["ack"] => self.appended(on, true, None),
            ["lost", "ack"] => self.appended(on, true, Some(AppendError::Unknown { cause: lost() })),
            ["unsent"] => self.appended(on, false, Some(AppendError::Unknown { cause: lost() })),
            ["unavailable"] => self.appended(on, false, Some(AppendError::Unavailable { cause: lost() })),
            ["too", "large"] => self.appended(on, false, Some(AppendError::TooLarge { bytes: 9, bytes_max: 8 })),
            ["in", "the", "way"] => {
                let conflict = AppendError::Conflict { expected: Sequence::ZERO, actual: None };
                self.appended(on, false, Some(conflict))
            }
            [token, ref rest @ ..] => self.command(on, parse(token), rest),
            [] => unreachable!("a cue has words"),
        };
        self.step(input)
    }

    pub(super) fn step(&mut self, input: Input<u64>) -> String {
        let now = self.now();
        self.machine.step(now, input);
        self.carry_out()
    }

    /// Keeps in mind what the machine wants done, and says it.
    fn carry_out(&mut self) -> String {
        let effects = self.machine.take_effects(Vec::new);
        let mut said: Vec<_> = effects.iter().map(describe).filter(|said| !said.is_empty()).collect();
        let io = |effect: &Effect<u64>| {
            !matches!(
                effect,
                Effect::Respond { .. }
                    | Effect::Captured { .. }
                    | Effect::CaptureMore
                    | Effect::Released { .. }
                    | Effect::Letter(_)
                    | Effect::Fact(_)
            )
        };
        for effect in &effects {
            if let Effect::Captured { actors, .. } = effect {
                self.captured.extend(actors.iter().cloned());
            }
        }
        self.asked.extend(effects.into_iter().filter(io));
        while !self.crowd
            && let Some(turn) = self.asked.iter().position(|effect| matches!(effect, Effect::EndTurn { .. }))
        {
            let Effect::EndTurn { actor, ticket } = self.asked.remove(turn) else { unreachable!("it is a turn") };
            said.extend(Some(self.step(Input::TurnOver { actor, ticket })).filter(|said| !said.is_empty()));
        }
        said.join("; ")
    }

    /// 1 ms at the beginning.
    fn wall(&self) -> WallTime {
        WallTime { unix_millis: self.at.since_start().as_millis() as u64 - 99_999 }
    }

    /// Wakes whose writers have heard nothing reach the store, if nobody else wrote between.
    pub(super) fn land_wakes(&mut self) {
        for (on, wake) in std::mem::take(&mut self.late_wakes) {
            let present = self.wakes.get(&on).map_or(Revision::ZERO, |wake| wake.revision);
            if present.next() == wake.revision {
                self.wakes.insert(on, wake);
            }
        }
    }

    /// When the shard has to look at an actor next.
    pub(super) fn next_look(&self) -> Option<u64> {
        self.machine.next_look().map(|look| look.unix_millis)
    }

    fn now(&self) -> Now {
        Now { at: self.at, wall: self.wall(), serving: self.serving }
    }

    fn not_read(&mut self, on: u64, why: NotRead) -> Input<u64> {
        let Effect::Load { actor, ticket, .. } = self.take_load(on) else { unreachable!("it is a load") };
        Input::NotRead { actor, ticket, why }
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn resident(&self) -> usize {
        self.machine.resident()
    }

    fn serve(&mut self, serving: bool) -> String {
        self.serving = serving;
        String::new()
    }

    fn command(&self, on: u64, token: u64, words: &[&str]) -> Input<u64> {
        let (value, rest) = match words.get(1).and_then(|word| word.parse::<u64>().ok()) {
            Some(value) => (value, &words[2..]),
            None => (0, &words[1..]),
        };
        let json = rest.contains(&"json");
        let (command, payload) = match words[0] {
            "add" => typed_or_json(Add { by: value }, json),
            "get" => typed_or_json(Get {}, json),
            "demand" => typed_or_json(Demand { at_least: value }, json),
            "grow" => typed_or_json(Grow { by: value }, json),
            "odd" => typed_or_json(Odd { by: value }, json),
            "boom" => typed_or_json(Boom {}, json),
            "curse" => typed_or_json(Curse {}, json),
            "pad" => typed_or_json(Pad { bytes: value as usize }, json),
            "recite" => typed_or_json(Recite { bytes: value as usize }, json),
            "outcome" if json => {
                ("$outcome/add", Payload::Encoded(PayloadCodec::Json, bytes::Bytes::from_static(b"null")))
            }
            "outcome" => ("$outcome/add", Payload::Typed(Box::new(()))),
            "release" => ("$release", Payload::Encoded(PayloadCodec::Json, bytes::Bytes::from_static(b"null"))),
            "later" => typed_or_json(Later { after: value }, json),
            "beat" => typed_or_json(Beat { every: value, missed: Missed::Once }, json),
            "beat-all" => typed_or_json(Beat { every: value, missed: Missed::All }, json),
            "beat-skip" => typed_or_json(Beat { every: value, missed: Missed::Skip }, json),
            "fuse" => typed_or_json(Fuse { after: value, what: Fused::Boom }, json),
            "fuse-no" => typed_or_json(Fuse { after: value, what: Fused::Reject }, json),
            "fuse-nothing" => typed_or_json(Fuse { after: value, what: Fused::Nothing }, json),
            "fuse-large" => typed_or_json(Fuse { after: value, what: Fused::Large }, json),
            "chain" => typed_or_json(Chain { after: value }, json),
            "reminders" => typed_or_json(Crowd { timers: value }, json),
            "cut" => typed_or_json(Cut {}, json),
            "still" => typed_or_json(Still {}, json),
            "garble" => ("add", Payload::Encoded(PayloadCodec::Json, bytes::Bytes::from_static(b"{}"))),
            _ => ("fly", Payload::Typed(Box::new(()))),
        };
        let id = CommandId { origin: Incarnation(ORIGIN), sequence: token };
        let mut work = Work {
            trace: None,
            id,
            floor: 1,
            actor: actor(on),
            command: Cow::Borrowed(command),
            payload,
            message: None,
            mode: ReadMode::Strict,
            deadline: self.at + Duration::from_secs(10),
            attempt: 1,
        };
        for option in rest {
            match option.split_once('=').unwrap_or((option, "")) {
                ("id", sequence) => work.id.sequence = parse(sequence),
                ("by", life) => work.id.origin = Incarnation(parse(life)),
                ("floor", floor) => work.floor = parse(floor),
                ("msg", message) => work.message = Some(MessageId(parse(message).into())),
                ("within", millis) => work.deadline = self.at + Duration::from_millis(parse(millis)),
                ("attempt", attempt) => work.attempt = parse(attempt) as u8,
                ("leased", _) => work.mode = ReadMode::Leased,
                ("log", _) => work.mode = ReadMode::Log,
                ("json", _) => {}
                other => panic!("no option {other:?}"),
            }
        }
        Input::Command(work, token)
    }

    fn take(&mut self, on: u64, what: &str, is: impl Fn(&Effect<u64>) -> Option<&ActorAddress>) -> Effect<u64> {
        let place = self.asked.iter().position(|effect| is(effect).is_some_and(|asked| number(asked) == on));
        self.asked.remove(place.unwrap_or_else(|| panic!("no {what} is under way for {on}")))
    }

    fn history(&self, on: u64, after: Sequence) -> Vec<StoredCommit> {
        let all = self.histories.get(&on).map_or(&[][..], Vec::as_slice);
        all.iter().filter(|commit| commit.at.sequence > after).cloned().collect()
    }

    /// Answers the oldest load with the snapshot that was asked for and what is behind it; `how` says what is wrong with
    /// either.
    fn loaded(&mut self, on: u64, how: &[&str]) -> Input<u64> {
        let Effect::Load { actor, ticket, part, .. } = self.take_load(on) else { unreachable!("it is a load") };
        let kept = self.snapshots.get(&on).map_or(&[][..], Vec::as_slice);
        let mut fitting = kept.iter().rev().take(2).filter(|kept| kept.at.sequence <= part.up_to).cloned();
        let mut snapshot = match how {
            ["older"] => fitting.nth(1),
            ["bare"] => None,
            _ => fitting.next(),
        };
        match (how, &mut snapshot) {
            (["torn"], Some(snapshot)) => snapshot.state = snapshot.state.slice(1..),
            (["forked"], Some(snapshot)) => snapshot.at.hash += 1,
            (["miscounted"], Some(snapshot)) => snapshot.version = snapshot.version.next(),
            (["reshaped"], Some(snapshot)) => snapshot.schema += 1,
            _ => {}
        }
        let after = after(snapshot.as_ref());
        let mut commits = self.history(on, after);
        if how == ["old"] {
            commits.pop();
        }
        Input::Loaded { actor, ticket, found: Ok(Found { snapshot: snapshot.map(Box::new), commits }) }
    }

    /// The actor comes as it was captured last, or in some other way.
    fn warm(&mut self, on: u64, how: &[&str]) -> Input<u64> {
        let mut of_it = self.captured.iter().filter(|warm| number(&warm.actor) == on);
        let found = if how == ["old"] { of_it.next() } else { of_it.next_back() };
        let mut warm = found.expect("it was captured").clone();
        let snapshot = &mut warm.snapshot;
        match how {
            [] | ["old"] => {}
            ["torn"] => snapshot.state = snapshot.state.slice(1..),
            ["reshaped"] => snapshot.schema += 1,
            ["later"] => snapshot.shard_epoch = Epoch(u64::MAX),
            ["beyond"] => snapshot.at = Position { sequence: Sequence(900), hash: 1 },
            other => panic!("no warm actor is {other:?}"),
        }
        Input::Warm(vec![vec![warm]])
    }

    fn not_loaded(&mut self, on: u64, error: ReadError) -> Input<u64> {
        let Effect::Load { actor, ticket, .. } = self.take_load(on) else { unreachable!("it is a load") };
        Input::Loaded { actor, ticket, found: Err(error) }
    }

    fn take_load(&mut self, on: u64) -> Effect<u64> {
        self.take(on, "load", |effect| if let Effect::Load { actor, .. } = effect { Some(actor) } else { None })
    }

    fn saved(&mut self, on: u64, reaches: bool) -> Input<u64> {
        let asked =
            self.take(on, "save", |effect| if let Effect::Save { actor, .. } = effect { Some(actor) } else { None });
        let Effect::Save { actor, snapshot } = asked else { unreachable!("it is a save") };
        if !reaches {
            return Input::Saved { actor, outcome: Err(SaveError::Unavailable { cause: lost() }) };
        }
        self.snapshots.entry(on).or_default().push((*snapshot).clone());
        Input::Saved { actor, outcome: Ok(()) }
    }

    fn looked(&mut self, on: u64, answer: Result<(), ReadError>) -> Input<u64> {
        let asked =
            self.take(on, "look", |effect| if let Effect::Look { actor, .. } = effect { Some(actor) } else { None });
        let Effect::Look { actor, nonce, after, .. } = asked else { unreachable!("it is a look") };
        let found = answer.map(|()| self.history(on, after));
        Input::Looked { actor, nonce, found }
    }

    /// The oldest wake reaches the store, or not, and is answered as the host would, or with an error.
    fn kept(&mut self, on: u64, reaches: bool, fails: bool) -> Input<u64> {
        let asked =
            self.take(on, "wake", |effect| if let Effect::Wake { actor, .. } = effect { Some(actor) } else { None });
        let Effect::Wake { actor, record, keep, .. } = asked else { unreachable!("it is a wake") };
        let stored = self.wakes.get(&on);
        let revision = stored.map_or(Revision::ZERO, |wake| wake.revision);
        let at = match keep {
            Keep::NoLaterThan { at, .. } => {
                Ok(Some(stored.and_then(|wake| wake.at).map_or(at, |stored| stored.min(at))))
            }
            Keep::Exactly { at, expected } if expected == revision => Ok(at),
            Keep::Exactly { .. } => Err(lost()),
        };
        let mut outcome = at.map(|at| Wake { actor: actor.clone(), at, revision: revision.next() });
        if let (Ok(wake), true) = (&outcome, reaches) {
            self.wakes.insert(on, wake.clone());
        }
        if fails {
            outcome = Err(lost());
        }
        Input::WakeKept { actor, record, outcome }
    }

    fn turn_over(&mut self, on: u64) -> Input<u64> {
        let asked =
            self.take(on, "turn", |effect| if let Effect::EndTurn { actor, .. } = effect { Some(actor) } else { None });
        let Effect::EndTurn { actor, ticket } = asked else { unreachable!("it is a turn") };
        Input::TurnOver { actor, ticket }
    }

    /// The oldest append reaches the store, or not, and is answered with what the store says, or with `instead`.
    pub(super) fn appended(&mut self, on: u64, reaches: bool, instead: Option<AppendError>) -> Input<u64> {
        let asked = self.take(
            on,
            "append",
            |effect| if let Effect::Append { actor, .. } = effect { Some(actor) } else { None },
        );
        let Effect::Append { actor, record, after, .. } = asked else { unreachable!("it is an append") };
        let mut outcome = Err(AppendError::Unavailable { cause: lost() });
        if reaches {
            outcome = self.store(on, (*record).clone(), after);
        }
        let outcome = instead.map_or(outcome, Err);
        Input::Appended { actor, nonce: record.nonce, outcome }
    }

    fn store(&mut self, on: u64, record: CommitRecord, after: Sequence) -> Result<Position, AppendError> {
        let history = self.histories.entry(on).or_default();
        let tail = history.last().map_or(Sequence::ZERO, |last| last.at.sequence);
        if tail != after {
            return Err(AppendError::Conflict { expected: after, actual: Some(tail) });
        }
        self.sequence += 1;
        let at = Position { sequence: Sequence(self.sequence), hash: self.sequence * 1000 };
        history.push(StoredCommit { record, at });
        Ok(at)
    }

    /// Somebody else appends an event.
    pub(super) fn foreign(&mut self, on: u64, epoch: u64, event: Happened) -> String {
        let tail = self.histories.get(&on).and_then(|history| history.last());
        let (base, prev) = tail.map_or((Version::ZERO, Position::default()), |tail| (tail.record.version(), tail.at));
        let payload = codec::encode(PayloadCodec::Json, &event).expect("an event encodes");
        let record = CommitRecord {
            shard_epoch: Epoch(epoch),
            owner: Incarnation(77),
            nonce: Nonce(self.sequence),
            base,
            prev_sequence: prev.sequence,
            prev_hash: prev.hash,
            at: WallTime::default(),
            codec: PayloadCodec::Json,
            commands: Vec::new(),
            events: vec![EventRecord { schema: 1, name: "".into(), payload }],
            timers: Vec::new(),
        };
        self.store(on, record, prev.sequence).expect("it is behind the tail");
        String::new()
    }

    /// Another owner fires the timer that [`Later`] has set.
    fn foreign_firing(&mut self, on: u64, epoch: u64) -> String {
        self.foreign(on, epoch, Happened::Added { by: 1 });
        let stored = self.histories.get_mut(&on).and_then(|history| history.last_mut()).expect("it was stored");
        stored.record.timers.push(TimerChange::Fired { name: "add".into(), next: None });
        String::new()
    }

    fn damage(&mut self, on: u64) -> String {
        let last = self.histories.get_mut(&on).and_then(|history| history.last_mut()).expect("there is a record");
        last.record.prev_hash += 1;
        String::new()
    }

    fn forget(&mut self, on: u64, records: usize) -> String {
        let history = self.histories.get_mut(&on).expect("there is a history");
        history.truncate(history.len() - records);
        String::new()
    }
}

/// A command's name, and itself as a value or as bytes.
fn typed_or_json<C: crate::actor::Command>(command: C, json: bool) -> (&'static str, Payload) {
    let encoded = || codec::encode(PayloadCodec::Json, &command).expect("a command encodes");
    let payload =
        if json { Payload::Encoded(PayloadCodec::Json, encoded()) } else { Payload::Typed(Box::new(command.clone())) };
    (C::NAME, payload)
}

fn parse(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is no number"))
}
