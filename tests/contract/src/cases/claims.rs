//! What nodes believe, told to everybody.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::ids::{Epoch, Term};
use aether_domain::ports::{Claim, Heard, Ports, Updates};
use aether_domain::testing::life;
use futures_util::StreamExt as _;

use super::{case, connect, place};
use crate::wait::within;
use crate::{Case, World};

/// How long a claim that tries the way may take before the next one is told.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(50);

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("claims", a_claim_reaches_everybody_who_listens_once_and_in_order),
        case!("claims", a_claim_is_heard_bit_for_bit),
        case!("claims", another_namespace_hears_nothing),
        case!("claims", bytes_that_are_no_claim_are_told_as_corrupt, RawBytes),
    ]
}

fn claim(name: &str, epoch: u64) -> Claim {
    let node = life(name, 1);
    Claim { node, leads: None, term: Term(1), leader: None, epoch: Epoch(epoch), hash: 0, serves: None }
}

async fn next(heard: &mut Updates<Heard>) -> Heard {
    within("a claim", heard.next()).await.expect("it goes on")
}

/// Waits until claims of `teller` are heard there, and leaves nothing waiting.
async fn meet(teller: &Ports, listener: &mut Updates<Heard>) {
    let met = async {
        loop {
            teller.claims.tell(&claim("way", 0)).await.expect("it is told");
            if tokio::time::timeout(TRY_AGAIN_AFTER, listener.next()).await.is_ok() {
                break;
            }
        }
    };
    within("a new listener to be reached", met).await;
    teller.claims.tell(&claim("way", 1)).await.expect("it is told");
    while next(listener).await != Heard::Claim(claim("way", 1)) {}
}

async fn a_claim_reaches_everybody_who_listens_once_and_in_order(world: Arc<dyn World>) {
    let place = place(&world).await;
    let (a, b) = (connect(&*place, "a").await, connect(&*place, "b").await);
    let mut listeners = [a.claims.listen().await.expect("it begins"), b.claims.listen().await.expect("it begins")];
    for listener in &mut listeners {
        meet(&a, listener).await;
    }
    // Each has heard what found the way to the other, and nothing more waits for it.
    a.claims.tell(&claim("way", 2)).await.expect("it is told");
    for listener in &mut listeners {
        while next(listener).await != Heard::Claim(claim("way", 2)) {}
    }
    for epoch in 10..200 {
        a.claims.tell(&claim("a", epoch)).await.expect("it is told");
    }
    for listener in &mut listeners {
        for epoch in 10..200 {
            assert_eq!(next(listener).await, Heard::Claim(claim("a", epoch)));
        }
    }
}

async fn a_claim_is_heard_bit_for_bit(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let mut heard = ports.claims.listen().await.expect("it begins");
    let leader = life("l_3-", u64::MAX);
    let full = Claim {
        node: leader.clone(),
        leads: Some(Term(u64::MAX)),
        term: Term(1 << 63),
        leader: Some(leader),
        epoch: Epoch(u64::MAX),
        hash: u64::MAX,
        serves: Some(0),
    };
    meet(&ports, &mut heard).await;
    for claim in [full, claim("a", 0)] {
        ports.claims.tell(&claim).await.expect("it is told");
        assert_eq!(next(&mut heard).await, Heard::Claim(claim));
    }
}

async fn another_namespace_hears_nothing(world: Arc<dyn World>) {
    let (here, there) = (place(&world).await, place(&world).await);
    let (ports, others) = (connect(&*here, "a").await, connect(&*there, "a").await);
    let mut heard = others.claims.listen().await.expect("it begins");
    meet(&others, &mut heard).await;
    ports.claims.tell(&claim("a", 7)).await.expect("it is told");
    others.claims.tell(&claim("a", 8)).await.expect("it is told");
    assert_eq!(next(&mut heard).await, Heard::Claim(claim("a", 8)));
}

async fn bytes_that_are_no_claim_are_told_as_corrupt(world: Arc<dyn World>) {
    let place = place(&world).await;
    let ports = connect(&*place, "a").await;
    let mut heard = ports.claims.listen().await.expect("it begins");
    meet(&ports, &mut heard).await;
    // Whoever sends bytes has a connection of its own, from where the way may still be unknown.
    let corrupt = loop {
        place.claim_raw(b"no claim".as_slice().into()).await.expect("it is sent");
        if let Ok(told) = tokio::time::timeout(TRY_AGAIN_AFTER, heard.next()).await {
            break told;
        }
    };
    assert!(matches!(corrupt, Some(Heard::Corrupt { .. })), "{corrupt:?}");
    ports.claims.tell(&claim("a", 9)).await.expect("it is told");
    let after = loop {
        match next(&mut heard).await {
            Heard::Corrupt { .. } => {}
            after @ Heard::Claim(_) => break after,
        }
    };
    assert_eq!(after, Heard::Claim(claim("a", 9)));
}
