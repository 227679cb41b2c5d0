//! Actors and commands without their types, as the shard runs them.
//!
//! A command is decided, its events are applied and its reply is computed in one call, so what a shard sees is either
//! "this is what is to be stored" or "nothing has changed". Panics end here: the instance that met one is spoiled.

use std::any::Any;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use aether_domain::ports::AskFrame;
use aether_domain::records::{ActorSnapshot, CommitRecord, EventRecord, PayloadCodec, Timer, TimerChange};
use aether_domain::{ActorId, ActorKind, Incarnation, Version, WallTime};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{self, CodecError};
use super::commands::table;
use super::effect::Effect;
use super::event::{Event, Upcast};
use super::fate::{Fate, OUTCOME_OF, TWIN};
use super::model::{Actor, Command, Ctx, Handle};
use super::settings::Settings;
use super::shelf::{Rested, Shelf, ShelfOf};
use super::timers::{Due, OpenTimers};
use crate::message::Payload;

/// The most bytes of a reply that is not stored, or of a rejection.
const ANSWER_BYTES_MAX: usize = AskFrame::PAYLOAD_BYTES_MAX;

/// How the asker wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// As a value, within this process.
    Typed,
    /// As bytes.
    Encoded(PayloadCodec),
}

impl Wanted {
    /// The form of the answer to a command of that form.
    pub(crate) fn like(command: &Payload) -> Self {
        match command {
            Payload::Typed(_) => Self::Typed,
            Payload::Encoded(codec, _) => Self::Encoded(*codec),
        }
    }
}

/// What became of running one command.
pub(crate) enum Ran {
    /// A reply without events; nothing has changed.
    Looked(Payload),
    /// The actor said no; nothing has changed.
    Rejected(Payload),
    /// The state includes the events and timers now; they are still to be stored.
    Changed {
        /// To be stored. Empty only if there are timers.
        events: Vec<EventRecord>,
        /// To be stored with them.
        timers: Vec<TimerChange>,
        /// To be stored with them: the reply in the record's codec.
        stored: Bytes,
        /// To be answered once they are stored.
        reply: Payload,
    },
    /// It cannot be run; nothing has changed.
    Invalid(String),
    /// It cannot be run, and this was noticed too late: the instance must be discarded.
    Spoiled(String),
    /// It panicked: the instance must be discarded.
    Panicked(String),
}

/// Why history could not be replayed; the instance must be discarded.
pub(crate) enum Replay {
    /// A stored event is no event this build can read.
    Unreadable(String),
    /// Applying one panicked.
    Panicked(String),
}

/// What a snapshot keeps of an instance, all of it in one codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) state: Bytes,
    pub(crate) timers: Vec<Timer>,
}

/// One actor in memory.
pub(crate) trait Instance: Any + Send {
    /// Applies a stored commit's events.
    fn replay(&mut self, record: &CommitRecord) -> Result<(), Replay>;
    /// Runs the command at that place of the kind's list. Events and stored replies are written in `codec`.
    fn run(&mut self, command: u8, payload: &Payload, codec: PayloadCodec, now: WallTime) -> Ran;
    /// Runs the command of a timer that is due, if it is to be run and `runs`, and takes over that it has fired.
    fn fire(&mut self, due: &Due, runs: bool, codec: PayloadCodec, now: WallTime) -> Ran;
    /// Takes over that `me` is about to run the command of a timer that may have ended other lives: what is to be stored first.
    fn begin(&mut self, due: &Due, me: Incarnation) -> TimerChange;
    /// Its open timers.
    fn timers(&self) -> &OpenTimers;
    /// How many events its state includes.
    fn version(&self) -> Version;
    /// Its state and its open timers as they are now, or why they could not be read again. The state is written into room
    /// for so many bytes, or more if it takes more.
    fn kept(&self, codec: PayloadCodec, room: usize) -> Result<Kept, String>;
    /// An estimate of the bytes it takes in memory: see [`Actor::heap_bytes`].
    fn bytes(&self) -> usize;
}

impl dyn Instance {
    /// The actor with its type, if it is of that one.
    pub(super) fn into_live<A: Actor>(self: Box<Self>) -> Result<Box<Live<A>>, Box<Self>> {
        if !(self.as_ref() as &dyn Any).is::<Live<A>>() {
            return Err(self);
        }
        Ok((self as Box<dyn Any>).downcast().expect("that was just asked"))
    }
}

