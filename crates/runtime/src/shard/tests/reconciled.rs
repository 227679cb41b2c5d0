//! Shards that do not do what the view says are told again.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::ports::{Answer, ReadMode};
use aether_domain::records::PayloadCodec;
use aether_domain::testing::life;
use aether_domain::{CommandId, Epoch, NodeRef, ShardCount, ShardId};
use aether_infra_memory::MemoryHub;
use bytes::Bytes;

use super::counter::Counter;
use super::scene::actor;
use crate::actor::KindRegistry;
use crate::clock::{BootClock, Clock as _};
use crate::message::{Outcome, Payload, Responder, Work};
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

#[tokio::test]
async fn a_command_that_is_given_up_while_a_view_is_told_holds_nobody_up() {
    let me = life("a", 1);
    let ports = MemoryHub::new().ports(&me.node);
    let lease = Arc::new(ServeLease::default());
    lease.extend(BootClock.now() + Duration::from_secs(600));
    let mut kinds = KindRegistry::new();
    kinds.register::<Counter>().expect("it is well defined");
    let (host, _released) = ShardHost::new(HostConfig::new(Arc::new(BootClock), &ports, kinds, 1, lease, shards()));
    let view = |epoch| {
        let routes = vec![Route::Mine { epoch: Epoch(epoch) }; 4];
        Arc::new(View { epoch: Epoch(epoch), shards: shards(), routes, ..View::empty(me.clone()) })
    };
    host.view_changed(&view(3));
    // A command that may have ended two lives, left for whoever runs the shard next.
    let work = Work {
        trace: None,
        id: CommandId { origin: me.incarnation, sequence: 1 },
        floor: 1,
        actor: actor(1),
        command: Cow::Borrowed("add"),
        payload: Payload::Encoded(PayloadCodec::Binary, Bytes::from_static(b"\xff")),
        message: None,
        mode: ReadMode::Strict,
        deadline: BootClock.now() + Duration::from_secs(60),
        attempt: 3,
    };
    let (respond, answer) = tokio::sync::oneshot::channel();
    {
        let _held = host.inner.cells[0].try_hold().expect("nobody runs it");
        host.deliver(work, Responder::Waiting(respond));
    }
    let (shown, telling) = (host.clone(), view(4));
    // On a thread of its own: should it never end, this test does.
    let (done, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        shown.view_changed(&telling);
        let _ = done.send(());
    });
    tokio::time::timeout(Duration::from_secs(10), told).await.expect("it ends").expect("it does not panic");
    let outcome = answer.await.expect("it is answered");
    assert!(matches!(outcome, Outcome::Other(Answer::Poisoned { .. })), "{outcome:?}");
    host.close().await;
    assert_eq!(host.stats().letters_kept, 1);
}
