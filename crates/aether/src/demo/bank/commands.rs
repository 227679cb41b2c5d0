//! What an account can be asked. Names and fields are on the wire: they never change their meaning.

use aether_runtime::actor::Command;
use serde::{Deserialize, Serialize};

/// Opens the account; one that is open refuses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Open {
    /// The operation's number.
    pub operation: u64,
}

/// Adds money; answers the new balance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deposit {
    /// The operation's number.
    pub operation: u64,
    /// How much.
    pub amount: u64,
}

/// Takes money that is there; answers the new balance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Withdraw {
    /// The operation's number.
    pub operation: u64,
    /// How much.
    pub amount: u64,
}

/// Answers the balance, without what is pending.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Balance {}

/// Answers everything an auditor compares.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Audit {}

/// First step of a transfer, at its source: the amount leaves the balance and is pending; answers the new balance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TransferOut {
    /// The operation's number.
    pub operation: u64,
    /// The transfer's number, the same in all its steps.
    pub transfer: u64,
    /// The account it goes to.
    pub to: u64,
    /// How much.
    pub amount: u64,
}

/// Second step of a transfer, at its destination; answers the new balance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TransferIn {
    /// The operation's number.
    pub operation: u64,
    /// The transfer's number.
    pub transfer: u64,
    /// How much.
    pub amount: u64,
}

/// Last step of a transfer, at its source: what was pending has arrived; answers the balance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settle {
    /// The operation's number.
    pub operation: u64,
    /// The transfer's number.
    pub transfer: u64,
}

/// What an [`Audit`] answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// What can be spent.
    pub balance: u64,
    /// What has left and is not settled.
    pub pending: u64,
    /// How many operations have been applied.
    pub operations: u64,
    /// The wrapping sum of their [fingerprints](super::fingerprint).
    pub checksum: u64,
}

impl Command for Open {
    const NAME: &'static str = "open";
    type Reply = ();
}
impl Command for Deposit {
    const NAME: &'static str = "deposit";
    type Reply = u64;
}
impl Command for Withdraw {
    const NAME: &'static str = "withdraw";
    type Reply = u64;
}
impl Command for Balance {
    const NAME: &'static str = "balance";
    type Reply = u64;
}
impl Command for Audit {
    const NAME: &'static str = "audit";
    type Reply = Audited;
}
impl Command for TransferOut {
    const NAME: &'static str = "transfer_out";
    type Reply = u64;
}
impl Command for TransferIn {
    const NAME: &'static str = "transfer_in";
    type Reply = u64;
}
impl Command for Settle {
    const NAME: &'static str = "settle";
    type Reply = u64;
}
