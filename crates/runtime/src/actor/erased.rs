//! Actors and commands without their types, as the shard runs them.
//!
//! A command is decided, its events are applied and its reply is computed in one call, so what a shard sees is either
//! "this is what is to be stored" or "nothing has changed". Panics end here: the instance that met one is spoiled.

use std::any::Any;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use aether_domain::ports::AskFrame;
use aether_domain::records::{CommitRecord, EventRecord, PayloadCodec};
use aether_domain::{ActorId, ActorKind, Version, WallTime};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{self, CodecError};
use super::commands::table;
use super::event::{Event, Upcast};
use super::fate::{Fate, OUTCOME_OF, TWIN};
use super::model::{Actor, Command, Ctx, Handle};
use super::settings::Settings;
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
    /// The state includes the events now; they are still to be stored.
    Changed {
        /// To be stored, never empty.
        events: Vec<EventRecord>,
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

/// One actor in memory.
pub(crate) trait Instance: Send {
    /// Applies a stored commit's events.
    fn replay(&mut self, record: &CommitRecord) -> Result<(), Replay>;
    /// Runs the command at that place of the kind's list. Events and stored replies are written in `codec`.
    fn run(&mut self, command: u8, payload: &Payload, codec: PayloadCodec, now: WallTime) -> Ran;
    /// How many events its state includes.
    fn version(&self) -> Version;
}

/// One kind of actor.
pub(crate) trait Kind: Send + Sync {
    /// Its name.
    fn name(&self) -> &ActorKind;
    /// How it is run.
    fn settings(&self) -> &Settings;
    /// The place of a command in its list, or of its twin.
    fn command(&self, name: &str) -> Option<u8>;
    /// An actor without history, or why that is no id of this kind.
    fn instance(&self, id: &ActorId) -> Result<Box<dyn Instance>, String>;
    /// A stored reply of the command at that place, as its asker wants it.
    fn stored_reply(&self, command: u8, codec: PayloadCodec, reply: &Bytes, wanted: Wanted) -> Result<Payload, String>;
    /// What became of a message under which the command at that place was asked, as its asker wants to be told.
    fn fate(&self, twin: u8, fate: Fate<(PayloadCodec, Bytes)>, wanted: Wanted) -> Result<Payload, String>;
    /// A command's bytes, whatever form it has.
    fn encode_command(&self, command: u8, payload: &Payload, codec: PayloadCodec) -> Result<Bytes, CodecError>;
}

/// A row of a kind's command table.
#[doc(hidden)]
pub struct Entry<A: Actor> {
    pub(crate) name: &'static str,
    run: fn(&mut Live<A>, &Payload, PayloadCodec) -> Ran,
    stored_reply: fn(PayloadCodec, &Bytes, Wanted) -> Result<Payload, CodecError>,
    fate: fn(Fate<(PayloadCodec, Bytes)>, Wanted) -> Result<Payload, CodecError>,
    encode: fn(&Payload, PayloadCodec) -> Result<Bytes, CodecError>,
}

impl<A: Actor> Entry<A> {
    pub(crate) const fn of<C: Command>() -> Self
    where
        A: Handle<C>,
    {
        Self { name: C::NAME, run: run::<A, C>, stored_reply: stored_reply::<C>, fate: fate::<C>, encode: encode::<C> }
    }
}

/// The state of one actor and what its handlers may know of it.
struct Live<A: Actor> {
    state: A,
    ctx: Ctx<A>,
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
        Ok(())
    }

    fn run(&mut self, command: u8, payload: &Payload, codec: PayloadCodec, now: WallTime) -> Ran {
        self.ctx.now = now;
        let entry = &table::<A>()[usize::from(command)];
        caught(|| (entry.run)(self, payload, codec)).unwrap_or_else(Ran::Panicked)
    }

    fn version(&self) -> Version {
        self.ctx.version
    }
}

/// An actor type, made an object.
pub(crate) struct KindOf<A> {
    name: ActorKind,
    settings: Settings,
    actor: PhantomData<fn() -> A>,
}

