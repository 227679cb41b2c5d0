//! What the timelines are played on: servers of our own, a link for each node, nodes under load, and those who watch.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use xtask::{
    clock::{Deadline, Stopwatch, wait_for},
    cluster::{self, ClusterView, NatsChoice, NodeRecord, Profile},
    http, interrupt,
    nats::{NatsCluster, NatsServer, ServerOptions},
    out,
};

use super::Bound;
use crate::{Carrier, Cluster, History, Link, Observer, Operator, Prober, Routes, Spec, Weather, alone};

/// Within what a cluster is whole, balanced and agreed again once faults have stopped (I13).
const REST: Duration = Duration::from_secs(15);
/// How long that may take on a machine that does much else besides; whatever takes longer than promised is printed.
const REST_MAX: Duration = Duration::from_secs(45);

/// How long a cluster that was just begun may take until every account has answered once.
const FIRST_ANSWERS_LIMIT: Duration = Duration::from_secs(30);

/// How long servers that were started again may take to be one cluster.
const SERVERS_LIMIT: Duration = Duration::from_secs(45);

/// How long a node that was asked to end may take, whatever is broken: 25 s are promised.
pub(super) const END_LIMIT: Duration = Duration::from_secs(30);

/// How many commands must be acknowledged between two faults, so that each meets a cluster at work.
const WORK: u64 = 100;

/// On what the timelines are played.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Conditions {
    /// The `aether` program.
    #[serde(skip)]
    pub program: PathBuf,
    /// How many nodes.
    pub nodes: usize,
    /// How many nats-servers, which is also how many copies there are of everything.
    pub replicas: usize,
    /// The nodes' timings.
    pub profile: Profile,
    /// Whether each node runs under a supervisor, which tells the others when it has died.
    pub supervised: bool,
    /// How many workers the load has.
    pub load: usize,
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, replicas, profile, supervised, load, .. } = self;
        let kind = if *supervised { "supervised" } else { "unsupervised" };
        write!(f, "{nodes} {kind} nodes, {replicas} nats-server(s), profile {profile:?}, a load of {load} workers")
    }
}

/// A running cluster with everything around it.
pub struct Stage {
    // In the order in which they end: nodes and load before the servers.
    pub(super) cluster: Cluster,
    pub(super) observer: Observer,
    pub(super) prober: Prober,
    pub(super) history: History,
    pub(super) operator: Operator,
    pub(super) servers: Vec<NatsServer>,
    links: BTreeMap<String, Link>,
    routes: Routes,
    _carrier: Carrier,
    pub(super) conditions: Conditions,
    begun: Stopwatch,
}

impl Stage {
    /// Starts everything and waits until it is at rest.
    ///
    /// # Errors
    /// It does not come to rest; nothing is left running.
    pub fn up(conditions: &Conditions) -> Result<Self> {
        Self::up_with(conditions, |count, options, _| {
            Ok((NatsCluster::start_with(count, options)?.into_servers(), Routes::default()))
        })
    }

    /// As [`Stage::up`], with links between servers as well.
    ///
    /// # Errors
    /// As [`Stage::up`].
    pub(super) fn up_with_routes(conditions: &Conditions) -> Result<Self> {
        Self::up_with(conditions, |count, options, carrier| Routes::start(carrier, count, options))
    }

    fn up_with(
        conditions: &Conditions,
        several: impl FnOnce(usize, &ServerOptions, &Carrier) -> Result<(Vec<NatsServer>, Routes)>,
    ) -> Result<Self> {
        let (begun, alone) = (Stopwatch::start(), alone());
        let options = ServerOptions { own_group: true, ..ServerOptions::default() };
        let carrier = Carrier::new()?;
        let (servers, routes) = match conditions.replicas {
            1 => (vec![NatsServer::start(options)?], Routes::default()),
            count => several(count, &options, &carrier)?,
        };
        let urls: Vec<_> = servers.iter().map(NatsServer::url).collect();
        // One more than there are nodes, for a guest.
        let links = (1..=conditions.nodes + 1).map(|number| Ok((format!("n{number}"), carrier.link(&urls)?)));
        let links = links.collect::<Result<BTreeMap<_, _>>>()?;
        let own_urls = links.iter().map(|(id, link)| (id.clone(), link.urls())).collect();
        let spec = Spec {
            program: conditions.program.clone(),
            nodes: conditions.nodes,
            servers: conditions.replicas,
            profile: conditions.profile,
            load: Some(conditions.load),
            supervise: conditions.supervised,
        };
        let nats = NatsChoice::Running { urls, replicas: conditions.replicas };
        let cluster = Cluster::up_on(&spec, alone, nats, own_urls)?;
        let file = cluster.file()?;
        let (observer, prober, history) = (Observer::of(&file)?, Prober::of(&file)?, History::of(&file)?);
        let operator = Operator::of(&file, conditions.replicas)?;
        let conditions = conditions.clone();
        let stage = Self {
            cluster,
            observer,
            prober,
            history,
            operator,
            servers,
            links,
            routes,
            _carrier: carrier,
            conditions,
            begun,
        };
        // Every account is loaded once before, so that what is measured is the take-over.
        stage.prober.until_all_served(Stopwatch::start(), FIRST_ANSWERS_LIMIT)?;
        stage.rest()?;
        Ok(stage)
    }

