//! Clients that ask accounts of their own, and keep a book about it that is judged.
//!
//! They ask through the gateway, several at once; what they are not sure of they ask again under the same name, and some they
//! ask twice from the beginning, so that two nodes have it. The judge is the one of the simulation
//! ([`aether_domain::testing::history`]); it is given every answer, reads and refusals too, and every stored record.
//! Deposits only make a balance greater, so that each balance is one moment of its account.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
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
use tokio::{runtime::Runtime, task::JoinHandle};
use xtask::out;

use super::Stage;

/// How long one try waits.
const TRY_MAX: Duration = Duration::from_secs(3);
/// How often one question is asked at most.
const TRIES_MAX: usize = 40;
/// How many histories are read at once.
const READS_AT_ONCE: usize = 8;

/// Whom they ask, and how.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The accounts. They are nobody else's.
    pub(super) accounts: Vec<u64>,
    /// How many ask at once.
    pub(super) clients: u64,
    /// How long each of them waits between two questions.
    pub(super) pause: Duration,
    /// How many questions there are, unless they are ended before.
    pub(super) questions: u64,
    /// What they ask is drawn from it.
    pub(super) seed: u64,
}

/// Clients that ask until there is nothing left to ask, or until they are ended.
pub(super) struct Askers {
    clients: Arc<Clients>,
    working: Vec<JoinHandle<()>>,
    config: NatsConfig,
    namespace: Namespace,
    runtime: Runtime,
}

impl Askers {
    /// Opens the accounts and begins to ask.
    ///
    /// # Errors
    /// No server answers.
    pub(super) fn begin(stage: &Stage, asked: Asked) -> Result<Self> {
        let file = stage.cluster.file()?;
        let namespace = Namespace::new(file.namespace.as_str())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let config = NatsConfig { replicas: stage.conditions.replicas, ..NatsConfig::new(file.nats_urls) };
        let clients = Arc::new(Clients {
            gateway: runtime.block_on(GatewayClient::connect(&config, &namespace))?,
            book: Mutex::new(Book::default()),
            dice: Dice::of(asked.seed),
            names: AtomicU64::new(1),
            left: AtomicU64::new(asked.questions),
            accounts: asked.accounts,
            pause: asked.pause,
        });
        runtime.block_on(async {
            for account in &clients.accounts {
                clients.insist(*account, clients.next_name(), Question::Open).await;
            }
        });
        let work = |_| {
            let clients = Arc::clone(&clients);
            runtime.spawn(async move { clients.work().await })
        };
        let working = (0..asked.clients).map(work).collect();
        Ok(Self { clients, working, config, namespace, runtime })
    }

    /// Whether nobody asks any more.
    pub(super) fn are_done(&self) -> bool {
        self.working.iter().all(JoinHandle::is_finished)
    }

    /// Ends them, each with the answer to its last question.
    ///
    /// # Errors
    /// One of them panicked.
    pub(super) fn end(&mut self) -> Result<()> {
        self.clients.left.store(0, Ordering::Relaxed);
        self.working.drain(..).try_for_each(|client| self.runtime.block_on(client).context("a client panicked"))
    }

    /// Compares what was told with what is stored; `written` is where both are written, too.
    ///
    /// # Errors
    /// The first thing that does not agree.
    pub(super) fn judge(self, written: Option<&Path>) -> Result<Agreed> {
        let book = self.clients.book.lock().unwrap_or_else(PoisonError::into_inner);
        let accounts = &self.clients.accounts;
        let histories = self.runtime.block_on(histories(&self.config, &self.namespace, accounts))?;
        let kept = all_kept(accounts, &histories)?;
        if let Some(path) = written {
            let file = File::create(path).with_context(|| format!("{} cannot be made", path.display()))?;
            let mut file = BufWriter::new(file);
            aether_histcheck::write(&book, |account| kept[account].clone(), &mut file)?;
            file.flush()?;
        }
        let agreed = book.check_all(|account| kept[account].clone())?;
        drop(kept);
        drop(book);
        self.runtime.shutdown_background();
        Ok(agreed)
    }
}

/// Holds the stored history of each of these accounts against the book.
///
/// # Errors
/// The first thing that does not agree, or a history cannot be read.
pub(super) async fn judge(
    book: &Book<u64, u64>,
    accounts: &[u64],
    config: &NatsConfig,
    namespace: &Namespace,
) -> Result<Agreed> {
    let histories = histories(config, namespace, accounts).await?;
    let kept = all_kept(accounts, &histories)?;
    Ok(book.check_all(|account| kept[account].clone())?)
}

fn all_kept<'a>(accounts: &[u64], histories: &'a [Vec<StoredCommit>]) -> Result<BTreeMap<u64, Kept<'a, u64>>> {
    accounts.iter().zip(histories).map(|(account, commits)| Ok((*account, kept(commits)?))).collect()
}

/// A small generator of numbers, for what is broken and asked: the order in which answers come is nobody's to choose.
pub(super) struct Dice(AtomicU64);

impl Dice {
    pub(super) fn of(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(super) fn below(&self, bound: u64) -> u64 {
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
    accounts: Vec<u64>,
    pause: Duration,
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
            let (account, name) =
                (self.accounts[self.dice.below(self.accounts.len() as u64) as usize], self.next_name());
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
            tokio::time::sleep(self.pause).await;
        }
    }
}

/// The history of every account, past the cluster.
async fn histories(config: &NatsConfig, namespace: &Namespace, accounts: &[u64]) -> Result<Vec<Vec<StoredCommit>>> {
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
    let found: Vec<Result<_>> =
        stream::iter(accounts.iter().copied()).map(read).buffered(READS_AT_ONCE).collect().await;
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
