//! The load finds what it is there to find: a bank that loses, doubles or forgets is caught, an honest one is not blamed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aether::config::LoadSettings;
use aether::demo::bank::{
    AccountError, Audited, Deposit, Open, Settle, TransferIn, TransferOut, Withdraw, fingerprint,
};
use aether::demo::load::{Asked, Load, LoadView, Said, Teller, Told};
use aether_domain::MessageId;
use aether_runtime::clock::{BootClock, Clock};
use async_trait::async_trait;
use tokio::time::{sleep, timeout};

/// How a bank misbehaves, every 40th question.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// The answer gets lost after the operation was applied.
    LosesAnswers,
    /// As above, and it does not recognise the repeat.
    AppliesTwice,
    /// The operation is acknowledged and not applied.
    LosesOperations,
    /// The read is a little off.
    ReadsStale,
}

/// A bank written a second time, without actors.
struct PlainBank {
    fault: Fault,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<u64, Plain>,
    answered: BTreeMap<u128, Told>,
    asked: u64,
}

#[derive(Clone, Default)]
struct Plain {
    open: bool,
    held: Audited,
    pending: BTreeMap<u64, u64>,
}

impl Plain {
    fn apply(&mut self, asked: &Asked) -> Told {
        let short = Told::Refused(AccountError::Insufficient { balance: self.held.balance });
        match *asked {
            Asked::Open(Open { .. }) => self.open = true,
            Asked::Deposit(Deposit { amount, .. }) | Asked::TransferIn(TransferIn { amount, .. }) => {
                self.held.balance += amount;
            }
            Asked::Withdraw(Withdraw { amount, .. }) | Asked::TransferOut(TransferOut { amount, .. })
                if amount > self.held.balance =>
            {
                return short;
            }
            Asked::Withdraw(Withdraw { amount, .. }) => self.held.balance -= amount,
            Asked::TransferOut(TransferOut { transfer, amount, .. }) => {
                self.held.balance -= amount;
                self.held.pending += amount;
                self.pending.insert(transfer, amount);
            }
            Asked::Settle(Settle { transfer, .. }) => {
                self.held.pending -= self.pending.remove(&transfer).unwrap_or_default();
            }
            Asked::Balance(_) => return Told::Said(Said::Balance(self.held.balance)),
            Asked::Audit(_) => return Told::Said(Said::Audited(self.held)),
        }
        self.held.operations += 1;
        self.held.checksum =
            self.held.checksum.wrapping_add(fingerprint(asked.operation().expect("only operations come here")));
        Told::Said(if matches!(asked, Asked::Open(_)) { Said::Done } else { Said::Balance(self.held.balance) })
    }
}

#[async_trait]
impl Teller for PlainBank {
    async fn ask(&self, account: u64, asked: &Asked, message: MessageId) -> Told {
        tokio::task::yield_now().await;
        let mut state = self.state.lock().expect("no panic");
        state.asked += 1;
        let strikes = state.asked.is_multiple_of(40);
        if let Some(told) = state.answered.get(&message.0).filter(|_| self.fault != Fault::AppliesTwice) {
            return told.clone();
        }
        let entry = state.accounts.entry(account).or_default();
        let before = entry.clone();
        let told = entry.apply(asked);
        match self.fault {
            Fault::LosesOperations if strikes && asked.operation().is_some() => *entry = before,
            Fault::ReadsStale if strikes && matches!(asked, Asked::Balance(_)) => {
                return Told::Said(Said::Balance(before.held.balance + 1));
            }
            _ => {}
        }
        state.answered.insert(message.0, told.clone());
        match self.fault {
            Fault::LosesAnswers | Fault::AppliesTwice if strikes => Told::Unheard { reason: "lost".into() },
            _ => told,
        }
    }
}

const SEED: u64 = 0x0ae7;

fn started(fault: Fault) -> Load {
    let bank = PlainBank { fault, state: Mutex::default() };
    Load::start(Arc::new(bank), LoadSettings { workers: 4, accounts: 16 }, SEED, Arc::new(BootClock))
}

/// Lets it run until `done` of its page, then audits.
async fn run(fault: Fault, done: impl Fn(&LoadView) -> bool) -> LoadView {
    let load = started(fault);
    let seen = async {
        while !done(&load.view()) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), seen).await.unwrap_or_else(|_| panic!("never so: {:?}", load.view()));
    let view = load.verify().await;
    load.stop();
    assert!(view.verified, "{view:?}");
    view
}

