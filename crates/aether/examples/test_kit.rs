//! The test kit: a rule without any runtime, then a whole cluster in virtual time, broken on purpose.
//!
//! ```console
//! $ cargo run --example test_kit --features aether/test-kit
//! a withdrawal that is covered leads to one event, one that is not is rejected
//! seed 7: the owner of account 42 was killed, the balance is 30 all the same
//! seed 7: a commit was stored and its acknowledgement lost; the deposit counted once: 35
//! seed 7: a minute of virtual time has passed
//! seed 7 was played again: the same run, to the last stored record
//! ```
//!
//! In a project all of this stands in `#[test]` functions.

use std::time::Duration;

use aether::demo::bank::{Account, AccountError, AccountEvent, Balance, Deposit, Open, Withdraw};
use aether::prelude::testkit::given;
use aether::test_cluster::TestCluster;
use aether_infra_memory::Loss;

fn the_rule() {
    let past = || [AccountEvent::Opened { operation: 1 }, AccountEvent::Deposited { operation: 2, amount: 100 }];
    let withdrawn = AccountEvent::Withdrawn { operation: 3, amount: 30 };
    given::<Account>(42, past()).when(Withdraw { operation: 3, amount: 30 }).then([withdrawn]).reply(70);
    let refused = AccountError::Insufficient { balance: 100 };
    given::<Account>(42, past()).when(Withdraw { operation: 3, amount: 500 }).rejected(refused);
}

/// What happened, in order: two runs of one seed must say the same.
fn the_cluster(seed: u64, say: impl Fn(&str)) -> Vec<String> {
    TestCluster::seeded(seed).nodes(3).actor::<Account>().run(async |cluster| {
        cluster.ask::<Account, _, _>(42, Open { operation: 1 }).await.expect("it is new");
        cluster.ask::<Account, _, _>(42, Deposit { operation: 2, amount: 30 }).await.expect("it is open");
        let owner = cluster.owner_of::<Account>(42).expect("every shard has an owner");
        cluster.kill(&owner).await;
        assert_eq!(cluster.ask::<Account, _, _>(42, Balance {}).await, Ok(30));
        say("the owner of account 42 was killed, the balance is 30 all the same");

        let owner = cluster.owner_of::<Account>(42).expect("every shard has an owner");
        cluster.lose_commit(&owner, Loss::Stored);
        let balance = cluster.ask::<Account, _, _>(42, Deposit { operation: 3, amount: 5 }).await;
        assert_eq!(balance, Ok(35));
        say("a commit was stored and its acknowledgement lost; the deposit counted once: 35");

        cluster.advance(Duration::from_secs(60)).await;
        say("a minute of virtual time has passed");
        // Ends every fault, waits for rest, and compares everything that was told with everything that is stored.
        cluster.assert_invariants().await;
        cluster.trace()
    })
}

#[expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]
fn main() {
    the_rule();
    println!("a withdrawal that is covered leads to one event, one that is not is rejected");
    let first = the_cluster(7, |text| println!("seed 7: {text}"));
    let again = the_cluster(7, |_| {});
    assert_eq!(first, again);
    println!("seed 7 was played again: the same run, to the last stored record");
}
