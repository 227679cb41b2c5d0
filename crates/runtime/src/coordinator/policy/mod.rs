//! What a leader writes next: everything that is due, read off the topology and what was seen.
//!
//! [`table`] says what leads to what; the other files do it. Every policy looks at what is, not at what has changed, so a
//! new leader carries on where another stopped. Nothing here waits, sends or writes.

mod adoption;
mod balance;
mod builds;
mod coverage;
mod gray;
mod load;
mod loads;
mod membership;
mod moves;
mod orders;
pub(crate) mod outlook;
pub(crate) mod planning;
mod returns;
pub(crate) mod table;
mod unserved;

use aether_domain::records::Format;
use std::collections::BTreeSet;
use std::sync::Arc;

use aether_domain::assignment::ShardState;
use aether_domain::cluster::{ClusterCommand, NodeStatus, Trust};
use aether_domain::lease::LeadershipCommand;
use aether_domain::topology::{Draft, Topology};
use aether_domain::{ClusterUid, Epoch, Incarnation, Monotonic, NodeRef, ShardId, Term};

use super::fences::Fences;
use crate::control::{ControlConfig, Note, Sightings, Timers};
use adoption::Refused;
pub(crate) use adoption::obstacle;
use balance::Changes;
use gray::Unwell;
use load::Heat;
use loads::Moved;
pub(super) use membership::{doubtful, is_before_the_log, leaving, suspects};
pub(super) use moves::all_released;
use moves::{Drains, Pace};
use outlook::Outlook;
use planning::Rejections;
use table::{LEADING, Turn};
use unserved::Tries;

/// Why an entry is written, in words for people.
pub(super) type Causes = Vec<String>;

/// What the policy looks at.
pub(crate) struct Facts<'a> {
    pub(crate) me: &'a NodeRef,
    /// By this leader's clock.
    pub(crate) now: Monotonic,
    pub(crate) config: &'a ControlConfig,
    pub(crate) sightings: &'a Sightings,
    /// Lives that are being fenced.
    pub(super) fences: &'a Fences,
    /// What a node must be able to read in order to be a member.
    pub(crate) format: Format,
    /// Lives that may be dying: see [`doubtful`].
    pub(crate) doubtful: BTreeSet<Incarnation>,
    /// Lives that are about to leave: see [`leaving`].
    pub(crate) leaving: BTreeSet<Incarnation>,
}

/// What a leader remembers beside the log: when things began, by its own clock. Lost with it, and harmless to lose.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    changes: Changes,
    /// Since when a failure is due that is held back for others to join it.
    failing_since: Option<Monotonic>,
    /// The epoch at which every shard was with a living owner, and none on its way or meant to move.
    settled_at: Option<Epoch>,
    unwell: Unwell,
    drains: Drains,
    pace: Pace,
    refused: Refused,
    rejections: Rejections,
    /// What was found that is worth a line in the log.
    pub(super) notes: Vec<Note>,
    moved: Moved,
    heat: Heat,
    tries: Tries,
    /// What was last taken down for whoever asks what would be planned, and when.
    outlook: Option<(Monotonic, Arc<Outlook>)>,
}

impl Memory {
    /// What it goes by when it plans, as it last looked.
    pub(crate) fn outlook(&self) -> Option<&Arc<Outlook>> {
        self.outlook.as_ref().map(|(_, outlook)| outlook)
    }

    /// The shards that alone are more than a node is to bear, each with how much of that it is in percent.
    pub(crate) fn too_hot(&self) -> impl Iterator<Item = (ShardId, u32)> {
        self.heat.too_hot()
    }
}

