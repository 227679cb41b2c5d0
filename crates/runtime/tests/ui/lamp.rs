//! An actor that is right; or, by the name of a mistake as `--cfg`, with that mistake.

use lamp_parts::aether_runtime::actor::testkit::given;
use lamp_parts::aether_runtime::actor::{
    Actor, CodecError, Command, Ctx, Decision, Event, Handle, KindRegistry, Upcast,
};
use lamp_parts::serde::{self, Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
#[serde(crate = "serde")]
struct Lamp {
    lit: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(crate = "serde")]
struct Lit;
impl Event for Lit {
    const VERSION: u32 = 2;
    #[cfg(not(upcaster_missing))]
    fn upcast(stored: Upcast<'_>) -> Result<Self, CodecError> {
        stored.read()
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(crate = "serde")]
struct No;
impl std::fmt::Display for No {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no")
    }
}
impl std::error::Error for No {}

#[derive(Clone, Serialize, Deserialize)]
#[serde(crate = "serde")]
struct Light;
impl Command for Light {
    const NAME: &'static str = "light";
    type Reply = u64;
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(crate = "serde")]
struct Dim;
impl Command for Dim {
    #[cfg(not(any(command_name_twice, command_name_reserved)))]
    const NAME: &'static str = "dim";
    #[cfg(command_name_twice)]
    const NAME: &'static str = "light";
    #[cfg(command_name_reserved)]
    const NAME: &'static str = "$dim";
    type Reply = u64;
}

impl Actor for Lamp {
    const KIND: &'static str = "lamp";
    type Id = u64;
    type Event = Lit;
    type Error = No;
    #[cfg(not(any(command_not_listed, command_not_listed_among_two)))]
    type Commands = (Light, Dim);
    #[cfg(command_not_listed)]
    type Commands = (Light,);
    #[cfg(command_not_listed_among_two)]
    type Commands = (Light, Light);
    fn apply(&mut self, _: &Lit) {
        self.lit += 1;
    }
}
#[cfg(not(handler_missing))]
impl Handle<Light> for Lamp {
    fn handle(&self, _: Light, _: &Ctx<Self>) -> Decision<Self, Light> {
        #[cfg(reply_missing)]
        return Ok(Self::emit(Lit));
        #[cfg(wrong_reply_type)]
        return Ok(Self::emit(Lit).reply(|lamp| lamp.lit.to_string()));
        #[cfg(not(any(reply_missing, wrong_reply_type)))]
        return Ok(Self::emit(Lit).reply(|lamp| lamp.lit));
    }
}
impl Handle<Dim> for Lamp {
    fn handle(&self, _: Dim, _: &Ctx<Self>) -> Decision<Self, Dim> {
        #[cfg(wrong_answer_type)]
        return Ok(Self::answer(self.lit > 0));
        #[cfg(not(wrong_answer_type))]
        return Ok(Self::answer(self.lit));
    }
}

fn main() {
    KindRegistry::new().register::<Lamp>().expect("it is well defined");
    given::<Lamp>(1, [Lit]).when(Dim).reply(1);
}
