//! The loop over stores that do not answer, end what they began, or hold what nobody can read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aether_domain::cluster::{ClusterSettings, NodeInfo};
use aether_domain::ports::{
    AppendError, ControlStore, ControlUpdate, Expected, LogUpdate, Ports, ReadError, TopologyLog, Updates, WriteError,
};
use aether_domain::records::{ControlKey, ControlRecord, Entry, Position, StoredEntry, StoredRecord};
use aether_domain::timing::Profile;
use aether_domain::{Namespace, NodeId, Revision, Sequence};
use aether_infra_memory::MemoryHub;
use aether_placement::ShardHash;
use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};

use super::{OnRegression, Phase, StopReason, Strategies};
use crate::actor::KindRegistry;
use crate::clock::BootClock;
use crate::node::{NodeConfig, Runtime};
use crate::shard::MemoryLimits;

/// How these stores behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Nobody answers anything, ever.
    Silent,
    /// Everything is refused at once.
    Refuses,
    /// The log and the watch end as soon as they have begun.
    Ends,
    /// The log has one entry that nobody can read.
    Corrupt,
}

struct Store {
    manner: Manner,
    opened: AtomicUsize,
}

impl Store {
    async fn refuse(&self) -> ReadError {
        if self.manner == Manner::Silent {
            std::future::pending::<()>().await;
        }
        ReadError::Unavailable { cause: "away".into() }
    }

    fn is_away(&self) -> bool {
        matches!(self.manner, Manner::Silent | Manner::Refuses)
    }
}

#[async_trait]
impl ControlStore for Store {
    async fn read(&self, _: &ControlKey) -> Result<Option<StoredRecord>, ReadError> {
        Err(self.refuse().await)
    }
    async fn write(&self, _: &ControlRecord, _: Expected) -> Result<Revision, WriteError> {
        Err(WriteError::Unavailable { cause: self.refuse().await.into() })
    }
    async fn watch(&self) -> Result<Updates<ControlUpdate>, ReadError> {
        if self.is_away() {
            return Err(self.refuse().await);
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        let ends = self.manner == Manner::Ends;
        let told = stream::iter([ControlUpdate::CaughtUp]);
        Ok(if ends { Box::pin(told) } else { Box::pin(told.chain(stream::pending())) })
    }
}

#[async_trait]
impl TopologyLog for Store {
    async fn append(&self, _: &Entry, _: Sequence) -> Result<Position, AppendError> {
        Err(AppendError::Unavailable { cause: self.refuse().await.into() })
    }
    async fn read(&self, _: Sequence, _: usize) -> Result<Vec<StoredEntry>, ReadError> {
        if self.is_away() {
            return Err(self.refuse().await);
        }
        Ok(Vec::new())
    }
    async fn follow(&self, _: Sequence) -> Result<Updates<LogUpdate>, ReadError> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let corrupt = LogUpdate::Corrupt { sequence: Sequence(1), reason: "spoiled".into() };
        Ok(Box::pin(stream::iter((self.manner == Manner::Corrupt).then_some(corrupt))))
    }
}

/// A node over such stores; everything else is in memory.
fn start(manner: Manner) -> (Runtime, Arc<Store>) {
    let node = NodeId::new("n1").expect("a valid name");
    let store = Arc::new(Store { manner, opened: AtomicUsize::new(0) });
    let ports = Ports { control: store.clone(), log: store.clone(), ..MemoryHub::new().ports(&node) };
    let config = NodeConfig {
        namespace: Namespace::new("test").expect("a valid name"),
        node,
        profile: Profile::Fast,
        settings: ClusterSettings { hash: ShardHash::ID, ..ClusterSettings::default() },
        info: NodeInfo::default(),
        admin_url: String::new(),
        seed: 7,
        build: "test".into(),
        supervisor: None,
        on_regression: OnRegression::Halt,
        strategies: Strategies::default(),
        limits: MemoryLimits::default(),
    };
    (Runtime::start(ports, Arc::new(BootClock), config, KindRegistry::default()).expect("it starts"), store)
}

const SOON: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_node_that_cannot_reach_the_stores_leaves_and_stops_at_once_when_asked() {
    for manner in [Manner::Silent, Manner::Refuses] {
        let (node, _) = start(manner);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let left = tokio::time::timeout(SOON, node.drain()).await;
        assert_eq!(left, Ok(Some(StopReason::Left)), "{manner:?}");
        let (node, _) = start(manner);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(tokio::time::timeout(SOON, node.stop()).await, Ok(()), "{manner:?}");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_not_followed_again_and_again() {
    let (node, store) = start(Manner::Corrupt);
    let mut status = node.status();
    let faulty = tokio::time::timeout(SOON, status.wait_for(|status| status.phase == Phase::Faulty)).await;
    assert!(faulty.is_ok_and(|status| status.is_ok()), "the fault is told");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(store.opened.load(Ordering::Relaxed) <= 2, "one watch and one follower");
    assert!(tokio::time::timeout(SOON, node.drain()).await.is_ok_and(|left| left.is_some()), "it ends");
}

#[tokio::test]
async fn streams_that_end_at_once_are_begun_again_only_so_often() {
    let (node, store) = start(Manner::Ends);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let opened = store.opened.load(Ordering::Relaxed);
    assert!((4..=14).contains(&opened), "{opened} in a second");
    node.stop().await;
}