/// The first entry of a term: whatever founding or return it takes for the leader to be Active, then `TermStarted`, then
/// every shard that nobody has.
pub(crate) fn first_entry(
    topology: &Topology,
    facts: &Facts<'_>,
    term: Term,
    uid: ClusterUid,
) -> Result<(Draft, String), String> {
    let mut draft = Draft::new(topology);
    let (before, asked) =
        (topology.leadership(), facts.sightings.orders().and_then(|orders| orders.step_down.as_ref()));
    let mut cause = match (before.leader(), asked.filter(|(term, _)| *term == before.term())) {
        (Some(leader), Some((_, asked))) => {
            format!("election of {}, step-down of {} asked by {asked}", facts.me.node, leader.node)
        }
        _ => format!("election of {}", facts.me.node),
    };
    if topology.cluster().uid().is_none() {
        let created = ClusterCommand::CreateCluster { uid, settings: facts.config.settings };
        draft.cluster(&created).map_err(|refusal| refusal.to_string())?;
        cause = format!("creation by {}", facts.me.node);
    }
    if !draft.topology().cluster().is_active(facts.me) {
        let join = ClusterCommand::JoinCluster { node: facts.me.clone(), info: facts.config.info.clone() };
        draft.cluster(&join).map_err(|refusal| refusal.to_string())?;
    }
    // A new life takes the place of an old one that shards may be on their way to.
    moves::cancel(&mut draft, &mut |_, _| None, &mut Vec::new())?;
    let active = draft.topology().cluster().is_active(facts.me);
    let elect = LeadershipCommand::ElectLeader { candidate: facts.me.clone(), term, active };
    draft.leadership(&elect).map_err(|refusal| refusal.to_string())?;
    // What is wrong with the strategy, if anything is, is said when the new leader looks around.
    coverage::assign_homeless(&mut draft, facts)?;
    Ok((draft, cause))
}

/// Everything that is due now, as one entry; an empty draft if nothing is.
pub(crate) fn next_entry(
    topology: &Topology,
    facts: &Facts<'_>,
    memory: &mut Memory,
    timers: &mut Timers,
) -> Result<(Draft, String), String> {
    let (draft, causes) = (Draft::new(topology), Causes::new());
    let mut turn = Turn { draft, before: topology, facts, memory, timers, causes };
    let settled = turn.memory.settled_at == Some(topology.epoch());
    for leading in LEADING {
        // Most of the time nothing is to be done, and nothing is looked at that cannot have changed.
        if settled && turn.draft.is_empty() && !leading.while_settled {
            continue;
        }
        let before = turn.draft.events().len();
        (leading.add)(&mut turn)?;
        let added = &turn.draft.events()[before..];
        debug_assert!(added.iter().all(|event| leading.policy.events.contains(&event.name())), "{added:?}");
    }
    let Turn { draft, mut causes, memory, .. } = turn;
    Outlook::look(memory, topology, facts);
    if draft.is_empty() && !settled && is_settled(topology) {
        memory.settled_at = Some(topology.epoch());
    }
    if causes.is_empty() {
        causes.push("repair".to_owned());
    }
    causes.truncate(8);
    Ok((draft, causes.join(", ")))
}

/// Whether every shard is with a living owner, and none is on its way or meant to move.
fn is_settled(topology: &Topology) -> bool {
    let living: BTreeSet<_> = lives_of(topology, NodeStatus::owns).into_iter().collect();
    let assignment = topology.assignment();
    let owned = |state: &ShardState| matches!(state, ShardState::Owned { owner, .. } if living.contains(owner));
    topology.cluster().plan().is_none() && assignment.pending().len() == 0 && assignment.shards().iter().all(owned)
}

fn lives(draft: &Draft, fits: impl Fn(NodeStatus) -> bool) -> Vec<Incarnation> {
    lives_of(draft.topology(), fits)
}

fn lives_of(topology: &Topology, fits: impl Fn(NodeStatus) -> bool) -> Vec<Incarnation> {
    let members = topology.cluster().members().filter(|member| fits(member.status));
    members.map(|member| member.node.incarnation).collect()
}

fn active(draft: &Draft) -> Vec<Incarnation> {
    active_of(draft.topology())
}

fn active_of(topology: &Topology) -> Vec<Incarnation> {
    lives_of(topology, |status| status == NodeStatus::Active)
}

/// The lives that are trusted no further than that.
fn distrusted(topology: &Topology, at_most: Trust) -> BTreeSet<Incarnation> {
    let members = topology.cluster().members().filter(|member| member.status.owns() && member.trust >= at_most);
    members.map(|member| member.node.incarnation).collect()
}

fn node_of(topology: &Topology, incarnation: Incarnation) -> Option<NodeRef> {
    topology.cluster().owner(incarnation).map(|member| member.node.clone())
}
