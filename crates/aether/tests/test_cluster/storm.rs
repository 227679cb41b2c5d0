//! Many commands, while everything fails that its plan says: what is stored is what was acknowledged.
//!
//! Workers ask tallies, several at once, through whichever node is well or as clients of the gateway. What they are not sure
//! of they ask again under the same name, as an application does; some they ask twice from the beginning, through two nodes.
//! Beside them purses give to each other. In the end one judge compares every answer, reads and rejections too, with the
//! histories, and what is in all purses is counted.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::Duration;

use aether::metrics::names;
use aether::prelude::*;
use aether::test_cluster::TestCluster;
use aether_domain::ports::GatewayAnswer;
use aether_domain::testing::history::{Agreed, Book, Told};
use aether_infra_memory::GatewayCall;
use futures_util::future::{join, join_all};

use crate::plan::{Failure, Plan};
use crate::purse::{Gifts, Given, Names, Purse};
use crate::tally::{Add, AddToOdd, Even, Read, Tally, kept};

const TALLIES: u64 = 24;
const WORKERS: u64 = 12;
/// How many others let purses give, each as often as two workers of three ask.
const GIVERS: u64 = 3;
/// How long a client of the gateway waits, as those do that ask through a node.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

/// A storm's own book: which tally was told which total.
#[derive(Default)]
struct Totals {
    book: RefCell<Book<String, u64>>,
    /// How many answers clients of the gateway were given.
    outside: Cell<u64>,
}

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

/// As a client of the gateway does, in any language.
async fn ask_from_outside<C: Command>(cluster: &TestCluster, name: MessageId, id: u64, command: &C) -> Told<u64> {
    let call = GatewayCall {
        kind: Tally::KIND.to_owned(),
        id: id.to_string(),
        command: C::NAME.to_owned(),
        payload: serde_json::to_vec(command).expect("it is plain").into(),
        message: Some(name),
        mode: ReadMode::Strict,
        timeout: CLIENT_TIMEOUT,
    };
    let number = |json: &[u8]| serde_json::from_slice(json).expect("a tally answers with a number");
    match cluster.hub().gateway_ask(call).await {
        GatewayAnswer::Replied(total) if C::NAME == Read::NAME => Told::Seen { value: number(&total), fresh: true },
        GatewayAnswer::Replied(total) => Told::Done(number(&total)),
        GatewayAnswer::Rejected(even) => {
            let Even { total } = serde_json::from_slice(&even).expect("it says how many");
            Told::Seen { value: total, fresh: true }
        }
        GatewayAnswer::Failed { maybe_applied: true, .. } => Told::Unsure,
        GatewayAnswer::Failed { .. } => Told::No,
    }
}

async fn ask_once(cluster: &TestCluster, totals: &Totals, name: MessageId, id: u64, what: u64) -> Told<u64> {
    let call = totals.book.borrow_mut().call(format!("tally/{id}"), name.0);
    let by = 1 + u64::try_from(name.0 % 7).unwrap_or(0);
    let inside = !name.0.is_multiple_of(4);
    let told = match what {
        0..5 if inside => meaning(&cluster.ask_with_id::<Tally, _, _>(name, id, Add { by }).await, false),
        0..5 => ask_from_outside(cluster, name, id, &Add { by }).await,
        5..7 if inside => meaning(&cluster.ask_with_id::<Tally, _, _>(name, id, AddToOdd { by }).await, false),
        5..7 => ask_from_outside(cluster, name, id, &AddToOdd { by }).await,
        _ if inside => meaning(&cluster.ask_with_id::<Tally, _, _>(name, id, Read).await, true),
        _ => ask_from_outside(cluster, name, id, &Read).await,
    };
    let answered = matches!(told, Told::Done(_) | Told::Seen { .. });
    totals.outside.set(totals.outside.get() + u64::from(!inside && answered));
    totals.book.borrow_mut().told(call, told.clone());
    told
}

