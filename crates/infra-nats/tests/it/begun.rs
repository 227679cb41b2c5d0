//! Appends that are begun and told of: the same outcomes as those that are waited for.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::Sequence;
use aether_domain::ports::{AppendError, EventStore, OnAppended};
use aether_domain::records::Position;
use aether_infra_nats::{NatsConfig, connect};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::support::{actor, commit, config, eventually, freeze, namespace, ports, server, stranger};

/// Long before the time-out that the case sets.
const SOON: Duration = Duration::from_secs(15);

type Told = oneshot::Receiver<Result<Position, AppendError>>;

/// Begins the first append of that actor.
fn begin(events: &dyn EventStore, id: &str) -> Told {
    let (told, outcome) = oneshot::channel();
    let store = events.begins().expect("it can");
    let record = Arc::new(commit(0, Sequence::ZERO, "1"));
    store.begin(actor(id), record, Sequence::ZERO, OnAppended::new(|outcome| drop(told.send(outcome))));
    outcome
}

/// Begins one that is on its way to a server which does not answer.
async fn begin_in_vain(events: &dyn EventStore) -> Told {
    let told = begin(events, "a");
    // It gathers until nobody else is ready to run: long over by then.
    tokio::time::sleep(Duration::from_millis(300)).await;
    told
}

async fn outcome(told: Told) -> Result<Position, AppendError> {
    timeout(SOON, told).await.expect("it is told in time").expect("it is told")
}

#[tokio::test]
async fn one_that_hears_nothing_for_too_long_is_unknown_and_may_land_later() {
    let server = server();
    let impatient = NatsConfig { request_timeout: Duration::from_secs(2), ..config(server.url()) };
    let ports = connect(&impatient, &namespace()).await.expect("ports");
    freeze(&server);
    let unknown = outcome(begin(&*ports.events, "a")).await.expect_err("no answer");
    assert!(matches!(unknown, AppendError::Unknown { .. }), "{unknown:?}");
    server.cont().expect("it is frozen");
    let landed = async || ports.events.read_fresh(&actor("a"), Sequence::ZERO).await.ok()?.pop();
    assert_eq!(eventually("the ghost", landed).await.at.sequence, Sequence(1));
}

#[tokio::test]
async fn one_whose_connection_breaks_is_unknown_before_its_time_out() {
    let mut server = server();
    let patient = NatsConfig { request_timeout: Duration::from_secs(25), ..config(server.url()) };
    let ports = connect(&patient, &namespace()).await.expect("ports");
    freeze(&server);
    let told = begin_in_vain(&*ports.events).await;
    server.kill().expect("it ran");
    let unknown = outcome(told).await.expect_err("no answer");
    assert!(matches!(unknown, AppendError::Unknown { .. }), "{unknown:?}");
}

#[tokio::test]
async fn one_whose_ports_are_gone_is_told_that_nobody_knows() {
    let server = server();
    let patient = NatsConfig { request_timeout: Duration::from_secs(25), ..config(server.url()) };
    let ports = connect(&patient, &namespace()).await.expect("ports");
    freeze(&server);
    let told = begin_in_vain(&*ports.events).await;
    ports.session.close().await;
    drop(ports);
    let unknown = outcome(told).await.expect_err("no answer");
    assert!(matches!(unknown, AppendError::Unknown { .. }), "{unknown:?}");
}

#[tokio::test]
async fn while_the_server_is_away_or_has_no_stream_nothing_is_stored_and_that_is_certain() {
    let mut server = server();
    let ports = ports(&server).await;
    server.kill().expect("it ran");
    eventually("the loss to be noticed", async || (!ports.session.is_connected()).then_some(())).await;
    let away = outcome(begin(&*ports.events, "a")).await.expect_err("away");
    assert!(matches!(away, AppendError::Unavailable { .. }), "{away:?}");
    server.restart().expect("it comes back");
    eventually("the connection", async || ports.session.is_connected().then_some(())).await;
    let history = async || ports.events.read_fresh(&actor("a"), Sequence::ZERO).await.ok();
    assert!(eventually("a read", history).await.is_empty(), "the refused one was not queued");
    stranger(&server).await.delete_stream("AETHER_t_EVT_0").await.expect("a vandal");
    let nowhere = outcome(begin(&*ports.events, "a")).await.expect_err("no stream");
    assert!(matches!(nowhere, AppendError::Unavailable { .. }), "{nowhere:?}");
}

#[tokio::test]
async fn more_than_the_connection_takes_at_once_are_all_stored() {
    const APPENDS: usize = 5_000;
    let server = server();
    let ports = ports(&server).await;
    let ids: Vec<_> = (0..APPENDS).map(|id| id.to_string()).collect();
    let told: Vec<_> = ids.iter().map(|id| begin(&*ports.events, id)).collect();
    let mut sequences = Vec::new();
    for told in told {
        sequences.push(outcome(told).await.expect("stored").sequence.0);
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=APPENDS as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn of_racing_ones_one_is_stored_and_a_conflict_names_it() {
    let server = server();
    let ports = ports(&server).await;
    let told: Vec<_> = (0..8).map(|_| begin(&*ports.events, "a")).collect();
    let (mut stored, mut refused) = (Vec::new(), 0);
    for told in told {
        match outcome(told).await {
            Ok(position) => stored.push(position.sequence),
            Err(AppendError::Conflict { expected: Sequence::ZERO, .. }) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((stored, refused), (vec![Sequence(1)], 7));
    let late = outcome(begin(&*ports.events, "a")).await.expect_err("one was first");
    assert!(matches!(late, AppendError::Conflict { actual: Some(Sequence(1)), .. }), "{late:?}");
}
