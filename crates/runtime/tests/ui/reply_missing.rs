//! A handler that stores an event and forgets the reply does not compile.

use aether_runtime::actor::{Actor, Command, Ctx, Decision, Event, Handle};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Lamp {
    lit: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Lit;
impl Event for Lit {}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("no")]
struct No;

#[derive(Clone, Serialize, Deserialize)]
struct Light;
impl Command for Light {
    const NAME: &'static str = "light";
    type Reply = u64;
}

impl Actor for Lamp {
    const KIND: &'static str = "lamp";
    type Id = u64;
    type Event = Lit;
    type Error = No;
    type Commands = (Light,);
    fn apply(&mut self, _: &Lit) {
        self.lit += 1;
    }
}
impl Handle<Light> for Lamp {
    fn handle(&self, _: Light, _: &Ctx<Self>) -> Decision<Self, Light> {
        Ok(Self::emit(Lit))
    }
}

fn main() {}
