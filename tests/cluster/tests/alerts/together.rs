//! Nodes of odd actors in this process, on a real nats-server, each with pages of its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aether::admin::{Bound, Pages};
use aether::prelude::*;
use aether_cluster_tests::odd::Odd;
use anyhow::{Context, Result, ensure};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::stage::Scraped;

/// Threads for all nodes: a handler that does not end takes one of them.
const THREADS: usize = 6;

/// How long a node may take until it is Active.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// What a node reckons slow: far less than one that people have.
const SLOW_AFTER: Duration = Duration::from_millis(500);

/// The nodes, by id.
pub(crate) struct Together {
    pub(crate) url: String,
    pub(crate) namespace: String,
    runtime: Option<Runtime>,
    nodes: Mutex<BTreeMap<String, Member>>,
}

struct Member {
    node: Node,
    pages: String,
    closed: CancellationToken,
}

impl Together {
    /// Nobody is there yet.
    pub(crate) fn on(url: String, namespace: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
        Ok(Self { url, namespace: namespace.to_owned(), runtime: Some(runtime), nodes: Mutex::default() })
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is there until the end")
    }

    /// Starts a node, and waits until it is Active.
    pub(crate) fn start(&self, id: &str) -> Result<Node> {
        let node = self.launch(id)?;
        let ready = self.runtime().block_on(async { timeout(READY_LIMIT, node.ready()).await });
        ensure!(matches!(ready, Ok(Ok(()))), "{id} is not ready: {ready:?}");
        Ok(node)
    }

    /// Starts a node.
    pub(crate) fn launch(&self, id: &str) -> Result<Node> {
        let watchdog = aether::Watchdog {
            slow_after: SLOW_AFTER,
            end_after: Duration::from_secs(600),
            ..aether::Watchdog::default()
        };
        let builder = Node::builder(id).namespace(&self.namespace).profile(Profile::Fast).watchdog(watchdog);
        let nats = NatsConfig::new([self.url.clone()]);
        self.runtime().block_on(async {
            let node = builder.nats(nats).actor::<Odd>().launch().await?;
            let bound = Bound::bind("127.0.0.1:0".parse()?).await?;
            let (pages, closed) = (bound.url().clone(), CancellationToken::new());
            tokio::spawn(bound.serve(Pages::of_node(node.source()), closed.clone()));
            self.lock().insert(id.to_owned(), Member { node: node.clone(), pages, closed });
            Ok(node)
        })
    }

    /// Ends a node as a crash would, and its pages with it. Nobody expects them any more.
    pub(crate) fn kill(&self, id: &str) -> Result<()> {
        let member = self.lock().remove(id).context("it was started")?;
        member.closed.cancel();
        self.runtime().block_on(member.node.kill());
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Member>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scraped for Together {
    fn pages(&self) -> Result<Vec<(String, String)>> {
        Ok(self.lock().iter().map(|(id, member)| (id.clone(), member.pages.clone())).collect())
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        // A handler may go on for ever after a failure.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
