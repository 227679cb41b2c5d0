//! Askers that number what they ask and do not wait for answers, while shards move in good order: whoever asks one actor
//! through one node finds it there in the order in which it was asked.
//!
//! They ask through nodes of their own, in this process, which own shards like all others. Nothing fails here, so no ask may.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use aether::{
    Node,
    demo::bank::{Account, AccountError, Deposit, Open},
    prelude::AskError,
};
use aether_domain::{
    MessageId, Namespace, ShardCount,
    testing::history::{Agreed, Book, Told},
    timing::Profile,
};
use aether_infra_nats::NatsConfig;
use anyhow::{Context, Result, ensure};
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::time::sleep;
use xtask::{
    clock::{Deadline, wait_for},
    cluster, interrupt, out,
};

use super::{Conditions, Stage, askers::judge, leader::shards};

/// Nodes that ask, and how many askers ask through each.
const NODES: [&str; 2] = ["a1", "a2"];
const ASKERS_A_NODE: u64 = 3;
/// How many accounts all of them ask.
const ACCOUNTS: u64 = 8;
const ACCOUNTS_FROM: u64 = 8_000_000;
/// How many asks one asker has under way at most, how many it makes in a row, and how long it waits then.
const UNDER_WAY_MAX: usize = 64;
const IN_A_ROW: u64 = 8;
const PAUSE: Duration = Duration::from_millis(60);
/// How long an ask may take. Nothing should take as long.
const ASK_MAX: Duration = Duration::from_secs(30);
/// How many moves an operator asks for, and how long after each other.
const MOVES: usize = 40;
const MOVES_EVERY: Duration = Duration::from_millis(250);
/// Within what all nodes are members, and everything has come to rest.
const LIMIT: Duration = Duration::from_secs(60);

/// How shards are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mover {
    /// An operator wants the accounts' shards elsewhere, one after the other.
    Operator,
    /// Every node is restarted, one after the other.
    Restarts,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Ordered {
    /// What was compared.
    pub agreed: Agreed,
    /// How often a shard of one of the accounts changed its owner meanwhile.
    pub moved: usize,
}

struct Asker {
    number: u64,
    node: Arc<Node>,
    book: Arc<Mutex<Book<u64, u64>>>,
    over: Arc<AtomicBool>,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Option<AskError<AccountError>>> + Send + 'a>>;

impl Asker {
    /// One question: asked as soon as it is polled, noted before and after.
    fn ask(&self, nth: u64) -> Answer<'_> {
        let account = ACCOUNTS_FROM + nth % ACCOUNTS;
        let name = u128::from(self.number + 1) << 64 | u128::from(nth);
        Box::pin(async move {
            let call = self.book().call_in_turn(account, name, self.number);
            let actor = self.node.actor::<Account>(account).timeout(ASK_MAX);
            let said = actor.ask_with_id(MessageId(name), Deposit { operation: nth, amount: 1 }).await;
            let told = match &said {
                Ok(balance) => Told::Done(*balance),
                Err(error) if error.maybe_applied() => Told::Unsure,
                Err(_) => Told::No,
            };
            self.book().told(call, told);
            said.err()
        })
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book<u64, u64>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks until it is over; the first error it was told.
    async fn work(self) -> Result<u64> {
        let mut under_way = FuturesUnordered::new();
        let mut asked = 0;
        while !self.over.load(Ordering::Relaxed) {
            for _ in 0..IN_A_ROW {
                let mut ask = self.ask(asked);
                // Polled once before the next one is made: that is when it takes its turn.
                match (&mut ask).now_or_never() {
                    Some(error) => ensure!(error.is_none(), "asker {} was told {error:?}", self.number),
                    None => under_way.push(ask),
                }
                asked += 1;
            }
            let pause = sleep(PAUSE);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    Some(error) = under_way.next() => {
                        ensure!(error.is_none(), "asker {} was told {error:?}", self.number);
                    }
                    () = &mut pause, if under_way.len() < UNDER_WAY_MAX => break,
                }
            }
        }
        while let Some(error) = under_way.next().await {
            ensure!(error.is_none(), "asker {} was told {error:?}", self.number);
        }
        Ok(asked)
    }
}

/// Moves shards on those conditions while they are asked, and judges.
///
/// # Errors
/// An ask failed, something stands in another order than it was asked in, or is lost, or there twice.
pub fn play(conditions: &Conditions, mover: Mover) -> Result<Ordered> {
    let mut stage = Stage::up(conditions)?;
    let played = played(&stage, mover).with_context(|| format!("{mover:?}, on {conditions}"));
    if played.is_err() {
        stage.leave_traces();
    }
    played
}

