//! What a namespace has stored, read through its ports and judged, while its nodes go on.

use std::time::Duration;

use aether::demo::bank::{Account, Balance, Deposit, Open};
use aether::prelude::*;
use aether::verify::verify;
use aether_domain::ports::Ports;
use aether_domain::records::{CommitRecord, StoredCommit};
use aether_domain::verification::{Counts, Finding};
use aether_domain::{ActorAddress, Incarnation, NodeId, Nonce, Sequence};

const ACCOUNTS: u64 = 40;

const PATIENCE: Duration = Duration::from_secs(60);

async fn start(hub: &MemoryHub, id: &str) -> Node {
    let node = Node::builder(id).namespace("verify").profile(Profile::Fast).in_memory(hub).actor::<Account>();
    node.start().await.expect("it starts")
}

fn ports(hub: &MemoryHub) -> Ports {
    hub.ports(&NodeId::new("looks").expect("a name"))
}

/// Two nodes with accounts; the second joins when half of the commands have been asked, so that shards move.
async fn bank(hub: &MemoryHub) -> [Node; 2] {
    let one = start(hub, "n1").await;
    for account in 0..ACCOUNTS {
        one.actor::<Account>(account).ask(Open { operation: 1 }).await.expect("opened");
    }
    let two = start(hub, "n2").await;
    for account in 0..ACCOUNTS {
        let deposit = Deposit { operation: 2, amount: account };
        two.actor::<Account>(account).ask(deposit).await.expect("deposited");
    }
    [one, two]
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_wrong_with_what_nodes_have_stored_while_they_go_on_and_shards_move() {
    let hub = MemoryHub::new();
    let [one, two] = bank(&hub).await;
    let deposits = async {
        for operation in 3.. {
            for account in 0..ACCOUNTS {
                let deposit = Deposit { operation, amount: 1 };
                two.actor::<Account>(account).ask(deposit).await.expect("deposited");
            }
            tokio::task::yield_now().await;
        }
    };
    let mut found = Vec::new();
    let look = async {
        let ports = ports(&hub);
        let first = verify(&ports, |finding| found.push(finding)).await.expect("it can be read");
        loop {
            let last = verify(&ports, |finding| found.push(finding)).await.expect("it can be read");
            // Shards have moved to the second node meanwhile, and each account has been asked again.
            let (entries, commits) = (first.counts.entries + 1, first.counts.commits + ACCOUNTS);
            if last.counts.entries > entries && last.counts.commits > commits {
                break last;
            }
            // Nothing of it waits for anything, in memory.
            tokio::task::yield_now().await;
        }
    };
    let last = tokio::select! {
        looked = tokio::time::timeout(PATIENCE, look) => looked.expect("shards move"),
        () = deposits => unreachable!("it never ends"),
    };
    assert_eq!(found, []);
    assert_eq!((last.findings, last.counts.actors), (0, ACCOUNTS));
    for node in [one, two] {
        node.drain().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_writes_past_the_owner_is_found_with_its_place() {
    let hub = MemoryHub::new();
    let [one, two] = bank(&hub).await;
    let (ports, mut actors) = (ports(&hub), Vec::<(ActorAddress, StoredCommit)>::new());
    for (actor, commits) in hub.stores().histories() {
        actors.push((actor.clone(), commits.last().expect("a commit").clone()));
    }
    let (actor, last) = &actors[0];
    let forged = CommitRecord {
        owner: Incarnation(99),
        nonce: Nonce(99),
        base: last.record.version(),
        prev_sequence: last.at.sequence,
        prev_hash: last.at.hash,
        ..last.record.clone()
    };
    let at = ports.events.append(actor, &forged, last.at.sequence).await.expect("nobody else writes").sequence;
    let mut found = Vec::new();
    let verified = verify(&ports, |finding| found.push(finding)).await.expect("it can be read");
    // Its commands are those of the record before.
    let id = forged.commands[0].id;
    let [Finding::NotTheOwner { owner, .. }, Finding::Repeated { at: again, command, .. }] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!((*owner, *again, *command), (Incarnation(99), at, id));
    assert_eq!(verified.findings, 2);
    assert_ne!(at, Sequence::ZERO);
    drop((one, two));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_namespace_has_nothing_wrong() {
    let verified = verify(&ports(&MemoryHub::new()), |finding| panic!("{finding}")).await.expect("it can be read");
    assert_eq!((verified.counts, verified.findings), (Counts::default(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_proves_nothing() {
    let hub = MemoryHub::new();
    let [one, two] = bank(&hub).await;
    assert!(two.actor::<Account>(1).ask(Balance {}).await.is_ok());
    drop((one, two));
    hub.outage(true);
    verify(&ports(&hub), |finding| panic!("{finding}")).await.expect_err("nothing answers");
}
