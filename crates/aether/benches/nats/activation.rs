//! How long an actor with a long past takes to answer on a node that has never had it.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aether::prelude::*;
use aether_domain::testing::life;
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, CommandId, Epoch, Namespace, NodeRef, ShardCount, Slot,
};
use aether_infra_nats::NatsConfig;
use aether_runtime::actor::KindRegistry;
use aether_runtime::clock::{BootClock, Clock as _};
use aether_runtime::message::{Outcome, Payload, Responder, Work};
use aether_runtime::shard::{HostConfig, ShardHost};
use aether_runtime::view::{Route, ServeLease, View};
use serde_json::json;
use tokio::sync::oneshot;

use super::{Binary, Get, Put};

/// How many events its history has.
const EVENTS: u64 = 100_000;
/// How many of them are asked for at a time.
const AT_ONCE: u64 = 64;
/// How many nodes load it, one after the other.
const LOADS: u64 = 20;

/// A node's shards, without a cluster around them.
struct Desk {
    host: ShardHost,
    me: NodeRef,
    sequence: AtomicU64,
}

impl Desk {
    async fn open(url: &str, namespace: &Namespace, epoch: u64) -> anyhow::Result<Self> {
        let ports = aether_infra_nats::connect(&NatsConfig::new([url]), namespace).await?.ports;
        let (me, lease) = (life("n1", epoch), Arc::new(ServeLease::default()));
        lease.extend(BootClock.now() + Duration::from_secs(3600));
        let mut kinds = KindRegistry::new();
        kinds.register::<Binary>()?;
        let (clock, seed) = (Arc::new(BootClock), me.incarnation.0);
        let (host, _) = ShardHost::new(HostConfig::new(clock, &ports, kinds, seed, lease, ShardCount::DEFAULT));
        let mut view = View::empty(me.clone());
        view.routes = vec![Route::Mine { epoch: Epoch(epoch) }; ShardCount::DEFAULT.get()];
        host.view_changed(&Arc::new(view));
        Ok(Self { host, me, sequence: AtomicU64::new(0) })
    }

    async fn ask<C: Command>(&self, actor: &ActorAddress, command: C) {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let (respond, answer) = oneshot::channel();
        let work = Work {
            trace: None,
            id: CommandId { origin: self.me.incarnation, sequence },
            floor: sequence.saturating_sub(2 * AT_ONCE),
            actor: actor.clone(),
            command: Cow::Borrowed(C::NAME),
            payload: Payload::Typed(Box::new(command)),
            message: None,
            mode: ReadMode::Leased,
            deadline: BootClock.now() + Duration::from_secs(60),
            attempt: 1,
        };
        self.host.deliver(work, Responder::Waiting(respond));
        let outcome = answer.await.expect("it is answered");
        assert!(matches!(outcome, Outcome::Replied(_) | Outcome::Looked(_)), "{outcome:?}");
    }
}

/// The median time to the first answer, and that of two direct gets of what it takes.
pub(super) async fn measure(url: &str) -> anyhow::Result<(Duration, Duration)> {
    let namespace = Namespace::new("long")?;
    let key = ActorKey { kind: ActorKind::new(Binary::KIND)?, id: ActorId::new("7")? };
    let actor = ActorAddress { key, slot: Slot(0) };
    let writer = Desk::open(url, &namespace, 1).await?;
    for _ in 0..EVENTS / AT_ONCE {
        let puts = (0..AT_ONCE).map(|_| writer.ask(&actor, Put { fill: "x".repeat(super::FILL) }));
        futures_util::future::join_all(puts).await;
    }
    writer.host.close().await;
    let client = async_nats::connect(url).await?;
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for nth in 0..LOADS {
        let desk = Desk::open(url, &namespace, 2 + nth).await?;
        let began = Instant::now();
        desk.ask(&actor, Get {}).await;
        ours.push(began.elapsed());
        anyhow::ensure!(desk.host.stats().snapshots_used == 1, "it was loaded without a snapshot");
        let began = Instant::now();
        for (stream, subject) in [("SNP", "sn"), ("EVT_0", "ev")] {
            let last = json!({ "last_by_subj": format!("aether.long.{subject}.0.000.binary.7") });
            let got = client.request(format!("$JS.API.DIRECT.GET.AETHER_long_{stream}"), last.to_string().into());
            anyhow::ensure!(got.await?.status.is_none(), "there is no such message");
        }
        raw.push(began.elapsed());
    }
    ours.sort_unstable();
    raw.sort_unstable();
    Ok((ours[ours.len() / 2], raw[raw.len() / 2]))
}
