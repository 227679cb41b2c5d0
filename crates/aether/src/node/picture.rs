//! What a node's pages show of it.

use std::sync::Arc;

use aether_runtime::clock::{BootClock, Clock};

use super::{BUILD, Node};
use crate::admin::{Counter, Picture, Source};
use crate::metrics::names;

impl Node {
    /// What its admin pages and metrics are made of.
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(self.clone())
    }

    fn counters(&self) -> Vec<Counter> {
        let stats = self.runtime.stats();
        let (host, router) = (stats.host, stats.router);
        let lives_lost = self.status.borrow().counts.lives_lost;
        [
            (names::COMMANDS, None, host.commands),
            (names::MESSAGES_ROUTED, Some("local"), router.asks_local),
            (names::MESSAGES_ROUTED, Some("remote"), router.asks_remote),
            (names::MESSAGES_ROUTED, Some("retry"), router.retries),
            (names::MESSAGES_ROUTED, Some("received"), router.received),
            (names::APPEND_CONFLICTS, None, host.conflicts),
            (names::ACTIVATIONS, None, host.activations),
            (names::PASSIVATIONS, None, host.passivations),
            (names::FENCING_REJECTIONS, Some("member"), lives_lost),
        ]
        .map(|(metric, label, count)| Counter { metric, label, count })
        .to_vec()
    }
}

impl Source for Node {
    fn picture(&self) -> Option<Picture> {
        let status = Arc::clone(&self.status.borrow());
        let now = BootClock.now();
        let seen =
            status.members.iter().map(|(node, (record, seen))| (node.clone(), (record.clone(), now.since(*seen))));
        Some(Picture {
            namespace: self.namespace.clone(),
            me: status.me.clone(),
            phase: status.phase.name(),
            serve_left: status.serve_until.since(now),
            topology: Arc::clone(&status.topology),
            leading: status.leading.map(|(term, until)| (term, until.since(now))),
            renewed: status.renewed.map(|sent| now.since(sent)),
            heartbeats: seen.collect(),
            fault: status.fault.clone(),
            counters: self.counters(),
            #[cfg(feature = "nats")]
            nats: self.session.as_ref().map(|session| crate::admin::NatsPicture {
                connected: session.is_connected(),
                reconnects: session.counters().connects.saturating_sub(1),
            }),
            #[cfg(not(feature = "nats"))]
            nats: None,
            build: BUILD.into(),
        })
    }
}
