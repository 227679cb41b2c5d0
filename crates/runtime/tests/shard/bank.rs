//! An account: the actor these tests ask.

use std::sync::{Barrier, LazyLock};
use std::time::Duration;

use aether_runtime::actor::{Actor, Command, Ctx, Decision, Event, Handle, MissedTicks};
use serde::{Deserialize, Serialize};

/// Where [`Dawdle`] meets its test, twice: when its handler runs, and when it may end.
pub(crate) static GATE: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(2));

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Account {
    balance: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum AccountEvent {
    Deposited { amount: u64 },
    Withdrawn { amount: u64 },
}
impl Event for AccountEvent {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum AccountError {
    #[error("the balance is {balance}")]
    Insufficient { balance: u64 },
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Deposit {
    pub(crate) amount: u64,
}
impl Command for Deposit {
    const NAME: &'static str = "deposit";
    type Reply = u64;
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Withdraw {
    pub(crate) amount: u64,
}
impl Command for Withdraw {
    const NAME: &'static str = "withdraw";
    type Reply = u64;
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Balance;
impl Command for Balance {
    const NAME: &'static str = "balance";
    type Reply = u64;
}

/// Blocks its thread until the test opens the gate, as no handler should.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Dawdle;
impl Command for Dawdle {
    const NAME: &'static str = "dawdle";
    type Reply = ();
}

/// Keeps its thread for so many milliseconds, as no handler should.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Nap(pub(crate) u64);
impl Command for Nap {
    const NAME: &'static str = "nap";
    type Reply = ();
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Explode;
impl Command for Explode {
    const NAME: &'static str = "explode";
    type Reply = ();
}

/// Deposits so much after so many milliseconds; every so many, if told.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Save {
    pub(crate) amount: u64,
    pub(crate) after_ms: u64,
    pub(crate) again: bool,
}
impl Command for Save {
    const NAME: &'static str = "save";
    type Reply = ();
}

impl Actor for Account {
    const KIND: &'static str = "account";
    type Id = u64;
    type Event = AccountEvent;
    type Error = AccountError;
    type Commands = (Deposit, Withdraw, Balance, Dawdle, Nap, Explode, Save);

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
    fn handle(&self, _: Dawdle, _: &Ctx<Self>) -> Decision<Self, Dawdle> {
        GATE.wait();
        GATE.wait();
        Ok(Self::nothing())
    }
}
impl Handle<Nap> for Account {
    fn handle(&self, Nap(millis): Nap, _: &Ctx<Self>) -> Decision<Self, Nap> {
        std::thread::sleep(Duration::from_millis(millis));
        Ok(Self::nothing())
    }
}
impl Handle<Explode> for Account {
    fn handle(&self, _: Explode, _: &Ctx<Self>) -> Decision<Self, Explode> {
        panic!("boom")
    }
}
impl Handle<Save> for Account {
    fn handle(&self, save: Save, _: &Ctx<Self>) -> Decision<Self, Save> {
        let (deposit, after) = (Deposit { amount: save.amount }, Duration::from_millis(save.after_ms));
        Ok(if save.again {
            Self::nothing().remind_every(after, MissedTicks::All, &deposit)
        } else {
            Self::nothing().remind_as(save.amount.to_string(), after, &deposit)
        })
    }
}
