//! The five invariants, and the log's own, as checks that run on every entry.
//!
//! These are the forms that hold *always*: of every prefix of the log. What can only hold eventually (all shards owned
//! by nodes that are really alive) is bounded in time by the machines, not checked here.

use std::collections::BTreeMap;

use crate::assignment::{AssignmentEvent, ShardState};
use crate::cluster::NodeStatus;
use crate::ids::{ClusterUid, Epoch, NodeRef, ShardId, Term};
use crate::lease::LeadershipEvent;
use crate::mutants::{Mutant, is_on};
use crate::policy::PolicyFault;
use crate::records::Entry;
use crate::topology::{Topology, TopologyEvent};

/// One way an entry breaks what must always hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// I1: a term has one leader, and only it writes in it.
    #[error("I1: entry of term {term} by {writer}, but {expected}")]
    NotTheLeader {
        /// The entry's term.
        term: Term,
        /// Who wrote it.
        writer: NodeRef,
        /// Who may write, in words.
        expected: String,
    },
    /// I2: after the first assignment every shard has an owner, unless no node is left to have it.
    #[error("I2: shard {shard} has no owner though nodes are active")]
    Unowned {
        /// The shard.
        shard: ShardId,
    },
    /// I3: owners and destinations are members that can own.
    #[error("I3: shard {shard} is given to a life that is not a member")]
    NotAMember {
        /// The shard.
        shard: ShardId,
    },
    /// I3: a shard is newly given to an Active node only.
    #[error("I3: shard {shard} is newly given to {node}, which is not active")]
    GivenToInactive {
        /// The shard.
        shard: ShardId,
        /// The node.
        node: NodeRef,
    },
    /// I4: a shard changes hands only by an event that names it, from a source that had it.
    #[error("I4: shard {shard} moves from {from}, which does not have it")]
    MovedFromElsewhere {
        /// The shard.
        shard: ShardId,
        /// The source the event names.
        from: NodeRef,
    },
    /// I4: a move ends only if it has begun.
    #[error("I4: shard {shard} is not on its way from {from} to {to}")]
    NotOnItsWay {
        /// The shard.
        shard: ShardId,
        /// The source the event names.
        from: NodeRef,
        /// The destination the event names.
        to: NodeRef,
    },
    /// I4: nothing is taken from a life that may still serve it.
    #[error("I4: shard {shard} is taken from {from}, which still has it")]
    TakenFromTheLiving {
        /// The shard.
        shard: ShardId,
        /// Its owner.
        from: NodeRef,
    },
    /// I5: the leader is an Active node when its term starts, and a member while it leads.
    #[error("I5: the leader {leader} is not an active node")]
    LeaderNotActive {
        /// The leader.
        leader: NodeRef,
    },
    /// I6: epochs grow by one.
    #[error("I6: epoch {found} follows epoch {before}")]
    EpochGap {
        /// The last epoch applied.
        before: Epoch,
        /// The entry's.
        found: Epoch,
    },
    /// I6: each entry names the hash of the one before.
    #[error("I6: entry {epoch} does not follow the entry this node has")]
    BrokenChain {
        /// The entry's epoch.
        epoch: Epoch,
    },
    /// I6: a log belongs to one cluster.
    #[error("I6: entry of cluster {found} in the log of cluster {expected}")]
    ForeignCluster {
        /// Whose log this is.
        expected: ClusterUid,
        /// Whose entry it is.
        found: ClusterUid,
    },
    /// I6: what is adopted can be gone by.
    #[error("I6: entry {epoch} adopts a placement policy that cannot be: {fault}")]
    Policy {
        /// The entry's epoch.
        epoch: Epoch,
        /// Why it cannot be.
        fault: PolicyFault,
    },
    /// I6: an entry says something.
    #[error("I6: entry {epoch} is empty")]
    Empty {
        /// The entry's epoch.
        epoch: Epoch,
    },
}

/// Everything that `entry` breaks on the way from `before` to `after`; nothing if it may be believed.
pub fn check(before: &Topology, entry: &Entry, after: &Topology) -> Vec<Violation> {
    let mut found = Vec::new();
    log(before, entry, after, &mut found);
    leadership(before, entry, after, &mut found);
    hands(before, entry, after, &mut found);
    ownership(before, after, &mut found);
    found
}

fn log(before: &Topology, entry: &Entry, after: &Topology, found: &mut Vec<Violation>) {
    let epoch = entry.epoch;
    if is_on(Mutant::FoldsUnchecked) {
        return;
    }
    if epoch != before.epoch().next() {
        found.push(Violation::EpochGap { before: before.epoch(), found: epoch });
    }
    if entry.prev_hash != before.at().hash {
        found.push(Violation::BrokenChain { epoch });
    }
    if let Some(expected) = before.cluster().uid().or(after.cluster().uid())
        && expected != entry.cluster
    {
        found.push(Violation::ForeignCluster { expected, found: entry.cluster });
    }
    if entry.events.is_empty() {
        found.push(Violation::Empty { epoch });
    }
    if before.cluster().policy() != after.cluster().policy()
        && let Err(fault) = after.cluster().policy().check(after.cluster().settings().shards)
    {
        found.push(Violation::Policy { epoch, fault });
    }
}

