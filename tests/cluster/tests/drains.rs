//! A node that is asked to end ends in bounded time, whatever happens meanwhile: with 0 if it was let go, and with 1 if not.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use aether::prelude::*;
use aether_cluster_tests::odd::{Add, Odd, Spin, Total};
use aether_cluster_tests::{Cluster, Observer, Seen, Spec, alone};
use aether_domain::ShardCount;
use anyhow::{Context, Result, ensure};
use xtask::clock::{Deadline, Stopwatch, wait_for};
use xtask::cluster::{self, NatsChoice, NodeRecord};
use xtask::nats::{NatsServer, ServerOptions};
use xtask::out;
use xtask::process::{self, Identity, tail};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");
const ODD: &str = env!("CARGO_BIN_EXE_odd-node");

/// Within what a node that was asked to end has ended: it waits 20 s to be let go, 3 s for a handler, and a busy machine may be
/// late. It is less than the 30 s after which Kubernetes kills it.
const ENDS_WITHIN: Duration = Duration::from_secs(28);
/// How long it waits to be let go.
const WAITS: Duration = Duration::from_secs(20);
/// How long a move is waited for once a node was asked to leave.
const MOVE_LIMIT: Duration = Duration::from_secs(18);
/// Within what the others are whole again.
const WHOLE_LIMIT: Duration = Duration::from_secs(45);
/// How long anything else may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Plays on four unsupervised nodes under load, on a server that can be taken away.
fn on_four_nodes(play: impl FnOnce(&Cluster, &mut NatsServer, &Observer) -> Result<()>) -> Result<()> {
    let alone = alone();
    let mut server = NatsServer::start(ServerOptions { own_group: true, ..ServerOptions::default() })?;
    let nats = NatsChoice::Running { urls: vec![server.url()], replicas: 1 };
    let spec = Spec { nodes: 4, ..Spec::of(PROGRAM).fast().unsupervised() };
    let mut cluster = Cluster::up_on(&spec, alone, nats, BTreeMap::new())?;
    let observer = Observer::of(&cluster.file()?)?;
    let played = cluster.wait_balanced(4, WHOLE_LIMIT).and_then(|_| play(&cluster, &mut server, &observer));
    if played.is_err() {
        cluster.leave_traces();
    }
    played
}

fn ask_to_end(node: &NodeRecord) -> Result<Stopwatch> {
    node.process.terminate()?;
    Ok(Stopwatch::start())
}

/// How that process has ended, and how long after it was asked to.
fn ended(process: &Identity, asked: Stopwatch) -> Result<(Option<i32>, Duration)> {
    process.wait_gone(ENDS_WITHIN.saturating_sub(asked.elapsed()))?;
    let took = asked.elapsed();
    let status = wait_for("its exit code", Deadline::after(LIMIT), || Ok(process.exit_status()))?;
    out::note(format!("ended with {:?} after {:.1} s", status.code(), took.as_secs_f64()));
    Ok((status.code(), took))
}

/// The first entry that says that shards of that node are on their way.
fn first_move(observer: &Observer, place: usize, id: &str) -> Result<Seen> {
    let from = format!("{id}/");
    observer.first(place, "move away from it", MOVE_LIMIT, |seen| {
        seen.events("ShardMigrationStarted")
            .any(|event| event["from"].as_str().is_some_and(|life| life.starts_with(&from)))
    })
}

fn has_left(observer: &Observer, place: usize, id: &str) -> Result<()> {
    let left = |seen: &Seen| seen.nodes("NodeLeft").any(|node| node == id);
    observer.first(place, "word that it has left", LIMIT, left).map(drop)
}

#[test]
fn while_nats_is_gone_for_longer_a_node_that_is_asked_to_end_ends_with_1_and_says_that_nobody_let_it_go() -> Result<()>
{
    on_four_nodes(|cluster, server, _| {
        let id = cluster.follower()?;
        let node = cluster.node(&id)?;
        let asked = ask_to_end(&node)?;
        server.kill()?;
        let (code, took) = ended(&node.process, asked)?;
        ensure!(code == Some(1) && took >= WAITS, "{id} ended with {code:?} after {took:?}");
        let said = tail(&node.log, 40);
        ensure!(said.contains("nobody let it go in time"), "{said}");
        // And what that means, for whoever reads the end of it.
        let meaning = said.lines().find_map(|line| line.strip_prefix("aether: ")).unwrap_or_default();
        for part in [
            &*format!("node {id}"),
            "without having handed over",
            "nothing acknowledged is lost",
            "check that NATS answers",
        ] {
            ensure!(meaning.contains(part), "{part:?} is missing: {said}");
        }
        server.restart()?;
        cluster.wait_whole(3, WHOLE_LIMIT)?;
        cluster.verify().map(drop)
    })
}

