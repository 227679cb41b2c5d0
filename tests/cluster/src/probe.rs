//! Asking one account of every shard, to see which shards are really served.

use std::{collections::BTreeMap, time::Duration};

use aether_domain::{ActorId, ActorKey, ActorKind, MessageId, Namespace, ShardCount};
use aether_infra_nats::{GatewayClient, GatewayError, NatsConfig};
use aether_placement::ShardHash;
use anyhow::{Context, Result, anyhow, bail};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use xtask::{
    clock::{Deadline, Stopwatch},
    cluster::ClusterFile,
};

/// How many shards a cluster has unless it is told otherwise.
pub const SHARDS: usize = 1024;

/// How long one try waits. Short, so that a try sent to a dead or frozen node costs little of the gap that is measured.
const TRY_MAX: Duration = Duration::from_millis(400);

/// How many accounts are asked at once.
const AT_ONCE: usize = 256;

/// How many numbers are tried to find an account of each shard; 1024 shards need some 8,000.
const NUMBERS_MAX: u64 = 1_000_000;

/// A client that knows an account of every shard. They are its own: no load uses them.
#[derive(Debug)]
pub struct Prober {
    runtime: Runtime,
    client: GatewayClient,
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
        Ok(Self { runtime, client, accounts: one_account_a_shard(&namespace)? })
    }

    /// An account of that shard.
    pub fn account(&self, shard: usize) -> u64 {
        self.accounts[shard]
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
        let deadline = Deadline::after(limit.saturating_sub(since.elapsed()));
        let answers = self.runtime.block_on(async {
            let asked = stream::iter(shards.iter().copied());
            let asks = asked.map(|shard| async move { (shard, self.served_by(shard, deadline).await) });
            asks.buffer_unordered(AT_ONCE).collect::<BTreeMap<_, _>>().await
        });
        let silent: Vec<_> = answers.iter().filter_map(|(shard, said)| Some((shard, said.as_ref().err()?))).collect();
        if let Some((shard, error)) = silent.first() {
            bail!("{} shards are not served within {limit:?}, shard {shard} for one: {error:#}", silent.len());
        }
        Ok(since.elapsed())
    }

    async fn served_by(&self, shard: usize, deadline: Deadline) -> Result<()> {
        let id = self.accounts[shard].to_string();
        loop {
            match self.client.ask_json("account", &id, "audit", &json!({}), None, TRY_MAX).await {
                Ok(_) => return Ok(()),
                Err(error) if deadline.passed() => return Err(anyhow!(error)),
                Err(GatewayError::NoAnswer { .. } | GatewayError::Failed { .. }) => {}
                // Nobody may have been there to wait for.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
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
