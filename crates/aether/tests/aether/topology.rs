//! Topology events of a real cluster on a real server: whole, whatever becomes of the connection.

use std::time::Duration;

use aether::prelude::*;
use aether::{Since, StreamExt as _, TopologyEvents, TopologyRecord};
use aether_infra_nats::NatsConfig;
use tokio::time::timeout;
use xtask::nats::{NatsServer, ServerOptions};

const PATIENCE: Duration = Duration::from_secs(30);

async fn started(id: &str, config: &NatsConfig) -> Node {
    let node = Node::builder(id).namespace("topology").profile(Profile::Fast).nats(config.clone());
    timeout(PATIENCE, node.start()).await.expect("in time").expect("it starts")
}

/// Reads on until an entry has an event of that name.
async fn until(events: &mut TopologyEvents, name: &str) -> Vec<TopologyRecord> {
    let mut read = Vec::new();
    loop {
        let next = timeout(PATIENCE, events.next()).await.unwrap_or_else(|_| panic!("no {name} in time"));
        read.push(next.expect("it goes on").expect("the log is sound"));
        if read.last().is_some_and(|record| record.clone().only(&[name]).is_some()) {
            return read;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_of_a_real_log_miss_nothing_while_the_server_is_away_and_go_on_from_any_epoch() {
    let mut server = NatsServer::start(ServerOptions::default()).expect("a nats-server");
    let config = NatsConfig::new([server.url()]);
    let first = started("n1", &config).await;
    let second = started("n2", &config).await;
    let ports = aether_infra_nats::connect(&config, &aether_domain::Namespace::new("topology").expect("a name")).await;
    let log = ports.expect("a connection of its own").ports.log;

    // One that a node feeds, one that has nothing but the port, and one that nobody ever reads on.
    let mut beside = first.topology_events(Since::Start);
    let mut alone = aether_runtime::subscription::topology_events(log.clone(), Since::Start);
    let mut stuck = second.topology_events(Since::Start);
    let begin = timeout(PATIENCE, stuck.next()).await.expect("in time");
    let mut read = until(&mut beside, "RebalancingCompleted").await;
    let mut lone = until(&mut alone, "RebalancingCompleted").await;
    let (term, terms) = (read.last().expect("some").term, |read: &[TopologyRecord]| read.last().expect("some").term);

    server.kill().expect("it dies");
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.restart().expect("it comes back");
    let third = started("n3", &config).await;
    for (events, read) in [(&mut beside, &mut read), (&mut alone, &mut lone)] {
        read.extend(until(events, "NodeJoined").await);
        read.extend(until(events, "RebalancingCompleted").await);
        let epochs: Vec<_> = read.iter().map(|record| record.epoch.0).collect();
        assert_eq!(epochs, (1..=epochs.len() as u64).collect::<Vec<_>>(), "each once and in order");
    }
    assert_eq!(read, lone, "whoever asks is told the same");
    assert!(terms(&read) >= term);

    for nth in (0..read.len()).step_by(read.len() / 8) {
        let since = Since::Epoch(read[nth].epoch);
        let rest = aether_runtime::subscription::topology_events(log.clone(), since).take(read.len() - nth - 1);
        let rest: Vec<_> = timeout(PATIENCE, rest.collect()).await.expect("in time");
        let rest: Vec<_> = rest.into_iter().map(|record| record.expect("sound")).collect();
        assert_eq!(rest, read[nth + 1..]);
    }
    let recent: Vec<_> = first.topology_events(Since::Recent(3)).take(3).collect().await;
    assert_eq!(recent.len(), 3);
    assert_eq!(begin.expect("it goes on").as_ref(), Ok(&read[0]));
    let late = until(&mut stuck, "RebalancingCompleted").await;
    assert_eq!(late[..], read[1..=late.len()], "a subscriber that was stuck has missed nothing");
    for node in [first, second, third] {
        node.kill().await;
    }
}
