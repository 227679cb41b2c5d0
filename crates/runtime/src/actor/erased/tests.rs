//! What users wrote must not harm whoever runs it.

use serde::Deserialize;

use super::*;
use crate::actor::Decision;

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
    KindOf::new(ActorKind::new(Gauge::KIND).expect("a kind"), Settings::default())
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

#[derive(Default, Serialize, Deserialize)]
struct Hearsay(u64);
/// What serde leaves out of it no history tells.
#[derive(Serialize, Deserialize)]
struct Heard {
    #[serde(skip)]
    untold: u64,
}
impl Event for Heard {}
#[derive(Clone, Serialize, Deserialize)]
struct Hear(u64);
impl Command for Hear {
    const NAME: &'static str = "hear";
    type Reply = u64;
}
impl Actor for Hearsay {
    const KIND: &'static str = "hearsay";
    type Id = u64;
    type Event = Heard;
    type Error = Never;
    type Commands = (Hear,);
    fn apply(&mut self, event: &Heard) {
        self.0 += 1 + event.untold;
    }
}
impl Handle<Hear> for Hearsay {
    fn handle(&self, Hear(what): Hear, _: &Ctx<Self>) -> Decision<Self, Hear> {
        Ok(Self::emit(Heard { untold: what }).reply(|hearsay| hearsay.0))
    }
}

#[test]
fn what_is_applied_is_the_event_as_its_history_will_tell_it() {
    for codec in [PayloadCodec::Json, PayloadCodec::Binary] {
        let kind = KindOf::<Hearsay>::new(ActorKind::new(Hearsay::KIND).expect("a kind"), Settings::default());
        let mut live = kind.instance(&id("1")).expect("an id");
        let ran = live.run(0, &Payload::Typed(Box::new(Hear(41))), codec, WallTime::default());
        let Ran::Changed { reply: Payload::Typed(reply), .. } = ran else { panic!("it has changed") };
        assert_eq!(reply.downcast_ref::<u64>(), Some(&1), "{codec:?}");
    }
}

#[test]
fn an_actor_on_its_shelf_has_16_bytes_besides_its_state_and_needs_an_id_that_can_be_read() {
    assert_eq!(size_of::<Rested<Gauge>>(), size_of::<Gauge>() + 16);
    let kind = gauge();
    let mut shelf = kind.shelf();
    let run = |shelf: &mut dyn Shelf, name: &str| {
        let command = Payload::Typed(Box::new(Divide(1.0, 2.0)));
        shelf.run(0, &id(name), 0, &command, PayloadCodec::Binary, WallTime::default())
    };
    for _ in 0..2 {
        assert!(shelf.push(kind.instance(&id("good")).expect("an id")).is_ok());
    }
    assert!(matches!(run(&mut *shelf, "good"), Ran::Changed { events, .. } if events.len() == 1));
    assert!(matches!(run(&mut *shelf, "bad"), Ran::Spoiled(reason) if reason.contains("not the id of a gauge")));
    let awake = shelf.take(0, &id("good")).expect("an id");
    assert_eq!(awake.version(), Version::ZERO.next());
    assert!(shelf.take(0, &id("bad")).is_none());
}