#[tokio::test]
async fn an_honest_bank_is_exact() {
    let view = run(Fault::None, |view| view.acknowledged > 5_000 && view.refused > 0).await;
    assert_eq!((view.lost, view.applied_twice, view.sums_exact), (0, 0, true), "{view:?}");
    assert_eq!((view.errors, view.wrong_answers, view.in_flight, view.accounts), (0, 0, 0, 16), "{view:?}");
}

#[tokio::test]
async fn lost_answers_are_asked_for_again_and_cost_nothing() {
    let view = run(Fault::LosesAnswers, |view| view.errors > 20).await;
    assert_eq!((view.lost, view.applied_twice, view.sums_exact, view.wrong_answers), (0, 0, true, 0), "{view:?}");
    assert!(view.slowest_ms >= 10, "a repeat waits a little: {view:?}");
}

#[tokio::test]
async fn an_operation_applied_twice_is_found() {
    let view = run(Fault::AppliesTwice, |view| view.errors > 20).await;
    assert!(view.applied_twice > 0 && view.lost == 0 && !view.sums_exact, "{view:?}");
    assert!(view.wrong_answers > 0 && view.last_error.is_some(), "{view:?}");
}

#[tokio::test]
async fn a_lost_operation_is_found() {
    let view = run(Fault::LosesOperations, |view| view.acknowledged > 2_000).await;
    assert!(view.lost > 0 && view.applied_twice == 0 && !view.sums_exact, "{view:?}");
}

#[tokio::test]
async fn a_stale_read_is_found_though_every_sum_is_right() {
    let view = run(Fault::ReadsStale, |view| view.wrong_answers > 0).await;
    assert_eq!((view.lost, view.applied_twice, view.sums_exact), (0, 0, true), "{view:?}");
}

#[tokio::test]
async fn the_load_goes_on_after_an_audit() {
    let load = started(Fault::None);
    for round in 1..=3 {
        let before = load.verify().await;
        assert!(before.verified && before.sums_exact, "round {round}: {before:?}");
        let more = async {
            while load.view().acknowledged <= before.acknowledged {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(60), more).await.expect("it goes on");
    }
    load.stop();
}

/// Nobody answers.
struct Silence;

#[async_trait]
impl Teller for Silence {
    async fn ask(&self, _: u64, _: &Asked, _: MessageId) -> Told {
        Told::Unheard { reason: "nobody there".into() }
    }
}

#[tokio::test(start_paused = true)]
async fn an_audit_of_a_silent_bank_ends_and_says_so() {
    let clock: Arc<dyn Clock> = Arc::new(BootClock);
    let load = Load::start(Arc::new(Silence), LoadSettings { workers: 2, accounts: 4 }, SEED, clock);
    while load.view().in_flight < 2 {
        tokio::task::yield_now().await;
    }
    let view = load.verify().await;
    load.stop();
    assert!(!view.verified && view.in_flight == 2 && view.acknowledged == 0, "{view:?}");
    assert_eq!(view.last_error.as_deref().map(|said| said.ends_with("nobody there")), Some(true), "{view:?}");
}

/// Answers operations until it falls silent, and never an audit.
struct Unauditable {
    bank: PlainBank,
    silent: AtomicBool,
}

#[async_trait]
impl Teller for Unauditable {
    async fn ask(&self, account: u64, asked: &Asked, message: MessageId) -> Told {
        if matches!(asked, Asked::Audit(_)) || self.silent.load(Ordering::SeqCst) {
            std::future::pending().await
        } else {
            self.bank.ask(account, asked, message).await
        }
    }
}

#[tokio::test]
async fn after_an_audit_whose_reader_went_away_a_gap_is_a_gap_again() {
    let bank = PlainBank { fault: Fault::None, state: Mutex::default() };
    let teller = Arc::new(Unauditable { bank, silent: AtomicBool::new(false) });
    let settings = LoadSettings { workers: 2, accounts: 4 };
    let load = Load::start(teller.clone(), settings, SEED, Arc::new(BootClock));
    timeout(Duration::from_secs(3), load.verify()).await.expect_err("the reader goes away first");
    let before = load.view();
    let more = async {
        while load.view().acknowledged <= before.acknowledged {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), more).await.expect("the workers go on");
    assert!(load.view().longest_gap_ms < 3_000, "the pause was none of theirs: {:?}", load.view());
    teller.silent.store(true, Ordering::SeqCst);
    sleep(Duration::from_millis(3_500)).await;
    load.stop();
    assert!(load.view().longest_gap_ms >= 3_000, "nobody has answered meanwhile: {:?}", load.view());
}
