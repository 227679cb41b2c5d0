//! What actors and feeds do that they should not, and what becomes of nodes that have to do with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aether::prelude::*;
use aether::{BootClock, OnFailure};
use aether_cluster_tests::odd::{Add, Boom, HARMFUL, Happened, Odd, Spin};
use aether_cluster_tests::{History, alone};
use aether_domain::{ActorId, ActorKey, ActorKind, Epoch, Namespace, ShardCount};
use aether_placement::ShardHash;
use aether_runtime::clock::Clock as _;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use xtask::clock::{Deadline, wait_for};
use xtask::nats::{NatsServer, ServerOptions};

use crate::forger::Forger;
use crate::stage::{Stage, ask};
use crate::together::Together;

const NAMESPACE: &str = "alerts";

/// How long anything may take that no alert is about.
const LIMIT: Duration = Duration::from_secs(30);

/// Longer than any of these tests: an ask whose handler does not end.
const PATIENCE: Duration = Duration::from_secs(300);

/// Commands at once of one node for one actor: more of two nodes than it lets wait.
const FLOOD: usize = 760;

#[test]
fn what_actors_and_feeds_do_makes_their_alerts_hold_until_it_is_mended() -> Result<()> {
    let _alone = alone();
    let server = NatsServer::start(ServerOptions::default())?;
    let folder = tempfile::tempdir()?;
    let together = Together::on(server.url(), NAMESPACE)?;
    let nodes = [together.start("n1")?, together.start("n2")?];
    let mut stage = Stage::new(&together, folder.path())?;
    stage.until_quiet("two nodes in good order")?;

    feeds(&mut stage, &together, &nodes[0])?;
    panics(&mut stage, &together, &nodes[0])?;
    letters(&mut stage, &together, &nodes[0])?;
    flood(&mut stage, &together, &nodes)?;
    stuck(&mut stage, &together, &nodes[0])
}

/// A handler of events gives one up, and another does not get on.
fn feeds(stage: &mut Stage<'_>, together: &Together, node: &Node) -> Result<()> {
    let _on_runtime = together.runtime().enter();
    let failing = Arc::new(AtomicBool::new(true));
    let fails = Arc::clone(&failing);
    let stuck = move |_: Recorded<Happened>| {
        let fails = fails.load(Ordering::SeqCst);
        async move { if fails { Err("its database is gone".into()) } else { Ok(()) } }
    };
    let options =
        FeedOptions { retry_pause: (Duration::from_millis(10), Duration::from_millis(100)), ..FeedOptions::default() };
    let waits = node.subscribe::<Odd>("waits", options.clone().of_actor("old"), stuck)?;
    let refuses = |_: Recorded<Happened>| async { Err("it wants none of it".into()) };
    let careless = FeedOptions { on_failure: OnFailure::SkipAfter { tries: 1 }, ..options };
    let skips = node.subscribe::<Odd>("skips", careless, refuses)?;
    stage.until_quiet("nothing to handle")?;

    // Stored two minutes ago, by what it says itself.
    let then = WallTime { unix_millis: BootClock.wall().unix_millis - 120_000 };
    Forger::of(&together.url, NAMESPACE)?.commit("odd", "old", &json!({"Added": 1}), Epoch(1), then)?;
    stage.until_hold(
        "an event is given up, and one is not handled for minutes",
        &["AetherFeedSkips", "AetherFeedLags"],
    )?;
    failing.store(false, Ordering::SeqCst);
    stage.until_quiet("it is handled")?;
    together.runtime().block_on(async { tokio::join!(waits.stop(), skips.stop()) });
    Ok(())
}

/// Commands panic, until their actor is set aside.
fn panics(stage: &mut Stage<'_>, together: &Together, node: &Node) -> Result<()> {
    let boom = |id: &str| together.runtime().block_on(node.actor::<Odd>(id.to_owned()).timeout(LIMIT).ask(Boom()));
    let poisoned = |said: &Result<(), AskError<_>>| matches!(said, Err(AskError::Poisoned { .. }));
    let said = boom("touchy");
    ensure!(poisoned(&said), "{said:?}");
    stage.until_hold("a command panics", &["AetherCommandsPoisoned"])?;
    stage.until_quiet("that was long ago")?;
    let said = boom("touchy");
    stage.until_hold(&format!("and another: {said:?}"), &["AetherActorsQuarantined"])?;
    ask(&together.url, NAMESPACE, &["actor", "release", "odd", "touchy"])?;
    stage.until_quiet("it is released")
}

