//! What must hold, at any moment and at rest.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::Sequence;
use aether_domain::testing::history::{Agreed, Kept, as_stored};
use aether_domain::topology::Topology;
use aether_domain::verification::{Finding, Verification};
use aether_runtime::control::Phase;
use aether_runtime::control::service::Status;

use super::TestCluster;

/// How long a cluster may take to come to rest, in virtual time: a node may have to be missed, to rejoin, and to be given
/// its share.
const REST_WITHIN: Duration = Duration::from_secs(180);

/// How often it is looked whether it is at rest.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl TestCluster {
    /// Waits until every running node serves, all see the same, every shard has an owner and nothing moves.
    ///
    /// # Errors
    /// What is not so after three minutes of virtual time.
    pub async fn settle(&self) -> Result<(), String> {
        let until = self.elapsed() + REST_WITHIN;
        loop {
            match self.at_rest() {
                Ok(()) => return Ok(()),
                Err(wrong) if self.elapsed() > until => return Err(wrong),
                Err(_) => self.advance(LOOK_EVERY).await,
            }
        }
    }

    /// Ends every fault, waits until the cluster is at rest, and compares everything with everything: see [`Self::check`].
    ///
    /// # Panics
    /// With the seed and the first thing that is wrong.
    pub async fn assert_invariants(&self) -> Agreed {
        self.end_faults().await;
        match self.check_at_rest().await {
            Ok(agreed) => agreed,
            Err(wrong) => panic!("seed {}: {wrong}", self.inner.seed),
        }
    }

    /// As [`Self::assert_invariants`], without ending faults and without a panic.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub async fn check_at_rest(&self) -> Result<Agreed, String> {
        self.settle().await?;
        let truth = self.verified()?;
        for status in self.statuses() {
            if *status.topology != truth {
                let (sees, has) = (status.topology.epoch(), truth.epoch());
                return Err(format!("{} sees another topology at epoch {sees} than the log has at {has}", status.me));
            }
        }
        self.check()
    }

    /// Compares what was asked and answered so far with what is stored now. It may be called at any moment:
    ///
    /// - the topology log can be folded, with every invariant of its entries;
    /// - every history is chained, its versions contiguous, its shard epochs never falling, no command in it twice, each commit
    ///   by the owner of its shard, and each snapshot of what is there;
    /// - what was acknowledged is there exactly once with the reply that was told, what was refused is not there, and what
    ///   was acknowledged before something else was asked stands before it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<Agreed, String> {
        self.verified()?;
        let stores = self.inner.hub.stores();
        let histories: std::collections::BTreeMap<_, _> =
            stores.histories().map(|(actor, commits)| (actor.key.to_string(), commits)).collect();
        let state = self.lock();
        let known = state.book.names();
        let kept = |actor: &String| {
            let mut kept: Kept<'_, _> = as_stored(histories.get(actor).copied().unwrap_or_default());
            for (name, _) in &mut kept.commands {
                // What was not asked here is nothing to us.
                *name = name.filter(|name| known.contains(name));
            }
            kept
        };
        state.book.check_all(kept).map_err(|wrong| wrong.to_string())
    }

    pub(super) fn furthest(&self) -> Option<Arc<Status>> {
        self.statuses().into_iter().max_by_key(|status| status.topology.epoch())
    }

    fn statuses(&self) -> Vec<Arc<Status>> {
        let state = self.lock();
        state.nodes.values().filter_map(|seat| Some(seat.node.as_ref()?.control_status())).collect()
    }

    /// Everything that is stored, judged by itself: the topology that it leads to, or the first thing that is wrong with it.
    fn verified(&self) -> Result<Topology, String> {
        let (stores, mut all) = (self.inner.hub.stores(), Verification::default());
        let right = |mut found: Vec<Finding>| found.pop().map_or(Ok(()), |finding| Err(finding.to_string()));
        for entry in stores.entries(Sequence::ZERO) {
            right(all.entry(entry))?;
        }
        for (actor, commit) in stores.commits_since(Sequence::ZERO) {
            right(all.commit(actor, commit))?;
        }
        for (actor, commits) in stores.histories() {
            for snapshot in stores.snapshots(actor) {
                let from = commits.partition_point(|commit| commit.at.sequence < snapshot.at.sequence);
                right(all.snapshot(actor, snapshot, &commits[from..]).into_iter().collect())?;
            }
        }
        Ok(all.topology().clone())
    }

    fn at_rest(&self) -> Result<(), String> {
        let statuses = self.statuses();
        let epoch = statuses.iter().map(|status| status.topology.epoch()).max().ok_or("no node runs")?;
        let logged = self.inner.hub.stores().entries(Sequence::ZERO).last().map(|stored| stored.entry.epoch);
        if logged.is_some_and(|logged| logged > epoch) {
            return Err(format!("the log is at {logged:?}, and nobody beyond {epoch}"));
        }
        for status in &statuses {
            let (me, topology) = (&status.me.node, &status.topology);
            let (orphaned, moving) = (topology.assignment().orphaned(), topology.assignment().moving());
            if let Some(fault) = &status.fault {
                return Err(format!("{me} has found a fault: {fault}"));
            }
            if status.phase != Phase::Active {
                return Err(format!("{me} is {}", status.phase.name()));
            }
            if topology.epoch() != epoch {
                return Err(format!("{me} is at epoch {}, another one at {epoch}", topology.epoch()));
            }
            if topology.assignment().shards().is_empty() || orphaned > 0 {
                return Err(format!("{orphaned} shards have no owner"));
            }
            if moving > 0 || topology.cluster().plan().is_some() {
                return Err(format!("{moving} shards are moving"));
            }
            if topology.cluster().active().count() != statuses.len() {
                return Err(format!(
                    "{} nodes are active, {} run",
                    topology.cluster().active().count(),
                    statuses.len()
                ));
            }
        }
        Ok(())
    }
}
