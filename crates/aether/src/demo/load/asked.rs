//! One question to one account, and what came of it, in a form that any way of asking can carry.

use aether_runtime::actor::Command;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::demo::bank::{
    AccountError, Audit, Audited, Balance, Deposit, Open, Settle, TransferIn, TransferOut, Withdraw,
};

/// A question.
#[derive(Clone, Debug)]
pub enum Asked {
    /// See [`Open`].
    Open(Open),
    /// See [`Deposit`].
    Deposit(Deposit),
    /// See [`Withdraw`].
    Withdraw(Withdraw),
    /// See [`Balance`].
    Balance(Balance),
    /// See [`Audit`].
    Audit(Audit),
    /// See [`TransferOut`].
    TransferOut(TransferOut),
    /// See [`TransferIn`].
    TransferIn(TransferIn),
    /// See [`Settle`].
    Settle(Settle),
}

/// What an account says when it does not refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// That it is done.
    Done,
    /// Its balance.
    Balance(u64),
    /// What an auditor asks for.
    Audited(Audited),
}

/// What came of asking once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The account's answer: if the question was an operation, it is applied.
    Said(Said),
    /// The account's refusal: nothing is applied.
    Refused(AccountError),
    /// No answer of the account. It may have been applied: ask again under the same id.
    Unheard {
        /// What happened instead, for people.
        reason: String,
    },
}

fn read<T: DeserializeOwned>(json: Value, told: impl Fn(T) -> Told) -> Told {
    serde_json::from_value(json)
        .map_or_else(|fault| Told::Unheard { reason: format!("an answer that cannot be read: {fault}") }, told)
}

fn write(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("numbers can always be written as JSON")
}

impl Asked {
    /// The command's stable name.
    pub fn command(&self) -> &'static str {
        match self {
            Self::Open(_) => Open::NAME,
            Self::Deposit(_) => Deposit::NAME,
            Self::Withdraw(_) => Withdraw::NAME,
            Self::Balance(_) => Balance::NAME,
            Self::Audit(_) => Audit::NAME,
            Self::TransferOut(_) => TransferOut::NAME,
            Self::TransferIn(_) => TransferIn::NAME,
            Self::Settle(_) => Settle::NAME,
        }
    }

    /// The command as JSON.
    pub fn json(&self) -> Value {
        match self {
            Self::Open(asked) => write(asked),
            Self::Deposit(asked) => write(asked),
            Self::Withdraw(asked) => write(asked),
            Self::Balance(asked) => write(asked),
            Self::Audit(asked) => write(asked),
            Self::TransferOut(asked) => write(asked),
            Self::TransferIn(asked) => write(asked),
            Self::Settle(asked) => write(asked),
        }
    }

    /// The number of the operation this is, unless it only looks.
    pub fn operation(&self) -> Option<u64> {
        match self {
            Self::Open(Open { operation })
            | Self::Deposit(Deposit { operation, .. })
            | Self::Withdraw(Withdraw { operation, .. })
            | Self::TransferOut(TransferOut { operation, .. })
            | Self::TransferIn(TransferIn { operation, .. })
            | Self::Settle(Settle { operation, .. }) => Some(*operation),
            Self::Balance(_) | Self::Audit(_) => None,
        }
    }

    /// What a reply in JSON to this question means.
    pub fn replied(&self, json: Value) -> Told {
        match self {
            Self::Open(_) => read(json, |()| Told::Said(Said::Done)),
            Self::Audit(_) => read(json, |audited| Told::Said(Said::Audited(audited))),
            _ => read(json, |balance| Told::Said(Said::Balance(balance))),
        }
    }

    /// What a refusal in JSON means.
    pub fn refused(json: Value) -> Told {
        read(json, Told::Refused)
    }
}
