//! A bank of accounts, made to be audited.
//!
//! Every operation that changes an account carries a number of its caller's choosing. The account keeps how many it has
//! applied and a checksum of their numbers that does not depend on the order, so one that was lost or applied twice
//! shows. It deliberately does *not* recognise a repeated operation itself: that is the runtime's promise, and this is
//! how it is watched.
//!
//! A transfer is two commands and a settlement: [`TransferOut`] holds the amount as pending at the source, [`TransferIn`]
//! adds it at the destination, [`Settle`] removes what is pending. Until then an [`Audit`] of the source shows it.
//!
//! ```
//! use aether::demo::bank::{Account, AccountError, AccountEvent, Open, Withdraw};
//! use aether::prelude::testkit::given;
//!
//! let opened = AccountEvent::Opened { operation: 1 };
//! let deposited = AccountEvent::Deposited { operation: 2, amount: 50 };
//! given::<Account>(7, [opened, deposited])
//!     .when(Withdraw { operation: 3, amount: 80 })
//!     .rejected(AccountError::Insufficient { balance: 50 });
//! ```

mod commands;
mod events;

use std::collections::BTreeMap;

use aether_runtime::actor::{Actor, Ctx, Decision, Handle};
use serde::{Deserialize, Serialize};

pub use commands::{Audit, Audited, Balance, Deposit, Open, Settle, TransferIn, TransferOut, Withdraw};
pub use events::{AccountError, AccountEvent};

/// The most one operation may move, so that no sum can overflow.
pub const AMOUNT_MAX: u64 = 1_000_000_000;

/// The most transfers an account may have pending.
pub const PENDING_MAX: usize = 64;

/// One account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    open: bool,
    balance: u64,
    /// Transfers that have left and are not settled: number, amount.
    pending: BTreeMap<u64, u64>,
    operations: u64,
    checksum: u64,
}

impl Actor for Account {
    const KIND: &'static str = "account";
    type Id = u64;
    type Event = AccountEvent;
    type Error = AccountError;
    type Commands = (Open, Deposit, Withdraw, Balance, Audit, TransferOut, TransferIn, Settle);

    fn apply(&mut self, event: &AccountEvent) {
        match *event {
            AccountEvent::Opened { .. } => self.open = true,
            AccountEvent::Deposited { amount, .. } | AccountEvent::TransferArrived { amount, .. } => {
                self.balance += amount;
            }
            AccountEvent::Withdrawn { amount, .. } => self.balance -= amount,
            AccountEvent::TransferLeft { transfer, amount, .. } => {
                self.balance -= amount;
                *self.pending.entry(transfer).or_default() += amount;
            }
            AccountEvent::TransferSettled { transfer, .. } => drop(self.pending.remove(&transfer)),
        }
        self.operations += 1;
        self.checksum = self.checksum.wrapping_add(fingerprint(event.operation()));
    }
}

/// What one operation adds to an account's checksum: a bijective mix, so that different operations differ, and sums of
/// different sets nearly always do.
pub fn fingerprint(operation: u64) -> u64 {
    let mixed = operation.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Account {
    fn ready(&self, amount: u64) -> Result<(), AccountError> {
        if !self.open {
            return Err(AccountError::NotOpen);
        }
        if amount > AMOUNT_MAX {
            return Err(AccountError::TooMuch { amount_max: AMOUNT_MAX });
        }
        Ok(())
    }
    fn covered(&self, amount: u64) -> Result<(), AccountError> {
        self.ready(amount)?;
        if amount > self.balance {
            return Err(AccountError::Insufficient { balance: self.balance });
        }
        Ok(())
    }
}

impl Handle<Open> for Account {
    fn handle(&self, Open { operation }: Open, _: &Ctx<Self>) -> Decision<Self, Open> {
        if self.open {
            return Err(AccountError::AlreadyOpen);
        }
        Ok(Self::emit(AccountEvent::Opened { operation }))
    }
}

impl Handle<Deposit> for Account {
    fn handle(&self, Deposit { operation, amount }: Deposit, _: &Ctx<Self>) -> Decision<Self, Deposit> {
        self.ready(amount)?;
        Ok(Self::emit(AccountEvent::Deposited { operation, amount }).reply(|account| account.balance))
    }
}

impl Handle<Withdraw> for Account {
    fn handle(&self, Withdraw { operation, amount }: Withdraw, _: &Ctx<Self>) -> Decision<Self, Withdraw> {
        self.covered(amount)?;
        Ok(Self::emit(AccountEvent::Withdrawn { operation, amount }).reply(|account| account.balance))
    }
}

impl Handle<Balance> for Account {
    fn handle(&self, _: Balance, _: &Ctx<Self>) -> Decision<Self, Balance> {
        self.ready(0)?;
        Ok(Self::answer(self.balance))
    }
}

impl Handle<Audit> for Account {
    fn handle(&self, _: Audit, _: &Ctx<Self>) -> Decision<Self, Audit> {
        Ok(Self::answer(Audited {
            balance: self.balance,
            pending: self.pending.values().sum(),
            operations: self.operations,
            checksum: self.checksum,
        }))
    }
}

impl Handle<TransferOut> for Account {
    fn handle(&self, asked: TransferOut, _: &Ctx<Self>) -> Decision<Self, TransferOut> {
        let TransferOut { operation, transfer, to, amount } = asked;
        self.covered(amount)?;
        if self.pending.len() >= PENDING_MAX {
            return Err(AccountError::TooManyPending { pending_max: PENDING_MAX });
        }
        let left = AccountEvent::TransferLeft { operation, transfer, to, amount };
        Ok(Self::emit(left).reply(|account| account.balance))
    }
}

impl Handle<TransferIn> for Account {
    fn handle(&self, asked: TransferIn, _: &Ctx<Self>) -> Decision<Self, TransferIn> {
        let TransferIn { operation, transfer, amount } = asked;
        self.ready(amount)?;
        let arrived = AccountEvent::TransferArrived { operation, transfer, amount };
        Ok(Self::emit(arrived).reply(|account| account.balance))
    }
}

impl Handle<Settle> for Account {
    fn handle(&self, Settle { operation, transfer }: Settle, _: &Ctx<Self>) -> Decision<Self, Settle> {
        if !self.pending.contains_key(&transfer) {
            return Err(AccountError::NoSuchTransfer { transfer });
        }
        Ok(Self::emit(AccountEvent::TransferSettled { operation, transfer }).reply(|account| account.balance))
    }
}
