//! Shards that their owner has, says the log, and cannot serve: it says so itself, after it has tried for a while.
//!
//! They go to somebody else as any shard does: asked back, released, given. So nothing is taken from a life that may serve it
//! after all, and whoever has the shard next has it under a later epoch. It waits for the plan under way, and for no pause. For
//! balance others move in its place, so that it does not come back at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aether_domain::assignment::ShardState;
use aether_domain::cluster::{RebalanceCause, Trust};
use aether_domain::records::MemberRecord;
use aether_domain::topology::Topology;
use aether_domain::{Monotonic, NodeRef, ShardId, ShardSet};

use super::balance::announce;
use super::loads::{Loads, Moved};
use super::planning::Planning;
use super::table::Turn;
use super::{Facts, active_of, distrusted};
use crate::control::Timers;

/// How long after a shard was to move for this it is not moved for it again: whoever has it now needs time to try.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How long it is not moved for balance: it could be served where it is now, and where it came from it could not.
const STAYS_FOR: Duration = Duration::from_secs(600);

/// When each shard was last to move for this, by this leader's clock. Lost with it, and harmless to lose.
#[derive(Debug, Default)]
pub(super) struct Tries(BTreeMap<ShardId, Monotonic>);

impl Tries {
    /// The shards that are not moved for balance.
    pub(super) fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.0.keys().copied()
    }

    fn is_recent(&self, shard: ShardId, timers: &mut Timers) -> bool {
        self.0.get(&shard).is_some_and(|last| !timers.reached(*last + AGAIN_AFTER))
    }
}

/// Announces a plan for what is not served where it is.
pub(super) fn move_on(turn: &mut Turn<'_>) -> Result<(), String> {
    let Turn { draft, facts, memory, timers, causes, .. } = turn;
    memory.tries.0.retain(|_, last| timers.now() < *last + STAYS_FOR);
    let topology = draft.topology().clone();
    if topology.cluster().plan().is_some() {
        return Ok(());
    }
    let mut moves = BTreeMap::<_, Vec<ShardId>>::new();
    for member in topology.cluster().members().filter(|member| member.status.owns()) {
        let seen = facts.sightings.member(&member.node.node).map(|seen| &seen.record);
        let Some(record) = seen.filter(|record| record.node == member.node) else { continue };
        let mut due = |shard: &ShardId| is_meant(record, &topology, *shard) && !memory.tries.is_recent(*shard, timers);
        let unserved: ShardSet = record.health.unserved.iter().filter(&mut due).collect();
        // Nearly always: where else they could be is much to find out.
        if unserved.is_empty() {
            continue;
        }
        let Some(planning) = elsewhere(&topology, facts, &member.node) else { continue };
        memory.tries.0.extend(unserved.iter().map(|shard| (shard, timers.now())));
        let (steps, rejected) = planning.run(facts)?;
        if let Some(rejected) = rejected {
            memory.rejections.say(draft, rejected)?;
        }
        let before = moves.len();
        for (shard, from, to, _) in steps {
            if let Some(from) = from.filter(|_| unserved.contains(shard)) {
                moves.entry((from, to)).or_default().push(shard);
            }
        }
        if moves.len() > before {
            causes.push(format!("{} cannot serve {} of its shards", member.node.node, unserved.len()));
        }
    }
    announce(draft, RebalanceCause::Unserved, moves, causes)
}

/// Whether what the record says of the shard is about that life's present right to it.
fn is_meant(record: &MemberRecord, topology: &Topology, shard: ShardId) -> bool {
    match topology.assignment().shard(shard) {
        ShardState::Owned { owner, epoch } => owner == record.node.incarnation && epoch <= record.view,
        _ => false,
    }
}

/// Where that node's shards would be if it were given none; nothing if nobody else could be given any.
fn elsewhere(topology: &Topology, facts: &Facts<'_>, node: &NodeRef) -> Option<Planning> {
    let active = active_of(topology);
    let with = |avoided: &BTreeSet<_>| avoided.iter().copied().chain([node.incarnation]).collect::<BTreeSet<_>>();
    let going: BTreeSet<_> = facts.doubtful.union(&facts.leaving).copied().collect();
    let unfit = going.union(&distrusted(topology, Trust::Suspected)).copied().collect();
    let avoided = [unfit, going].iter().map(with).find(|avoided| active.iter().any(|life| !avoided.contains(life)))?;
    Some(Planning::of(topology, &avoided).with(Loads::of(topology, facts, &Moved::default())))
}