/// One kind of actor.
pub(crate) trait Kind: Send + Sync {
    /// Its name.
    fn name(&self) -> &ActorKind;
    /// How it is run.
    fn settings(&self) -> &Settings;
    /// The place of a command in its list, or of its twin.
    fn command(&self, name: &str) -> Option<u8>;
    /// The version of its state's shape.
    fn schema(&self) -> u32;
    /// Why that is no id of this kind, if it is none.
    fn check(&self, id: &ActorId) -> Result<(), String>;
    /// An actor without history, or why that is no id of this kind.
    fn instance(&self, id: &ActorId) -> Result<Box<dyn Instance>, String>;
    /// The actor of a snapshot, or why that is none of this kind.
    fn revive(&self, id: &ActorId, snapshot: &ActorSnapshot) -> Result<Box<dyn Instance>, String>;
    /// A place for idle actors of this kind.
    fn shelf(&self) -> Box<dyn Shelf>;
    /// A stored reply of the command at that place, as its asker wants it.
    fn stored_reply(&self, command: u8, codec: PayloadCodec, reply: &Bytes, wanted: Wanted) -> Result<Payload, String>;
    /// What became of a message under which the command at that place was asked, as its asker wants to be told.
    fn fate(&self, twin: u8, fate: Fate<(PayloadCodec, Bytes)>, wanted: Wanted) -> Result<Payload, String>;
    /// A command's bytes, whatever form it has.
    fn encode_command(&self, command: u8, payload: &Payload, codec: PayloadCodec) -> Result<Bytes, CodecError>;
}

/// Tells what became of a command, whose stored reply is in that codec.
type TellFate = fn(Fate<(PayloadCodec, Bytes)>, Wanted) -> Result<Payload, CodecError>;

/// A row of a kind's command table.
#[doc(hidden)]
pub struct Entry<A: Actor> {
    pub(crate) name: &'static str,
    run: fn(&mut Parts<'_, A>, &Payload, PayloadCodec) -> Ran,
    fire: fn(&mut Parts<'_, A>, &Due, PayloadCodec) -> Ran,
    stored_reply: fn(PayloadCodec, &Bytes, Wanted) -> Result<Payload, CodecError>,
    fate: TellFate,
    encode: fn(&Payload, PayloadCodec) -> Result<Bytes, CodecError>,
}

impl<A: Actor> Entry<A> {
    pub(crate) const fn of<C: Command>() -> Self
    where
        A: Handle<C>,
    {
        Self {
            name: C::NAME,
            run: run::<A, C>,
            fire: fire::<A, C>,
            stored_reply: stored_reply::<C>,
            fate: fate::<C>,
            encode: encode::<C>,
        }
    }
}

/// The state of one actor and what its handlers may know of it.
pub(super) struct Live<A: Actor> {
    pub(super) state: A,
    pub(super) ctx: Ctx<A>,
    pub(super) timers: OpenTimers,
}

/// The same, wherever each of them is kept.
pub(super) struct Parts<'a, A: Actor> {
    pub(super) state: &'a mut A,
    pub(super) ctx: &'a mut Ctx<A>,
    pub(super) timers: &'a mut OpenTimers,
}

impl<A: Actor> Instance for Live<A> {
    fn replay(&mut self, record: &CommitRecord) -> Result<(), Replay> {
        for stored in &record.events {
            if stored.schema > A::Event::VERSION {
                let (found, known) = (stored.schema, A::Event::VERSION);
                let reason = format!("an event of version {found} is newer than this build, which knows {known}");
                return Err(Replay::Unreadable(reason));
            }
            let upcast = Upcast::new(stored.schema, record.codec, &stored.payload);
            let applied = caught(|| A::Event::upcast(upcast).map(|event| self.state.apply(&event)));
            applied.map_err(Replay::Panicked)?.map_err(|fault| Replay::Unreadable(fault.to_string()))?;
            self.ctx.version = self.ctx.version.next();
        }
        self.parts().change_timers(&record.timers, Some(record.owner), record.codec);
        Ok(())
    }

