//! Asking one account of every shard, to see which shards are really served.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aether_domain::{ActorId, ActorKey, ActorKind, MessageId, Namespace, ShardCount};
use aether_infra_nats::{GatewayClient, GatewayError, NatsConfig};
use aether_placement::ShardHash;
use anyhow::{Context, Result, anyhow, bail, ensure};
use futures_util::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, task::AbortHandle};
use xtask::{
    clock::{Deadline, Stopwatch},
    cluster::ClusterFile,
    interrupt,
};

/// How many shards a cluster has unless it is told otherwise.
pub const SHARDS: usize = 1024;

/// How long one try waits. Long enough to be waiting with a living node when a shard is served again: it answers then.
const TRY_MAX: Duration = Duration::from_secs(2);

/// How many tries of one shard wait at once, and how far apart they begin. NATS goes on giving a frozen process its part
/// of the requests, and those are lost; one of several is not, so that what is lost adds little to the gap measured.
const TRIES_AT_ONCE: usize = 6;
const NEXT_TRY_AFTER: Duration = Duration::from_millis(150);

/// How many tries wait where nobody is frozen: what was on its way to a process that was killed is lost all the same, and
/// each try is work for those who serve again.
const TRIES_OF_THE_LIVING: usize = 2;

/// How often [`Prober::keep_asking`] asks, and how long it waits for each answer.
const ASK_EVERY: Duration = Duration::from_millis(20);
const ASK_MAX: Duration = Duration::from_millis(500);

/// How many tries wait at once. A node works on 1024 requests of clients.
const AT_ONCE: usize = 2048;

/// How many accounts are brought into memory at once.
const LOADED_AT_ONCE: usize = 256;

/// How many numbers are tried to find an account of each shard; 1024 shards need some 8,000.
const NUMBERS_MAX: u64 = 1_000_000;

/// A client that knows an account of every shard. They are its own: no load uses them.
#[derive(Debug)]
pub struct Prober {
    pub(crate) runtime: Runtime,
    pub(crate) client: GatewayClient,
    namespace: Namespace,
    /// By shard.
    accounts: Vec<u64>,
}

impl Prober {
    /// Connects to the cluster.
    ///
    /// # Errors
    /// No server answers.
    pub fn of(file: &ClusterFile) -> Result<Self> {
        let namespace = Namespace::new(file.namespace.as_str())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let config = NatsConfig::new(file.nats_urls.iter().cloned());
        let client = runtime.block_on(GatewayClient::connect(&config, &namespace))?;
        let accounts = one_account_a_shard(&namespace)?;
        Ok(Self { runtime, client, namespace, accounts })
    }

    /// An account of that shard.
    pub fn account(&self, shard: usize) -> u64 {
        self.accounts[shard]
    }

    /// So many accounts of those shards, none of them anybody's.
    ///
    /// # Errors
    /// There are not so many among the numbers that are tried.
    pub fn accounts(&self, shards: &[usize], count: usize) -> Result<Vec<u64>> {
        let (hash, kind) = (ShardHash::v1(0, &self.namespace), ActorKind::new("account")?);
        let mut found = Vec::with_capacity(count);
        // Of a million numbers a shard has 977 on average, which varies by 31 and more from namespace to namespace.
        for number in NUMBERS_MAX..5 * NUMBERS_MAX {
            if found.len() == count {
                return Ok(found);
            }
            let key = ActorKey { kind: kind.clone(), id: ActorId::new(number.to_string())? };
            if shards.contains(&hash.address(key).slot.shard(ShardCount::DEFAULT).index()) {
                found.push(number);
            }
        }
        bail!("there are only {} of {count} accounts", found.len())
    }

    /// Asks each of these accounts until it has answered, many at once: all of them are in memory then.
    ///
    /// # Errors
    /// One does not answer within `limit`.
    pub fn load(&self, accounts: &[u64], limit: Duration) -> Result<()> {
        let deadline = Deadline::after(limit);
        self.runtime.block_on(async {
            let asks = stream::iter(accounts.iter().map(|account| async move {
                let id = account.to_string();
                while let Err(error) = self.client.ask_json("account", &id, "audit", &json!({}), None, TRY_MAX).await {
                    ensure!(!deadline.passed() && !interrupt::requested(), "account {id} does not answer: {error}");
                }
                anyhow::Ok(())
            }));
            let mut asks = asks.buffer_unordered(LOADED_AT_ONCE);
            while let Some(loaded) = asks.next().await {
                loaded?;
            }
            Ok(())
        })
    }

    /// Asks an account of every shard until each has answered, and answers how long the slowest took, counted from
    /// `since`. Every answer is a read in the strict mode: it needs an owner that may commit.
    ///
    /// # Errors
    /// Not all within `limit` of `since`; the error counts the silent shards and quotes one.
    pub fn until_all_served(&self, since: Stopwatch, limit: Duration) -> Result<Duration> {
        let all: Vec<_> = (0..self.accounts.len()).collect();
        self.until_served(&all, since, limit)
    }

    /// As [`Prober::until_all_served`], of these shards.
    ///
    /// # Errors
    /// As [`Prober::until_all_served`].
    pub fn until_served(&self, shards: &[usize], since: Stopwatch, limit: Duration) -> Result<Duration> {
        self.until(shards, since, limit, TRIES_AT_ONCE)
    }