/// The letter about a command cannot be kept: its stream is gone.
fn letters(stage: &mut Stage<'_>, together: &Together, node: &Node) -> Result<()> {
    let history = History::connect(&together.url, NAMESPACE)?;
    history.api(&format!("STREAM.DELETE.AETHER_{NAMESPACE}_DLQ"), &Value::Null)?;
    let said = together.runtime().block_on(node.actor::<Odd>("untold".to_owned()).timeout(LIMIT).ask(Boom()));
    ensure!(matches!(said, Err(AskError::Poisoned { .. })), "{said:?}");
    stage.until_hold("nobody keeps the letter", &["AetherCommandsPoisoned", "AetherDeadLettersLost"])?;
    Forger::of(&together.url, NAMESPACE)?;
    stage.until_quiet("the stream is there again")?;
    let said = together.runtime().block_on(node.actor::<Odd>("told".to_owned()).timeout(LIMIT).ask(Boom()));
    ensure!(matches!(said, Err(AskError::Poisoned { .. })), "{said:?}");
    stage.until_hold("a letter is kept", &["AetherCommandsPoisoned"])?;
    let listed = ask(&together.url, NAMESPACE, &["dead-letters", "list"])?;
    ensure!(listed.contains("\"told\"") && !listed.contains("untold"), "{listed}");
    stage.until_quiet("that was long ago")
}

/// Everybody wants one actor.
fn flood(stage: &mut Stage<'_>, together: &Together, nodes: &[Node; 2]) -> Result<()> {
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for node in nodes {
        for _ in 0..FLOOD {
            let (actor, over) = (node.actor::<Odd>("hot".to_owned()).timeout(LIMIT), Arc::clone(&over));
            let asks = async move {
                while !over.load(Ordering::SeqCst) {
                    // What is said does not matter: Busy is among it.
                    let _ = actor.ask(Add(1)).await;
                }
            };
            callers.spawn_on(asks, together.runtime().handle());
        }
    }
    stage.until_hold("everybody wants one actor", &["AetherCommandsBusy"])?;
    over.store(true, Ordering::SeqCst);
    together.runtime().block_on(callers.join_all());
    stage.until_quiet("nobody wants it any more")
}

/// An actor that the node has and that nobody has asked.
fn one_of(node: &Node) -> Result<String> {
    let picture = node.source().picture().context("it runs")?;
    let hash = ShardHash::v1(0, &Namespace::new(NAMESPACE)?);
    for nth in 0..1_000 {
        let id = format!("spins-{nth}");
        let key = ActorKey { kind: ActorKind::new("odd")?, id: ActorId::new(&id)? };
        let shard = hash.address(key).slot.shard(ShardCount::DEFAULT);
        if picture.topology.assignment().shard(shard).owner() == Some(picture.me.incarnation) {
            return Ok(id);
        }
    }
    anyhow::bail!("{} has nothing", node.id())
}

/// A handler does not end on a node that leaves, so its shard cannot.
fn stuck(stage: &mut Stage<'_>, together: &Together, node: &Node) -> Result<()> {
    HARMFUL.store(true, Ordering::SeqCst);
    let spins = node.actor::<Odd>(one_of(node)?).timeout(PATIENCE);
    // Whoever asks runs the handler: here a thread that no other node needs.
    let on = together.runtime().handle().clone();
    let asks = std::thread::spawn(move || on.block_on(spins.ask(Spin())).is_ok());
    stage.until_hold("a handler does not end", &["AetherHandlersSlow"])?;
    let leaves = node.clone();
    let left = together.runtime().spawn(async move { leaves.drain().await });
    stage.until_hold("its node leaves and cannot", &["AetherRebalancingTooLong"])?;
    stage.until_hold("the move is given up", &["AetherMovesFail"])?;
    HARMFUL.store(false, Ordering::SeqCst);
    wait_for("the node to have left", Deadline::after(LIMIT), || Ok(left.is_finished().then_some(())))?;
    together.kill("n1")?;
    ensure!(asks.join().is_ok(), "whoever asked has an answer, whichever");
    stage.until_quiet("it has ended, the node has left")
}
