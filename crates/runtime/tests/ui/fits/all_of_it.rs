//! What is written as it should be compiles, and runs.

use aether_runtime::actor::{Actor, Command, Ctx, Decision, Event, Handle, CodecError, KindRegistry, Upcast};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Lamp {
    lit: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Lit;
impl Event for Lit {
    const VERSION: u32 = 2;
    fn upcast(stored: Upcast<'_>) -> Result<Self, CodecError> {
        stored.read()
    }
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("no")]
struct No;

#[derive(Clone, Serialize, Deserialize)]
struct Light;
impl Command for Light {
    const NAME: &'static str = "light";
    type Reply = u64;
}

#[derive(Clone, Serialize, Deserialize)]
struct Dim;
impl Command for Dim {
    const NAME: &'static str = "dim";
    type Reply = u64;
}

impl Actor for Lamp {
    const KIND: &'static str = "lamp";
    type Id = u64;
    type Event = Lit;
    type Error = No;
    type Commands = (Light, Dim);
    fn apply(&mut self, _: &Lit) {
        self.lit += 1;
    }
}
impl Handle<Light> for Lamp {
    fn handle(&self, _: Light, _: &Ctx<Self>) -> Decision<Self, Light> {
        Ok(Self::emit(Lit).reply(|lamp| lamp.lit))
    }
}
impl Handle<Dim> for Lamp {
    fn handle(&self, _: Dim, _: &Ctx<Self>) -> Decision<Self, Dim> {
        Ok(Self::emit(Lit).reply(|lamp| lamp.lit))
    }
}

fn main() {
    KindRegistry::new().register::<Lamp>().expect("it is well defined");
}
