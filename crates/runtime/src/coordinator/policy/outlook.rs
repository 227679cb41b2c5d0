//! What a plan would move if it were made now: a dry run. Nothing is written.
//!
//! The log alone says where shards should be, but for what they cost, who is about to leave and the like: a leader goes by that
//! too. Where such a thing decides and the node that is asked does not lead, it says so.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::cluster::{NodeStatus, Trust};
use aether_domain::topology::Topology;
use aether_domain::{Incarnation, NodeRef, ShardId};

use super::balance::{given_nothing, has_newcomer};
use super::builds;
use super::loads::Loads;
use super::planning::{Planning, Step};
use super::{Facts, Memory, distrusted, is_settled};
use crate::control::Strategies;

/// How often a leader takes down what it goes by.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a leader goes by when it plans, beside the log, as it last looked.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    /// What shards cost, if load decides and all owners have told of it lately.
    loads: Option<Loads>,
    doubtful: BTreeSet<Incarnation>,
    leaving: BTreeSet<Incarnation>,
    /// Of a build that is being replaced.
    outgoing: BTreeSet<Incarnation>,
    /// Shards that are not moved for balance.
    held: BTreeSet<ShardId>,
    /// For how long membership has been as it is.
    quiet_for: Duration,
}

impl Outlook {
    /// Takes it down anew, if that was not done just now.
    pub(super) fn look(memory: &mut Memory, topology: &Topology, facts: &Facts<'_>) {
        if memory.outlook.as_ref().is_some_and(|(at, _)| facts.now.since(*at) < LOOK_EVERY) {
            return;
        }
        let quiet_since = memory.changes.quiet_since().unwrap_or(facts.now);
        let outlook = Self {
            loads: Loads::of(topology, facts, &memory.moved),
            doubtful: facts.doubtful.clone(),
            leaving: facts.leaving.clone(),
            outgoing: memory.changes.outgoing.clone(),
            held: memory.tries.shards().collect(),
            quiet_for: facts.now.since(quiet_since),
        };
        memory.outlook = Some((facts.now, Arc::new(outlook)));
    }
}

/// What a plan would move.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Shard by shard. Neither whether redistribution is paused is asked, nor whether it is too soon for balance.
    pub steps: Vec<Step>,
    /// Where load decides: why nothing, or nothing yet, moves for it.
    pub waits: Option<String>,
}

/// What a plan would move if it were made now by `me`, who knows those strategies: what the leader would plan, if `me` leads
/// and `outlook` is what it goes by. Nobody else knows what shards cost.
///
/// # Errors
/// Why there is no plan, in words: nobody may be given shards.
pub fn preview(
    topology: &Topology,
    strategies: &Strategies,
    me: &NodeRef,
    outlook: Option<&Outlook>,
) -> Result<Preview, String> {
    let known = outlook.cloned().unwrap_or_default();
    let (cluster, suspected) = (topology.cluster(), distrusted(topology, Trust::Suspected));
    let plan = |avoided: &BTreeSet<_>| {
        let planning = Planning::of(topology, avoided).with(known.loads.clone()).holding(known.held.iter().copied());
        Ok::<_, String>(planning.run_with(strategies, me)?.0)
    };
    let avoided = given_nothing(topology, &known.leaving);
    let mut steps = plan(&avoided)?;
    if !known.outgoing.is_empty() {
        let loads = known.loads.clone();
        steps = builds::prefer(steps, topology, &avoided, &known.outgoing, loads, (strategies, me))?;
    }
    let mut waits = None;
    if let Some(policy) = cluster.policy().load
        && !(known.loads.is_some() && has_newcomer(topology))
    {
        steps.retain(|(.., class)| class.is_forced());
        let unwell = !known.doubtful.is_empty() || !suspected.is_empty();
        let draining = cluster.members().any(|member| member.status == NodeStatus::Draining);
        if outlook.is_none() {
            let leader = cluster_leader(topology);
            waits = Some(format!("what would move for load only the leader knows: ask {leader}"));
        } else if known.loads.is_none() {
            waits = Some("nothing moves for load: not every node has said lately what its shards cost".to_owned());
        } else if unwell || draining || !is_settled(topology) {
            waits = Some("nothing moves for load before all is at rest and nobody leaves or is unwell".to_owned());
        } else {
            steps.extend(plan(&suspected)?.into_iter().filter(|(.., class)| !class.is_forced()));
            if known.quiet_for < policy.dwell {
                let (quiet, dwell) = (known.quiet_for.as_secs(), policy.dwell.as_secs());
                waits = Some(format!("moves for load wait: membership has been as it is for {quiet} s of {dwell} s"));
            }
        }
    }
    let is_open = |node: &NodeRef| !known.doubtful.contains(&node.incarnation);
    steps.retain(|(_, from, to, _)| {
        from.as_ref().is_none_or(is_open) && is_open(to) && (outlook.is_none() || !suspected.contains(&to.incarnation))
    });
    Ok(Preview { steps, waits })
}

fn cluster_leader(topology: &Topology) -> String {
    topology.leadership().leader().map_or_else(|| "it once there is one".to_owned(), |leader| leader.node.to_string())
}
