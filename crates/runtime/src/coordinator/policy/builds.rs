//! While another build is rolled out: who will be restarted soon is given nothing that could go elsewhere.
//!
//! Members say which build they are. As long as builds differ and nodes keep coming with another one, those of the outgoing build
//! are about to leave, and what they are given moves a second time. So what a node that leaves has goes to the incoming
//! build, and moves for balance alone wait. Shards without an owner never wait and are spread over all: they are not asked here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aether_domain::assignment::ShardState;
use aether_domain::cluster::Member;
use aether_domain::topology::Topology;
use aether_domain::{Incarnation, Monotonic, NodeRef};
use aether_placement::MoveClass;

use super::loads::Loads;
use super::planning::{Planning, Step};
use super::{Facts, active_of};
use crate::control::Strategies;

/// How long after the last node that came with another build a roll-out is taken to go on. Then members of different builds are
/// simply that, and all of them have their part.
pub(super) const ROLLOUT_WITHIN: Duration = Duration::from_secs(600);

/// How many times its share of the shards a node of the incoming build may be given; what is beyond goes to all.
const SHARES_MAX: usize = 2;

/// Which build is rolled out where no restart says so. A new leader counts from when it first looks.
#[derive(Debug, Default)]
pub(super) struct Rollout {
    /// The build of the member that came last, and since when it is that while builds differ.
    last_come: Option<(String, Monotonic)>,
}

impl Rollout {
    /// The Active lives that are about to be replaced; none unless a roll-out goes on. It is on its way to the build that a
    /// node was last seen to be restarted with in the place of another, be it newer or older; if this node has seen no such
    /// restart, to that of the member that came last.
    pub(super) fn outgoing(&mut self, topology: &Topology, facts: &Facts<'_>) -> BTreeSet<Incarnation> {
        let build = |member: &Member| {
            let seen = facts.sightings.member(&member.node.node).filter(|seen| seen.record.node == member.node)?;
            Some((member.since, member.node.incarnation, seen.record.build.as_str()))
        };
        let present: Vec<_> = topology.cluster().active().filter_map(build).collect();
        let is_there = |build: &str| present.iter().any(|(.., other)| *other == build);
        let newcomer = present.iter().max_by_key(|(since, ..)| *since).map(|(.., build)| *build);
        let Some(last_come) = newcomer.filter(|build| present.iter().any(|(.., other)| other != build)) else {
            self.last_come = None;
            return BTreeSet::new();
        };
        if self.last_come.as_ref().is_none_or(|(build, _)| build != last_come) {
            self.last_come = Some((last_come.to_owned(), facts.now));
        }
        let guessed = self.last_come.as_ref().map(|(build, since)| (build.as_str(), *since));
        let rebuilt = facts.sightings.rebuilt().filter(|(build, _)| is_there(build));
        match rebuilt.or(guessed) {
            Some((incoming, since)) if facts.now.since(since) <= ROLLOUT_WITHIN => {
                present.into_iter().filter(|(.., build)| *build != incoming).map(|(_, life, _)| life).collect()
            }
            _ => BTreeSet::new(),
        }
    }
}

/// The steps of a plan, with what leaves draining nodes on its way to the incoming build as far as that has room, and nothing
/// moved to the outgoing one for balance. A shard with a pin or a rule goes where the plan says.
pub(super) fn prefer(
    mut steps: Vec<Step>,
    topology: &Topology,
    avoided: &BTreeSet<Incarnation>,
    outgoing: &BTreeSet<Incarnation>,
    loads: Option<Loads>,
    (strategies, me): (&Strategies, &NodeRef),
) -> Result<Vec<Step>, String> {
    steps.retain(|(.., to, class)| class.is_forced() || !outgoing.contains(&to.incarnation));
    let living = active_of(topology);
    let unwanted: BTreeSet<_> = avoided.union(outgoing).copied().collect();
    if living.iter().all(|life| unwanted.contains(life)) {
        return Ok(steps);
    }
    let (elsewhere, _) = Planning::of(topology, &unwanted).with(loads).run_with(strategies, me)?;
    let elsewhere: BTreeMap<_, _> = elsewhere.into_iter().map(|(shard, _, to, _)| (shard, to)).collect();
    let mut held: BTreeMap<Incarnation, usize> = BTreeMap::new();
    let holders = topology.assignment().shards().iter().filter_map(|state| match state {
        ShardState::Draining { to, .. } => Some(*to),
        state => state.owner(),
    });
    for life in holders.chain(steps.iter().map(|(_, _, to, _)| to.incarnation)) {
        *held.entry(life).or_default() += 1;
    }
    let weight = |life: &Incarnation| topology.cluster().owner(*life).map_or(0, |member| member.info.weight as usize);
    let (total, shards) = (living.iter().map(weight).sum::<usize>().max(1), topology.assignment().shards().len());
    let room = |life: &Incarnation| SHARES_MAX * (shards * weight(life)).div_ceil(total);
    let policy = topology.cluster().policy();
    for (shard, _, to, class) in &mut steps {
        let ruled = policy.pins.iter().any(|pin| pin.shard == *shard)
            || policy.rules.iter().any(|rule| rule.shards.iter().any(|ruled| ruled == *shard));
        let Some(other) = elsewhere.get(shard).filter(|_| *class == MoveClass::Drain && !ruled) else { continue };
        let has = held.entry(other.incarnation).or_default();
        if outgoing.contains(&to.incarnation) && *has < room(&other.incarnation) {
            *has += 1;
            *to = NodeRef::clone(other);
        }
    }
    Ok(steps)
}
