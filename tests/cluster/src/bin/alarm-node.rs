//! A node whose actors set reminders, for tests that kill its process: `alarm-node <id> <namespace> <url of NATS>`.
//!
//! It ends by itself when its standard input is closed, so that none outlives its test.

use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use aether::prelude::*;
use serde::{Deserialize, Serialize};

/// Counts how often it has rung.
#[derive(Default, Serialize, Deserialize)]
struct Alarm {
    rung: u64,
}

#[derive(Serialize, Deserialize)]
struct Rung {}
impl Event for Rung {}

#[derive(Debug, Serialize, Deserialize)]
struct Never {}
impl std::fmt::Display for Never {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an alarm refuses nothing")
    }
}
impl std::error::Error for Never {}

#[derive(Clone, Serialize, Deserialize)]
struct Set {
    after_ms: u64,
}
impl Command for Set {
    const NAME: &'static str = "set";
    type Reply = ();
}

#[derive(Clone, Serialize, Deserialize)]
struct Ring {}
impl Command for Ring {
    const NAME: &'static str = "ring";
    type Reply = ();
}

#[derive(Clone, Serialize, Deserialize)]
struct Count {}
impl Command for Count {
    const NAME: &'static str = "count";
    type Reply = u64;
}

impl Actor for Alarm {
    const KIND: &'static str = "alarm";
    type Id = u64;
    type Event = Rung;
    type Error = Never;
    type Commands = (Set, Ring, Count);
    fn apply(&mut self, _: &Rung) {
        self.rung += 1;
    }
}
impl Handle<Set> for Alarm {
    fn handle(&self, set: Set, _: &Ctx<Self>) -> Decision<Self, Set> {
        Ok(Self::nothing().remind(Duration::from_millis(set.after_ms), &Ring {}))
    }
}
impl Handle<Ring> for Alarm {
    fn handle(&self, _: Ring, _: &Ctx<Self>) -> Decision<Self, Ring> {
        Ok(Self::emit(Rung {}))
    }
}
impl Handle<Count> for Alarm {
    fn handle(&self, _: Count, _: &Ctx<Self>) -> Decision<Self, Count> {
        Ok(Self::answer(self.rung))
    }
}

#[expect(clippy::print_stderr, reason = "it is a program")]
#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [id, namespace, url] = &arguments[..] else {
        eprintln!("alarm-node <id> <namespace> <url of NATS>");
        return ExitCode::FAILURE;
    };
    let builder = Node::builder(id.as_str()).namespace(namespace.as_str()).profile(Profile::Fast);
    let started = builder.nats(NatsConfig::new([url.as_str()])).actor::<Alarm>().start().await;
    let _node = match started {
        Ok(node) => node,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let closed = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
    if matches!(closed, Ok(Ok(_))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