async fn work(cluster: &TestCluster, totals: &Totals, commands: u64) {
    for _ in 0..commands {
        let (name, id, what) = (cluster.next_name(), cluster.draw(TALLIES), cluster.draw(10));
        // A question that may be refused is asked once at a time: whoever hears the first answer asks no more.
        if what < 5 && cluster.draw(10) == 0 {
            join(ask_once(cluster, totals, name, id, what), ask_once(cluster, totals, name, id, what)).await;
        }
        for _ in 0..6 {
            match ask_once(cluster, totals, name, id, what).await {
                // Some ask again although they have been told.
                Told::Done(_) if cluster.draw(20) == 0 => {}
                Told::Done(_) | Told::Seen { .. } => break,
                Told::No | Told::Unsure => cluster.advance(Duration::from_millis(200)).await,
            }
        }
        cluster.advance(Duration::from_millis(cluster.draw(30))).await;
    }
}

/// What came of a storm, or of many.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Storm {
    /// What was compared.
    pub(crate) agreed: Agreed,
    /// How often something was broken.
    pub(crate) strikes: u64,
    /// How many questions were answered to clients of the gateway.
    pub(crate) outside: u64,
    /// What went from purse to purse.
    pub(crate) given: Given,
    /// How many actors came warm with their shards and were used, on the nodes that are left.
    pub(crate) warm: u64,
    /// How much virtual time it took.
    pub(crate) passed: Duration,
}

impl std::ops::AddAssign for Storm {
    fn add_assign(&mut self, more: Self) {
        self.agreed += more.agreed;
        self.strikes += more.strikes;
        self.outside += more.outside;
        self.given += more.given;
        self.warm += more.warm;
        self.passed += more.passed;
    }
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agreed, strikes, outside, given: Given { gifts, promises, takeovers }, warm, passed } = self;
        let passed = passed.as_secs_f64();
        write!(
            f,
            "{agreed}; {outside} of these answers were clients' of the gateway; {strikes} things broken; {gifts} gifts all \
             arrived, {promises} by reminders, their feed passed to another {takeovers} times; {warm} actors came warm; \
             {passed:.0} s of virtual time"
        )
    }
}

fn warm_used(node: &Node) -> u64 {
    let counters = node.source().picture().map(|picture| picture.counters).unwrap_or_default();
    let used = counters.iter().filter(|counter| counter.metric == names::HANDED_OVER && counter.label == Some("used"));
    used.map(|counter| counter.count).sum()
}

/// Plays one storm.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn storm(plan: &Plan, names: Names) -> Result<Storm, Failure> {
    Failure::of(|struck| play(plan, names, struck))
}

fn play(plan: &Plan, names: Names, struck: &Cell<usize>) -> Result<Storm, String> {
    let cluster = TestCluster::seeded(plan.seed).nodes(plan.nodes).actor::<Tally>().actor::<Purse>();
    let cluster = if plan.three_replicas { cluster.three_replicas() } else { cluster };
    cluster.run(async |cluster| {
        let (totals, gifts, over) = (Totals::default(), Gifts::new(&cluster, names), Cell::new(false));
        let each = plan.asks.div_ceil(WORKERS);
        let workers = join_all((0..WORKERS).map(|_| work(&cluster, &totals, each)));
        let givers = join_all((0..GIVERS).map(|_| gifts.give(each * 2 / 3)));
        let working = async {
            join(workers, givers).await;
            over.set(true);
        };
        let judged = async {
            join(working, plan.strike(&cluster, &over, struck)).await;
            cluster.end_faults().await;
            let given = gifts.arrived().await?;
            cluster.check_at_rest().await?;
            let stores = cluster.hub().stores();
            let history = |actor: &String| {
                let found = stores.histories().find(|(address, _)| address.key.to_string() == *actor);
                kept(found.map_or(&[][..], |(_, commits)| commits))
            };
            let agreed = totals.book.borrow().check_all(history).map_err(|wrong| wrong.to_string())?;
            let warm = cluster.running().iter().map(|id| warm_used(&cluster.node(id))).sum();
            let (strikes, outside) = (struck.get() as u64, totals.outside.get());
            Ok(Storm { agreed, strikes, outside, given, warm, passed: cluster.elapsed() })
        };
        let (mut judged, mut passing) = (std::pin::pin!(judged), std::pin::pin!(gifts.pass_on()));
        tokio::select! {
            biased;
            judged = &mut judged => judged,
            () = &mut passing => Err("nobody passes gifts on".to_owned()),
        }
    })
}
