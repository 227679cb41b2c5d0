//! A listed command without a handler does not compile.

use aether_runtime::actor::{Actor, Command, Event};
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

impl Actor for Lamp {
    const KIND: &'static str = "lamp";
    type Id = u64;
    type Event = Lit;
    type Error = No;
    type Commands = (Light,);
    fn apply(&mut self, _: &Lit) {}
}

fn main() {}
