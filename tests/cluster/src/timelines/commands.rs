//! Many commands on real processes, while nodes, links and servers are broken: what is stored is what was acknowledged.
//!
//! Clients ask accounts through the gateway, several at once; what they are not sure of they ask again under the same
//! name, and some they ask twice from the beginning, so that two nodes have it. The judge is the one of the simulation
//! ([`aether_domain::testing::history`]); it is given every answer, reads and refusals too, and every stored record.
//! Deposits only make a balance greater, so that each balance is one moment of its account.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use aether::demo::bank::{AMOUNT_MAX, AccountEvent};
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, MessageId, Namespace, Sequence,
    ports::EventStore,
    records::StoredCommit,
    testing::history::{Agreed, Book, Kept, Told},
};
use aether_infra_nats::{GatewayClient, GatewayError, NatsConfig};
use aether_placement::ShardHash;
use anyhow::{Context, Result};
use futures_util::{StreamExt as _, future::join, stream};
use serde_json::{Value, json};
use xtask::{
    clock::{Deadline, Stopwatch, wait_for},
    cluster, interrupt, out,
};

use super::{Conditions, Stage};
use crate::Weather;

/// How many accounts there are. They are nobody else's.
const ACCOUNTS: u64 = 48;
/// The first of them.
const ACCOUNTS_FROM: u64 = 7_000_000;
/// How many clients ask at once.
const CLIENTS: u64 = 48;
/// How long one try waits.
const TRY_MAX: Duration = Duration::from_secs(3);
/// How often one question is asked at most.
const TRIES_MAX: usize = 40;
/// How long something stays broken, at most.
const BROKEN_MAX_MILLIS: u64 = 2_500;
/// Within what the cluster must be at rest after a storm.
const REST_LIMIT: Duration = Duration::from_secs(120);
/// How many histories are read at once.
const READS_AT_ONCE: usize = 8;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What was compared.
    pub agreed: Agreed,
    /// How many times something was broken, by what it was.
    pub broken: Vec<(&'static str, u64)>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agreed, broken, took } = self;
        let broken: Vec<_> = broken.iter().map(|(what, times)| format!("{times} {what}")).collect();
        write!(f, "{agreed}; broken meanwhile: {}; {:.0} s", broken.join(", "), took.as_secs_f64())
    }
}

/// A small generator of numbers, for what is broken and asked: the order in which answers come is nobody's to choose.
struct Dice(AtomicU64);

impl Dice {
    fn below(&self, bound: u64) -> u64 {
        let mixed = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 31)) % bound
    }
}

struct Clients {
    gateway: GatewayClient,
    book: Mutex<Book<u64, u64>>,
    dice: Dice,
    names: AtomicU64,
    left: AtomicU64,
}

#[derive(Clone, Copy)]
enum Question {
    Open,
    Deposit(u64),
    /// More than there can be: the refusal names the balance.
    TakeTooMuch,
    Balance,
}

impl Clients {
    /// Asks until somebody has said what became of it.
    async fn insist(&self, account: u64, name: u128, question: Question) {
        for _ in 0..TRIES_MAX {
            match self.ask(account, name, question).await {
                Told::No | Told::Unsure => tokio::time::sleep(Duration::from_millis(50)).await,
                _ => return,
            }
        }
    }