    fn run(&mut self, command: u8, payload: &Payload, codec: PayloadCodec, now: WallTime) -> Ran {
        self.ctx.now = now;
        self.parts().run(command, payload, codec)
    }

    fn fire(&mut self, due: &Due, runs: bool, codec: PayloadCodec, now: WallTime) -> Ran {
        self.ctx.now = now;
        if runs && due.runs {
            let entry = &table::<A>()[usize::from(due.command)];
            return caught(|| (entry.fire)(&mut self.parts(), due, codec)).unwrap_or_else(Ran::Panicked);
        }
        let timers = vec![due.fired()];
        self.parts().change_timers(&timers, None, codec);
        fired(Vec::new(), timers)
    }

    fn begin(&mut self, due: &Due, me: Incarnation) -> TimerChange {
        let begun = due.begun();
        self.parts().change_timers(std::slice::from_ref(&begun), Some(me), due.codec);
        begun
    }

    fn timers(&self) -> &OpenTimers {
        &self.timers
    }

    fn version(&self) -> Version {
        self.ctx.version
    }

    fn kept(&self, codec: PayloadCodec, room: usize) -> Result<Kept, String> {
        let written = caught(|| {
            let state = codec::encode_state(codec, &self.state, room)?;
            if cfg!(debug_assertions) {
                codec::decode_state::<A>(codec, &state)?;
            }
            let timers = self.timers.timers().map(|(timer, present)| in_codec::<A>(timer, present, codec));
            Ok(Kept { state, timers: timers.collect::<Result<_, _>>()? })
        });
        written?.map_err(|fault: CodecError| format!("its state {fault}"))
    }

    fn bytes(&self) -> usize {
        // What users write may panic; then it is counted without what it holds.
        size_of::<Rested<A>>().saturating_add(caught(|| self.state.heap_bytes()).unwrap_or_default())
    }
}

impl<A: Actor> Live<A> {
    fn parts(&mut self) -> Parts<'_, A> {
        Parts { state: &mut self.state, ctx: &mut self.ctx, timers: &mut self.timers }
    }
}

impl<A: Actor> Parts<'_, A> {
    /// Runs the command at that place of the kind's list.
    pub(super) fn run(&mut self, command: u8, payload: &Payload, codec: PayloadCodec) -> Ran {
        let entry = &table::<A>()[usize::from(command)];
        caught(|| (entry.run)(self, payload, codec)).unwrap_or_else(Ran::Panicked)
    }

    fn change_timers(&mut self, changes: &[TimerChange], by: Option<Incarnation>, codec: PayloadCodec) {
        for change in changes {
            self.timers.apply(change, by, codec, place::<A>);
        }
    }

    /// Takes over what an effect wants, after `timers` have changed, and answers what is to be stored of it. Nothing has
    /// changed if it cannot be.
    fn take_over<R>(
        &mut self,
        effect: &mut Effect<A, R>,
        mut timers: Vec<TimerChange>,
        command: &str,
        codec: PayloadCodec,
    ) -> Result<(Vec<EventRecord>, Vec<TimerChange>), Ran> {
        let (mut bytes, mut events) = (0, Vec::with_capacity(effect.events.len()));
        // What is applied is what was read back: an event that could not be is never stored, and the state is the one that
        // the history makes.
        for event in &mut effect.events {
            let written = codec::encode(codec, event)
                .and_then(|payload| Ok((codec::decode::<A::Event>(codec, &payload)?, payload)));
            let payload;
            (*event, payload) = written.map_err(|fault| invalid("event", command, &fault))?;
            let name = event.name();
            if name.len() > EventRecord::NAME_BYTES_MAX {
                let bytes_max = EventRecord::NAME_BYTES_MAX;
                return Err(Ran::Invalid(format!("the event name {name:?} has more than {bytes_max} bytes")));
            }
            bytes += payload.len();
            events.push(EventRecord { schema: A::Event::VERSION, name: name.into(), payload });
        }
        for wish in std::mem::take(&mut effect.wishes) {
            let change = wish.change(self.ctx.now, codec).map_err(Ran::Invalid)?;
            match &change {
                TimerChange::Set(timer) => bytes += timer.payload.len(),
                TimerChange::Cancelled { name } if !self.timers.contains(name) && !sets(&timers, name) => continue,
                _ => {}
            }
            timers.push(change);
        }
        if bytes > CommitRecord::BYTES_MAX {
            let bytes_max = CommitRecord::BYTES_MAX;
            return Err(Ran::Invalid(format!(
                "the events of {command:?}, reminders included, are {bytes} bytes, the bound is {bytes_max}"
            )));
        }
        // Counted exactly only where it may be too many.
        if self.timers.len() + timers.len() > Timer::OPEN_MAX {
            let mut then = self.timers.clone();
            for change in &timers {
                then.apply(change, None, codec, place::<A>);
            }
            if then.len() > Timer::OPEN_MAX {
                let (open, open_max) = (then.len(), Timer::OPEN_MAX);
                let reason = format!("{command:?} would leave {open} reminders open, the bound is {open_max}");
                return Err(Ran::Invalid(reason));
            }
        }
        for event in &effect.events {
            self.state.apply(event);
            self.ctx.version = self.ctx.version.next();
        }
        self.change_timers(&timers, None, codec);
        Ok((events, timers))
    }
}

