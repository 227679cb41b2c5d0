//! The stored shape of an event changes, and old histories are read as they are.
//!
//! ```console
//! $ cargo run --example upcasting
//! build 1 has stored 2 payments, in cents and without a currency
//! build 2 reads them: 12.50 EUR
//! build 2 has stored one in USD: 12.50 EUR, 3.00 USD
//! build 1 is started again: the actor is set aside, and nothing is guessed
//! ```
//!
//! The two modules are two builds of one program: they differ in the shape of one event. What is stored is never rewritten.

use aether::prelude::*;
use serde::{Deserialize, Serialize};

/// The program as it was.
mod build_1 {
    use super::{Actor, Command, Ctx, Decision, Deserialize, Event, Handle, Serialize};

    #[derive(Serialize, Deserialize)]
    pub(crate) enum Paid {
        Paid { cents: u64 },
    }
    impl Event for Paid {}

    #[derive(Default, Serialize, Deserialize)]
    pub(crate) struct Invoice {
        cents: u64,
    }

    #[derive(Clone, Serialize, Deserialize)]
    pub(crate) struct Pay {
        pub(crate) cents: u64,
    }
    impl Command for Pay {
        const NAME: &'static str = "pay";
        type Reply = u64;
    }

    impl Actor for Invoice {
        const KIND: &'static str = "invoice";
        type Id = u64;
        type Event = Paid;
        type Error = super::Never;
        type Commands = (Pay,);
        fn apply(&mut self, Paid::Paid { cents }: &Paid) {
            self.cents += cents;
        }
    }
    impl Handle<Pay> for Invoice {
        fn handle(&self, Pay { cents }: Pay, _: &Ctx<Self>) -> Decision<Self, Pay> {
            Ok(Self::emit(Paid::Paid { cents }).reply(|invoice| invoice.cents))
        }
    }
}

/// The program as it is: a payment has a currency.
mod build_2 {
    use std::collections::BTreeMap;

    use super::{Actor, CodecError, Command, Ctx, Decision, Deserialize, Event, Handle, Serialize, Upcast};

    /// The old shape, for reading only.
    #[derive(Deserialize)]
    enum PaidV1 {
        Paid { cents: u64 },
    }

    #[derive(Serialize, Deserialize)]
    pub(crate) enum Paid {
        Paid { cents: u64, currency: String },
    }
    impl From<PaidV1> for Paid {
        fn from(PaidV1::Paid { cents }: PaidV1) -> Self {
            Self::Paid { cents, currency: "EUR".into() }
        }
    }
    impl Event for Paid {
        // Raised with the shape; without `upcast` the program does not compile then.
        const VERSION: u32 = 2;
        fn upcast(stored: Upcast<'_>) -> Result<Self, CodecError> {
            match stored.version {
                1 => stored.read_as::<PaidV1, _>(),
                _ => stored.read(),
            }
        }
    }

    #[derive(Default, Serialize, Deserialize)]
    pub(crate) struct Invoice {
        cents: BTreeMap<String, u64>,
    }

    #[derive(Clone, Serialize, Deserialize)]
    pub(crate) struct Pay {
        pub(crate) cents: u64,
        pub(crate) currency: String,
    }
    impl Command for Pay {
        const NAME: &'static str = "pay";
        type Reply = ();
    }
    #[derive(Clone, Serialize, Deserialize)]
    pub(crate) struct Paying;
    impl Command for Paying {
        const NAME: &'static str = "paying";
        type Reply = String;
    }

    impl Actor for Invoice {
        const KIND: &'static str = "invoice";
        type Id = u64;
        type Event = Paid;
        type Error = super::Never;
        type Commands = (Pay, Paying);
        // The state has another shape too: snapshots of the old one are not read.
        const SNAPSHOT: u32 = 2;
        fn apply(&mut self, Paid::Paid { cents, currency }: &Paid) {
            *self.cents.entry(currency.clone()).or_default() += cents;
        }
    }
    impl Handle<Pay> for Invoice {
        fn handle(&self, Pay { cents, currency }: Pay, _: &Ctx<Self>) -> Decision<Self, Pay> {
            Ok(Self::emit(Paid::Paid { cents, currency }))
        }
    }
    impl Handle<Paying> for Invoice {
        fn handle(&self, _: Paying, _: &Ctx<Self>) -> Decision<Self, Paying> {
            let sum = |(currency, cents): (&String, &u64)| format!("{}.{:02} {currency}", cents / 100, cents % 100);
            Ok(Self::answer(self.cents.iter().map(sum).collect::<Vec<_>>().join(", ")))
        }
    }
}

/// An invoice takes every payment.
#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("never")]
struct Never;

async fn started<A: Actor>(hub: &MemoryHub) -> Result<Node, StartError> {
    Node::builder("n1").namespace("invoices").profile(Profile::Fast).in_memory(hub).actor::<A>().start().await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = MemoryHub::new();
    let node = started::<build_1::Invoice>(&hub).await?;
    for cents in [1000, 250] {
        node.actor::<build_1::Invoice>(1).ask(build_1::Pay { cents }).await?;
    }
    node.drain().await;
    say("build 1 has stored 2 payments, in cents and without a currency");

    let node = started::<build_2::Invoice>(&hub).await?;
    let invoice = node.actor::<build_2::Invoice>(1);
    let paid = invoice.ask(build_2::Paying).await?;
    assert_eq!(paid, "12.50 EUR");
    say(&format!("build 2 reads them: {paid}"));
    invoice.ask(build_2::Pay { cents: 300, currency: "USD".into() }).await?;
    let paid = invoice.ask(build_2::Paying).await?;
    assert_eq!(paid, "12.50 EUR, 3.00 USD");
    say(&format!("build 2 has stored one in USD: {paid}"));
    node.drain().await;

    let node = started::<build_1::Invoice>(&hub).await?;
    let refused = node.actor::<build_1::Invoice>(1).ask(build_1::Pay { cents: 1 }).await;
    assert!(matches!(refused, Err(AskError::Quarantined { .. })), "{refused:?}");
    say("build 1 is started again: the actor is set aside, and nothing is guessed");
    node.drain().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]
fn say(text: &str) {
    println!("{text}");
}