    async fn ask(&self, account: u64, name: u128, question: Question) -> Told<u64> {
        let (command, payload) = match question {
            Question::Open => ("open", json!({ "operation": name as u64 })),
            Question::Deposit(amount) => ("deposit", json!({ "operation": name as u64, "amount": amount })),
            Question::TakeTooMuch => ("withdraw", json!({ "operation": name as u64, "amount": AMOUNT_MAX })),
            Question::Balance => ("balance", json!({})),
        };
        let call = self.book.lock().unwrap_or_else(PoisonError::into_inner).call(account, name);
        let id = account.to_string();
        let said = self.gateway.ask_json("account", &id, command, &payload, Some(MessageId(name)), TRY_MAX).await;
        let told = match (&said, question) {
            (Ok(_), Question::Open) => Told::Done(0),
            (Ok(balance), Question::Balance) => Told::Seen { value: balance.as_u64().unwrap_or(u64::MAX), fresh: true },
            (Ok(balance), _) => Told::Done(balance.as_u64().unwrap_or(u64::MAX)),
            (Err(GatewayError::Rejected(no)), _) => {
                let balance = no["Insufficient"]["balance"].as_u64().unwrap_or(u64::MAX);
                Told::Seen { value: balance, fresh: true }
            }
            (Err(GatewayError::Failed { maybe_applied: false, .. }), _) => Told::No,
            (Err(_), _) => Told::Unsure,
        };
        if let Told::Seen { value: u64::MAX, .. } | Told::Done(u64::MAX) = told {
            out::note(format!("{name:x}: an answer that is none: {said:?}"));
        }
        self.book.lock().unwrap_or_else(PoisonError::into_inner).told(call, told.clone());
        told
    }

    fn next_name(&self) -> u128 {
        u128::from(self.names.fetch_add(1, Ordering::Relaxed))
    }

    async fn work(&self) {
        while self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            let (account, name) = (ACCOUNTS_FROM + self.dice.below(ACCOUNTS), self.next_name());
            let question = match self.dice.below(20) {
                0..15 => Question::Deposit(1 + self.dice.below(9)),
                15 => Question::TakeTooMuch,
                _ => Question::Balance,
            };
            // Whoever may be refused asks one at a time: the first answer ends it.
            if matches!(question, Question::Deposit(_)) && self.dice.below(10) == 0 {
                join(self.insist(account, name, question), self.insist(account, name, question)).await;
            } else {
                self.insist(account, name, question).await;
            }
        }
    }
}

/// Asks `commands` questions on those conditions while everything is broken in turn, and judges.
///
/// # Errors
/// What was told and what is stored do not agree, or the cluster does not come to rest; the seed is in the message.
pub fn storm(conditions: &Conditions, commands: u64, seed: u64) -> Result<Judged> {
    let mut stage = Stage::up(conditions)?;
    let judged = played(&mut stage, commands, seed).with_context(|| format!("seed {seed}, on {conditions}"));
    if judged.is_err() {
        stage.leave_traces();
    }
    judged
}

fn played(stage: &mut Stage, commands: u64, seed: u64) -> Result<Judged> {
    let file = stage.cluster.file()?;
    let namespace = Namespace::new(file.namespace.as_str())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let config = NatsConfig { replicas: stage.conditions.replicas, ..NatsConfig::new(file.nats_urls.iter().cloned()) };
    let clients = Arc::new(Clients {
        gateway: runtime.block_on(GatewayClient::connect(&config, &namespace))?,
        book: Mutex::new(Book::default()),
        dice: Dice(AtomicU64::new(seed)),
        names: AtomicU64::new(1),
        left: AtomicU64::new(commands),
    });
    let began = Stopwatch::start();
    runtime.block_on(async {
        for account in ACCOUNTS_FROM..ACCOUNTS_FROM + ACCOUNTS {
            clients.insist(account, clients.next_name(), Question::Open).await;
        }
    });
    let working: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let clients = Arc::clone(&clients);
            runtime.spawn(async move { clients.work().await })
        })
        .collect();
    let mut broken = Vec::new();
    while working.iter().any(|client| !client.is_finished()) {
        interrupt::check()?;
        thread::sleep(Duration::from_millis(clients.dice.below(800)));
        let what = strike(stage, &clients.dice)?;
        match broken.iter_mut().find(|(known, _)| *known == what) {
            Some((_, times)) => *times += 1,
            None => broken.push((what, 1)),
        }
    }
    for client in working {
        runtime.block_on(client).context("a client panicked")?;
    }
    let took = began.elapsed();
    // How soon it is at rest is measured by the timelines; here it only has to be.
    let calm = Deadline::after(REST_LIMIT);
    wait_for("the cluster to be at rest", calm, || Ok(stage.servers_healthy().and_then(|()| stage.rest()).ok()))?;
    let book = clients.book.lock().unwrap_or_else(PoisonError::into_inner);
    let histories = runtime.block_on(histories(&config, &namespace))?;
    let kept = histories.iter().map(|commits| kept(commits)).collect::<Result<Vec<_>>>()?;
    let agreed =
        book.check_all(|account| kept[usize::try_from(account - ACCOUNTS_FROM).unwrap_or(usize::MAX)].clone())?;
    runtime.shutdown_background();
    Ok(Judged { agreed, broken, took })
}

