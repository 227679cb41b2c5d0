//! The topology in the planner's words, and its answer in ours.
//!
//! A strategy may come from anyone and only proposes. What it proposes is checked before anything is done; if it fails at
//! that, the built-in strategy is asked instead, and the log says so.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use aether_domain::assignment::ShardState;
use aether_domain::cluster::{ClusterCommand, NodeStatus, Trust};
use aether_domain::policy::{PlacementPolicy, Strategy};
use aether_domain::topology::{Draft, Topology};
use aether_domain::{Incarnation, NodeRef, ShardId, ShardSet};
use aether_placement::{
    InFlight, Move, MoveClass, NodeIdx, NodeState, NodeView, PlacementError, PlacementInput, PlacementStrategy,
    StickyBalanced, TooHot, too_hot,
};

use super::loads::Loads;
use super::{Facts, distrusted};
use crate::control::Strategies;

/// The topology in the planner's words.
pub(super) struct Planning {
    nodes: Vec<NodeView>,
    refs: Vec<NodeRef>,
    current: Vec<Option<NodeIdx>>,
    in_flight: Vec<InFlight>,
    policy: Arc<PlacementPolicy>,
    seed: u64,
    loads: Option<Loads>,
}

/// One shard changing hands: where from, if it has an owner, where to, and why.
pub type Step = (ShardId, Option<NodeRef>, NodeRef, MoveClass);

/// That the adopted strategy is not planned by.
pub(super) struct Rejected {
    strategy: Strategy,
    because: Because,
    /// In words.
    why: String,
}

/// In what way a strategy has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Because {
    /// This node does not have it.
    Unknown,
    /// It answered with an error.
    Failed,
    /// It panicked.
    Panicked,
    /// Its plan may not be executed.
    Unsafe,
}

/// What has been said of strategies in this term: each of them, and each way to fail, once.
#[derive(Debug, Default)]
pub(super) struct Rejections(BTreeSet<(Strategy, Because)>);

impl Rejections {
    /// Says it in the entry, unless that was done.
    pub(super) fn say(&mut self, draft: &mut Draft, rejected: Rejected) -> Result<(), String> {
        let Rejected { strategy, because, why } = rejected;
        if !self.0.insert((strategy.clone(), because)) {
            return Ok(());
        }
        draft.cluster(&ClusterCommand::RejectPlacement { strategy, why }).map_err(|refusal| refusal.to_string())
    }
}

impl Planning {
    /// With those in doubt given nothing.
    pub(super) fn of(topology: &Topology, doubtful: &BTreeSet<Incarnation>) -> Self {
        let members: Vec<_> = topology.cluster().members().filter(|member| member.status.owns()).collect();
        let refs: Vec<_> = members.iter().map(|member| member.node.clone()).collect();
        let nodes: Vec<_> = members
            .iter()
            .map(|member| NodeView {
                id: member.node.node.clone(),
                weight: NonZeroU32::new(member.info.weight).unwrap_or(NonZeroU32::MIN),
                state: match member.status {
                    NodeStatus::Active if !doubtful.contains(&member.node.incarnation) => NodeState::Receiving,
                    _ => NodeState::Draining,
                },
                zone: member.info.zone.clone(),
                tags: member.info.tags.clone(),
            })
            .collect();
        let index: BTreeMap<_, _> =
            refs.iter().enumerate().map(|(at, node)| (node.incarnation, NodeIdx(at as u16))).collect();
        let state = topology.assignment().shards();
        let current: Vec<_> =
            state.iter().map(|state| state.owner().and_then(|owner| index.get(&owner).copied())).collect();
        let under_way = topology.assignment().iter().filter_map(|(shard, state)| match state {
            ShardState::Draining { from, to, .. } if index.contains_key(&from) => Some((shard, *index.get(&to)?)),
            _ => None,
        });
        // What is planned and has not begun counts as if it had: whoever is to be given shards has less room for others.
        let planned = topology.assignment().pending().filter_map(|(shard, from, to)| {
            let (from, to) = (index.get(&from.incarnation)?, index.get(&to.incarnation)?);
            let holds = current[shard.index()] == Some(*from) && nodes[to.index()].state == NodeState::Receiving;
            holds.then_some((shard, *to))
        });
        let in_flight = under_way.chain(planned).map(|(shard, to)| InFlight { shard, to }).collect();
        let (policy, seed) = (Arc::clone(topology.cluster().policy()), topology.cluster().settings().hash_seed);
        Self { nodes, refs, current, in_flight, policy, seed, loads: None }
    }

