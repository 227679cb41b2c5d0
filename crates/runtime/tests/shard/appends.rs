//! What becomes of appends that are begun, on a store that forgets whom to tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aether_domain::ports::{AppendError, BeginAppend, EventStore, OnAppended, ReadError};
use aether_domain::records::{CommitRecord, Position, StoredCommit};
use aether_domain::testing::life;
use aether_domain::{ActorAddress, Sequence};
use aether_infra_memory::MemoryHub;
use async_trait::async_trait;
use tokio::time::timeout;

use crate::bank::{Balance, Deposit};
use crate::desk::{DEADLINE, Desk};

/// How many appends may be under way at once: fewer than are forgotten.
const APPENDS_MAX: usize = 2;

/// A store that begins appends, and drops whom it should tell of the first ones: of every other it has stored the record.
struct Forgetful {
    inner: Arc<dyn EventStore>,
    forgets: AtomicUsize,
}

#[async_trait]
impl EventStore for Forgetful {
    async fn append(
        &self,
        actor: &ActorAddress,
        record: &CommitRecord,
        after: Sequence,
    ) -> Result<Position, AppendError> {
        self.inner.append(actor, record, after).await
    }
    fn begins(&self) -> Option<&dyn BeginAppend> {
        Some(self)
    }
    async fn read(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        self.inner.read(actor, after).await
    }
    async fn read_fresh(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        self.inner.read_fresh(actor, after).await
    }
}

impl BeginAppend for Forgetful {
    fn begin(&self, actor: ActorAddress, record: Arc<CommitRecord>, after: Sequence, told: OnAppended) {
        let forgets = self.forgets.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let inner = self.inner.clone();
        tokio::spawn(async move {
            match forgets {
                Ok(left) if left % 2 == 0 => drop(told),
                Ok(_) => drop((inner.append(&actor, &record, after).await, told)),
                Err(_) => told.tell(inner.append(&actor, &record, after).await),
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_nobody_tells_of_counts_once_and_leaves_room_for_others() {
    const FORGETS: usize = 12;
    let mut store = None;
    let desk = Desk::adjusted(&MemoryHub::new(), life("a", 1), 1, |config| {
        config.appends_max = APPENDS_MAX;
        let forgetful = Arc::new(Forgetful { inner: config.events.clone(), forgets: AtomicUsize::new(FORGETS) });
        config.events = forgetful.clone();
        store = Some(forgetful);
    });
    let store = store.expect("it was adjusted");
    for round in 1..=4 {
        for account in 1..=5 {
            let asked = desk.ask(account, Deposit { amount: 1 });
            assert_eq!(timeout(DEADLINE, asked).await.expect("there is room for it"), Ok(round), "account {account}");
        }
    }
    for account in 1..=5 {
        assert_eq!(desk.ask(account, Balance).await, Ok(4));
    }
    assert_eq!(store.forgets.load(Ordering::SeqCst), 0, "all that it was to forget it has forgotten");
}
