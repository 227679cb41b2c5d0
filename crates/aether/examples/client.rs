//! A program that is no node asks the demo's bank: `cargo run --example client -- nats://127.0.0.1:4222 aether`.
//!
//! It needs a cluster that serves the bank under that namespace: `cargo xtask cluster-up` starts one.

use aether::NatsConfig;
use aether::client::Client;
use aether::demo::bank::{Account, AccountError, Balance, Deposit, Open};
use aether::prelude::{AskError, Fate, MessageId};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "nats://127.0.0.1:4222".into());
    let client = Client::connect(&NatsConfig::new([url]), arguments.next().unwrap_or_else(|| "aether".into())).await?;
    let account = client.actor::<Account>(4711);
    match account.ask(Open { operation: 1 }).await {
        Ok(()) => say("account 4711 is open now"),
        Err(AskError::Rejected(AccountError::AlreadyOpen)) => say("account 4711 was open already"),
        Err(other) => return Err(other.into()),
    }
    // The program's own name for this deposit: however often it is asked under it, even after a crash, it counts once.
    let intention = MessageId(u128::from(std::process::id()) << 64 | 0x0de9_0517);
    for _ in 0..3 {
        let balance = account.ask_with_id(intention, Deposit { operation: 2, amount: 100 }).await?;
        say(&format!("deposited 100: the balance is {balance}"));
    }
    if let Fate::Applied(balance) = account.outcome_of::<Deposit, _>(intention).await? {
        say(&format!("the history says the same: {balance}"));
    }
    say(&format!("and the balance is {}", account.ask(Balance {}).await?));
    client.close().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it is a program that shows something")]
fn say(line: &str) {
    println!("{line}");
}
