//! Processes that are killed and frozen, and a server that is: the timers are the default ones, for a leader with the short ones
//! stops leading before anybody can say that it does not renew.

use std::collections::BTreeMap;

use aether_cluster_tests::{Cluster, Spec, alone};
use anyhow::{Result, ensure};
use xtask::cluster::{self, NatsChoice};
use xtask::nats::{NatsServer, ServerOptions};

use crate::PROGRAM;
use crate::stage::{Stage, ask};

#[test]
fn what_really_happens_to_a_cluster_makes_its_alerts_hold_and_they_are_over_when_it_is() -> Result<()> {
    let mut server = NatsServer::start(ServerOptions::default())?;
    let nats = NatsChoice::Running { urls: vec![server.url()], replicas: 1 };
    let spec = Spec { load: None, ..Spec::of(PROGRAM).unsupervised() };
    let cluster = Cluster::up_on(&spec, alone(), nats, BTreeMap::new())?;
    let mut stage = Stage::new(&cluster, cluster.dir())?;
    let file = cluster.file()?;
    let ask = |arguments: &[&str]| ask(&file.nats_urls.join(","), &file.namespace, arguments);
    stage.until_quiet("a cluster in good order")?;

    ask(&["rebalance", "--pause"])?;
    stage.until_hold("paused", &["AetherRebalancingPaused"])?;
    ask(&["rebalance", "--resume"])?;
    stage.until_quiet("resumed")?;

    let leader = cluster.leader()?;
    let others: Vec<_> = cluster.file()?.nodes.into_iter().map(|node| node.id).filter(|id| *id != leader).collect();
    cluster::kill(cluster.dir(), &others[0])?;
    stage.until_hold("one node killed", &["AetherNodeFailed", "AetherNodeUnreachable"])?;
    cluster::kill(cluster.dir(), &others[1])?;
    stage.until_hold(
        "two nodes killed",
        &["AetherNodeFailed", "AetherMajorityOfNodesFailed", "AetherNodeUnreachable", "AetherClusterCritical"],
    )?;
    for id in &others {
        cluster::restart(cluster.dir(), id)?;
    }
    stage.until_quiet("both back")?;

    let frozen = cluster.follower()?;
    cluster::stop(cluster.dir(), &frozen)?;
    stage.until_hold("one node frozen", &["AetherNodeFailed", "AetherNodeUnreachable"])?;
    cluster::resume(cluster.dir(), &frozen)?;
    stage.until_hold("it goes on and hears that its life is over", &["AetherNodeFenced"])?;
    stage.until_quiet("it is back")?;

    server.kill()?;
    stage.until_hold("NATS gone", &["AetherNatsDisconnected"])?;
    stage.until_hold("NATS gone for longer than a lease", &["AetherNatsDisconnected", "AetherNoLeader"])?;
    server.restart()?;
    stage.until_quiet("NATS back")?;
    ensure!(stage.seen.contains("AetherLeaderNotRenewing"), "the lease was not renewed for a while: {:?}", stage.seen);
    let never =
        ["AetherTwoLeadersInOneTerm", "AetherSplitBrainSuspected", "AetherShardMapsDiffer", "AetherShardsUnreconciled"];
    ensure!(never.iter().all(|alert| !stage.seen.contains(*alert)), "{:?}", stage.seen);
    Ok(())
}
