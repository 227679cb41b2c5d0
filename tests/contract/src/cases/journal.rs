//! Streams of events over the ports alone: what the library promises to whoever uses it without a cluster.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use aether_domain::ids::{ActorAddress, Epoch, Incarnation, Sequence, Version};
use aether_domain::journal::{AppendFailed, Draft, Head, Journal, stream};
use aether_domain::ports::{BusUpdate, EventFilter, Ports, ReadError, StartAt, Whose};
use aether_domain::records::{EventRecord, PayloadCodec};
use aether_domain::testing::life;
use aether_domain::time::WallTime;
use aether_infra_memory::{Loss, Target};
use bytes::Bytes;
use futures_util::future::join_all;

use super::{case, connect, place};
use crate::samples::commit;
use crate::settle;
use crate::wait::{next, until, within};
use crate::{Case, Faults, Place, World};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("journal", a_stream_is_appended_to_and_replayed_from_any_version),
        case!("journal", a_conflict_names_the_expected_and_the_actual_version),
        case!("journal", racing_writers_lose_nothing_and_double_nothing),
        case!("journal", what_cannot_be_stored_is_refused_before_anything_is_sent),
        case!("journal", the_history_of_a_clusters_actor_is_read_and_not_written),
        case!("journal", a_state_is_the_same_with_and_without_its_snapshot),
        case!("journal", every_node_knows_the_versions_up_to_a_place_it_names),
        case!("journal", whoever_follows_one_kind_is_right_about_its_streams_alone),
        case!("journal", versions_that_are_followed_are_right_though_writers_race),
        case!("journal", what_is_stored_is_announced_to_other_nodes_as_they_want_it),
        case!("journal", namespaces_share_nothing),
        case!("journal", an_unknown_outcome_is_found_in_the_history_and_never_doubled, Faults),
        case!("journal", a_doubt_is_settled_later, Faults),
        case!("journal", versions_are_right_again_once_their_follower_is_no_longer_cut_off, Faults),
    ]
}

fn faults(place: &dyn Place) -> &dyn Faults {
    place.faults().expect("the case runs only where faults can be had")
}

fn journal(ports: &Ports, writer: u64) -> Journal {
    Journal::new(ports, Incarnation(writer), writer << 32)
}

fn order(id: &str) -> ActorAddress {
    stream("order", id).expect("names")
}

/// Events of these names.
fn draft(names: &[&str]) -> Draft {
    let event = |name: &&str| EventRecord {
        schema: 1,
        name: (*name).to_owned().into(),
        payload: Bytes::from(format!("{{\"said\":\"{name}\"}}")),
    };
    let events = names.iter().map(event).collect();
    Draft { codec: PayloadCodec::Json, at: WallTime { unix_millis: 1_700_000_000_000 }, events }
}