/// The id that this is the text of, or why it is none of this kind.
pub(super) fn read_id<A: Actor>(id: &ActorId) -> Result<A::Id, String> {
    let refused = |why: &str| format!("{:?} is not the id of a {}{why}", id.as_str(), A::KIND);
    let read = caught(|| id.as_str().parse::<A::Id>().ok());
    let read = read.map_err(|panic| refused(&format!(": reading it panicked: {panic}")))?;
    read.ok_or_else(|| refused(""))
}

/// The place of a command in its actor's list.
fn place<A: Actor>(name: &str) -> Option<u8> {
    table::<A>().iter().position(|entry| entry.name == name).map(|place| place as u8)
}

/// A timer whose command is in `present`, with its command in `codec`.
fn in_codec<A: Actor>(timer: &Timer, present: PayloadCodec, codec: PayloadCodec) -> Result<Timer, CodecError> {
    if present == codec {
        return Ok(timer.clone());
    }
    let Some(entry) = table::<A>().iter().find(|entry| entry.name == timer.command) else {
        let reason = format!("the command {:?} of the reminder {:?} is not known", timer.command, timer.name);
        return Err(CodecError::Encode { reason });
    };
    let payload = (entry.encode)(&Payload::Encoded(present, timer.payload.clone()), codec)?;
    Ok(Timer { payload, ..timer.clone() })
}

/// Whether one of these changes sets a timer of that name.
fn sets(changes: &[TimerChange], name: &str) -> bool {
    changes.iter().any(|change| matches!(change, TimerChange::Set(timer) if timer.name == name))
}

/// What a timer's firing came to: nobody waits for a reply.
fn fired(events: Vec<EventRecord>, timers: Vec<TimerChange>) -> Ran {
    Ran::Changed { events, timers, stored: Bytes::new(), reply: Payload::Typed(Box::new(())) }
}

/// An actor type, made an object.
pub(crate) struct KindOf<A> {
    name: ActorKind,
    settings: Settings,
    actor: PhantomData<fn() -> A>,
}

impl<A: Actor> KindOf<A> {
    pub(crate) fn new(name: ActorKind, settings: Settings) -> Self {
        Self { name, settings, actor: PhantomData }
    }

    /// The actor of that id with the state that `make` makes, and with these timers, whose commands are in that codec.
    fn live(
        id: &ActorId,
        version: Version,
        (timers, codec): (&[Timer], PayloadCodec),
        make: impl FnOnce() -> Result<A, CodecError>,
    ) -> Result<Box<dyn Instance>, String> {
        let id = read_id::<A>(id)?;
        let state = caught(make)?.map_err(|fault| format!("its state {fault}"))?;
        let mut live =
            Live { state, ctx: Ctx { id, version, now: WallTime::default() }, timers: OpenTimers::default() };
        for timer in timers {
            live.parts().change_timers(&[TimerChange::Set(timer.clone())], None, codec);
        }
        Ok(Box::new(live))
    }
}

