//! The cases, one file a port.

mod bus;
mod checkpoints;
mod claims;
mod control;
mod dead_letters;
mod events;
mod faults;
mod gateway;
mod journal;
mod log;
mod snapshots;
mod transport;
mod wakes;

use std::sync::Arc;

use aether_domain::ports::Ports;
use aether_domain::testing::life;

use crate::{Case, Place, World};

/// A case by the name of the function that checks it.
macro_rules! case {
    ($port:literal, $name:ident) => {
        case!($port, $name, Nothing)
    };
    ($port:literal, $name:ident, $need:ident) => {
        $crate::Case {
            port: $port,
            name: stringify!($name),
            need: $crate::Need::$need,
            check: |world| Box::pin($name(world)),
        }
    };
}
use case;

/// Every case there is.
pub fn all() -> Vec<Case> {
    [
        control::cases(),
        log::cases(),
        events::cases(),
        snapshots::cases(),
        transport::cases(),
        gateway::cases(),
        claims::cases(),
        bus::cases(),
        checkpoints::cases(),
        dead_letters::cases(),
        journal::cases(),
        wakes::cases(),
        faults::cases(),
    ]
    .concat()
}

async fn place(world: &Arc<dyn World>) -> Box<dyn Place> {
    world.place().await.expect("the backend makes a namespace")
}

/// A connection of its own for the node of that name.
async fn connect(place: &dyn Place, name: &str) -> Ports {
    place.connect(&life(name, 1).node).await.expect("the backend takes a connection")
}

/// How many of these won.
fn winners<T, E>(outcomes: &[Result<T, E>]) -> usize {
    outcomes.iter().filter(|outcome| outcome.is_ok()).count()
}
