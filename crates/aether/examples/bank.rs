//! A bank on three nodes in one process, no NATS needed. The node that leads is killed; every balance is still right.
//!
//! ```console
//! $ cargo run --example bank
//! started n1, n2, n3; the state of this bank ends with this process
//! opened 300 accounts, 74850 in all
//! a withdrawal of 500 from account 7 was refused: the balance is 107
//! killed n1, which led, without a word to the others
//! asked every account through n2: 300 of 300 balances are right
//! withdrew 7 from account 7: 100 left
//! ```
//!
//! An [`Account`] is a plain struct: commands ask it, events change it.

use std::time::Duration;

use aether::prelude::*;
use serde::{Deserialize, Serialize};

/// The type is the state.
#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[derive(Debug, Serialize, Deserialize)]
enum AccountEvent {
    Deposited { amount: u64 },
    Withdrawn { amount: u64 },
}
impl Event for AccountEvent {}

/// The account's own "no"; it reaches the caller as this type, wherever the account is.
#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("the balance is {balance}")]
struct Insufficient {
    balance: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Deposit {
    amount: u64,
}
impl Command for Deposit {
    const NAME: &'static str = "deposit";
    type Reply = u64;
}

#[derive(Clone, Serialize, Deserialize)]
struct Withdraw {
    amount: u64,
}
impl Command for Withdraw {
    const NAME: &'static str = "withdraw";
    type Reply = u64;
}

#[derive(Clone, Serialize, Deserialize)]
struct Balance {}
impl Command for Balance {
    const NAME: &'static str = "balance";
    type Reply = u64;
}

impl Actor for Account {
    const KIND: &'static str = "account";
    type Id = u64;
    type Event = AccountEvent;
    type Error = Insufficient;
    type Commands = (Deposit, Withdraw, Balance);

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Deposited { amount } => self.balance += amount,
            AccountEvent::Withdrawn { amount } => self.balance -= amount,
        }
    }
}

impl Handle<Deposit> for Account {
    fn handle(&self, Deposit { amount }: Deposit, _: &Ctx<Self>) -> Decision<Self, Deposit> {
        Ok(Self::emit(AccountEvent::Deposited { amount }).reply(|account| account.balance))
    }
}

impl Handle<Withdraw> for Account {
    fn handle(&self, Withdraw { amount }: Withdraw, _: &Ctx<Self>) -> Decision<Self, Withdraw> {
        if amount > self.balance {
            return Err(Insufficient { balance: self.balance });
        }
        Ok(Self::emit(AccountEvent::Withdrawn { amount }).reply(|account| account.balance))
    }
}

impl Handle<Balance> for Account {
    fn handle(&self, _: Balance, _: &Ctx<Self>) -> Decision<Self, Balance> {
        Ok(Self::answer(self.balance))
    }
}

/// Three nodes on one hub are one cluster.
const NODES: [&str; 3] = ["n1", "n2", "n3"];

const ACCOUNTS: u64 = 300;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = MemoryHub::new();
    let mut nodes = Vec::new();
    for id in NODES {
        let node = Node::builder(id).namespace("bank").profile(Profile::Fast).in_memory(&hub).actor::<Account>();
        nodes.push(node.start().await?);
    }
    say(&format!("started {}; the state of this bank ends with this process", NODES.join(", ")));

    for id in 0..ACCOUNTS {
        // Any node will do: the account is wherever its shard is.
        let node = &nodes[id as usize % nodes.len()];
        node.actor::<Account>(id).ask(Deposit { amount: 100 + id }).await?;
    }
    say(&format!("opened {ACCOUNTS} accounts, {} in all", total(&nodes[1]).await?));

    let refused = nodes[0].actor::<Account>(7).ask(Withdraw { amount: 500 }).await;
    assert!(matches!(refused, Err(AskError::Rejected(Insufficient { balance: 107 }))), "{refused:?}");
    say("a withdrawal of 500 from account 7 was refused: the balance is 107");

    nodes[0].kill().await;
    say("killed n1, which led, without a word to the others");

    let survivor = &nodes[1];
    for id in 0..ACCOUNTS {
        let account = survivor.actor::<Account>(id).timeout(Duration::from_secs(20));
        let balance = account.ask(Balance {}).await?;
        assert_eq!(balance, 100 + id, "account {id}");
    }
    say(&format!("asked every account through n2: {ACCOUNTS} of {ACCOUNTS} balances are right"));

    let left = survivor.actor::<Account>(7).ask(Withdraw { amount: 7 }).await?;
    say(&format!("withdrew 7 from account 7: {left} left"));
    for node in &nodes[1..] {
        node.kill().await;
    }
    Ok(())
}

async fn total(node: &Node) -> Result<u64, AskError<Insufficient>> {
    let mut sum = 0;
    for id in 0..ACCOUNTS {
        sum += node.actor::<Account>(id).ask(Balance {}).await?;
    }
    Ok(sum)
}

#[expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]
fn say(text: &str) {
    println!("{text}");
}
