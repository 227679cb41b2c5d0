//! An actor that does everything an actor should not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aether::prelude::*;
use serde::{Deserialize, Serialize};

/// Whether [`Abort`] and [`Spin`] do what they say in this process. In a test's own process they are never to.
pub static HARMFUL: AtomicBool = AtomicBool::new(false);

/// Whether applying [`Happened::Cursed`] panics: it does not when it is decided, and does when it is replayed.
pub static CURSED: AtomicBool = AtomicBool::new(false);

/// A sum, with odd commands.
#[derive(Default, Serialize, Deserialize)]
pub struct Odd {
    total: u64,
}

/// What happens to it.
#[derive(Serialize, Deserialize)]
pub enum Happened {
    /// The sum has grown.
    Added(u64),
    /// Text was stored.
    Stored(String),
    /// See [`CURSED`].
    Cursed,
}
impl Event for Happened {}

/// Its no, of any length.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("refused in {} bytes", .0.len())]
pub struct Refused(pub String);

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident($($field:ty)?) -> $reply:ty, $text:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Serialize, Deserialize)]
        pub struct $name($(pub $field)?);
        impl Command for $name {
            const NAME: &'static str = $text;
            type Reply = $reply;
        }
    )+};
}

commands! {
    /// Adds that, and replies with the sum.
    Add(u64) -> u64, "add";
    /// Replies with the sum.
    Total() -> u64, "total";
    /// Ends the process.
    Abort() -> (), "abort";
    /// Asks itself [`Abort`] a little later.
    Fuse() -> (), "fuse";
    /// Never returns.
    Spin() -> (), "spin";
    /// Panics.
    Boom() -> (), "boom";
    /// Replies with so many bytes, without an event.
    Echo(usize) -> String, "echo";
    /// Replies with so many bytes and adds one.
    Recite(usize) -> String, "recite";
    /// Stores an event of so many bytes.
    Store(usize) -> (), "store";
    /// Says no in so many bytes.
    Refuse(usize) -> (), "refuse";
    /// Replies with how long the text is, which may be of any length.
    Swallow(String) -> usize, "swallow";
    /// Adds one so many times, an event each.
    Many(usize) -> u64, "many";
    /// Stores what cannot be replayed while [`CURSED`] is set.
    Curse() -> (), "curse";
}

impl Actor for Odd {
    const KIND: &'static str = "odd";
    type Id = String;
    type Event = Happened;
    type Error = Refused;
    type Commands = (Add, Total, Abort, Fuse, Spin, Boom, Echo, Recite, Store, Refuse, Swallow, Many, Curse);

    fn apply(&mut self, event: &Happened) {
        match event {
            Happened::Added(by) => self.total += by,
            Happened::Stored(_) => {}
            Happened::Cursed => assert!(!CURSED.load(Ordering::SeqCst), "the curse works"),
        }
    }
}

impl Handle<Add> for Odd {
    fn handle(&self, Add(by): Add, _: &Ctx<Self>) -> Decision<Self, Add> {
        Ok(Self::emit(Happened::Added(by)).reply(|odd| odd.total))
    }
}
impl Handle<Total> for Odd {
    fn handle(&self, _: Total, _: &Ctx<Self>) -> Decision<Self, Total> {
        Ok(Self::answer(self.total))
    }
}
impl Handle<Abort> for Odd {
    fn handle(&self, _: Abort, _: &Ctx<Self>) -> Decision<Self, Abort> {
        if HARMFUL.load(Ordering::SeqCst) {
            std::process::abort();
        }
        Ok(Self::nothing())
    }
}
impl Handle<Fuse> for Odd {
    fn handle(&self, _: Fuse, _: &Ctx<Self>) -> Decision<Self, Fuse> {
        Ok(Self::nothing().remind(Duration::from_millis(300), &Abort()))
    }
}
impl Handle<Spin> for Odd {
    fn handle(&self, _: Spin, _: &Ctx<Self>) -> Decision<Self, Spin> {
        while HARMFUL.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Self::nothing())
    }
}
impl Handle<Boom> for Odd {
    fn handle(&self, _: Boom, _: &Ctx<Self>) -> Decision<Self, Boom> {
        panic!("boom")
    }
}
impl Handle<Echo> for Odd {
    fn handle(&self, Echo(bytes): Echo, _: &Ctx<Self>) -> Decision<Self, Echo> {
        Ok(Self::answer("x".repeat(bytes)))
    }
}
impl Handle<Recite> for Odd {
    fn handle(&self, Recite(bytes): Recite, _: &Ctx<Self>) -> Decision<Self, Recite> {
        Ok(Self::emit(Happened::Added(1)).reply(move |_| "x".repeat(bytes)))
    }
}
impl Handle<Store> for Odd {
    fn handle(&self, Store(bytes): Store, _: &Ctx<Self>) -> Decision<Self, Store> {
        Ok(Self::emit(Happened::Stored("x".repeat(bytes))).reply(|_| ()))
    }
}
impl Handle<Refuse> for Odd {
    fn handle(&self, Refuse(bytes): Refuse, _: &Ctx<Self>) -> Decision<Self, Refuse> {
        Err(Refused("x".repeat(bytes)))
    }
}
impl Handle<Swallow> for Odd {
    fn handle(&self, Swallow(text): Swallow, _: &Ctx<Self>) -> Decision<Self, Swallow> {
        Ok(Self::answer(text.len()))
    }
}
impl Handle<Many> for Odd {
    fn handle(&self, Many(count): Many, _: &Ctx<Self>) -> Decision<Self, Many> {
        Ok(Self::emit_all((0..count).map(|_| Happened::Added(1))).reply(|odd| odd.total))
    }
}
impl Handle<Curse> for Odd {
    fn handle(&self, _: Curse, _: &Ctx<Self>) -> Decision<Self, Curse> {
        Ok(Self::emit(Happened::Cursed).reply(|_| ()))
    }
}
