//! An actor follows its shard from node to node on a real nats-server, and nobody reads its history.

use std::collections::BTreeMap;
use std::time::Duration;

use aether::prelude::*;
use aether::{MovePhase, MoveRole};
use aether_cluster_tests::alone;
use aether_domain::MessageId;
use aether_infra_nats::NatsConfig;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use xtask::nats::{NatsServer, ServerOptions};
use xtask::out;

/// How long anything may take on a machine under load.
const LIMIT: Duration = Duration::from_secs(60);

/// How many actors there are: some in shards that go another way.
const LEDGERS: u64 = 40;

/// In how many moves everybody must come warm, and in how many at most that is tried: a release waits for little state not at all
/// and for more only a moment, so that on a machine under load an actor may be read, which costs nothing but time.
const WARM_MOVES: u64 = 3;
const MOVES_MAX: u64 = 12;

/// When each ledger's reminder is due, after it was set.
const DUE: Duration = Duration::from_secs(8);

#[derive(Default, Serialize, Deserialize)]
struct Ledger {
    total: u64,
    rung: u64,
}

#[derive(Serialize, Deserialize)]
enum Happened {
    Added { by: u64 },
    Rung,
}
impl Event for Happened {}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("a ledger refuses nothing")]
struct Never;

#[derive(Clone, Serialize, Deserialize)]
struct Add {
    by: u64,
}
impl Command for Add {
    const NAME: &'static str = "add";
    type Reply = u64;
}

#[derive(Clone, Serialize, Deserialize)]
struct RingLater {}
impl Command for RingLater {
    const NAME: &'static str = "ring_later";
    type Reply = ();
}

#[derive(Clone, Serialize, Deserialize)]
struct Ring {}
impl Command for Ring {
    const NAME: &'static str = "ring";
    type Reply = ();
}

/// The total, and how often it has rung.
#[derive(Clone, Serialize, Deserialize)]
struct Show {}
impl Command for Show {
    const NAME: &'static str = "show";
    type Reply = (u64, u64);
}

impl Actor for Ledger {
    const KIND: &'static str = "ledger";
    type Id = u64;
    type Event = Happened;
    type Error = Never;
    type Commands = (Add, RingLater, Ring, Show);
    fn apply(&mut self, event: &Happened) {
        match event {
            Happened::Added { by } => self.total += by,
            Happened::Rung => self.rung += 1,
        }
    }
}
impl Handle<Add> for Ledger {
    fn handle(&self, add: Add, _: &Ctx<Self>) -> Decision<Self, Add> {
        Ok(Self::emit(Happened::Added { by: add.by }).reply(|ledger| ledger.total))
    }
}
impl Handle<RingLater> for Ledger {
    fn handle(&self, _: RingLater, _: &Ctx<Self>) -> Decision<Self, RingLater> {
        Ok(Self::nothing().remind(DUE, &Ring {}))
    }
}
impl Handle<Ring> for Ledger {
    fn handle(&self, _: Ring, _: &Ctx<Self>) -> Decision<Self, Ring> {
        Ok(Self::emit(Happened::Rung))
    }
}
impl Handle<Show> for Ledger {
    fn handle(&self, _: Show, _: &Ctx<Self>) -> Decision<Self, Show> {
        Ok(Self::answer((self.total, self.rung)))
    }
}

async fn start(id: &str, url: &str) -> Result<Node> {
    let builder = Node::builder(id).namespace("handover").profile(Profile::Fast);
    Ok(builder.nats(NatsConfig::new([url])).actor::<Ledger>().start().await?)
}

/// What a node has counted, by metric and label.
fn counted(node: &Node) -> BTreeMap<(String, String), u64> {
    let counters = node.source().picture().map(|picture| picture.counters).unwrap_or_default();
    let named = counters
        .into_iter()
        .map(|counter| ((counter.metric.name.to_owned(), counter.label.unwrap_or_default().to_owned()), counter.count));
    named.collect()
}

fn count(node: &Node, metric: &str, label: &str) -> u64 {
    counted(node).get(&(metric.to_owned(), label.to_owned())).copied().unwrap_or_default()
}