    /// The same, by what shards cost if that is known.
    pub(super) fn with(mut self, loads: impl Into<Option<Loads>>) -> Self {
        self.loads = loads.into();
        self
    }

    /// The same, with those shards left where they are, unless that node is to have none or they have a place of their own.
    pub(super) fn holding(mut self, shards: impl Iterator<Item = ShardId>) -> Self {
        for shard in shards {
            let at = self.current.get(shard.index()).copied().flatten();
            let has_place = self.policy.pins.iter().any(|pin| pin.shard == shard)
                || self.policy.rules.iter().any(|rule| rule.shards.contains(shard));
            if let Some(to) = at.filter(|at| self.nodes[at.index()].state == NodeState::Receiving)
                && !has_place
                && self.in_flight.iter().all(|moving| moving.shard != shard)
            {
                self.in_flight.push(InFlight { shard, to });
            }
        }
        self
    }

    fn input(&self) -> PlacementInput<'_> {
        PlacementInput {
            seed: self.seed,
            current: &self.current,
            nodes: &self.nodes,
            in_flight: &self.in_flight,
            pins: &self.policy.pins,
            rules: &self.policy.rules,
            zones: self.policy.zones,
            load: self.loads.as_ref().map(Loads::told),
        }
    }

    /// The shards that alone are more than a node is to bear.
    pub(super) fn too_hot(&self) -> Result<Vec<TooHot>, String> {
        too_hot(&self.input()).map_err(|refusal| refusal.to_string())
    }

    /// The moves of a checked plan, by the adopted strategy or, if that fails, by the built-in one. Of a strategy that
    /// this node does not have, nobody here can say where it wants shards to be: then only what must move does.
    pub(super) fn run(&self, facts: &Facts<'_>) -> Result<(Vec<Step>, Option<Rejected>), String> {
        self.run_with(&facts.config.strategies, facts.me)
    }

    /// As [`Self::run`], for `me`, who knows those strategies.
    pub(super) fn run_with(
        &self,
        strategies: &Strategies,
        me: &NodeRef,
    ) -> Result<(Vec<Step>, Option<Rejected>), String> {
        let input = self.input();
        let strategy = &self.policy.strategy;
        let proposed = match strategies.get(strategy) {
            Some(known) => propose(known, &input),
            None => Err((Because::Unknown, format!("{} does not know it", me.node))),
        };
        let nobody = self.nodes.iter().all(|node| node.state == NodeState::Draining);
        let (moves, rejected) = match proposed {
            Ok(moves) => (moves, None),
            // That is so for whoever plans.
            Err((Because::Failed, why)) if nobody => return Err(why),
            Err((because, why)) => {
                let moves = propose(&StickyBalanced, &input).map_err(|(_, why)| why)?;
                (moves, Some(Rejected { strategy: strategy.clone(), because, why }))
            }
        };
        let forced_only = rejected.as_ref().is_some_and(|rejected| rejected.because == Because::Unknown);
        let node = |index: NodeIdx| self.refs[index.index()].clone();
        let steps = moves
            .into_iter()
            .filter(|step| !forced_only || step.class.is_forced())
            .map(|step| (step.shard, step.from.map(node), node(step.to), step.class))
            .collect();
        Ok((steps, rejected))
    }
}

/// The shards with a pin or rules that nobody can obey now. While nobody may be given shards, that is not asked.
pub fn unmet(topology: &Topology) -> ShardSet {
    let policy = topology.cluster().policy();
    if policy.pins.is_empty() && policy.rules.is_empty() {
        return ShardSet::default();
    }
    let planning = Planning::of(topology, &distrusted(topology, Trust::Relieved));
    let unmet = planning.input().places().map(|places| places.unmet().iter().copied().collect());
    unmet.unwrap_or_default()
}

/// The moves that a strategy proposes, checked.
fn propose(strategy: &dyn PlacementStrategy, input: &PlacementInput<'_>) -> Result<Vec<Move>, (Because, String)> {
    // Nothing that it could have left half done is looked at again: it is only read, and the input was never its own.
    let plan = catch_unwind(AssertUnwindSafe(|| strategy.plan(input)))
        .map_err(|panic| (Because::Panicked, format!("it panicked: {}", message_of(&*panic))))?
        .map_err(|error: PlacementError| (Because::Failed, error.to_string()))?;
    let checked = plan.check(input).map_err(|fault| (Because::Unsafe, fault.to_string()))?;
    Ok(checked.into_moves())
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it did not say why")
}