#[test]
fn while_nats_is_gone_and_comes_back_a_node_that_is_asked_to_end_is_let_go_and_ends_with_0() -> Result<()> {
    on_four_nodes(|cluster, server, observer| {
        let id = cluster.follower()?;
        let (node, place) = (cluster.node(&id)?, observer.so_far());
        let asked = ask_to_end(&node)?;
        server.kill()?;
        std::thread::sleep(Duration::from_secs(4));
        server.restart()?;
        let (code, _) = ended(&node.process, asked)?;
        ensure!(code == Some(0), "{id} ended with {code:?}");
        has_left(observer, place, &id)?;
        cluster.wait_whole(3, WHOLE_LIMIT)?;
        cluster.verify().map(drop)
    })
}

#[test]
fn whose_destination_is_killed_in_the_middle_hands_over_to_others_and_ends_with_0() -> Result<()> {
    on_four_nodes(|cluster, _, observer| {
        let (leader, id) = (cluster.leader()?, cluster.follower()?);
        let (node, place) = (cluster.node(&id)?, observer.so_far());
        let asked = ask_to_end(&node)?;
        let moves = first_move(observer, place, &id)?;
        let mut to = moves.events("ShardMigrationStarted").filter_map(|event| event["to"].as_str()?.split('/').next());
        let destination = to.find(|to| *to != leader).context("it does not move to the leader alone")?;
        cluster::kill(cluster.dir(), destination)?;
        let (code, _) = ended(&node.process, asked)?;
        ensure!(code == Some(0), "{id} ended with {code:?} although others could have what it had");
        has_left(observer, place, &id)?;
        cluster.wait_whole(2, WHOLE_LIMIT)?;
        cluster.verify().map(drop)
    })
}

#[test]
fn whose_leader_is_killed_meanwhile_is_let_go_by_the_next_and_ends_with_0() -> Result<()> {
    on_four_nodes(|cluster, _, observer| {
        let (leader, id) = (cluster.leader()?, cluster.follower()?);
        let (node, place) = (cluster.node(&id)?, observer.so_far());
        let asked = ask_to_end(&node)?;
        first_move(observer, place, &id)?;
        cluster::kill(cluster.dir(), &leader)?;
        let (code, _) = ended(&node.process, asked)?;
        ensure!(code == Some(0), "{id} ended with {code:?} although another could lead");
        has_left(observer, place, &id)?;
        cluster.wait_whole(2, WHOLE_LIMIT)?;
        cluster.verify().map(drop)
    })
}

#[test]
fn whose_handler_never_ends_hands_over_everything_else_and_ends_with_1() -> Result<()> {
    let _alone = alone();
    let (server, folder) = (NatsServer::start(ServerOptions::default())?, tempfile::tempdir()?);
    let (namespace, log, starts) = ("stuck", folder.path().join("stuck.log"), folder.path().join("starts"));
    let mut command = Command::new(ODD);
    process::without_our_variables(&mut command);
    // Its watchdog would wait for longer than it does itself.
    command.args([&server.url(), namespace, "stuck"]).arg(starts).arg("120000").stdin(Stdio::null());
    let stuck = Killed(process::spawn(command, &log)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let node = Node::builder("well").namespace(namespace).actor::<Odd>();
        let node = node.nats(NatsConfig::new([server.url()])).start().await?;
        let owner = |id: &str| {
            let topology = node.source().picture()?.topology;
            let shard = node.actor::<Odd>(id.to_owned()).address().slot.shard(ShardCount::DEFAULT);
            Some(topology.owner(shard)?.0.node.to_string())
        };
        // The other has a thousand times the weight.
        let all = async {
            while (0..20).any(|nth| owner(&nth.to_string()).is_none_or(|owner| owner != "stuck")) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, all).await.context("the heavy one has the shards")?;
        for nth in 0..20 {
            node.actor::<Odd>(nth.to_string()).ask(Add(7)).await?;
        }
        // Nobody is waited for who asks this.
        drop(tokio::time::timeout(Duration::from_secs(2), node.actor::<Odd>("0".to_owned()).ask(Spin())).await);
        // It goes on with everything else.
        for nth in 1..20 {
            let actor = node.actor::<Odd>(nth.to_string()).timeout(LIMIT);
            let total =
                actor.ask(Total()).await.with_context(|| format!("actor {nth}, beside the handler that hangs"))?;
            ensure!(total == 7 && owner(&nth.to_string()).as_deref() == Some("stuck"), "actor {nth} has {total}");
        }
        stuck.0.terminate()?;
        let (code, took) = tokio::task::spawn_blocking(move || {
            let asked = Stopwatch::start();
            ended(&stuck.0, asked)
        })
        .await??;
        ensure!(code == Some(1) && took >= WAITS, "it ended with {code:?} after {took:?}");
        for nth in 0..20 {
            let total = node.actor::<Odd>(nth.to_string()).timeout(LIMIT).ask(Total()).await?;
            ensure!(total == 7, "actor {nth} has {total}");
        }
        let left = node.drain().await;
        ensure!(matches!(left, Ended::Left { .. }), "{left}");
        Ok(())
    })
}

/// A process that does not outlive its test.
struct Killed(Identity);

impl Drop for Killed {
    fn drop(&mut self) {
        // Usually it has ended.
        let _ = self.0.kill();
    }
}
