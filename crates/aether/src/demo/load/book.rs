//! One worker's accounts as they must be: it draws what to ask next, judges each answer and, at an audit, the sums.
//!
//! Pure: randomness is its own seeded generator, and it knows nothing of how an account is asked.

use std::collections::{BTreeMap, VecDeque};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::asked::{Asked, Said, Told};
use crate::demo::bank::{
    AccountError, Audited, Balance, Deposit, Open, PENDING_MAX, Settle, TransferIn, TransferOut, Withdraw, fingerprint,
};

/// The most one operation of the load moves.
const AMOUNT_MAX: u64 = 100;

/// The most steps of transfers that wait to be asked. Below the account's own bound, so that it never refuses for it.
const STEPS_WAITING_MAX: usize = PENDING_MAX / 2;

/// One operation to ask, of which account.
#[derive(Clone, Debug)]
pub struct Step {
    /// The account.
    pub account: u64,
    /// The question.
    pub asked: Asked,
}

/// What an audit of one account found. All zero and exact if everything is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Acknowledged operations that are not in the account.
    pub lost: u64,
    /// Operations that are there once too often.
    pub applied_twice: u64,
    /// Whether balance and pending are off.
    pub sums_wrong: bool,
}

/// What one account must hold.
#[derive(Clone, Debug, Default)]
struct Ledger {
    open: bool,
    audited: Audited,
    pending: BTreeMap<u64, u64>,
}

/// One worker's accounts.
#[derive(Debug)]
pub struct Book {
    dice: SmallRng,
    accounts: BTreeMap<u64, Ledger>,
    /// Accounts by place, for drawing.
    places: Vec<u64>,
    /// Second and third steps of transfers.
    waiting: VecDeque<Step>,
    /// Never used twice in one load: the worker's number in the high bits.
    next_operation: u64,
}

impl Book {
    /// The book of that worker (below 65,536) over these accounts, of which nobody else makes operations.
    ///
    /// # Panics
    /// With fewer than two accounts: there would be nothing to transfer between.
    pub fn new(worker: u16, accounts: impl IntoIterator<Item = u64>, seed: u64) -> Self {
        let accounts: BTreeMap<_, _> = accounts.into_iter().map(|account| (account, Ledger::default())).collect();
        let places: Vec<_> = accounts.keys().copied().collect();
        assert!(places.len() >= 2, "a worker needs two accounts to transfer between");
        let dice = SmallRng::seed_from_u64(seed ^ u64::from(worker));
        let waiting = VecDeque::new();
        Self { dice, accounts, places, waiting, next_operation: u64::from(worker) << 48 }
    }

