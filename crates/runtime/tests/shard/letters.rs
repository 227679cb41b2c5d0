//! What is kept of commands that were given up, and the way back for actors that were set aside.

use std::time::Duration;

use aether_domain::ports::Answer;
use aether_domain::records::{DeadLetter, PayloadCodec};
use aether_domain::{CommandId, Sequence};
use aether_infra_memory::MemoryHub;
use aether_runtime::actor::AskError;
use aether_runtime::message::{Outcome, Payload, Work};
use aether_runtime::shard::RELEASE;
use bytes::Bytes;
use tokio::time::{sleep, timeout};

use crate::bank::{Balance, Deposit, Explode};
use crate::desk::{DEADLINE, Desk, account, answered, other};

/// The letters, once there are so many.
async fn letters(hub: &MemoryHub, desk: &Desk, count: usize) -> Vec<DeadLetter> {
    let store = hub.ports(&desk.me.node).dead_letters;
    let wait = async {
        loop {
            let read = store.read(Sequence::ZERO, 100).await.expect("letters are read");
            if read.len() >= count {
                return read.into_iter().map(|stored| stored.letter).collect();
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, wait).await.expect("they are kept in time")
}

fn release(desk: &Desk, number: u64) -> Work {
    desk.work(&account(number), RELEASE, Payload::Encoded(PayloadCodec::Json, Bytes::from_static(b"null")))
}

#[tokio::test]
async fn a_command_that_was_given_up_is_kept_as_json_with_its_reason() {
    let hub = MemoryHub::new();
    let desk = Desk::open(&hub, "a", 1);
    assert_eq!(desk.ask(3, Explode).await, Err(AskError::Poisoned { reason: "boom".into(), maybe_applied: false }));
    let kept = letters(&hub, &desk, 1).await.pop().expect("a letter");
    assert_eq!((&kept.actor, kept.command.as_str(), kept.reason.as_str()), (&account(3), "explode", "boom"));
    assert_eq!((kept.codec, kept.payload.as_deref()), (PayloadCodec::Json, Some(&b"null"[..])));
    assert_eq!((&kept.by, kept.id), (&desk.me, CommandId { origin: desk.me.incarnation, sequence: 1 }));
    assert!(!kept.maybe_applied && kept.at.unix_millis > 0);
    assert_eq!((desk.host.stats().letters_kept, desk.host.stats().letters_lost), (1, 0));
}

#[tokio::test]
async fn a_command_that_may_have_cost_lives_is_kept_as_it_came() {
    let hub = MemoryHub::new();
    let desk = Desk::open(&hub, "a", 1);
    let bytes = Bytes::from_static(b"\xff what nobody decodes");
    let mut work = desk.work(&account(3), "deposit", Payload::Encoded(PayloadCodec::Binary, bytes.clone()));
    work.attempt = 3;
    assert!(matches!(other(answered(desk.send(work)).await), Answer::Poisoned { maybe_applied: true, .. }));
    let kept = letters(&hub, &desk, 1).await.pop().expect("a letter");
    assert_eq!((kept.codec, kept.payload, kept.maybe_applied), (PayloadCodec::Binary, Some(bytes), true));
    assert_eq!(desk.ask(3, Deposit { amount: 5 }).await, Ok(5));
}

#[tokio::test]
async fn nobody_waits_for_a_letter_and_one_that_cannot_be_kept_is_counted() {
    let hub = MemoryHub::new();
    let desk = Desk::open(&hub, "a", 1);
    assert_eq!(desk.ask(3, Balance).await, Ok(0));
    let plain = DeadLetter { ..sample(&desk).await };
    let store = hub.ports(&desk.me.node).dead_letters;
    for _ in 0..DeadLetter::KEPT_MAX {
        let _full = store.keep(&plain).await;
    }
    assert_eq!(desk.ask(7, Explode).await, Err(AskError::Poisoned { reason: "boom".into(), maybe_applied: false }));
    let wait = async {
        while desk.host.stats().letters_lost == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, wait).await.expect("it is counted in time");
    assert_eq!(
        store.read(Sequence::ZERO, usize::MAX).await.expect("read").len(),
        DeadLetter::KEPT_MAX,
        "none was pushed out"
    );
}

/// A letter like any other.
async fn sample(desk: &Desk) -> DeadLetter {
    let hub = MemoryHub::new();
    let other = Desk::open(&hub, desk.me.node.as_str(), 1);
    let _poisoned = other.ask(3, Explode).await;
    letters(&hub, &other, 1).await.pop().expect("a letter")
}

#[tokio::test]
async fn a_quarantined_actor_is_listed_until_it_is_released_and_goes_on_from_its_history() {
    let hub = MemoryHub::new();
    let desk = Desk::open(&hub, "a", 1);
    assert_eq!(desk.ask(3, Deposit { amount: 5 }).await, Ok(5));
    assert!(desk.host.quarantined().is_empty());
    let _poisoned = desk.ask(3, Explode).await;
    assert!(matches!(desk.ask(3, Explode).await, Err(AskError::Quarantined { .. })));
    assert!(matches!(desk.ask(3, Balance).await, Err(AskError::Quarantined { maybe_applied: false, .. })));
    let listed = desk.host.quarantined();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].actor, account(3));
    assert!(listed[0].reason.contains("5 times") && listed[0].since.unix_millis > 0, "{listed:?}");
    assert_eq!((desk.host.stats().quarantined, desk.host.stats().quarantined_now), (1, 1));
    assert_eq!(desk.ask(7, Balance).await, Ok(0), "its shard-mates go on");

    for (number, was) in [(3, "true"), (3, "false"), (7, "false"), (11, "false")] {
        let outcome = answered(desk.send(release(&desk, number))).await;
        let Outcome::Looked(Payload::Encoded(PayloadCodec::Json, reply)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(reply, was, "actor {number}");
    }
    assert!(desk.host.quarantined().is_empty());
    assert_eq!(desk.ask(3, Balance).await, Ok(5));
}