/// Asks every ledger to add 1 under a new message id, and again under the one before, and sees that it counts once.
async fn goes_on(node: &Node, step: u64) -> Result<()> {
    let message = |id: u64, step: u64| MessageId(u128::from(id) << 64 | u128::from(step));
    for id in 0..LEDGERS {
        let ledger = node.actor::<Ledger>(id).timeout(LIMIT);
        if step > 0 {
            let again = ledger.ask_with_id(message(id, step - 1), Add { by: 1 }).await?;
            ensure!(again == step, "ledger {id}: the repeat after {step} moves was answered {again}");
        }
        let total = ledger.ask_with_id(message(id, step), Add { by: 1 }).await?;
        ensure!(total == step + 1, "ledger {id} has {total} after {step} moves");
    }
    Ok(())
}

/// Whether everybody has followed its shard from `node` to `next`, and nobody's history was read; if not, what was otherwise. On a
/// machine under load somebody may have been too late. Nobody is too old, and nothing stays behind, however late.
fn came_warm(node: &Node, next: &Node, step: u64) -> Result<Option<String>> {
    let moved = node.moves();
    let mine = moved.iter().filter(|moved| moved.role == MoveRole::Source && moved.actors > 0);
    let (mut actors, mut late, mut versions) = (0, 0, Vec::new());
    for moved in mine {
        late += u64::from(moved.phase() < MovePhase::Acknowledged);
        actors += moved.actors as u64;
        versions.extend(moved.listed.iter().map(|listed| listed.version.0));
    }
    ensure!(versions.iter().all(|version| *version >= step), "{versions:?} after {step} additions");
    let used = count(next, "aether_actors_handed_over", "used");
    let read = next.source().picture().map(|picture| picture.kinds.iter().map(|kind| kind.activations).sum::<u64>());
    let read = read.context("it runs")?;
    let held = count(next, "aether_handover_held_bytes", "moving");
    ensure!(held == 0, "{held} bytes are still held");
    let warm = (actors, late, used, read) == (LEDGERS, 0, LEDGERS, 0);
    let otherwise =
        || format!("{actors} of {LEDGERS} followed, {used} came warm, {read} were read, {late} moves not acknowledged");
    Ok((!warm).then(otherwise))
}

#[test]
fn an_actors_state_follows_it_through_three_moves_and_no_history_is_read() -> Result<()> {
    let _alone = alone();
    let server = NatsServer::start(ServerOptions::default())?;
    let url = server.url();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut node = start("n0", &url).await?;
        for id in 0..LEDGERS {
            node.actor::<Ledger>(id).timeout(LIMIT).ask(RingLater {}).await?;
        }
        goes_on(&node, 0).await?;
        let (mut step, mut warm) = (0, 0);
        while warm < WARM_MOVES {
            step += 1;
            let next = start(&format!("n{step}"), &url).await?;
            tokio::time::timeout(LIMIT, node.drain()).await.context("the node leaves")?;
            goes_on(&next, step).await?;
            match came_warm(&node, &next, step)? {
                None => warm += 1,
                Some(otherwise) => {
                    out::note(format!("move {step}: {otherwise}"));
                    ensure!(step < MOVES_MAX, "{warm} of {step} moves were warm; the last one: {otherwise}");
                }
            }
            node = next;
        }
        // Each reminder was set on the first node; whoever has the actor when it is due runs it, once.
        let all = async {
            for id in 0..LEDGERS {
                while node.actor::<Ledger>(id).timeout(LIMIT).ask(Show {}).await? != (step + 1, 1) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            Ok::<_, anyhow::Error>(())
        };
        tokio::time::timeout(LIMIT, all).await.context("every reminder fires")??;
        tokio::time::sleep(Duration::from_secs(2)).await;
        for id in 0..LEDGERS {
            let shown = node.actor::<Ledger>(id).timeout(LIMIT).ask(Show {}).await?;
            ensure!(shown == (step + 1, 1), "ledger {id} is {shown:?} in the end");
        }
        node.kill().await;
        Ok(())
    })
}