    /// The accounts of this book.
    pub fn accounts(&self) -> impl Iterator<Item = u64> + '_ {
        self.places.iter().copied()
    }

    /// What to ask next. Report the answer before asking for another.
    pub fn draw(&mut self) -> Step {
        if let Some(&account) = self.places.iter().find(|account| !self.accounts[account].open) {
            let operation = self.number();
            return Step { account, asked: Asked::Open(Open { operation }) };
        }
        let overdue = self.waiting.len() >= STEPS_WAITING_MAX;
        let follow = overdue || self.dice.random_ratio(1, 3);
        if follow && let Some(step) = self.waiting.pop_front() {
            return step;
        }
        let place = self.dice.random_range(0..self.places.len());
        let account = self.places[place];
        let amount = self.dice.random_range(1..=AMOUNT_MAX);
        let asked = match self.dice.random_range(0..10) {
            0..4 => Asked::Deposit(Deposit { operation: self.number(), amount }),
            // Twice as much, so that balances stay low and refusals happen.
            4..6 => Asked::Withdraw(Withdraw { operation: self.number(), amount: amount * 2 }),
            6..8 => {
                let further = self.dice.random_range(1..self.places.len());
                let to = self.places[(place + further) % self.places.len()];
                let operation = self.number();
                Asked::TransferOut(TransferOut { operation, transfer: operation, to, amount })
            }
            _ => Asked::Balance(Balance {}),
        };
        Step { account, asked }
    }

    fn number(&mut self) -> u64 {
        self.next_operation += 1;
        self.next_operation
    }

    /// Takes the account's answer to `step` into the book.
    ///
    /// # Errors
    /// What is wrong with the answer: an account that has everything acknowledged so far, once, would not give it.
    pub fn answered(&mut self, step: &Step, told: &Told) -> Result<(), String> {
        let ledger = self.accounts.get_mut(&step.account).expect("steps are drawn from the book's own accounts");
        let expected = ledger.judge(&step.asked);
        let matches = expected == *told;
        let wrong = || Err(format!("account {}: {:?} got {told:?}, expected {expected:?}", step.account, step.asked));
        if let Told::Said(_) = told {
            ledger.take(&step.asked);
            if let Asked::TransferOut(TransferOut { transfer, to, amount, .. }) = step.asked {
                let operation = self.number();
                let arrive = Asked::TransferIn(TransferIn { operation, transfer, amount });
                let settle = Asked::Settle(Settle { operation: self.number(), transfer });
                self.waiting.push_back(Step { account: to, asked: arrive });
                self.waiting.push_back(Step { account: step.account, asked: settle });
            }
        }
        if matches { Ok(()) } else { wrong() }
    }

    /// Compares an account with what it must hold. Only meaningful while no operation of it is under way.
    pub fn audit(&self, account: u64, found: Audited) -> Difference {
        let expected = self.accounts.get(&account).map(|ledger| ledger.audited).unwrap_or_default();
        let mut difference = Difference {
            lost: expected.operations.saturating_sub(found.operations),
            applied_twice: found.operations.saturating_sub(expected.operations),
            sums_wrong: (expected.balance, expected.pending) != (found.balance, found.pending),
        };
        if expected.operations == found.operations && expected.checksum != found.checksum {
            // As many, but not the same ones: at least one is missing and another is there twice.
            difference.lost = 1;
            difference.applied_twice = 1;
        }
        difference
    }

    /// What all accounts of the book must hold together, pending money included.
    pub fn total(&self) -> u64 {
        self.accounts.values().map(|ledger| ledger.audited.balance + ledger.audited.pending).sum()
    }
}

impl Ledger {
    /// What the account must answer.
    fn judge(&self, asked: &Asked) -> Told {
        let balance = self.audited.balance;
        let said = |balance| Told::Said(Said::Balance(balance));
        match asked {
            Asked::Open(_) if self.open => Told::Refused(AccountError::AlreadyOpen),
            Asked::Open(_) => Told::Said(Said::Done),
            Asked::Audit(_) => Told::Said(Said::Audited(self.audited)),
            _ if !self.open => Told::Refused(AccountError::NotOpen),
            Asked::Withdraw(Withdraw { amount, .. }) | Asked::TransferOut(TransferOut { amount, .. }) => {
                match balance.checked_sub(*amount) {
                    Some(left) => said(left),
                    None => Told::Refused(AccountError::Insufficient { balance }),
                }
            }
            Asked::Deposit(Deposit { amount, .. }) | Asked::TransferIn(TransferIn { amount, .. }) => {
                said(balance + amount)
            }
            Asked::Settle(_) | Asked::Balance(_) => said(balance),
        }
    }

    /// An operation was acknowledged.
    fn take(&mut self, asked: &Asked) {
        let audited = &mut self.audited;
        match asked {
            Asked::Open(_) => self.open = true,
            Asked::Deposit(Deposit { amount, .. }) | Asked::TransferIn(TransferIn { amount, .. }) => {
                audited.balance += amount;
            }
            Asked::Withdraw(Withdraw { amount, .. }) => audited.balance = audited.balance.saturating_sub(*amount),
            Asked::TransferOut(TransferOut { transfer, amount, .. }) => {
                audited.balance = audited.balance.saturating_sub(*amount);
                audited.pending += amount;
                self.pending.insert(*transfer, *amount);
            }
            Asked::Settle(Settle { transfer, .. }) => {
                audited.pending -= self.pending.remove(transfer).unwrap_or_default();
            }
            Asked::Balance(_) | Asked::Audit(_) => return,
        }
        if let Some(operation) = asked.operation() {
            audited.operations += 1;
            audited.checksum = audited.checksum.wrapping_add(fingerprint(operation));
        }
    }
}
