//! A command that the actor's list does not name cannot be asked.

use aether_runtime::actor::testkit::given;
use aether_runtime::actor::{Actor, Command, Ctx, Decision, Event, Handle};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Lamp;

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
    type Reply = ();
}

#[derive(Clone, Serialize, Deserialize)]
struct Dim;
impl Command for Dim {
    const NAME: &'static str = "dim";
    type Reply = ();
}

#[derive(Clone, Serialize, Deserialize)]
struct Darken;
impl Command for Darken {
    const NAME: &'static str = "darken";
    type Reply = ();
}

impl Actor for Lamp {
    const KIND: &'static str = "lamp";
    type Id = u64;
    type Event = Lit;
    type Error = No;
    type Commands = (Light, Darken);
    fn apply(&mut self, _: &Lit) {}
}
impl Handle<Light> for Lamp {
    fn handle(&self, _: Light, _: &Ctx<Self>) -> Decision<Self, Light> {
        Ok(Self::nothing())
    }
}
impl Handle<Darken> for Lamp {
    fn handle(&self, _: Darken, _: &Ctx<Self>) -> Decision<Self, Darken> {
        Ok(Self::nothing())
    }
}
impl Handle<Dim> for Lamp {
    fn handle(&self, _: Dim, _: &Ctx<Self>) -> Decision<Self, Dim> {
        Ok(Self::nothing())
    }
}

fn main() {
    let _ = given::<Lamp>(1, []).when(Dim);
}