fn leadership(before: &Topology, entry: &Entry, after: &Topology, found: &mut Vec<Violation>) {
    let started: Vec<_> = entry
        .events
        .iter()
        .filter_map(|event| match event {
            TopologyEvent::Leadership(LeadershipEvent::TermStarted { term, leader }) => Some((*term, leader)),
            _ => None,
        })
        .collect();
    let allowed = match started.as_slice() {
        [] => {
            if before.leadership().is_led_by(&entry.leader, entry.term) {
                Ok(())
            } else {
                Err(match before.leadership().leader() {
                    Some(leader) => format!("{leader} leads in term {}", before.leadership().term()),
                    None => "nobody leads".into(),
                })
            }
        }
        [(term, leader)] if *term == entry.term && **leader == entry.leader => {
            if *term > before.leadership().term() {
                Ok(())
            } else {
                Err(format!("term {} has been started before", before.leadership().term()))
            }
        }
        _ => Err("it starts a term that is not the writer's own, or more than one".into()),
    };
    if let Err(expected) = allowed {
        found.push(Violation::NotTheLeader { term: entry.term, writer: entry.leader.clone(), expected });
    }
    if let Some(leader) = after.leadership().leader() {
        let standing = after.cluster().status_of(leader);
        let fits =
            if started.is_empty() { standing.is_some_and(NodeStatus::owns) } else { after.cluster().is_active(leader) };
        if !fits {
            found.push(Violation::LeaderNotActive { leader: leader.clone() });
        }
    }
}

fn hands(before: &Topology, entry: &Entry, after: &Topology, found: &mut Vec<Violation>) {
    for event in &entry.events {
        let TopologyEvent::Assignment(event) = event else { continue };
        match event {
            AssignmentEvent::ShardAssigned { shards, .. } => {
                for shard in shards.iter() {
                    // Owning in `after` is what counts: failing its owner and assigning a shard anew is one entry.
                    let owner = before.assignment().shard(shard).owner();
                    if let Some(member) = owner.and_then(|owner| after.cluster().owner(owner)) {
                        found.push(Violation::TakenFromTheLiving { shard, from: member.node.clone() });
                    }
                }
            }
            AssignmentEvent::ShardMigrationStarted { shards, from, .. } => {
                for shard in shards.iter() {
                    if before.assignment().shard(shard).owner() != Some(from.incarnation) {
                        found.push(Violation::MovedFromElsewhere { shard, from: from.clone() });
                    }
                }
            }
            AssignmentEvent::ShardMigrated { shards, from, to }
            | AssignmentEvent::ShardMigrationFailed { shards, from, to, .. } => {
                for shard in shards.iter() {
                    match before.assignment().shard(shard) {
                        ShardState::Draining { from: source, to: destination, .. }
                            if (source, destination) == (from.incarnation, to.incarnation) => {}
                        state if state.owner() == Some(from.incarnation) => {
                            found.push(Violation::NotOnItsWay { shard, from: from.clone(), to: to.clone() });
                        }
                        _ => found.push(Violation::MovedFromElsewhere { shard, from: from.clone() }),
                    }
                }
            }
            AssignmentEvent::ShardsOrphaned { .. } => {}
        }
    }
}

fn ownership(before: &Topology, after: &Topology, found: &mut Vec<Violation>) {
    let somebody_active = after.cluster().active().next().is_some();
    let same_members = before.cluster().members().eq(after.cluster().members());
    let owners: BTreeMap<_, _> = after
        .cluster()
        .members()
        .filter(|member| member.status.owns())
        .map(|member| (member.node.incarnation, member))
        .collect();
    for (shard, state) in after.assignment().iter() {
        let was = before.assignment().shard(shard);
        if was == state && same_members {
            continue;
        }
        match state {
            ShardState::Orphaned => {
                if somebody_active {
                    found.push(Violation::Unowned { shard });
                }
            }
            ShardState::Owned { owner, .. } => match owners.get(&owner) {
                None => found.push(Violation::NotAMember { shard }),
                Some(member) if was.owner() != Some(owner) && member.status != NodeStatus::Active => {
                    found.push(Violation::GivenToInactive { shard, node: member.node.clone() });
                }
                Some(_) => {}
            },
            ShardState::Draining { from, to, .. } => {
                if !owners.contains_key(&from) || !owners.contains_key(&to) {
                    found.push(Violation::NotAMember { shard });
                }
            }
        }
    }
}