    /// As [`Prober::until_served`], where every process that is there does answer.
    ///
    /// # Errors
    /// As [`Prober::until_all_served`].
    pub fn until_served_by_the_living(&self, shards: &[usize], since: Stopwatch, limit: Duration) -> Result<Duration> {
        self.until(shards, since, limit, TRIES_OF_THE_LIVING)
    }

    fn until(&self, shards: &[usize], since: Stopwatch, limit: Duration, tries: usize) -> Result<Duration> {
        let deadline = Deadline::after(limit.saturating_sub(since.elapsed()));
        let answers = self.runtime.block_on(async {
            let asked = stream::iter(shards.iter().copied());
            let asks = asked.map(|shard| async move { (shard, self.served_by(shard, deadline, tries).await) });
            asks.buffer_unordered(AT_ONCE / tries).collect::<BTreeMap<_, _>>().await
        });
        let silent: Vec<_> = answers.iter().filter_map(|(shard, said)| Some((shard, said.as_ref().err()?))).collect();
        if let Some((shard, error)) = silent.first() {
            bail!("{} shards are not served within {limit:?}, shard {shard} for one: {error:#}", silent.len());
        }
        Ok(since.elapsed())
    }

    async fn served_by(&self, shard: usize, deadline: Deadline, tries: usize) -> Result<()> {
        let (id, nothing) = (self.accounts[shard].to_string(), json!({}));
        let mut waiting = FuturesUnordered::new();
        let mut last = anyhow!("nobody has answered yet");
        loop {
            if waiting.len() < tries {
                waiting.push(self.client.ask_json("account", &id, "audit", &nothing, None, TRY_MAX));
            }
            let next_try = tokio::time::sleep(NEXT_TRY_AFTER);
            tokio::pin!(next_try);
            loop {
                tokio::select! {
                    Some(said) = waiting.next() => match said {
                        Ok(_) => return Ok(()),
                        Err(error) => last = anyhow!(error),
                    },
                    () = &mut next_try => break,
                }
            }
            if deadline.passed() || interrupt::requested() {
                return Err(last);
            }
        }
    }

    /// Goes on asking one account after the other, many times a second, until the answer is dropped.
    pub fn keep_asking(&self) -> Asking {
        let answered: Arc<Mutex<Vec<Stopwatch>>> = Arc::default();
        let (client, accounts, noted) = (self.client.clone(), self.accounts.clone(), Arc::clone(&answered));
        let task = self.runtime.spawn(async move {
            for account in accounts.into_iter().cycle() {
                let (client, noted) = (client.clone(), Arc::clone(&noted));
                tokio::spawn(async move {
                    let id = account.to_string();
                    if client.ask_json("account", &id, "audit", &json!({}), None, ASK_MAX).await.is_ok() {
                        noted.lock().unwrap_or_else(PoisonError::into_inner).push(Stopwatch::start());
                    }
                });
                tokio::time::sleep(ASK_EVERY).await;
            }
        });
        Asking { answered, task: task.abort_handle() }
    }

    /// Asks an account once, waiting two seconds.
    ///
    /// # Errors
    /// As the gateway says.
    pub fn ask(&self, account: u64, command: &str, payload: &Value) -> Result<Value, GatewayError> {
        let id = account.to_string();
        let within = Duration::from_secs(2);
        self.runtime.block_on(self.client.ask_json("account", &id, command, payload, None, within))
    }

    /// Asks an account under one message id until it answers.
    ///
    /// # Errors
    /// It refuses, or does not answer within `limit`.
    pub fn insist(
        &self,
        account: u64,
        command: &str,
        payload: &Value,
        message: u128,
        limit: Duration,
    ) -> Result<Value, GatewayError> {
        let (id, message, deadline) = (account.to_string(), Some(MessageId(message)), Deadline::after(limit));
        loop {
            let asked = self.client.ask_json("account", &id, command, payload, message, Duration::from_secs(2));
            match self.runtime.block_on(asked) {
                Err(error) if !deadline.passed() && !matches!(error, GatewayError::Rejected(_)) => {}
                said => return said,
            }
        }
    }
}

/// Somebody who goes on asking.
#[derive(Debug)]
pub struct Asking {
    answered: Arc<Mutex<Vec<Stopwatch>>>,
    task: AbortHandle,
}

impl Asking {
    /// How long after `moment` the first answer came; `None` while none has.
    pub fn first_after(&self, moment: Stopwatch) -> Option<Duration> {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.iter().map(|at| moment.until(*at)).find(|gap| !gap.is_zero())
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn one_account_a_shard(namespace: &Namespace) -> Result<Vec<u64>> {
    let hash = ShardHash::v1(0, namespace);
    let kind = ActorKind::new("account")?;
    let mut found = BTreeMap::new();
    for number in 0..NUMBERS_MAX {
        let key = ActorKey { kind: kind.clone(), id: ActorId::new(number.to_string())? };
        let shard = hash.address(key).slot.shard(ShardCount::DEFAULT).index();
        found.entry(shard).or_insert(number);
        if found.len() == SHARDS {
            return Ok(found.into_values().collect());
        }
    }
    None.context("a million accounts should meet every shard")
}
