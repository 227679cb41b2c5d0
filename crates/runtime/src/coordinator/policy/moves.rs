//! Moves under way: begun in waves, ended by their source's release, given up when they cannot end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use aether_domain::assignment::{AssignmentCommand, CancelReason, PlannedMove, ShardState};
use aether_domain::cluster::{ClusterCommand, NodeStatus, Trust};
use aether_domain::mutants::{Mutant, is_on};
use aether_domain::topology::{Draft, Topology};
use aether_domain::{Epoch, Incarnation, Monotonic, NodeRef, ShardId};
use aether_placement::{Move, MoveClass, NodeIdx, next_wave};

use super::{Causes, Facts, active, distrusted, node_of, orders};
use crate::control::Timers;

/// How many shards a source that is unwell drains at once, if the caps allow as many: it is slow enough as it is.
const DRAINING_PER_RELIEVED_MAX: u16 = 4;
/// A node is given more once it has no more than one in this many of the moves it may have: they go in waves, not one by
/// one.
const REFILLED_AT_ONE_IN: u16 = 2;

/// How long a source has to release before its move is given up.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// How long a move that was given up is not tried again.
const DRAIN_BACK_OFF: Duration = Duration::from_secs(5);
/// What [`MoveCaps::per_second`](aether_domain::policy::MoveCaps::per_second) counts over.
const SECOND: Duration = Duration::from_secs(1);

/// When moves began, by this leader's clock, and which are not to be tried again yet.
#[derive(Debug, Default)]
pub(super) struct Drains {
    since: BTreeMap<ShardId, (Epoch, Monotonic)>,
    backed_off: BTreeMap<ShardId, Monotonic>,
}

impl Drains {
    /// Whether a source has had that shard to release for too long; such a move is not tried again for a while.
    fn is_late(&mut self, shard: ShardId, drain_epoch: Epoch, timers: &mut Timers) -> bool {
        let now = timers.now();
        let began = self.since.entry(shard).or_insert((drain_epoch, now));
        if began.0 != drain_epoch {
            *began = (drain_epoch, now);
        }
        let late = timers.reached(began.1 + DRAIN_WITHIN);
        if late {
            self.backed_off.insert(shard, now + DRAIN_BACK_OFF);
        }
        late
    }

    /// The shards that are not to be moved yet.
    pub(super) fn backed_off(&mut self, timers: &mut Timers) -> &BTreeMap<ShardId, Monotonic> {
        self.backed_off.retain(|_, until| !timers.reached(*until));
        &self.backed_off
    }

    fn forget(&mut self, topology: &Topology) {
        let draining = |shard| matches!(topology.assignment().shard(shard), ShardState::Draining { .. });
        self.since.retain(|shard, _| draining(*shard));
    }
}

/// When moves set out within the last second, by this leader's clock, and how many at a time.
#[derive(Debug, Default)]
pub(super) struct Pace(VecDeque<(Monotonic, usize)>);

impl Pace {
    /// How many more may set out now.
    fn room(&mut self, per_second: u16, timers: &mut Timers) -> usize {
        while self.0.front().is_some_and(|(at, _)| timers.now() >= *at + SECOND) {
            self.0.pop_front();
        }
        let room = usize::from(per_second).saturating_sub(self.0.iter().map(|(_, moves)| moves).sum());
        if let Some((first, _)) = self.0.front().filter(|_| room == 0) {
            timers.reached(*first + SECOND);
        }
        room
    }

    fn set_out(&mut self, moves: usize, now: Monotonic) {
        self.0.push_back((now, moves));
    }
}

/// Gives up moves that will not end by themselves.
pub(super) fn give_up(
    draft: &mut Draft,
    facts: &Facts<'_>,
    drains: &mut Drains,
    timers: &mut Timers,
    causes: &mut Causes,
) -> Result<(), String> {
    let topology = draft.topology().clone();
    let mut why = |shard, state| {
        let ShardState::Draining { to, drain_epoch, .. } = state else { return None };
        if facts.leaving.contains(&to) {
            return Some(CancelReason::DestinationGone);
        }
        let late = drains.is_late(shard, drain_epoch, timers).then_some(CancelReason::Deadline);
        orders::gives_up(&topology, state).or(late)
    };
    cancel(draft, &mut why, causes)?;
    drains.forget(draft.topology());
    Ok(())
}

