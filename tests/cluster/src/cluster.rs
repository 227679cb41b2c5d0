//! A cluster of processes that ends with its test.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use aether_domain::Namespace;
use aether_infra_nats::NatsConfig;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use xtask::{
    clock::{Deadline, wait_for},
    cluster::{self, ClusterFile, ClusterView, NatsChoice, NodeRecord, Profile, UpOptions, owners},
    http,
    nats::Sync,
    process::{Identity, tail},
};

/// How long a cluster may take until it is ready; the promise is 30 s.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// How long the load may take to compare its sums with what the accounts answer.
const VERIFY_LIMIT: Duration = Duration::from_secs(60);

/// How long it may take until somebody answers a plain question, or all answer it alike.
const ANSWER_LIMIT: Duration = Duration::from_secs(45);

/// How much of each log is shown after a failure.
const LOG_LINES_SHOWN: usize = 25;

/// Tells the namespaces of one test process apart.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// Held by whoever runs a cluster: two at once on two cores would measure each other.
static ALONE: Mutex<()> = Mutex::new(());

/// Waits until no other test of this process runs a cluster or asks to be alone, and keeps others out until the answer is dropped. Tests in
/// processes of their own are kept apart by the runner's configuration.
pub fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What kind of cluster a test wants.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The `aether` program.
    pub program: PathBuf,
    /// How many nodes.
    pub nodes: usize,
    /// How many nats-servers, 1 or 3.
    pub servers: usize,
    /// The nodes' timings.
    pub profile: Profile,
    /// How many workers the load has; none without it.
    pub load: Option<usize>,
    /// Whether each node runs under a supervisor.
    pub supervise: bool,
}

impl Spec {
    /// Three nodes on one server, in the default profile, under the load of four workers.
    pub fn of(program: &str) -> Self {
        Self {
            program: program.into(),
            nodes: 3,
            servers: 1,
            profile: Profile::Default,
            load: Some(4),
            supervise: true,
        }
    }

    /// The same with the short timings.
    #[must_use]
    pub fn fast(self) -> Self {
        Self { profile: Profile::Fast, ..self }
    }

    /// The same with nobody to say that a node has died.
    #[must_use]
    pub fn unsupervised(self) -> Self {
        Self { supervise: false, ..self }
    }
}

/// A running cluster. Dropping it kills every process it recorded, each known by more than its number.
#[derive(Debug)]
pub struct Cluster {
    folder: Option<TempDir>,
    dir: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Starts one and waits until every node is Active, every shard owned, and the shards are shared out evenly.
    ///
    /// # Errors
    /// It was not ready within 30 s; nothing is left running.
    pub fn up(spec: &Spec) -> Result<Self> {
        let nats = NatsChoice::Start { servers: spec.servers, program: None, sync: Sync::ServerDefault };
        Self::up_on(spec, alone(), nats, BTreeMap::new())
    }

