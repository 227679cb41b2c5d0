//! Three servers, three replicas: another write in the pipeline, a dead server, no quorum.

use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::Sequence;
use aether_domain::ports::{AppendError, ControlUpdate, Expected, WriteError};
use aether_infra_nats::{NatsConfig, NatsPorts, Promise, connect};
use xtask::nats::NatsCluster;

use crate::support::{actor, commit, eventually, freeze, member, namespace, until};

async fn cluster() -> (NatsCluster, NatsConfig) {
    let cluster = tokio::task::spawn_blocking(|| NatsCluster::start(3)).await.expect("no panic").expect("a cluster");
    let config = NatsConfig { replicas: 3, ..NatsConfig::new(cluster.urls()) };
    (cluster, config)
}

async fn ports(config: &NatsConfig) -> NatsPorts {
    connect(config, &namespace()).await.expect("ports")
}

#[tokio::test]
async fn racing_nodes_set_three_replicas_up_and_may_rely_on_them() {
    let (_cluster, config) = cluster().await;
    let racing = (0..3).map(|_| {
        let config = config.clone();
        tokio::spawn(async move { ports(&config).await })
    });
    for one in racing.collect::<Vec<_>>() {
        let ports = one.await.expect("no panic");
        assert_eq!(*ports.session.promise(), Promise::IfServersSync);
    }
}

#[tokio::test]
async fn a_sequential_writer_never_meets_a_conflict_of_its_own_making() {
    let (_cluster, config) = cluster().await;
    let ports = ports(&config).await;
    let writers = (0..8).map(|writer| {
        let events = ports.events.clone();
        tokio::spawn(async move {
            let (actor, mut after) = (actor(&format!("a{writer}")), Sequence::ZERO);
            for base in 0..250 {
                let stored = events.append(&actor, &commit(base, after, "1"), after).await;
                after = stored.unwrap_or_else(|error| panic!("{base}: {error:?}")).sequence;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no conflict");
    }
}

#[tokio::test]
async fn of_racing_appends_on_replicas_one_is_stored() {
    let (_cluster, config) = cluster().await;
    let ports = ports(&config).await;
    let mut after = Sequence::ZERO;
    for base in 0..30 {
        let racing = (0..6).map(|_| {
            let events = ports.events.clone();
            tokio::spawn(async move { events.append(&actor("a"), &commit(base, after, "1"), after).await })
        });
        let mut stored = Vec::new();
        for one in racing.collect::<Vec<_>>() {
            match one.await.expect("no panic") {
                Ok(at) => stored.push(at.sequence),
                Err(AppendError::Conflict { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(stored.len(), 1, "round {base}");
        after = stored[0];
    }
}

#[tokio::test]
async fn heartbeats_and_watches_go_on_when_any_server_is_killed() {
    let (mut cluster, config) = cluster().await;
    let (writer, watcher) = (ports(&config).await, ports(&config).await);
    let mut watch = watcher.control.watch().await.expect("a watch");
    let mut revision = writer.control.write(&member("n1", 0), Expected::Absent).await.expect("written");
    let mut beat = 0;
    for victim in 0..3 {
        cluster.server_mut(victim).kill().expect("it ran");
        for _ in 0..3 {
            beat += 1;
            revision = eventually("a heartbeat", async || {
                match writer.control.write(&member("n1", beat), Expected::At(revision)).await {
                    Ok(revision) => Some(revision),
                    // It may have been ours: look, as every writer must.
                    Err(WriteError::Conflict { .. } | WriteError::Unknown { .. }) => {
                        let stored = writer.control.read(&member("n1", 0).key()).await.ok()??;
                        (stored.record == member("n1", beat)).then_some(stored.revision)
                    }
                    Err(WriteError::Unavailable { .. }) => None,
                }
            })
            .await;
            until(&mut watch, |update| match update {
                ControlUpdate::Record(stored) if stored.record == member("n1", beat) => Some(()),
                ControlUpdate::Corrupt { reason, .. } => panic!("{reason}"),
                _ => None,
            })
            .await;
        }
        cluster.server_mut(victim).restart().expect("it comes back");
        cluster.wait_ready().expect("whole again");
    }
}

#[tokio::test]
async fn without_a_quorum_no_write_is_called_stored_and_the_ghosts_are_found_later() {
    let (mut cluster, config) = cluster().await;
    let patient = ports(&config).await;
    let alice = actor("alice");
    let first = patient.events.append(&alice, &commit(0, Sequence::ZERO, "1"), Sequence::ZERO).await.expect("stored");
    // Whoever is to be told nothing need not wait long for it.
    let ports = ports(&NatsConfig { request_timeout: Duration::from_millis(500), ..config }).await;
    for victim in [1, 2] {
        freeze(cluster.server(victim));
    }
    let mut seen = BTreeMap::new();
    for _ in 0..4 {
        let outcome = ports.events.append(&alice, &commit(1, first.sequence, "2"), first.sequence).await;
        let kind = match outcome {
            Ok(at) => panic!("stored at {at:?} without a quorum"),
            Err(AppendError::Conflict { actual: Some(at), .. }) => panic!("a conflict with {at} that is not there"),
            Err(AppendError::Conflict { actual: None, .. }) => "busy",
            Err(AppendError::Unknown { .. }) => "unknown",
            Err(AppendError::Unavailable { .. }) => "unavailable",
            Err(AppendError::TooLarge { .. }) => "too large",
        };
        *seen.entry(kind).or_insert(0) += 1;
    }
    assert!(!seen.contains_key("too large"), "{seen:?}");
    for victim in [1, 2] {
        cluster.server(victim).cont().expect("it is frozen");
    }
    let history = eventually("the second commit", async || {
        // The same bytes with the same expectation, until it is there: this one or a ghost of it.
        let again = ports.events.append(&alice, &commit(1, first.sequence, "2"), first.sequence).await;
        let history = ports.events.read_fresh(&alice, Sequence::ZERO).await.ok()?;
        (again.is_ok() || history.len() > 1).then_some(history)
    });
    history.await;
    let history = ports.events.read_fresh(&alice, Sequence::ZERO).await.expect("a history");
    assert_eq!(history.len(), 2, "exactly once, however often it was sent");
    let _ = cluster.server_mut(0);
}