/// Gives up moves whose destination is gone, or for which there is another reason `why`.
pub(super) fn cancel(
    draft: &mut Draft,
    why: &mut dyn FnMut(ShardId, ShardState) -> Option<CancelReason>,
    causes: &mut Causes,
) -> Result<(), String> {
    let topology = draft.topology();
    let mut cancelled: BTreeMap<(NodeRef, NodeRef, CancelReason), Vec<ShardId>> = BTreeMap::new();
    for (shard, state) in topology.assignment().iter() {
        let ShardState::Draining { from, to, .. } = state else { continue };
        let Some(source) = node_of(topology, from) else { continue };
        let destination = topology.cluster().members().find(|member| member.node.incarnation == to);
        let gone = destination.is_none_or(|member| member.status != NodeStatus::Active);
        let reason = if gone { Some(CancelReason::DestinationGone) } else { why(shard, state) };
        if let Some(reason) = reason {
            // A life replaced by another is no longer on record; its name is not needed to give the move up.
            let to =
                destination.map_or_else(|| NodeRef { node: source.node.clone(), incarnation: to }, |m| m.node.clone());
            cancelled.entry((source, to, reason)).or_default().push(shard);
        }
    }
    for ((from, to, reason), shards) in cancelled {
        causes.push(format!("{} moves to {} given up", shards.len(), to.node));
        let shards = shards.into_iter().collect();
        let command = AssignmentCommand::CancelMigration { shards, from, to, reason };
        draft.assignment(&command).map_err(|refusal| refusal.to_string())?;
    }
    Ok(())
}

/// Whether there are moves under way, and the source of each has reported it as released.
pub(in crate::coordinator) fn all_released(topology: &Topology, facts: &Facts<'_>) -> bool {
    let mut under_way = topology.assignment().iter().filter_map(|(shard, state)| match state {
        ShardState::Draining { from, drain_epoch, .. } => Some((shard, from, drain_epoch)),
        _ => None,
    });
    let released = |(shard, from, drain_epoch)| {
        node_of(topology, from).is_some_and(|from| is_released(facts, &from, shard, drain_epoch))
    };
    under_way.next().is_some_and(released) && under_way.all(released)
}

/// Whether that source reports the shard as released under that drain.
fn is_released(facts: &Facts<'_>, from: &NodeRef, shard: ShardId, drain_epoch: Epoch) -> bool {
    facts.sightings.release(&from.node).is_some_and(|(report, _)| {
        report.node == *from
            && report.released.iter().any(|(shards, epoch)| {
                (*epoch == drain_epoch || is_on(Mutant::OldReleaseCounts)) && shards.contains(shard)
            })
    })
}

/// Moves what its source reports as released.
pub(super) fn complete(draft: &mut Draft, facts: &Facts<'_>, causes: &mut Causes) -> Result<(), String> {
    let topology = draft.topology();
    let mut ready: BTreeMap<(NodeRef, NodeRef, Epoch), Vec<ShardId>> = BTreeMap::new();
    for (shard, state) in topology.assignment().iter() {
        let ShardState::Draining { from, to, drain_epoch, .. } = state else { continue };
        let (Some(from), Some(to)) = (node_of(topology, from), node_of(topology, to)) else { continue };
        let released = is_released(facts, &from, shard, drain_epoch);
        if (released || is_on(Mutant::MovesBeforeRelease)) && topology.cluster().is_active(&to) {
            ready.entry((from, to, drain_epoch)).or_default().push(shard);
        }
    }
    let active = active(draft);
    for ((from, to, drain_epoch), shards) in ready {
        causes.push(format!("{} shards from {} to {}", shards.len(), from.node, to.node));
        let shards = shards.into_iter().collect();
        let command = AssignmentCommand::CompleteMigration { shards, from, to, drain_epoch, active: active.clone() };
        draft.assignment(&command).map_err(|refusal| refusal.to_string())?;
    }
    let topology = draft.topology();
    if let Some(plan) = topology.cluster().plan() {
        let open = topology.assignment().moving() + topology.assignment().pending().len();
        if open == 0 {
            let command = ClusterCommand::CompleteRebalance { plan: plan.id, open };
            causes.push("rebalance done".to_owned());
            draft.cluster(&command).map_err(|refusal| refusal.to_string())?;
        }
    }
    Ok(())
}

