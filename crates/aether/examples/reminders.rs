//! A cart that gives up by itself: a reminder is kept with the events, and fires though its node has died.
//!
//! ```console
//! $ cargo run --example reminders
//! 20 carts were filled; each is to be emptied in a second
//! cart 7 was paid in time, so its reminder was taken back
//! n1 was killed, without a word to n2
//! 19 of 20 carts were emptied by their reminders, and the paid one was not
//! ```

use std::time::Duration;

use aether::prelude::{testkit::*, *};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Cart {
    #[default]
    Empty,
    Filled,
    Paid,
    GivenUp,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum CartEvent {
    Became(Cart),
}
impl Event for CartEvent {}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("the cart is not filled")]
struct NotFilled;

/// A command without fields, and what it is answered.
macro_rules! command {
    ($name:ident, $text:literal, $reply:ty) => {
        #[derive(Clone, Serialize, Deserialize)]
        struct $name;
        impl Command for $name {
            const NAME: &'static str = $text;
            type Reply = $reply;
        }
    };
}
command!(Fill, "fill", ());
command!(Pay, "pay", ());
command!(GiveUp, "give_up", ());
command!(Look, "look", Cart);

const PATIENCE: Duration = Duration::from_secs(1);

impl Actor for Cart {
    const KIND: &'static str = "cart";
    type Id = u64;
    type Event = CartEvent;
    type Error = NotFilled;
    type Commands = (Fill, Pay, GiveUp, Look);
    fn apply(&mut self, CartEvent::Became(cart): &CartEvent) {
        *self = *cart;
    }
}
impl Handle<Fill> for Cart {
    fn handle(&self, _: Fill, _: &Ctx<Self>) -> Decision<Self, Fill> {
        // Stored together, or not at all.
        Ok(Self::emit(CartEvent::Became(Cart::Filled)).remind(PATIENCE, &GiveUp))
    }
}
impl Handle<Pay> for Cart {
    fn handle(&self, _: Pay, _: &Ctx<Self>) -> Decision<Self, Pay> {
        if *self != Cart::Filled {
            return Err(NotFilled);
        }
        Ok(Self::emit(CartEvent::Became(Cart::Paid)).cancel_reminder(GiveUp::NAME))
    }
}
impl Handle<GiveUp> for Cart {
    fn handle(&self, _: GiveUp, _: &Ctx<Self>) -> Decision<Self, GiveUp> {
        if *self != Cart::Filled {
            return Err(NotFilled);
        }
        Ok(Self::emit(CartEvent::Became(Cart::GivenUp)))
    }
}
impl Handle<Look> for Cart {
    fn handle(&self, _: Look, _: &Ctx<Self>) -> Decision<Self, Look> {
        Ok(Self::answer(*self))
    }
}

const CARTS: u64 = 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The rule, without any runtime and without waiting.
    let filled = || CartEvent::Became(Cart::Filled);
    given::<Cart>(1, []).when(Fill).then([filled()]).reminds([reminder(PATIENCE, &GiveUp)]);
    given::<Cart>(1, [filled()]).when(Pay).then([CartEvent::Became(Cart::Paid)]).reminds([cancelled(GiveUp::NAME)]);

    let hub = MemoryHub::new();
    let node = |id: &str| Node::builder(id).namespace("carts").profile(Profile::Fast).in_memory(&hub).actor::<Cart>();
    let (first, second) = (node("n1").start().await?, node("n2").start().await?);
    for id in 0..CARTS {
        first.actor::<Cart>(id).ask(Fill).await?;
    }
    say(&format!("{CARTS} carts were filled; each is to be emptied in a second"));
    first.actor::<Cart>(7).ask(Pay).await?;
    say("cart 7 was paid in time, so its reminder was taken back");
    first.kill().await;
    say("n1 was killed, without a word to n2");

    let (mut given_up, mut paid) = (0, 0);
    for id in 0..CARTS {
        let cart = second.actor::<Cart>(id).timeout(Duration::from_secs(20));
        // Whoever asks too early is asked to come again.
        loop {
            match cart.ask(Look).await? {
                Cart::GivenUp => given_up += 1,
                Cart::Paid => paid += 1,
                Cart::Empty | Cart::Filled => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            }
            break;
        }
    }
    assert_eq!((given_up, paid), (CARTS - 1, 1));
    say(&format!("{given_up} of {CARTS} carts were emptied by their reminders, and the paid one was not"));
    second.kill().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]
fn say(text: &str) {
    println!("{text}");
}
