//! Many commands, while everything fails that can: what is stored is what was acknowledged.
//!
//! Workers ask tallies, several at once, through whichever node is well. What they are not sure of they ask again under the
//! same name, as an application does; some they ask twice from the beginning, through two nodes. Meanwhile nodes are
//! killed, stopped, cut off, drained and started, acknowledgements and messages are lost, writes land late, the server
//! goes away. In the end one judge compares every answer, reads and rejections too, with the histories.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use aether::metrics::names;
use aether::prelude::*;
use aether::test_cluster::TestCluster;
use aether_domain::testing::history::{Agreed, Book, Told};
use aether_infra_memory::Loss;
use futures_util::future::{join, join_all};

use crate::tally::{Add, AddToOdd, Even, Read, Tally, kept};

const TALLIES: u64 = 24;
const WORKERS: u64 = 12;

/// A storm's own book: which tally was told which total.
type Totals = RefCell<Book<String, u64>>;

/// What an answer means.
fn meaning(answer: &Result<u64, AskError<Even>>, looks: bool) -> Told<u64> {
    match answer {
        Ok(total) if looks => Told::Seen { value: *total, fresh: true },
        Ok(total) => Told::Done(*total),
        Err(AskError::Rejected(Even { total })) => Told::Seen { value: *total, fresh: true },
        Err(error) if error.maybe_applied() => Told::Unsure,
        Err(_) => Told::No,
    }
}

async fn ask_once(cluster: &TestCluster, book: &Totals, name: MessageId, id: u64, what: u64) -> Told<u64> {
    let call = book.borrow_mut().call(format!("tally/{id}"), name.0);
    let by = 1 + u64::try_from(name.0 % 7).unwrap_or(0);
    let answer = match what {
        0..5 => cluster.ask_with_id::<Tally, _, _>(name, id, Add { by }).await,
        5..7 => cluster.ask_with_id::<Tally, _, _>(name, id, AddToOdd { by }).await,
        _ => cluster.ask_with_id::<Tally, _, _>(name, id, Read).await,
    };
    let told = meaning(&answer, what >= 7);
    book.borrow_mut().told(call, told.clone());
    told
}

async fn work(cluster: &TestCluster, book: &Totals, commands: u64) {
    for _ in 0..commands {
        let (name, id, what) = (cluster.next_name(), cluster.draw(TALLIES), cluster.draw(10));
        // A question that may be refused is asked once at a time: whoever hears the first answer asks no more.
        if what < 5 && cluster.draw(10) == 0 {
            join(ask_once(cluster, book, name, id, what), ask_once(cluster, book, name, id, what)).await;
        }
        for _ in 0..6 {
            match ask_once(cluster, book, name, id, what).await {
                // Some ask again although they have been told.
                Told::Done(_) if cluster.draw(20) == 0 => {}
                Told::Done(_) | Told::Seen { .. } => break,
                Told::No | Told::Unsure => cluster.advance(Duration::from_millis(200)).await,
            }
        }
        cluster.advance(Duration::from_millis(cluster.draw(30))).await;
    }
}

/// Breaks one thing for a while, at any node.
async fn strike(cluster: &TestCluster) {
    let running = cluster.running();
    let id = running[cluster.draw(running.len() as u64) as usize].clone();
    strike_at(cluster, id).await;
}

/// Breaks one thing for a while, at that node if it is a matter of nodes.
pub(crate) async fn strike_at(cluster: &TestCluster, id: String) {
    let running = cluster.running();
    let time = Duration::from_millis(100 + cluster.draw(9_000));
    match cluster.draw(12) {
        0 if running.len() > 2 => {
            cluster.kill(&id).await;
            cluster.advance(time).await;
            cluster.restart(&id).await;
        }
        1 => {
            cluster.pause(&id);
            cluster.advance(time).await;
            cluster.resume(&id);
        }
        2 => {
            cluster.cut(&id);
            cluster.advance(time).await;
            cluster.heal(&id);
        }
        3 if running.len() > 3 => cluster.drain(&id).await,
        3 => {
            let next = (1..=running.len() + 1).map(|nth| format!("n{nth}")).find(|id| !running.contains(id));
            cluster.add(&next.expect("there are names enough")).await;
        }
        4 => {
            cluster.outage(true);
            cluster.advance(time / 4).await;
            cluster.outage(false);
        }
        5..8 => cluster.lose_message(&id),
        8 => drop(cluster.land_late_writes()),
        which => {
            let loss = [Loss::Stored, Loss::NotStored, Loss::Late][(which - 9) as usize];
            cluster.lose_commit(&id, loss);
        }
    }
}

/// What came of a storm.
pub(crate) struct Storm {
    /// What was compared.
    pub(crate) agreed: Agreed,
    /// How often something was broken.
    pub(crate) strikes: u64,
    /// How many actors came warm with their shards and were used, on the nodes that are left.
    pub(crate) warm: u64,
    /// How much virtual time it took.
    pub(crate) passed: Duration,
}

fn warm_used(node: &Node) -> u64 {
    let counters = node.source().picture().map(|picture| picture.counters).unwrap_or_default();
    let used = counters.iter().filter(|counter| counter.metric == names::HANDED_OVER && counter.label == Some("used"));
    used.map(|counter| counter.count).sum()
}

/// Plays one storm of that many operations.
pub(crate) fn storm(seed: u64, commands: u64, three_replicas: bool) -> Storm {
    let cluster = TestCluster::seeded(seed).nodes(3).actor::<Tally>();
    let cluster = if three_replicas { cluster.three_replicas() } else { cluster };
    cluster.run(async |cluster| {
        let book = Totals::default();
        let workers = (0..WORKERS).map(|_| work(&cluster, &book, commands.div_ceil(WORKERS)));
        let mut working = std::pin::pin!(join_all(workers));
        let strikes = Cell::new(0);
        let striking = async {
            loop {
                cluster.advance(Duration::from_millis(cluster.draw(1_500))).await;
                strike(&cluster).await;
                strikes.set(strikes.get() + 1);
            }
        };
        let mut striking = std::pin::pin!(striking);
        tokio::select! {
            biased;
            _ = &mut working => {}
            () = &mut striking => {}
        }
        cluster.assert_invariants().await;
        let stores = cluster.hub().stores();
        let history = |actor: &String| {
            let found = stores.histories().find(|(address, _)| address.key.to_string() == *actor);
            kept(found.map_or(&[][..], |(_, commits)| commits))
        };
        let judged = book.borrow().check_all(history);
        let agreed = judged.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        let warm = cluster.running().iter().map(|id| warm_used(&cluster.node(id))).sum();
        Storm { agreed, strikes: strikes.get(), warm, passed: cluster.elapsed() }
    })
}
