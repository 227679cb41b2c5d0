//! An account: the actor these tests ask.

use aether_runtime::actor::{Actor, Command, Ctx, Decision, Event, Handle};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
pub struct Account {
    balance: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AccountEvent {
    Deposited { amount: u64 },
    Withdrawn { amount: u64 },
}
impl Event for AccountEvent {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum AccountError {
    #[error("the balance is {balance}")]
    Insufficient { balance: u64 },
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Deposit {
    pub amount: u64,
}
impl Command for Deposit {
    const NAME: &'static str = "deposit";
    type Reply = u64;
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Withdraw {
    pub amount: u64,
}
impl Command for Withdraw {
    const NAME: &'static str = "withdraw";
    type Reply = u64;
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Balance;
impl Command for Balance {
    const NAME: &'static str = "balance";
    type Reply = u64;
}

/// Blocks its thread for that long, as no handler should.
#[derive(Clone, Serialize, Deserialize)]
pub struct Dawdle {
    pub millis: u64,
}
impl Command for Dawdle {
    const NAME: &'static str = "dawdle";
    type Reply = ();
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Explode;
impl Command for Explode {
    const NAME: &'static str = "explode";
    type Reply = ();
}

impl Actor for Account {
    const KIND: &'static str = "account";
    type Id = u64;
    type Event = AccountEvent;
    type Error = AccountError;
    type Commands = (Deposit, Withdraw, Balance, Dawdle, Explode);

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Deposited { amount } => self.balance += amount,
            AccountEvent::Withdrawn { amount } => self.balance -= amount,
        }
    }
}

impl Handle<Deposit> for Account {
    fn handle(&self, deposit: Deposit, _: &Ctx<Self>) -> Decision<Self, Deposit> {
        Ok(Self::emit(AccountEvent::Deposited { amount: deposit.amount }).reply(|account| account.balance))
    }
}
impl Handle<Withdraw> for Account {
    fn handle(&self, withdraw: Withdraw, _: &Ctx<Self>) -> Decision<Self, Withdraw> {
        if withdraw.amount > self.balance {
            return Err(AccountError::Insufficient { balance: self.balance });
        }
        Ok(Self::emit(AccountEvent::Withdrawn { amount: withdraw.amount }).reply(|account| account.balance))
    }
}
impl Handle<Balance> for Account {
    fn handle(&self, _: Balance, _: &Ctx<Self>) -> Decision<Self, Balance> {
        Ok(Self::answer(self.balance))
    }
}
impl Handle<Dawdle> for Account {
    fn handle(&self, dawdle: Dawdle, _: &Ctx<Self>) -> Decision<Self, Dawdle> {
        std::thread::sleep(std::time::Duration::from_millis(dawdle.millis));
        Ok(Self::nothing())
    }
}
impl Handle<Explode> for Account {
    fn handle(&self, _: Explode, _: &Ctx<Self>) -> Decision<Self, Explode> {
        panic!("boom")
    }
}