impl<A: Actor> KindOf<A> {
    pub(crate) fn new(name: ActorKind) -> Self {
        Self { name, settings: A::settings(), actor: PhantomData }
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
        table::<A>().iter().position(|entry| entry.name == own).map(|place| place as u8 | twin)
    }
    fn instance(&self, id: &ActorId) -> Result<Box<dyn Instance>, String> {
        let refused = |why: &str| format!("{:?} is not the id of a {}{why}", id.as_str(), self.name);
        let made = caught(|| Some((id.as_str().parse().ok()?, A::default())));
        let made = made.map_err(|panic| refused(&format!(": reading it panicked: {panic}")))?;
        let (id, state) = made.ok_or_else(|| refused(""))?;
        Ok(Box::new(Live { state, ctx: Ctx { id, version: Version::ZERO, now: WallTime::default() } }))
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

fn run<A: Handle<C>, C: Command>(live: &mut Live<A>, payload: &Payload, codec: PayloadCodec) -> Ran {
    let wanted = Wanted::like(payload);
    let command = match read_command::<C>(payload, codec) {
        Ok(command) => command,
        Err(fault) => return Ran::Invalid(format!("command {:?} {fault}", C::NAME)),
    };
    let effect = match live.state.handle(command, &live.ctx) {
        Ok(effect) => effect,
        Err(rejection) => {
            return pack(rejection, wanted, codec)
                .map_or_else(|fault| invalid("rejection", C::NAME, &fault), Ran::Rejected);
        }
    };
    if effect.events().is_empty() {
        let reply = effect.into_reply(&live.state);
        return pack(reply, wanted, codec).map_or_else(|fault| invalid("reply", C::NAME, &fault), Ran::Looked);
    }
    let mut events = Vec::with_capacity(effect.events().len());
    let mut read_back = Vec::with_capacity(effect.events().len());
    let mut bytes = 0;
    for event in effect.events() {
        let written =
            codec::encode(codec, event).and_then(|payload| Ok((codec::decode::<A::Event>(codec, &payload)?, payload)));
        match written {
            Ok((event, payload)) => {
                let name = event.name();
                if name.len() > EventRecord::NAME_BYTES_MAX {
                    let bytes_max = EventRecord::NAME_BYTES_MAX;
                    return Ran::Invalid(format!("the event name {name:?} has more than {bytes_max} bytes"));
                }
                bytes += payload.len();
                read_back.push(event);
                events.push(EventRecord { schema: A::Event::VERSION, name: name.into(), payload });
            }
            Err(fault) => return invalid("event", C::NAME, &fault),
        }
    }
    if bytes > CommitRecord::BYTES_MAX {
        let bytes_max = CommitRecord::BYTES_MAX;
        return Ran::Invalid(format!("the events of {:?} are {bytes} bytes, the bound is {bytes_max}", C::NAME));
    }
    // What is applied is what was read back: an event that could not be is never stored, and the state is the one that
    // the history makes.
    for event in &read_back {
        live.state.apply(event);
        live.ctx.version = live.ctx.version.next();
    }
    let reply = effect.into_reply(&live.state);
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
    Ran::Changed { events, stored, reply }
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
mod tests {
    use serde::Deserialize;

    use super::super::model::Decision;
    use super::*;

    #[derive(Clone)]
    struct Touchy;
    impl std::str::FromStr for Touchy {
        type Err = String;
        fn from_str(text: &str) -> Result<Self, String> {
            assert!(text != "bad", "no such word");
            Ok(Self)
        }
    }
    impl std::fmt::Display for Touchy {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("touchy")
        }
    }

    #[derive(Default, Serialize, Deserialize)]
    struct Gauge(f64);
    #[derive(Serialize, Deserialize)]
    struct Measured(f64);
    impl Event for Measured {}
    #[derive(Debug, Serialize, Deserialize, thiserror::Error)]
    #[error("never")]
    struct Never;
    #[derive(Clone, Serialize, Deserialize)]
    struct Divide(f64, f64);
    impl Command for Divide {
        const NAME: &'static str = "divide";
        type Reply = f64;
    }
    impl Actor for Gauge {
        const KIND: &'static str = "gauge";
        type Id = Touchy;
        type Event = Measured;
        type Error = Never;
        type Commands = (Divide,);
        fn apply(&mut self, event: &Measured) {
            self.0 = event.0;
        }
    }
    impl Handle<Divide> for Gauge {
        fn handle(&self, Divide(what, by): Divide, _: &Ctx<Self>) -> Decision<Self, Divide> {
            Ok(Self::emit(Measured(what / by)).reply(|gauge| gauge.0))
        }
    }

    fn gauge() -> KindOf<Gauge> {
        KindOf::new(ActorKind::new(Gauge::KIND).expect("a kind"))
    }
    fn id(text: &str) -> ActorId {
        ActorId::new(text).expect("an id")
    }

    #[test]
    fn an_id_whose_reading_panics_is_refused_like_any_other_that_is_none() {
        let refused = gauge().instance(&id("bad")).err();
        assert_eq!(refused.as_deref(), Some("\"bad\" is not the id of a gauge: reading it panicked: no such word"));
    }

    #[test]
    fn an_event_that_could_not_be_read_back_is_not_stored_and_changes_nothing() {
        let mut gauge = gauge().instance(&id("good")).expect("an id");
        let mut divide = |by| {
            let payload = codec::encode(PayloadCodec::Binary, &Divide(1.0, by)).expect("it encodes");
            let command = Payload::Encoded(PayloadCodec::Binary, payload);
            gauge.run(0, &command, PayloadCodec::Json, WallTime::default())
        };
        // JSON has no infinity: it is written as nothing, which is no number.
        assert!(matches!(divide(0.0), Ran::Invalid(reason) if reason.contains("the event of \"divide\"")));
        assert!(matches!(divide(2.0), Ran::Changed { events, .. } if events.len() == 1));
    }
}