/// Begins planned moves, as many as caps allow. What changes hands in this very entry moves on in a later one: an entry's
/// moves start from who owned the shards `before` it (I4).
pub(super) fn begin_moves(
    draft: &mut Draft,
    before: &Topology,
    facts: &Facts<'_>,
    (pace, timers): (&mut Pace, &mut Timers),
    causes: &mut Causes,
) -> Result<(), String> {
    let topology = draft.topology();
    if topology.assignment().pending().len() == 0 {
        return Ok(());
    }
    let mut caps = topology.cluster().policy().caps;
    let mut places = Places::default();
    let mut under_way = Vec::new();
    let (mut sending, mut receiving) = (BTreeMap::<_, usize>::new(), BTreeMap::<_, usize>::new());
    for (shard, state) in topology.assignment().iter() {
        if let ShardState::Draining { from, to, .. } = state {
            *sending.entry(from).or_default() += 1;
            *receiving.entry(to).or_default() += 1;
            under_way.push(places.step(shard, from, to, MoveClass::Balance));
        }
    }
    let relieved = distrusted(topology, Trust::Relieved);
    let is_low = |under_way: usize, cap: u16| under_way <= usize::from(cap / REFILLED_AT_ONE_IN);
    let room = pace.room(caps.per_second, timers);
    if room == 0 || !is_low(under_way.len(), caps.total) {
        return Ok(());
    }
    caps.total = caps.total.min(u16::try_from(under_way.len() + room).unwrap_or(u16::MAX));
    let count = |counts: &BTreeMap<Incarnation, usize>, node: &NodeRef| {
        counts.get(&node.incarnation).copied().unwrap_or_default()
    };
    let mut offered: BTreeMap<Incarnation, usize> = BTreeMap::new();
    let mut candidates = Vec::new();
    for (shard, from, to) in topology.assignment().pending() {
        let in_doubt = |node: &NodeRef| facts.doubtful.contains(&node.incarnation);
        let state = topology.assignment().shard(shard);
        let owned = matches!(state, ShardState::Owned { owner, .. } if owner == from.incarnation)
            && before.assignment().shard(shard).owner() == Some(from.incarnation);
        let is_relieved = relieved.contains(&from.incarnation);
        let per_source = if is_relieved { caps.per_source.min(DRAINING_PER_RELIEVED_MAX) } else { caps.per_source };
        if !owned
            || in_doubt(from)
            || in_doubt(to)
            || facts.leaving.contains(&to.incarnation)
            || !topology.cluster().is_active(to)
            || !is_low(count(&sending, from), per_source)
            || !is_low(count(&receiving, to), caps.per_target)
        {
            continue;
        }
        let offered = offered.entry(from.incarnation).or_insert_with(|| count(&sending, from));
        if is_relieved && *offered >= usize::from(per_source) {
            continue;
        }
        *offered += 1;
        let leaves = is_relieved || !topology.cluster().is_active(from);
        let class = if leaves { MoveClass::Drain } else { MoveClass::Balance };
        candidates.push((places.step(shard, from.incarnation, to.incarnation, class), from, to));
    }
    let steps: Vec<Move> = candidates.iter().map(|(step, ..)| *step).collect();
    let wave: BTreeSet<ShardId> = next_wave(&steps, &under_way, caps).into_iter().map(|step| step.shard).collect();
    let mut begun: BTreeMap<(NodeRef, NodeRef), Vec<ShardId>> = BTreeMap::new();
    for (step, from, to) in candidates.into_iter().filter(|(step, ..)| wave.contains(&step.shard)) {
        begun.entry((from.clone(), to.clone())).or_default().push(step.shard);
    }
    if begun.is_empty() {
        return Ok(());
    }
    pace.set_out(wave.len(), timers.now());
    causes.push("moves begin".to_owned());
    let active = active(draft);
    let moves = begun
        .into_iter()
        .map(|((from, to), shards)| PlannedMove { shards: shards.into_iter().collect(), from, to })
        .collect();
    let command = AssignmentCommand::RebalanceFromTopology { moves, active };
    draft.assignment(&command).map_err(|refusal| refusal.to_string())
}

/// Lives as the planner counts nodes, in the order in which they are met.
#[derive(Default)]
struct Places(BTreeMap<Incarnation, NodeIdx>);

impl Places {
    fn step(&mut self, shard: ShardId, from: Incarnation, to: Incarnation, class: MoveClass) -> Move {
        let [from, to] = [from, to].map(|life| {
            let next = NodeIdx(self.0.len() as u16);
            *self.0.entry(life).or_insert(next)
        });
        Move { shard, from: Some(from), to, class }
    }
}