fn played(stage: &Stage, mover: Mover) -> Result<Ordered> {
    let file = stage.cluster.file()?;
    let namespace = Namespace::new(file.namespace.as_str())?;
    let config = NatsConfig { replicas: stage.conditions.replicas, ..NatsConfig::new(file.nats_urls.clone()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let start = async |id: &str| {
        let builder = Node::builder(id).namespace(namespace.as_str()).profile(Profile::Fast);
        anyhow::Ok(Arc::new(builder.nats(config.clone()).actor::<Account>().start().await?))
    };
    let nodes = runtime.block_on(async {
        let mut nodes = Vec::new();
        for id in NODES {
            nodes.push(start(id).await?);
        }
        for account in ACCOUNTS_FROM..ACCOUNTS_FROM + ACCOUNTS {
            nodes[0].actor::<Account>(account).ask(Open { operation: u64::MAX }).await?;
        }
        anyhow::Ok(nodes)
    })?;
    let members = stage.conditions.nodes + NODES.len();
    at_rest(stage, members)?;
    let (book, over) = (Arc::new(Mutex::new(Book::default())), Arc::new(AtomicBool::new(false)));
    let place = stage.observer.so_far();
    let asking: Vec<_> = (0..ASKERS_A_NODE * NODES.len() as u64)
        .map(|number| {
            let node = Arc::clone(&nodes[number as usize % nodes.len()]);
            runtime.spawn(Asker { number, node, book: Arc::clone(&book), over: Arc::clone(&over) }.work())
        })
        .collect();
    let their_shards: Vec<_> = (ACCOUNTS_FROM..ACCOUNTS_FROM + ACCOUNTS)
        .map(|account| nodes[0].actor::<Account>(account).address().slot.shard(ShardCount::DEFAULT).index())
        .collect();
    let moved = match mover {
        Mover::Operator => move_about(stage, &their_shards),
        Mover::Restarts => restart_all(stage, members),
    };
    over.store(true, Ordering::Relaxed);
    let mut asked = 0;
    for asker in asking {
        asked += runtime.block_on(asker).context("an asker panicked")??;
    }
    moved?;
    at_rest(stage, members)?;
    stage.caught_up()?;
    let mut changes = 0;
    for event in stage.observer.since(place).iter().flat_map(|seen| seen.events("ShardMigrated")) {
        let moved = shards(event["shards"].as_str().unwrap_or_default())?;
        changes += their_shards.iter().filter(|shard| moved.contains(shard)).count();
    }
    for node in nodes {
        let ended = runtime.block_on(node.drain());
        ensure!(matches!(ended, aether::Ended::Left { .. }), "{ended}");
    }
    stage.rest()?;
    let accounts: Vec<_> = (ACCOUNTS_FROM..ACCOUNTS_FROM + ACCOUNTS).collect();
    let book = book.lock().unwrap_or_else(PoisonError::into_inner);
    let agreed = runtime.block_on(judge(&book, &accounts, &config, &namespace))?;
    runtime.shutdown_background();
    ensure!(agreed.done == asked, "{asked} were asked: {agreed}");
    out::note(format!("    {mover:?}: their shards moved {changes} times; {agreed}"));
    Ok(Ordered { agreed, moved: changes })
}

/// Waits until so many are members, every shard has an owner and nothing moves.
fn at_rest(stage: &Stage, members: usize) -> Result<()> {
    wait_for("everything to be at rest", Deadline::after(LIMIT), || {
        interrupt::check()?;
        Ok(stage.cluster.furthest()?.is_whole(members).then_some(()))
    })
}

/// Lets an operator want the shards in turn on the nodes in turn.
fn move_about(stage: &Stage, their_shards: &[usize]) -> Result<()> {
    let ids: Vec<_> = stage.ids().into_iter().chain(NODES.map(str::to_owned)).collect();
    for nth in 0..MOVES {
        interrupt::check()?;
        let shard = their_shards[nth % their_shards.len()];
        stage.operator.pin(shard, &ids[(nth + nth / their_shards.len()) % ids.len()])?;
        thread::sleep(MOVES_EVERY);
    }
    stage.operator.want(|policy| policy.pins.clear())
}

fn restart_all(stage: &Stage, members: usize) -> Result<()> {
    for id in stage.ids() {
        interrupt::check()?;
        cluster::drain(stage.cluster.dir(), &id)?;
        cluster::restart(stage.cluster.dir(), &id)?;
        at_rest(stage, members)?;
    }
    Ok(())
}
