//! What happens to an account, and how it says no.

use aether_runtime::actor::Event;
use serde::{Deserialize, Serialize};

/// A fact in an account's history; each carries the number of the operation that led to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountEvent {
    /// It exists.
    Opened {
        /// The operation's number.
        operation: u64,
    },
    /// Money came.
    Deposited {
        /// The operation's number.
        operation: u64,
        /// How much.
        amount: u64,
    },
    /// Money went.
    Withdrawn {
        /// The operation's number.
        operation: u64,
        /// How much.
        amount: u64,
    },
    /// Money went to another account and is pending.
    TransferLeft {
        /// The operation's number.
        operation: u64,
        /// The transfer's number.
        transfer: u64,
        /// The account it goes to.
        to: u64,
        /// How much.
        amount: u64,
    },
    /// Money came from another account.
    TransferArrived {
        /// The operation's number.
        operation: u64,
        /// The transfer's number.
        transfer: u64,
        /// How much.
        amount: u64,
    },
    /// What was pending has arrived.
    TransferSettled {
        /// The operation's number.
        operation: u64,
        /// The transfer's number.
        transfer: u64,
    },
}

impl Event for AccountEvent {}

impl AccountEvent {
    /// The number of the operation that led to it.
    pub fn operation(&self) -> u64 {
        match *self {
            Self::Opened { operation }
            | Self::Deposited { operation, .. }
            | Self::Withdrawn { operation, .. }
            | Self::TransferLeft { operation, .. }
            | Self::TransferArrived { operation, .. }
            | Self::TransferSettled { operation, .. } => operation,
        }
    }
}

/// Why an account refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum AccountError {
    /// Nobody has opened it.
    #[error("the account is not open")]
    NotOpen,
    /// It is open.
    #[error("the account is open already")]
    AlreadyOpen,
    /// There is less than that.
    #[error("the balance is {balance}")]
    Insufficient {
        /// What there is.
        balance: u64,
    },
    /// One operation may not move that much.
    #[error("one operation moves at most {amount_max}")]
    TooMuch {
        /// The bound.
        amount_max: u64,
    },
    /// Earlier transfers must be settled first.
    #[error("{pending_max} transfers are pending, settle one first")]
    TooManyPending {
        /// The bound.
        pending_max: usize,
    },
    /// No transfer of that number is pending.
    #[error("no transfer {transfer} is pending")]
    NoSuchTransfer {
        /// The number.
        transfer: u64,
    },
}