    /// As [`Cluster::up`], for whoever is alone already: on NATS as chosen, single nodes with URLs of their own.
    ///
    /// # Errors
    /// As [`Cluster::up`].
    pub fn up_on(
        spec: &Spec,
        alone: MutexGuard<'static, ()>,
        nats: NatsChoice,
        own_urls: BTreeMap<String, Vec<String>>,
    ) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("aether-cluster-").tempdir().context("a folder for the cluster")?;
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let dir = folder.path().to_path_buf();
        // From here on the value's end ends whatever was started.
        let cluster = Self { folder: Some(folder), dir, _alone: alone };
        cluster::up(&UpOptions {
            dir: cluster.dir.clone(),
            program: spec.program.clone(),
            namespace: format!("t{}_{number}", std::process::id()),
            nodes: spec.nodes,
            nats,
            own_urls,
            profile: spec.profile,
            load: spec.load,
            keep: false,
            supervise: spec.supervise,
            zones: 0,
            ready_limit: READY_LIMIT,
        })?;
        Ok(cluster)
    }

    /// Starts one and runs `test` on it. After a failure the cluster's files stay, and the ends of its logs are shown.
    ///
    /// # Errors
    /// As [`Cluster::up`], or as `test` says.
    pub fn run(spec: &Spec, test: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let mut cluster = Self::up(spec)?;
        let outcome = test(&cluster);
        if outcome.is_err() {
            cluster.leave_traces();
        }
        outcome
    }

    /// Its folder, as the functions of [`xtask::cluster`] want it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What runs.
    ///
    /// # Errors
    /// Nothing does any more.
    pub fn file(&self) -> Result<ClusterFile> {
        ClusterFile::load(&self.dir)
    }

    /// The node called `id`.
    ///
    /// # Errors
    /// There is none.
    pub fn node(&self, id: &str) -> Result<NodeRecord> {
        Ok(self.file()?.node(id)?.clone())
    }

    /// What the living nodes see, by id. A frozen or dead one says nothing.
    ///
    /// # Errors
    /// Nothing runs any more.
    pub fn views(&self) -> Result<BTreeMap<String, ClusterView>> {
        let nodes = self.file()?.nodes;
        let living = nodes.into_iter().filter(|node| node.process.is_alive());
        Ok(living.filter_map(|node| Some((node.id, ClusterView::ask(&node.admin_url).ok()?))).collect())
    }

    /// What the node furthest ahead sees.
    ///
    /// # Errors
    /// Nobody answers for a while.
    pub fn furthest(&self) -> Result<ClusterView> {
        wait_for("a node to answer", Deadline::after(ANSWER_LIMIT), || {
            Ok(self.views()?.into_values().max_by_key(|view| view.epoch))
        })
    }

    /// Who leads, as the node furthest ahead sees it.
    ///
    /// # Errors
    /// Nobody answers or leads for a while.
    pub fn leader(&self) -> Result<String> {
        wait_for("somebody to lead", Deadline::after(ANSWER_LIMIT), || Ok(self.furthest()?.leader))
    }

    /// A living node that does not lead.
    ///
    /// # Errors
    /// There is none.
    pub fn follower(&self) -> Result<String> {
        wait_for("a node beside the leader to answer", Deadline::after(ANSWER_LIMIT), || {
            let leader = self.leader()?;
            Ok(self.views()?.into_keys().find(|id| *id != leader))
        })
    }

    /// Waits until `active` nodes answer, all Active and agreeing, every shard is owned by a node that answers, and
    /// nothing moves.
    ///
    /// # Errors
    /// Not within the limit; the error says what was last seen.
    pub fn wait_whole(&self, active: usize, limit: Duration) -> Result<ClusterView> {
        self.wait_view(active, limit, "to be whole", |_| true)
    }

    /// As [`Cluster::wait_whole`], and no node owns two shards more than another.
    ///
    /// # Errors
    /// As [`Cluster::wait_whole`].
    pub fn wait_balanced(&self, active: usize, limit: Duration) -> Result<ClusterView> {
        self.wait_view(active, limit, "to be balanced", ClusterView::is_balanced)
    }

    fn wait_view(
        &self,
        active: usize,
        limit: Duration,
        what: &str,
        fits: impl Fn(&ClusterView) -> bool,
    ) -> Result<ClusterView> {
        let mut seen = BTreeMap::new();
        let waited = wait_for(&format!("{active} nodes {what}"), Deadline::after(limit), || {
            seen = self.views()?;
            let Some(first) = seen.values().next().cloned() else { return Ok(None) };
            let answering = |id: &String| seen.contains_key(id);
            let settled = |view: &ClusterView| view.is_whole(active) && view.agrees_with(&first) && fits(view);
            let led = first.leader.as_ref().is_some_and(answering);
            Ok((seen.len() == active && led && seen.values().all(settled)).then_some(first))
        });
        waited.with_context(|| format!("last seen: {}", serde_json::to_string(&seen).unwrap_or_default()))
    }

    /// Who owns each shard, as every living node says alike.
    ///
    /// # Errors
    /// Two nodes differ for longer than a moment, or one does not answer.
    pub fn owners(&self) -> Result<Vec<String>> {
        let file = self.file()?;
        let living: Vec<_> = file.nodes.iter().filter(|node| node.process.is_alive()).collect();
        wait_for("every node to name the same owners", Deadline::after(ANSWER_LIMIT), || {
            let mut said: Vec<_> = living.iter().filter_map(|node| owners(&node.admin_url).ok()).collect();
            let alike = said.len() == living.len() && said.iter().all(|owners| *owners == said[0]);
            Ok(said.pop().filter(|_| alike))
        })
    }

    /// What the load says of itself, without an audit.
    ///
    /// # Errors
    /// There is no load, or it does not answer.
    pub fn load(&self) -> Result<Value> {
        self.ask_load("", Duration::from_secs(5))
    }

    /// How many commands the cluster has given its word for so far.
    ///
    /// # Errors
    /// As [`Cluster::load`].
    pub fn acknowledged(&self) -> Result<u64> {
        self.load()?["acknowledged"].as_u64().context("the load counts what was acknowledged")
    }

    /// Waits until the load has been acknowledged `more` commands from now.
    ///
    /// # Errors
    /// Not within the limit.
    pub fn wait_progress(&self, more: u64, limit: Duration) -> Result<()> {
        let mut from = None;
        wait_for(&format!("{more} more commands to be acknowledged"), Deadline::after(limit), || {
            // A load that is slow to answer has not answered yet.
            let Ok(now) = self.acknowledged() else { return Ok(None) };
            Ok((now >= *from.get_or_insert(now) + more).then_some(()))
        })
        .with_context(|| self.load().map_or_else(|error| error.to_string(), |load| load.to_string()))
    }

    /// Compares what the load was told with what accounts answer, and judges everything that is stored. Answers how many
    /// commands were acknowledged.
    ///
    /// # Errors
    /// What differs, or the first thing that is wrong with what is stored.
    pub fn verify(&self) -> Result<u64> {
        let acknowledged = self.verify_load()?;
        let findings = self.findings()?;
        ensure!(findings.is_empty(), "{} things are wrong with what is stored: {}", findings.len(), findings[0]);
        Ok(acknowledged)
    }

    /// Everything that is wrong with what is stored, as `aether verify` says it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn findings(&self) -> Result<Vec<String>> {
        let file = self.file()?;
        let namespace = Namespace::new(file.namespace.as_str())?;
        let mut config = NatsConfig::new(file.nats_urls.iter().cloned());
        (config.replicas, config.create_streams) = (file.replicas, false);
        // What nodes of a build to come have written is judged as well.
        config.format_max = NatsConfig::FORMAT_NEWEST + 1;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(async {
            let nats = aether_infra_nats::connect(&config, &namespace).await?;
            let mut findings = Vec::new();
            aether::verify::verify(&nats.ports, |finding| findings.push(finding.to_string())).await?;
            nats.session.close().await;
            Ok(findings)
        })
    }

    /// Lets the load come to rest and compares: nothing lost, nothing applied twice, no wrong answer, sums exact.
    /// Answers how many commands were acknowledged.
    ///
    /// # Errors
    /// What differs, with the load's own words.
    pub fn verify_load(&self) -> Result<u64> {
        let said = self.ask_load("?verify=1", VERIFY_LIMIT)?;
        for (name, expected) in [
            ("verified", Value::from(true)),
            ("lost", 0.into()),
            ("applied_twice", 0.into()),
            ("sums_exact", true.into()),
            ("wrong_answers", 0.into()),
        ] {
            ensure!(said[name] == expected, "`{name}` should be {expected}: {said}");
        }
        said["acknowledged"].as_u64().context("the load counts what was acknowledged")
    }

    fn ask_load(&self, query: &str, limit: Duration) -> Result<Value> {
        let load = self.file()?.load.context("this cluster has no load")?;
        http::get_json(&format!("{}/v1/load{query}", load.admin_url), limit)
    }

    /// Every process this cluster has written down.
    ///
    /// # Errors
    /// Nothing runs any more.
    pub fn processes(&self) -> Result<Vec<Identity>> {
        Ok(self.file()?.processes().into_iter().flatten().collect())
    }

    /// Keeps the folder, says where it is, and shows the ends of the nodes' logs.
    pub fn leave_traces(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        let dir = folder.keep();
        let mut told = vec![format!("the cluster's files are left in {}", dir.display())];
        let file = ClusterFile::find(&dir).ok().flatten();
        for node in file.iter().flat_map(|file| &file.nodes) {
            told.push(format!("--- the end of {}:\n{}", node.log.display(), tail(&node.log, LOG_LINES_SHOWN)));
        }
        xtask::out::note(told.join("\n"));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let file = ClusterFile::find(&self.dir).ok().flatten();
        for process in file.iter().flat_map(ClusterFile::processes).flatten() {
            // What cannot be killed is not ours any more.
            let _ = process.kill();
        }
        if std::thread::panicking() {
            self.leave_traces();
        }
    }
}
