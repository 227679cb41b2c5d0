//! Every policy of the cluster in one place: what is seen, and the command it leads to.
//!
//! The leader goes through [`POLICIES`] from top to bottom each time something has changed; whatever they add together is
//! one entry of the log. They look at what is, not at what has changed, so a new leader carries on where another stopped.
//! What each of them does is in the files beside this one; what every node decides for itself (to contend, to beat, to
//! leave) is [`OF_EVERY_NODE`], and in the machines named there.

use aether_domain::topology::{Draft, Topology};

use super::{Causes, Facts, Memory, adoption, balance, coverage, gray, load, membership, moves, orders, unserved};
use crate::control::Timers;

/// What is seen leads to a command, and that to events.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Its name.
    pub name: &'static str,
    /// What is seen, in words.
    pub when: &'static str,
    /// The commands it leads to.
    pub commands: &'static [&'static str],
    /// The events it may add to an entry.
    pub events: &'static [&'static str],
}

/// A policy of the leader, with what carries it out.
pub(super) struct Leading {
    pub(super) policy: Policy,
    /// Whether there may be something for it to do while every shard is with a living owner, and none is on its way or
    /// meant to move.
    pub(super) while_settled: bool,
    pub(super) add: fn(&mut Turn<'_>) -> Result<(), String>,
}

/// What a policy works on: the entry in the making and what there is to go by.
pub(super) struct Turn<'a> {
    pub(super) draft: Draft,
    pub(super) before: &'a Topology,
    pub(super) facts: &'a Facts<'a>,
    pub(super) memory: &'a mut Memory,
    pub(super) timers: &'a mut Timers,
    pub(super) causes: Causes,
}

macro_rules! policies {
    ($($name:literal: $when:literal, $commands:tt => $events:tt by $add:expr, while settled: $while_settled:literal;)+) => {
        &[$(Leading {
            while_settled: $while_settled,
            policy: Policy { name: $name, when: $when, commands: &$commands, events: &$events },
            add: $add,
        }),+]
    };
}

/// The leader's, in the order in which they are gone through.
pub(super) const LEADING: &[Leading] = policies! {
    "membership":
        "a new node's record; a new life's, once the old one has surely stopped serving; a record that asks to leave; \
         a fenced record whose serve lease is surely over; a dead one",
        ["JoinCluster", "DrainNode", "MarkNodeFailed"]
        => ["NodeJoined", "NodeRestarted", "NodeDraining", "NodeFailed"]
        by |t| membership::members(&mut t.draft, t.facts, t.memory, t.timers, &mut t.causes), while settled: true;
    "gray nodes":
        "two find a member unwell for 30 s, for 60 s, or nobody does for 30 s",
        ["SuspectNode", "RelieveNode", "TrustNode"]
        => ["NodeSuspected", "NodeRelieved", "NodeTrusted"]
        by |t| gray::judge(&mut t.draft, t.facts, &mut t.memory.unwell, t.timers, &mut t.causes), while settled: true;
    "placement policy":
        "the record of the placement that an operator wants, if it is another than the adopted one and can be gone by",
        ["AdoptPlacement"]
        => ["PlacementAdopted"]
        by |t| {
            let Memory { refused, notes, .. } = &mut *t.memory;
            adoption::adopt(&mut t.draft, t.facts, refused, notes, &mut t.causes)
        }, while settled: true;
    "operators' orders":
        "an operator's word on redistribution that the log does not have",
        ["OrderRebalance"]
        => ["RebalancingOrdered"]
        by |t| orders::take_up(&mut t.draft, t.facts, &mut t.causes), while settled: true;
    "moves that cannot end":
        "a destination that is gone or about to leave, a source that has not released for 5 s, or an operator's word",
        ["CancelMigration"]
        => ["ShardMigrationFailed"]
        by |t| moves::give_up(&mut t.draft, t.facts, &mut t.memory.drains, t.timers, &mut t.causes), while settled: false;
    "shard coverage":
        "a shard without a living owner",
        ["AssignShards", "ReleaseShard", "RejectPlacement"]
        => ["ShardAssigned", "ShardsOrphaned", "PlacementRejected"]
        by |t| match coverage::assign_homeless(&mut t.draft, t.facts)? {
            Some(rejected) => t.memory.rejections.say(&mut t.draft, rejected),
            None => Ok(()),
        }, while settled: false;
    "completion":
        "a source's release; a plan without an open move",
        ["CompleteMigration", "CompleteRebalance"]
        => ["ShardMigrated", "RebalancingCompleted"]
        by |t| moves::complete(&mut t.draft, t.facts, &mut t.causes), while settled: false;
    "shards that are not served":
        "shards that their owner says it cannot serve, 5 s after it has them; no plan under way; each once in 10 s",
        ["RebalanceShards", "RejectPlacement"]
        => ["RebalancingTriggered", "PlacementRejected"]
        by unserved::move_on, while settled: true;
    "rebalancing":
        "shards out of balance, not where the policy wants them, or on a node that leaves or is relieved; membership quiet for \
         300 ms, no plan under way; for balance alone, nobody back for the policy's 10 s (fast: 5 s) after it left in good \
         order; while an operator pauses it, only off nodes that leave or are relieved",
        ["RebalanceShards", "RejectPlacement"]
        => ["RebalancingTriggered", "PlacementRejected"]
        by |t| balance::rebalance(&mut t.draft, t.before, t.facts, t.memory, t.timers, &mut t.causes), while settled: true;
    "load":
        "load decides where shards are, a node has too much of it, all is at rest and has been for as long as a shard rests",
        ["RebalanceShards", "RejectPlacement"]
        => ["RebalancingTriggered", "PlacementRejected"]
        by load::smooth, while settled: true;
    "moves in waves":
        "a planned move, while few enough others are under way from its source, to its destination and in all, and few enough have \
         set out within the last second",
        ["RebalanceFromTopology"]
        => ["ShardMigrationStarted"]
        by |t| {
            let pace = (&mut t.memory.pace, &mut *t.timers);
            moves::begin_moves(&mut t.draft, t.before, t.facts, pace, &mut t.causes)
        }, while settled: false;
    "leaving":
        "a draining node that owns nothing any more; the last of all takes the lead with it",
        ["LeaveCluster", "ReleaseShard", "ResignLeadership"]
        => ["NodeLeft", "ShardsOrphaned", "LeadershipLost"]
        by |t| membership::leave(&mut t.draft, t.before, t.facts, &mut t.causes), while settled: true;
};

/// What every node decides for itself.
pub(super) const OF_EVERY_NODE: &[Policy] = &[
    Policy {
        name: "single leader",
        when: "the lease is free, silent, or its holder is: coordinator/machine.rs",
        commands: &["ElectLeader"],
        events: &["TermStarted"],
    },
    Policy {
        name: "lease renewal",
        when: "3 s (fast: 500 ms) after the last renewal was sent: coordinator/machine.rs",
        commands: &["RenewLeadership"],
        events: &[],
    },
    Policy {
        name: "failure detection",
        when: "a member silent for F, or for L and found by nobody, is fenced by the leader: coordinator/fences.rs",
        commands: &[],
        events: &[],
    },
    Policy {
        name: "graceful shutdown",
        when: "SIGTERM or a drain: the record says so, and the lease is given back: member/machine.rs",
        commands: &["ResignLeadership"],
        events: &[],
    },
];

/// Every policy: the leader's in their order, then what every node decides for itself.
pub fn all() -> impl Iterator<Item = Policy> {
    LEADING.iter().map(|leading| leading.policy).chain(OF_EVERY_NODE.iter().copied())
}