/// Breaks one thing for a while.
fn strike(stage: &mut Stage, dice: &Dice) -> Result<&'static str> {
    let ids = stage.ids();
    let id = ids[dice.below(ids.len() as u64) as usize].clone();
    let time = Duration::from_millis(200 + dice.below(BROKEN_MAX_MILLIS));
    if !stage.node(&id)?.process.is_alive() {
        cluster::restart(stage.cluster.dir(), &id)?;
        return Ok("nodes found ended");
    }
    match dice.below(8) {
        0 | 1 => {
            stage.node(&id)?.process.kill()?;
            thread::sleep(time);
            cluster::restart(stage.cluster.dir(), &id)?;
            Ok("nodes killed")
        }
        2 | 3 => {
            stage.link(&id)?.becomes(Weather::Cut);
            thread::sleep(time);
            stage.link(&id)?.becomes(Weather::Fair);
            Ok("links cut")
        }
        4 => {
            stage.link(&id)?.becomes(Weather::Hole);
            thread::sleep(time);
            stage.link(&id)?.becomes(Weather::Fair);
            Ok("links held")
        }
        5 | 6 => {
            cluster::stop(stage.cluster.dir(), &id)?;
            thread::sleep(time);
            cluster::resume(stage.cluster.dir(), &id)?;
            Ok("nodes stopped")
        }
        _ => {
            let server = dice.below(stage.servers.len() as u64) as usize;
            stage.servers[server].kill()?;
            thread::sleep(time / 2);
            stage.servers[server].restart()?;
            stage.servers_healthy()?;
            Ok("servers killed")
        }
    }
}

/// The history of every account, past the cluster.
async fn histories(config: &NatsConfig, namespace: &Namespace) -> Result<Vec<Vec<StoredCommit>>> {
    let connected = aether_infra_nats::connect(config, namespace).await?;
    let hash = ShardHash::v1(0, namespace);
    let events: Arc<dyn EventStore> = connected.ports.events;
    let read = |account: u64| {
        let events = Arc::clone(&events);
        async move {
            let address = address(&hash, account)?;
            Ok(events.read(&address, Sequence::ZERO).await?)
        }
    };
    let accounts = stream::iter(ACCOUNTS_FROM..ACCOUNTS_FROM + ACCOUNTS);
    let found: Vec<Result<_>> = accounts.map(read).buffered(READS_AT_ONCE).collect().await;
    connected.session.close().await;
    found.into_iter().collect()
}

fn address(hash: &ShardHash, account: u64) -> Result<ActorAddress> {
    let key = ActorKey { kind: ActorKind::new("account")?, id: ActorId::new(account.to_string())? };
    Ok(hash.address(key))
}

/// An account's history, folded from its events alone.
fn kept(commits: &[StoredCommit]) -> Result<Kept<'_, u64>> {
    let (mut balance, mut commands) = (0, Vec::new());
    for StoredCommit { record, .. } in commits {
        anyhow::ensure!(record.commands.len() == record.events.len(), "each command of these has one event");
        for (mark, event) in record.commands.iter().zip(&record.events) {
            match serde_json::from_slice(&event.payload)? {
                AccountEvent::Opened { .. } => {}
                AccountEvent::Deposited { amount, .. } => balance += amount,
                other => anyhow::bail!("nobody has asked for {other:?}"),
            }
            let stored: Value = serde_json::from_slice(&mark.reply).unwrap_or_default();
            anyhow::ensure!(
                stored.is_null() || stored == balance,
                "the stored reply is {stored}, the events make {balance}"
            );
            commands.push((mark.message.map(|message| message.0), balance));
        }
    }
    Ok(Kept { commits, born: Some(0), commands })
}
