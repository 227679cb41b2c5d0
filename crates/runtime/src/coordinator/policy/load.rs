//! Moves for load: when all is at rest and some node has more to do than the others, a few shards change hands.
//!
//! This never mixes with anything that must be: it waits until every shard is served, nobody is in doubt or unwell, and
//! membership has been quiet for as long as a shard rests. What moves where is the planner's business, what shards cost
//! that of `loads.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::cluster::{NodeStatus, RebalanceCause, Trust};
use aether_domain::orders::Wish;
use aether_domain::records::MemberRecord;
use aether_domain::{Monotonic, ShardId};

use super::balance::announce;
use super::loads::Loads;
use super::planning::Planning;
use super::table::Turn;
use super::{distrusted, is_settled};

/// How long a shard that was too hot must not have been for nobody to be told of it any more.
const COOL_AFTER: Duration = Duration::from_secs(60);

/// What a leader remembers of looking for hot nodes and shards.
#[derive(Debug, Default)]
pub(super) struct Heat {
    /// When it last looked.
    looked: Option<Monotonic>,
    /// The shards that were too hot lately: in percent of what a node is to bear, and when they last were.
    too_hot: BTreeMap<ShardId, (u32, Monotonic)>,
}

impl Heat {
    /// The shards that alone are more than a node is to bear, each with how much of that it is in percent.
    pub(super) fn too_hot(&self) -> impl Iterator<Item = (ShardId, u32)> {
        self.too_hot.iter().map(|(shard, (percent, _))| (*shard, *percent))
    }
}

/// Looks, once for each round of reports, for shards that are too hot, and announces a plan if nodes are.
pub(super) fn smooth(turn: &mut Turn<'_>) -> Result<(), String> {
    let Turn { draft, before, facts, memory, timers, causes } = turn;
    let Some(policy) = before.cluster().policy().load else {
        memory.heat = Heat::default();
        return Ok(());
    };
    let (heat, now) = (&mut memory.heat, timers.now());
    if before.cluster().wish() != Wish::Resume {
        return Ok(());
    }
    if !draft.is_empty() || heat.looked.is_some_and(|at| !timers.reached(at + MemberRecord::SHARD_LOADS_EVERY)) {
        return Ok(());
    }
    heat.looked = Some(now);
    heat.too_hot.retain(|_, (_, last)| now.since(*last) < COOL_AFTER);
    let Some(loads) = Loads::of(before, facts, &memory.moved) else { return Ok(()) };
    let planning = Planning::of(before, &distrusted(before, Trust::Suspected));
    let planning = planning.with(loads).holding(memory.tries.shards());
    heat.too_hot.extend(planning.too_hot()?.into_iter().map(|hot| (hot.shard, (hot.percent, now))));
    let unwell = !facts.doubtful.is_empty() || !distrusted(before, Trust::Suspected).is_empty();
    let draining = before.cluster().members().any(|member| member.status == NodeStatus::Draining);
    let quiet = memory.changes.quiet_since().is_some_and(|since| now.since(since) >= policy.dwell);
    if unwell || draining || !quiet || !is_settled(before) {
        return Ok(());
    }
    let mut moves = BTreeMap::<_, Vec<ShardId>>::new();
    let (steps, rejected) = planning.run(facts)?;
    if let Some(rejected) = rejected {
        memory.rejections.say(draft, rejected)?;
    }
    for (shard, from, to, class) in steps {
        if let Some(from) = from.filter(|_| !class.is_forced()) {
            moves.entry((from, to)).or_default().push(shard);
        }
    }
    announce(draft, RebalanceCause::Load, moves, causes)
}
