//! The workers, and the audit that makes them wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aether_domain::MessageId;
use aether_runtime::clock::Clock;
use futures_util::{StreamExt, stream};
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::asked::{Asked, Said, Told};
use super::book::{Book, Step};
use super::tally::{LoadView, Tally};
use super::teller::Teller;
use crate::config::LoadSettings;
use crate::demo::bank::{Audit, Audited};

/// How long a worker waits before it asks again: at first, and at most.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_millis(250);

/// How long an audit waits for operations under way, and then for the accounts' answers.
const QUIESCE_MAX: Duration = Duration::from_secs(30);
const AUDIT_MAX: Duration = Duration::from_secs(25);

/// How many accounts are audited at once.
const AUDITS_AT_ONCE: usize = 16;

/// A running load. Cheap to clone; stops when told to.
#[derive(Clone)]
pub struct Load {
    shared: Arc<Shared>,
}

struct Shared {
    teller: Arc<dyn Teller>,
    clock: Arc<dyn Clock>,
    books: Vec<Mutex<Book>>,
    tally: Mutex<Tally>,
    /// Held for reading during an operation, for writing during an audit.
    gate: RwLock<()>,
    /// One audit at a time.
    auditing: tokio::sync::Mutex<()>,
    /// Names this load's messages and accounts apart from every other's.
    run: u64,
    messages: Mutex<u64>,
    stop: CancellationToken,
}

/// The time during which the workers wait for an audit: no gap in the service, however long it is and however it ends.
struct Paused<'a>(&'a Shared);

impl<'a> Paused<'a> {
    fn of(shared: &'a Shared) -> Self {
        locked(&shared.tally).pause();
        Self(shared)
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        locked(&self.0.tally).resume(self.0.clock.now());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere does not make plain figures wrong.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Load {
    /// Starts the workers in tasks of their own. Everything random comes from `seed`: with a seed used before, it would
    /// meet that load's accounts and messages again.
    pub fn start(teller: Arc<dyn Teller>, settings: LoadSettings, seed: u64, clock: Arc<dyn Clock>) -> Self {
        let LoadSettings { workers, accounts } = settings;
        // Accounts are numbered run, then place; 48 and 16 bits.
        let account = |place: usize| (seed << 16) | place as u64;
        let books = (0..workers).map(|worker| {
            let own = (worker..accounts).step_by(workers).map(account);
            Mutex::new(Book::new(worker as u16, own, seed))
        });
        let shared = Arc::new(Shared {
            teller,
            books: books.collect(),
            tally: Mutex::new(Tally::new(accounts as u64, clock.now())),
            clock,
            gate: RwLock::new(()),
            auditing: tokio::sync::Mutex::new(()),
            run: seed,
            messages: Mutex::new(0),
            stop: CancellationToken::new(),
        });
        let mut tasks = JoinSet::new();
        for worker in 0..workers {
            tasks.spawn(work(Arc::clone(&shared), worker));
        }
        // Whoever stops the load ends the workers; this task only sees them out.
        tokio::spawn(async move {
            while let Some(ended) = tasks.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "a worker of the load ended");
                }
            }
        });
        Self { shared }
    }

    /// How it stands, without an audit.
    pub fn view(&self) -> LoadView {
        locked(&self.shared.tally).view(self.shared.clock.now())
    }

    /// Lets every operation under way end, asks every account what it holds, compares, and lets the workers go on.
    ///
    /// Answers within a minute. [`LoadView::verified`] is false, and the figures are of the audit before, if an
    /// operation did not end or an account did not answer in time.
    pub async fn verify(&self) -> LoadView {
        let one_at_a_time = self.shared.auditing.lock().await;
        let view = match timeout(QUIESCE_MAX, self.shared.gate.write()).await {
            Ok(quiet) => {
                // Whoever asked may go away meanwhile, and this future with them: the end of the pause is a drop.
                let paused = Paused::of(&self.shared);
                let verified = timeout(AUDIT_MAX, self.audit()).await.is_ok();
                // All figures are of one moment: taken before the workers go on.
                let view = LoadView { verified, ..self.view() };
                drop(paused);
                drop(quiet);
                view
            }
            Err(_) => self.view(),
        };
        drop(one_at_a_time);
        view
    }

    async fn audit(&self) {
        let mut asked = Vec::new();
        for (worker, book) in self.shared.books.iter().enumerate() {
            asked.extend(locked(book).accounts().map(|account| (worker, account)));
        }
        let (mut lost, mut twice, mut exact) = (0, 0, true);
        let mut answers = stream::iter(asked)
            .map(|(worker, account)| async move { (worker, account, self.audit_one(account).await) })
            .buffer_unordered(AUDITS_AT_ONCE);
        let (mut held, mut wrong) = (0, None);
        while let Some((worker, account, found)) = answers.next().await {
            let difference = locked(&self.shared.books[worker]).audit(account, found);
            lost += difference.lost;
            twice += difference.applied_twice;
            if difference.sums_wrong {
                exact = false;
                wrong = Some(format!("account {account} holds {found:?}, which is not what was acknowledged"));
            }
            held += found.balance + found.pending;
        }
        let expected: u64 = self.shared.books.iter().map(|book| locked(book).total()).sum();
        let mut tally = locked(&self.shared.tally);
        tally.audited(lost, twice, exact && held == expected);
        if let Some(wrong) = wrong {
            tally.blame(&wrong);
        }
    }

    /// Asks until the account answers; the audit's own limit ends it.
    async fn audit_one(&self, account: u64) -> Audited {
        let mut pause = RETRY_MIN;
        loop {
            let told = self.shared.teller.ask(account, &Asked::Audit(Audit {}), self.shared.message()).await;
            match told {
                Told::Said(Said::Audited(found)) => return found,
                other => locked(&self.shared.tally).unheard(&format!("audit of account {account}: {other:?}")),
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Ends the workers; operations under way are given up, and so are no longer known to be applied or not.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    fn message(&self) -> MessageId {
        let mut counted = locked(&self.messages);
        *counted += 1;
        MessageId((u128::from(self.run) << 64) | u128::from(*counted))
    }

    /// One operation, asked again under the same id until the account has answered.
    async fn operate(&self, step: &Step, message: MessageId) -> Told {
        let mut pause = RETRY_MIN;
        loop {
            match self.teller.ask(step.account, &step.asked, message).await {
                Told::Unheard { reason } => {
                    locked(&self.tally).unheard(&format!("account {}: {reason}", step.account));
                }
                answered => return answered,
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }
}

async fn work(shared: Arc<Shared>, worker: usize) {
    let book = &shared.books[worker];
    while !shared.stop.is_cancelled() {
        let open = shared.gate.read().await;
        let (step, message) = (locked(book).draw(), shared.message());
        locked(&shared.tally).begun();
        let since = shared.clock.now();
        let told = tokio::select! {
            () = shared.stop.cancelled() => {
                locked(&shared.tally).abandoned();
                return;
            }
            told = shared.operate(&step, message) => told,
        };
        let judged = locked(book).answered(&step, &told);
        let refused = matches!(told, Told::Refused(_));
        let now = shared.clock.now();
        locked(&shared.tally).answered(now, since, refused, judged.err().as_deref());
        drop(open);
    }
}
