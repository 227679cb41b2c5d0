//! Nobody knows whether it was done: ask again under the same message id, and it counts once.
//!
//! ```console
//! $ cargo run --example idempotent_retries
//! deposited 100: the balance is 100
//! the store is away: no answer in time; may it have been applied? true
//! the store is back, asked again under the same id: the balance is 105
//! asked a third time under it: the balance is 105
//! what became of it? applied, and the reply was 105
//! what became of one that was never asked? not applied, and it never will be
//! asked under that one now: refused
//! the balance is 105
//! ```
//!
//! The id is the application's own name for what it intends. It is kept with whatever the intention is part of, before anything
//! is asked, so that a restarted program asks under the same one.

use std::time::Duration;

use aether::demo::bank::{Account, Balance, Deposit, Open};
use aether::prelude::*;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = MemoryHub::new();
    let node = Node::builder("n1").namespace("retries").in_memory(&hub).actor::<Account>().start().await?;
    let account = node.actor::<Account>(1);
    account.ask(Open { operation: 1 }).await?;
    let balance = account.ask(Deposit { operation: 2, amount: 100 }).await?;
    say(&format!("deposited 100: the balance is {balance}"));

    let (intention, deposit) = (MessageId(0x7e57), Deposit { operation: 3, amount: 5 });
    hub.outage(true);
    let hasty = account.clone().timeout(Duration::from_millis(300));
    let failed = hasty.ask_with_id(intention, deposit.clone()).await.expect_err("the store is away");
    let may = failed.maybe_applied();
    assert!(matches!(failed, AskError::Timeout { maybe_applied: true }), "{failed}");
    say(&format!("the store is away: no answer in time; may it have been applied? {may}"));
    hub.outage(false);

    let balance = account.ask_with_id(intention, deposit.clone()).await?;
    say(&format!("the store is back, asked again under the same id: the balance is {balance}"));
    assert_eq!(account.ask_with_id(intention, deposit.clone()).await, Ok(balance), "the first reply comes back");
    say(&format!("asked a third time under it: the balance is {balance}"));

    let fate = account.outcome_of::<Deposit, _>(intention).await?;
    assert_eq!(fate, Fate::Applied(105));
    say(&format!("what became of it? applied, and the reply was {balance}"));

    let other = MessageId(0x07e4);
    assert_eq!(account.outcome_of::<Deposit, _>(other).await, Ok(Fate::NotApplied));
    say("what became of one that was never asked? not applied, and it never will be");
    // That answer is final: the id was withdrawn in the history before it was given.
    let refused = account.ask_with_id(other, deposit).await;
    assert!(matches!(refused, Err(AskError::Invalid { maybe_applied: false, .. })), "{refused:?}");
    say("asked under that one now: refused");

    let balance = account.ask(Balance {}).await?;
    assert_eq!(balance, 105);
    say(&format!("the balance is {balance}"));
    node.drain().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]
fn say(text: &str) {
    println!("{text}");
}
