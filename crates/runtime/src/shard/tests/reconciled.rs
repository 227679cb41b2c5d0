//! Shards that do not do what the view says are told again.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::testing::life;
use aether_domain::{Epoch, NodeRef, ShardCount, ShardId};
use aether_infra_memory::MemoryHub;

use crate::actor::KindRegistry;
use crate::clock::BootClock;
use crate::shard::input::Input;
use crate::shard::reconcile::Standing;
use crate::shard::{HostConfig, Release, ShardHost};
use crate::view::{Route, ServeLease, View};

fn shards() -> ShardCount {
    ShardCount::new(4).expect("four is a power of two")
}

fn host(me: &NodeRef) -> (ShardHost, tokio::sync::mpsc::Receiver<Release>) {
    let ports = MemoryHub::new().ports(&me.node);
    let lease = Arc::new(ServeLease::default());
    ShardHost::new(HostConfig::new(Arc::new(BootClock), &ports, KindRegistry::new(), 1, lease, shards()))
}

#[tokio::test]
async fn a_shard_that_has_missed_what_the_view_says_does_it_soon_and_that_is_counted() {
    let (me, other) = (life("a", 1), life("b", 1));
    let (host, mut released) = host(&me);
    let routes = vec![
        Route::Mine { epoch: Epoch(3) },
        Route::Leaving { epoch: Epoch(3), drain_epoch: Epoch(5), to: other.clone() },
        Route::Remote { owner: other },
        Route::Nobody,
    ];
    let view = View { epoch: Epoch(5), shards: shards(), routes, ..View::empty(me.clone()) };
    host.view_changed(&Arc::new(view));
    let standings = || shards().all().map(|shard| host.inner.cells[shard.index()].standing()).collect::<Vec<_>>();
    let elsewhere = Some(Standing::Elsewhere { later: None });
    let right = vec![Some(Standing::Serving(Epoch(3))), Some(Standing::Leaving(Epoch(5))), elsewhere, elsewhere];
    assert_eq!(standings(), right);
    assert_eq!(released.recv().await, Some((ShardId(1), Epoch(5))));

    let serve = |epoch| Input::Activate { me: me.incarnation, epoch: Epoch(epoch) };
    host.inner.offer(ShardId(0), Input::Deactivate { owner: None });
    host.inner.offer(ShardId(1), serve(5));
    host.inner.offer(ShardId(2), serve(5));
    assert_ne!(standings(), right);
    let mended = async {
        while standings() != right || host.stats().unreconciled > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), mended).await.expect("they are told again");
    assert_eq!(host.stats().reconciled, 3);
    assert_eq!(released.recv().await, Some((ShardId(1), Epoch(5))), "what was asked back is released again");
    host.close().await;
}
