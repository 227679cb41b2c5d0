//! Commands that were given up.

use std::sync::Arc;

use aether_domain::Sequence;
use aether_domain::ports::{DeadLetters, SaveError};
use aether_domain::records::{DeadLetter, StoredLetter};
use bytes::Bytes;

use super::{case, connect, place};
use crate::{Case, World, samples};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("dead letters", letters_are_read_as_they_were_kept_in_order),
        case!("dead letters", a_forgotten_letter_is_gone_and_the_others_stay),
        case!("dead letters", a_letter_beyond_its_bounds_is_refused),
        case!("dead letters", two_namespaces_keep_their_letters_apart),
        case!("dead letters", a_node_that_is_cut_off_keeps_nothing, Faults),
    ]
}

async fn all(letters: &dyn DeadLetters) -> Vec<StoredLetter> {
    letters.read(Sequence::ZERO, 100).await.expect("letters are read")
}

async fn letters_are_read_as_they_were_kept_in_order(world: Arc<dyn World>) {
    let place = place(&world).await;
    let letters = connect(&*place, "a").await.dead_letters;
    assert_eq!(all(&*letters).await, []);
    for letter in samples::letters() {
        letters.keep(&letter).await.expect("it is kept");
    }
    let read = all(&*connect(&*place, "b").await.dead_letters).await;
    assert_eq!(read.iter().map(|stored| stored.letter.clone()).collect::<Vec<_>>(), samples::letters());
    assert!(read.is_sorted_by_key(|stored| stored.sequence));
    let behind = letters.read(read[0].sequence, 2).await.expect("letters are read");
    assert_eq!(behind, read[1..3]);
}

async fn a_forgotten_letter_is_gone_and_the_others_stay(world: Arc<dyn World>) {
    let place = place(&world).await;
    let letters = connect(&*place, "a").await.dead_letters;
    let plain = samples::letters().pop().expect("a letter");
    for _ in 0..3 {
        letters.keep(&plain).await.expect("it is kept");
    }
    let before = all(&*letters).await;
    for _ in 0..2 {
        letters.forget(before[1].sequence).await.expect("it is forgotten, or is so already");
    }
    letters.forget(Sequence(before[2].sequence.0 + 100)).await.expect("what never was is forgotten");
    assert_eq!(all(&*letters).await, [before[0].clone(), before[2].clone()]);
    letters.keep(&plain).await.expect("it is kept");
    assert!(all(&*letters).await[2].sequence > before[2].sequence, "a place is never used twice");
}

async fn a_letter_beyond_its_bounds_is_refused(world: Arc<dyn World>) {
    let place = place(&world).await;
    let letters = connect(&*place, "a").await.dead_letters;
    let plain = samples::letters().pop().expect("a letter");
    let (payload, reason) = (DeadLetter::PAYLOAD_BYTES_MAX, DeadLetter::REASON_BYTES_MAX);
    for (letter, bound) in [
        (DeadLetter { payload: Some(Bytes::from(vec![b'1'; payload + 1])), ..plain.clone() }, payload),
        (DeadLetter { reason: "x".repeat(reason + 1), ..plain }, reason),
    ] {
        let refused = letters.keep(&letter).await.expect_err("it is too large");
        let as_it_is =
            matches!(refused, SaveError::TooLarge { bytes, bytes_max } if (bytes, bytes_max) == (bound + 1, bound));
        assert!(as_it_is, "{refused:?}");
    }
    assert_eq!(all(&*letters).await, []);
}

async fn two_namespaces_keep_their_letters_apart(world: Arc<dyn World>) {
    let (here, there) = (place(&world).await, place(&world).await);
    let letters = connect(&*here, "a").await.dead_letters;
    letters.keep(&samples::letters()[0]).await.expect("it is kept");
    assert_eq!(all(&*connect(&*there, "a").await.dead_letters).await, []);
    assert_eq!(all(&*letters).await.len(), 1);
}

async fn a_node_that_is_cut_off_keeps_nothing(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (letters, faults) = (connect(&*place, "a").await.dead_letters, place.faults().expect("faults"));
    let plain = samples::letters().pop().expect("a letter");
    let a = aether_domain::testing::life("a", 1).node;
    faults.cut(&a);
    assert!(matches!(letters.keep(&plain).await, Err(SaveError::Unavailable { .. })));
    assert!(letters.read(Sequence::ZERO, 1).await.is_err());
    faults.heal(&a);
    assert_eq!(all(&*letters).await, []);
}