/// Appends until it is plain what became of it.
async fn append(
    journal: &Journal,
    of: &ActorAddress,
    expected: Version,
    names: &[&str],
) -> Result<Head, (Version, Version)> {
    let appending = async {
        let mut outcome = journal.append(of, expected, draft(names)).await;
        loop {
            outcome = match outcome {
                Ok(head) => return Ok(head),
                Err(AppendFailed::Conflict { expected, actual }) => return Err((expected, actual)),
                Err(AppendFailed::Unresolved(doubt)) => journal.settle(*doubt).await,
                Err(AppendFailed::Unavailable { .. }) => journal.append(of, expected, draft(names)).await,
                Err(other) => panic!("the append failed: {other}"),
            };
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    within("an append", appending).await
}

/// The names of a stream's events behind `version`, and where it ends; once it ends at `end` at least.
async fn replay(journal: &Journal, of: &ActorAddress, version: Version, end: Version) -> Vec<(u64, String)> {
    let look = || async {
        let loaded = journal.replay(of, version).await.ok()?;
        let events = loaded.events.into_iter().map(|event| (event.version.0, event.event.name.into_owned()));
        (loaded.head.version >= end).then(|| events.collect())
    };
    until("the stream", look).await
}

async fn a_stream_is_appended_to_and_replayed_from_any_version(world: Arc<dyn World>) {
    let place = place(&world).await;
    let journal = journal(&connect(&*place, "a").await, 1);
    let (one, other) = (order("1"), order("\u{fc}ber/ .>*"));
    let first = append(&journal, &one, Version::ZERO, &["placed"]).await.expect("nobody else writes");
    append(&journal, &other, Version::ZERO, &["placed"]).await.expect("nobody else writes");
    let second = append(&journal, &one, first.version, &["paid", "packed"]).await.expect("nobody else writes");
    assert_eq!((first.version, second.version), (Version(1), Version(3)));
    let all = [(1, "placed".to_owned()), (2, "paid".to_owned()), (3, "packed".to_owned())];
    for behind in 0..=3 {
        assert_eq!(
            replay(&journal, &one, Version(behind), Version(3)).await,
            all[behind as usize..],
            "behind {behind}"
        );
    }
    assert_eq!(until("the head", || async { journal.head(&one).await.ok() }).await, second);
    assert_eq!(replay(&journal, &other, Version::ZERO, Version(1)).await, all[..1]);
    assert_eq!(replay(&journal, &order("never"), Version::ZERO, Version::ZERO).await, []);
}

async fn a_conflict_names_the_expected_and_the_actual_version(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (journal(&connect(&*place, "a").await, 1), journal(&connect(&*place, "b").await, 2));
    let one = order("1");
    append(&a, &one, Version::ZERO, &["placed"]).await.expect("nobody else writes");
    assert_eq!(append(&b, &one, Version::ZERO, &["placed"]).await, Err((Version::ZERO, Version(1))));
    append(&b, &one, Version(1), &["paid", "packed"]).await.expect("nobody else writes");
    // It believes that it knows the version, and is corrected.
    assert_eq!(a.versions().latest(&one), Some(Version(1)));
    assert_eq!(append(&a, &one, Version(1), &["cancelled"]).await, Err((Version(1), Version(3))));
    assert_eq!(a.versions().latest(&one), Some(Version(3)));
    assert_eq!(append(&a, &one, Version(9), &["cancelled"]).await, Err((Version(9), Version(3))));
    append(&a, &one, Version(3), &["sent"]).await.expect("nobody else writes");
}

async fn racing_writers_lose_nothing_and_double_nothing(world: Arc<dyn World>) {
    let place = place(&world).await;
    let one = order("1");
    let mut writers = Vec::new();
    for writer in 0..4_u64 {
        let (journal, one) = (journal(&connect(&*place, &format!("w{writer}")).await, writer + 1), one.clone());
        writers.push(async move {
            let mut known = Version::ZERO;
            for nth in 0..10 {
                let name = format!("{writer}-{nth}");
                known = loop {
                    match append(&journal, &one, known, &[&name]).await {
                        Ok(head) => break head.version,
                        Err((_, actual)) => known = actual,
                    }
                };
            }
        });
    }
    join_all(writers).await;
    let reader = journal(&connect(&*place, "r").await, 9);
    let all = replay(&reader, &one, Version::ZERO, Version(40)).await;
    assert_eq!(all.iter().map(|(version, _)| *version).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
    assert_eq!(all.iter().map(|(_, name)| name).collect::<BTreeSet<_>>().len(), 40, "{all:?}");
}

async fn what_cannot_be_stored_is_refused_before_anything_is_sent(world: Arc<dyn World>) {
    let place = place(&world).await;
    let journal = journal(&connect(&*place, "a").await, 1);
    let (one, mut large, mut unnumbered) = (order("1"), draft(&["placed"]), draft(&["placed"]));
    large.events[0].payload = Bytes::from(vec![b'1'; 2 * 1024 * 1024]);
    unnumbered.events[0].schema = 0;
    for (bad, why) in [
        (draft(&[]), "there is no event"),
        (draft(&["x".repeat(65).as_str()]), "65 bytes"),
        (unnumbered, "schema"),
        (large, "exceeds"),
    ] {
        let refused = journal.append(&one, Version::ZERO, bad).await.expect_err("it cannot be stored");
        assert!(matches!(&refused, AppendFailed::Invalid { reason } if reason.contains(why)), "{why}: {refused:?}");
    }
    assert_eq!(replay(&journal, &one, Version::ZERO, Version::ZERO).await, []);
}

async fn the_history_of_a_clusters_actor_is_read_and_not_written(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let (journal, one) = (journal(&ports, 1), order("1"));
    append(&journal, &one, Version::ZERO, &["placed"]).await.expect("it is a journal's until then");
    let head = journal.versions().latest(&one).expect("it has just written it");
    let tail = until("the head", || async { journal.head(&one).await.ok() }).await;
    let mut record = commit(9, head, tail.at);
    record.shard_epoch = Epoch(5);
    settle::commit(&*ports.events, &one, &record, tail.at.sequence).await.expect("an actor goes on from there");
    for expected in [head, record.version()] {
        let refused = journal.append(&one, expected, draft(&["paid"])).await.expect_err("an actor owns it");
        assert!(matches!(refused, AppendFailed::Owned { epoch: Epoch(5) }), "{refused:?}");
    }
    assert_eq!(replay(&journal, &one, Version::ZERO, record.version()).await.len() as u64, record.version().0);
}

async fn a_state_is_the_same_with_and_without_its_snapshot(world: Arc<dyn World>) {
    let place = place(&world).await;
    let journal = journal(&connect(&*place, "a").await, 1);
    let one = order("1");
    let mut head = Head::default();
    for nth in 0..10_u64 {
        head = append(&journal, &one, head.version, &[&format!("e{nth}")]).await.expect("nobody else writes");
        if nth == 5 {
            // A store of snapshots that does not answer costs time and nothing else.
            let state = Bytes::from_static(b"6");
            let _ = journal.save(&one, head, 1, PayloadCodec::Json, state.clone()).await;
            // Of another stream: the history does not go on from there.
            let astray = Head { version: Version(3), ..head };
            let _ = journal.save(&one, astray, 2, PayloadCodec::Json, state).await;
        }
    }
    let count = |loaded: &aether_domain::journal::Loaded| {
        let kept = loaded.snapshot.as_ref().map_or(0, |snapshot| snapshot.version.0);
        assert_eq!(loaded.events.first().map(|event| event.version.0), Some(kept + 1));
        kept + loaded.events.len() as u64
    };
    for schema in [1, 2, 3] {
        let look = || async { journal.load(&one, schema).await.ok().filter(|loaded| loaded.head == head) };
        let loaded = until("the state", look).await;
        assert_eq!(count(&loaded), 10, "schema {schema}");
        assert!(schema == 1 || loaded.snapshot.is_none(), "schema {schema}: {loaded:?}");
    }
}

/// Follows what is stored for as long as it is held.
fn follow(journal: &Journal, ports: &Ports, of: Whose) -> AbortOnDrop {
    let (versions, bus) = (Arc::clone(journal.versions()), Arc::clone(&ports.bus));
    AbortOnDrop(tokio::spawn(async move {
        let ended = versions.follow(&*bus, of, StartAt::Beginning).await;
        panic!("a bus lives as long as its backend: {ended:?}")
    }))
}

struct AbortOnDrop(tokio::task::JoinHandle<Infallible>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits until the follower is right about the stream up to `place`.
async fn right_up_to(follower: &Journal, of: &ActorAddress, place: Sequence) {
    until("the follower to know", || async { (follower.versions().right_up_to(of) >= place).then_some(()) }).await;
}

async fn every_node_knows_the_versions_up_to_a_place_it_names(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (a, b) = (journal(&at_a, 1), journal(&at_b, 2));
    let _following = follow(&b, &at_b, Whose::Everybody);
    let orders: Vec<_> = (0..5).map(|nth| order(&nth.to_string())).collect();
    let mut last = Sequence::ZERO;
    for version in 0..4 {
        for order in &orders {
            last = append(&a, order, Version(version), &["changed"]).await.expect("only a writes").at.sequence;
        }
    }
    for order in &orders {
        right_up_to(&b, order, last).await;
        assert_eq!(b.versions().latest(order), Some(Version(4)));
        append(&b, order, Version(4), &["known without reading"]).await.expect("b knows the version");
    }
    assert_eq!(b.versions().latest(&order("never")), None);
}

async fn whoever_follows_one_kind_is_right_about_its_streams_alone(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (a, b) = (journal(&at_a, 1), journal(&at_b, 2));
    let (one, invoice) = (order("1"), stream("invoice", "1").expect("names"));
    append(&b, &invoice, Version::ZERO, &["by b itself"]).await.expect("nobody else writes");
    append(&a, &invoice, Version(1), &["by another"]).await.expect("nobody else writes");
    let last = append(&a, &one, Version::ZERO, &["placed"]).await.expect("nobody else writes");
    let _following = follow(&b, &at_b, Whose::Kind(one.key.kind.clone()));
    right_up_to(&b, &one, last.at.sequence).await;
    assert_eq!(b.versions().latest(&one), Some(Version(1)));
    // It says nothing about what it does not follow, and knows of it what it has written.
    assert_eq!((b.versions().right_up_to(&invoice), b.versions().latest(&invoice)), (Sequence::ZERO, Some(Version(1))));
    assert_eq!(append(&b, &invoice, Version(1), &["too late"]).await, Err((Version(1), Version(2))));
}

async fn versions_that_are_followed_are_right_though_writers_race(world: Arc<dyn World>) {
    const EACH: u64 = 8;
    let place = place(&world).await;
    let orders: Arc<Vec<_>> = Arc::new((0..3).map(|nth| order(&nth.to_string())).collect());
    let mut nodes = Vec::new();
    for node in 0..3_u64 {
        let ports = connect(&*place, &format!("n{node}")).await;
        let journal = journal(&ports, node + 1);
        let following = follow(&journal, &ports, Whose::Everybody);
        nodes.push((journal, following));
    }
    let racing = nodes.iter().map(|(journal, _)| async {
        for nth in 0..EACH * orders.len() as u64 {
            let order = &orders[nth as usize % orders.len()];
            let mut last = Version::ZERO;
            loop {
                // What is known decides, and never goes back.
                let known = journal.versions().latest(order).unwrap_or_default();
                assert!(known >= last, "{known} behind {last}");
                last = known;
                if append(journal, order, known, &["changed"]).await.is_ok() {
                    break;
                }
            }
        }
    });
    join_all(racing).await;
    for order in orders.iter() {
        let all = Version(EACH * nodes.len() as u64);
        for (journal, _) in &nodes {
            let head = || async { journal.head(order).await.ok().filter(|head| head.version == all) };
            let head = until("the whole stream", head).await;
            right_up_to(journal, order, head.at.sequence).await;
            assert_eq!(journal.versions().latest(order), Some(all));
        }
    }
}

async fn what_is_stored_is_announced_to_other_nodes_as_they_want_it(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (journal(&connect(&*place, "a").await, 1), journal(&connect(&*place, "b").await, 2));
    let (one, invoice) = (order("1"), stream("invoice", "1").expect("names"));
    let only_paid = EventFilter { of: Whose::Kind(one.key.kind.clone()), name: Some("paid".into()), eventless: false };
    let mut paid = b.subscribe(&only_paid, StartAt::Beginning).await.expect("it begins");
    append(&a, &one, Version::ZERO, &["placed"]).await.expect("only a writes");
    append(&a, &invoice, Version::ZERO, &["paid"]).await.expect("only a writes");
    let told = append(&a, &one, Version(1), &["paid", "packed"]).await.expect("only a writes");
    loop {
        match next("word of the payment", &mut paid).await {
            BusUpdate::EventStored { actor, commit } => {
                assert_eq!((actor, commit.at, commit.record.version()), (one, told.at, Version(3)));
                break;
            }
            BusUpdate::Reached(_) => {}
            BusUpdate::Corrupt { reason, .. } => panic!("{reason}"),
        }
    }
}

async fn namespaces_share_nothing(world: Arc<dyn World>) {
    let (here, there) = (place(&world).await, place(&world).await);
    let (a, b) = (journal(&connect(&*here, "a").await, 1), journal(&connect(&*there, "a").await, 1));
    let one = order("1");
    append(&a, &one, Version::ZERO, &["here"]).await.expect("only a writes here");
    assert_eq!(replay(&b, &one, Version::ZERO, Version::ZERO).await, []);
    append(&b, &one, Version::ZERO, &["there"]).await.expect("only b writes there");
    assert_eq!(replay(&a, &one, Version::ZERO, Version(1)).await, [(1, "here".to_owned())]);
    assert_eq!(replay(&b, &one, Version::ZERO, Version(1)).await, [(1, "there".to_owned())]);
}

async fn an_unknown_outcome_is_found_in_the_history_and_never_doubled(world: Arc<dyn World>) {
    let place = place(&world).await;
    let journal = journal(&connect(&*place, "a").await, 1);
    let (one, node) = (order("1"), life("a", 1).node);
    let mut version = Version::ZERO;
    for loss in [Loss::Stored, Loss::NotStored, Loss::Stored, Loss::Late] {
        faults(&*place).lose_next_ack(&node, Target::Events, loss);
        version = append(&journal, &one, version, &[&format!("{loss:?}")]).await.expect("nobody else writes").version;
        faults(&*place).land_late_writes();
    }
    let all = replay(&journal, &one, Version::ZERO, Version(4)).await;
    assert_eq!(all.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [1, 2, 3, 4], "{all:?}");
}

async fn a_doubt_is_settled_later(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (a, b, node) = (journal(&at_a, 1), journal(&at_b, 2), life("a", 1).node);
    for (nth, loss) in [Loss::Stored, Loss::Late].into_iter().enumerate() {
        let one = order(&nth.to_string());
        // Lost for good once the node is cut off: it can neither be repeated nor looked for.
        faults(&*place).lose_next_ack(&node, Target::Events, loss);
        faults(&*place).cut(&node);
        let failed = a.append(&one, Version::ZERO, draft(&["placed"])).await.expect_err("it is cut off");
        let doubt = match failed {
            AppendFailed::Unresolved(doubt) => doubt,
            AppendFailed::Unavailable { .. } => continue,
            other => panic!("{other:?}"),
        };
        assert_eq!((doubt.stream(), doubt.events().len()), (&one, 1));
        let again = a.settle(*doubt).await.expect_err("it is still cut off");
        let AppendFailed::Unresolved(doubt) = again else { panic!("{again:?}") };
        let other = append(&b, &one, Version::ZERO, &["placed by b"]).await;
        faults(&*place).land_late_writes();
        faults(&*place).heal(&node);
        let settled = until("a to reach the store", || async {
            match a.settle((*doubt).clone()).await {
                Ok(head) => Some(Ok(head.version)),
                Err(AppendFailed::Conflict { expected, actual }) => Some(Err((expected, actual))),
                Err(AppendFailed::Unresolved(_)) => None,
                Err(other) => panic!("{other:?}"),
            }
        })
        .await;
        // Exactly one of the two is there.
        assert_eq!(settled.is_ok(), other.is_err(), "{settled:?} {other:?}");
        assert_eq!(replay(&b, &one, Version::ZERO, Version(1)).await.len(), 1);
    }
    assert!(matches!(a.replay(&order("0"), Version::ZERO).await, Ok(_) | Err(ReadError::Unavailable { .. })));
}

async fn versions_are_right_again_once_their_follower_is_no_longer_cut_off(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (at_a, at_b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let (a, b, node) = (journal(&at_a, 1), journal(&at_b, 2), life("b", 1).node);
    let _following = follow(&b, &at_b, Whose::Everybody);
    let (one, other) = (order("1"), order("2"));
    let mut head = append(&a, &one, Version::ZERO, &["placed"]).await.expect("only a writes");
    for round in 1..=3 {
        right_up_to(&b, &one, head.at.sequence).await;
        let (before, known) = (b.versions().right_up_to(&one), head.version);
        faults(&*place).cut(&node);
        for _ in 0..3 {
            head = append(&a, &one, head.version, &["unheard of"]).await.expect("only a writes");
        }
        append(&a, &other, Version(round - 1), &["unheard of"]).await.expect("only a writes");
        // It knows what it knew, and claims no more than that.
        assert_eq!((b.versions().latest(&one), b.versions().right_up_to(&one)), (Some(known), before));
        faults(&*place).heal(&node);
        right_up_to(&b, &one, head.at.sequence).await;
        assert_eq!(b.versions().latest(&one), Some(head.version));
        // Once it is right an append behind what it knows needs no read and meets no conflict.
        head = append(&b, &one, head.version, &["by b"]).await.expect("b is right again");
        until("the other stream", || async { (b.versions().latest(&other) == Some(Version(round))).then_some(()) })
            .await;
    }
}