impl<A: Actor> Kind for KindOf<A> {
    fn name(&self) -> &ActorKind {
        &self.name
    }
    fn settings(&self) -> &Settings {
        &self.settings
    }
    fn command(&self, name: &str) -> Option<u8> {
        let (own, twin) = name.strip_prefix(OUTCOME_OF).map_or((name, 0), |own| (own, TWIN));
        place::<A>(own).map(|place| place | twin)
    }
    fn schema(&self) -> u32 {
        A::SNAPSHOT
    }
    fn check(&self, id: &ActorId) -> Result<(), String> {
        read_id::<A>(id).map(drop)
    }
    fn instance(&self, id: &ActorId) -> Result<Box<dyn Instance>, String> {
        Self::live(id, Version::ZERO, (&[], PayloadCodec::default()), || Ok(A::default()))
    }
    fn revive(&self, id: &ActorId, snapshot: &ActorSnapshot) -> Result<Box<dyn Instance>, String> {
        if snapshot.schema != A::SNAPSHOT {
            return Err(format!("its state has version {}, this build reads {}", snapshot.schema, A::SNAPSHOT));
        }
        let timers = (&snapshot.timers[..], snapshot.codec);
        Self::live(id, snapshot.version, timers, || codec::decode_state(snapshot.codec, &snapshot.state))
    }
    fn shelf(&self) -> Box<dyn Shelf> {
        Box::new(ShelfOf::<A>::new())
    }
    fn stored_reply(&self, command: u8, codec: PayloadCodec, reply: &Bytes, wanted: Wanted) -> Result<Payload, String> {
        let entry = &table::<A>()[usize::from(command)];
        caught(|| (entry.stored_reply)(codec, reply, wanted))?.map_err(|fault| fault.to_string())
    }
    fn fate(&self, twin: u8, fate: Fate<(PayloadCodec, Bytes)>, wanted: Wanted) -> Result<Payload, String> {
        let entry = &table::<A>()[usize::from(twin & !TWIN)];
        caught(|| (entry.fate)(fate, wanted))?.map_err(|fault| fault.to_string())
    }
    fn encode_command(&self, command: u8, payload: &Payload, codec: PayloadCodec) -> Result<Bytes, CodecError> {
        if command & TWIN != 0 {
            return codec::encode(codec, &());
        }
        let entry = &table::<A>()[usize::from(command)];
        caught(|| (entry.encode)(payload, codec)).unwrap_or_else(|reason| Err(CodecError::Encode { reason }))
    }
}

/// Runs what users wrote; a panic becomes its message. What it was working on must be discarded then.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".into())
    })
}

fn run<A: Handle<C>, C: Command>(live: &mut Parts<'_, A>, payload: &Payload, codec: PayloadCodec) -> Ran {
    let wanted = Wanted::like(payload);
    let command = match read_command::<C>(payload, codec) {
        Ok(command) => command,
        Err(fault) => return Ran::Invalid(format!("command {:?} {fault}", C::NAME)),
    };
    let mut effect = match live.state.handle(command, live.ctx) {
        Ok(effect) => effect,
        Err(rejection) => {
            return pack(rejection, wanted, codec)
                .map_or_else(|fault| invalid("rejection", C::NAME, &fault), Ran::Rejected);
        }
    };
    let (events, timers) = match live.take_over(&mut effect, Vec::new(), C::NAME, codec) {
        Ok(taken_over) => taken_over,
        Err(ran) => return ran,
    };
    if events.is_empty() && timers.is_empty() {
        let reply = effect.into_reply(live.state);
        return pack(reply, wanted, codec).map_or_else(|fault| invalid("reply", C::NAME, &fault), Ran::Looked);
    }
    let reply = effect.into_reply(live.state);
    let stored = match codec::encode(codec, &reply) {
        Ok(stored) => stored,
        Err(fault) => return Ran::Spoiled(format!("the reply to {:?} {fault}", C::NAME)),
    };
    if stored.len() > CommitRecord::REPLY_BYTES_MAX {
        let (bytes, bytes_max) = (stored.len(), CommitRecord::REPLY_BYTES_MAX);
        return Ran::Spoiled(format!(
            "the reply to {:?} is {bytes} bytes, a stored one has at most {bytes_max}",
            C::NAME
        ));
    }
    let reply = if wanted == Wanted::Encoded(codec) {
        Payload::Encoded(codec, stored.clone())
    } else {
        match pack(reply, wanted, codec) {
            Ok(reply) => reply,
            Err(fault) => return Ran::Spoiled(format!("the reply to {:?} {fault}", C::NAME)),
        }
    };
    Ran::Changed { events, timers, stored, reply }
}