    /// How long ago it was started.
    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// One bound with the default timers, another with the fast ones.
    pub(super) fn bound(&self, default: Bound, fast: Bound) -> Bound {
        if self.conditions.profile == Profile::Fast { fast } else { default }
    }

    /// One span with the default timers, another with the fast ones.
    pub(super) fn span(&self, default: Duration, fast: Duration) -> Duration {
        if self.conditions.profile == Profile::Fast { fast } else { default }
    }

    /// The node of that id.
    pub(super) fn node(&self, id: &str) -> Result<NodeRecord> {
        self.cluster.node(id)
    }

    /// The ids of all nodes.
    pub(super) fn ids(&self) -> Vec<String> {
        (1..=self.conditions.nodes).map(|number| format!("n{number}")).collect()
    }

    /// The id of a node beyond those, which has a link and may come and go.
    pub(super) fn guest(&self) -> String {
        format!("n{}", self.conditions.nodes + 1)
    }

    /// Lets the guest go, if it is there.
    ///
    /// # Errors
    /// It was asked to end and has not in time.
    pub(super) fn guest_leaves(&self) -> Result<()> {
        let file = self.cluster.file()?;
        let Ok(guest) = file.node(&self.guest()) else { return Ok(()) };
        guest.process.terminate()?;
        guest.process.wait_gone(END_LIMIT)
    }

    /// The shards that node owns.
    pub(super) fn shards_of(&self, id: &str) -> Result<Vec<usize>> {
        let owners = self.cluster.owners()?;
        let shards: Vec<_> = (0..owners.len()).filter(|shard| owners[*shard] == id).collect();
        ensure!(!shards.is_empty(), "{id} owns nothing, so nothing can be taken over");
        Ok(shards)
    }

    /// The ids of the nodes that do not run.
    pub(super) fn dead(&self) -> Result<Vec<String>> {
        let (nodes, guest) = (self.cluster.file()?.nodes, self.guest());
        Ok(nodes.into_iter().filter(|node| node.id != guest && !node.process.is_alive()).map(|node| node.id).collect())
    }

    /// What stands between the servers.
    pub(super) fn routes(&self) -> &Routes {
        &self.routes
    }

    /// What stands between that node and its servers.
    pub(super) fn link(&self, id: &str) -> Result<&Link> {
        self.links.get(id).with_context(|| format!("{id} has no link"))
    }

    /// The present life of every member, by id.
    pub(super) fn lives(&self) -> Result<BTreeMap<String, String>> {
        let life = |view: ClusterView| {
            let lives = view.nodes.into_iter().filter(cluster::NodeView::is_active);
            lives.map(|node| (node.id, node.incarnation.as_str().unwrap_or_default().to_owned())).collect()
        };
        self.cluster.furthest().map(life)
    }

    /// How many actors were loaded into memory so far, by all nodes that live.
    pub(super) fn loaded(&self) -> Result<u64> {
        let nodes = self.cluster.file()?.nodes;
        let counts = nodes.iter().filter(|node| node.process.is_alive()).map(|node| {
            let page = http::get(&format!("{}/metrics", node.admin_url), Duration::from_secs(2))?.body;
            let kinds: Vec<_> =
                page.lines().filter(|line| line.starts_with("aether_actor_activations_total{")).collect();
            ensure!(!kinds.is_empty(), "a node counts the actors it has loaded");
            // Counts are written as floats.
            let counts =
                kinds.iter().filter_map(|line| line.rsplit(' ').next()?.split('.').next()?.parse::<u64>().ok());
            Ok(counts.sum::<u64>())
        });
        counts.sum()
    }

    /// Waits until the observer has seen the log's present end.
    pub(super) fn caught_up(&self) -> Result<()> {
        let last = self.history.last(&self.history.topology())?;
        wait_for("the observer to have seen the log", Deadline::after(REST_MAX), || {
            Ok((self.observer.since(0).last().is_some_and(|seen| seen.sequence >= last)).then_some(()))
        })
    }

    /// Waits until every server says that it is healthy.
    pub(super) fn servers_healthy(&self) -> Result<()> {
        wait_for("every nats-server to be healthy", Deadline::after(SERVERS_LIMIT), || {
            interrupt::check()?;
            Ok(self.servers.iter().all(NatsServer::is_healthy).then_some(()))
        })
    }

    /// Ends all faults, and waits until everything is as it was: whole, balanced, at work, and nothing lost or doubled.
    ///
    /// # Errors
    /// It is not within [`REST_MAX`], or the load's sums are not exact.
    pub(super) fn rest(&self) -> Result<()> {
        self.routes.clear();
        for link in self.links.values() {
            link.becomes(Weather::Fair);
        }
        self.guest_leaves()?;
        let dead = self.dead()?;
        if !dead.is_empty() {
            cluster::restart_all(self.cluster.dir(), &dead)?;
        }
        let since = Stopwatch::start();
        self.cluster.wait_balanced(self.conditions.nodes, REST_MAX)?;
        let took = since.elapsed();
        if took > REST {
            out::note(format!(
                "    at rest after {:.1} s, though {} s are promised",
                took.as_secs_f64(),
                REST.as_secs()
            ));
        }
        self.cluster.verify()?;
        self.cluster.wait_progress(WORK, REST_MAX)
    }

    /// Keeps the cluster's files, and says where they are.
    pub(super) fn leave_traces(&mut self) {
        self.cluster.leave_traces();
    }
}