fn fire<A: Handle<C>, C: Command>(live: &mut Parts<'_, A>, due: &Due, codec: PayloadCodec) -> Ran {
    let command = match codec::decode::<C>(due.codec, &due.payload) {
        Ok(command) => command,
        Err(fault) => return Ran::Invalid(format!("command {:?} of the reminder {:?} {fault}", C::NAME, due.name)),
    };
    let mut effect = live.state.handle(command, live.ctx).ok();
    let timers = vec![due.fired()];
    let taken_over = match &mut effect {
        Some(effect) => live.take_over(effect, timers, C::NAME, codec),
        None => live.take_over(&mut Effect::<A>::of(Vec::new(), ()), timers, C::NAME, codec),
    };
    taken_over.map_or_else(|ran| ran, |(events, timers)| fired(events, timers))
}

fn invalid(what: &str, command: &str, fault: &CodecError) -> Ran {
    Ran::Invalid(format!("the {what} of {command:?} {fault}"))
}

/// A copy of the command, for one run of it.
fn read_command<C: Command>(payload: &Payload, codec: PayloadCodec) -> Result<C, CodecError> {
    match payload {
        Payload::Encoded(codec, bytes) => codec::decode(*codec, bytes),
        Payload::Typed(value) => match value.downcast_ref::<C>() {
            Some(command) => as_on_the_wire(command.clone(), codec),
            None => Err(CodecError::Decode { reason: "the value is of another type".into() }),
        },
    }
}

/// A reply or rejection as its asker wants it.
fn pack<T: Serialize + DeserializeOwned + Send + 'static>(
    value: T,
    wanted: Wanted,
    codec: PayloadCodec,
) -> Result<Payload, CodecError> {
    match wanted {
        Wanted::Typed => Ok(Payload::Typed(Box::new(as_on_the_wire(value, codec)?))),
        Wanted::Encoded(codec) => {
            let bytes = codec::encode(codec, &value)?;
            if bytes.len() > ANSWER_BYTES_MAX {
                let reason = format!("{} bytes exceed the bound of {ANSWER_BYTES_MAX}", bytes.len());
                return Err(CodecError::Encode { reason });
            }
            Ok(Payload::Encoded(codec, bytes))
        }
    }
}

/// Debug builds push what stays within a process through the codec too, so that a type the wire cannot carry fails where
/// it is tested and not when its actor moves to another node.
fn as_on_the_wire<T: Serialize + DeserializeOwned>(value: T, codec: PayloadCodec) -> Result<T, CodecError> {
    if cfg!(debug_assertions) { codec::decode(codec, &codec::encode(codec, &value)?) } else { Ok(value) }
}

fn stored_reply<C: Command>(codec: PayloadCodec, reply: &Bytes, wanted: Wanted) -> Result<Payload, CodecError> {
    if wanted == Wanted::Encoded(codec) {
        return Ok(Payload::Encoded(codec, reply.clone()));
    }
    let reply: C::Reply = codec::decode(codec, reply)?;
    Ok(match wanted {
        Wanted::Typed => Payload::Typed(Box::new(reply)),
        Wanted::Encoded(codec) => Payload::Encoded(codec, codec::encode(codec, &reply)?),
    })
}

fn fate<C: Command>(fate: Fate<(PayloadCodec, Bytes)>, wanted: Wanted) -> Result<Payload, CodecError> {
    let stored = if let Fate::Applied((codec, _)) = &fate { *codec } else { PayloadCodec::Json };
    pack(fate.try_map(|(codec, reply)| codec::decode::<C::Reply>(codec, &reply))?, wanted, stored)
}

fn encode<C: Command>(payload: &Payload, codec: PayloadCodec) -> Result<Bytes, CodecError> {
    match payload {
        Payload::Encoded(present, bytes) if *present == codec => Ok(bytes.clone()),
        Payload::Encoded(present, bytes) => codec::encode(codec, &codec::decode::<C>(*present, bytes)?),
        Payload::Typed(value) => match (value.as_ref() as &dyn Any).downcast_ref::<C>() {
            Some(command) => codec::encode(codec, command),
            None => Err(CodecError::Encode { reason: "the value is of another type".into() }),
        },
    }
}

#[cfg(test)]
mod tests;
