//! The worlds that are explored: those in which everything must hold, and for each rule one in which it is missed.

use crate::rules::{Bounds, Rule};

/// A world with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    /// What it has.
    pub name: &'static str,
    /// How much of it.
    pub bounds: Bounds,
}

const STILL: Bounds = Bounds {
    ticks: 0,
    heartbeats: 0,
    commands: 0,
    records: 0,
    entries: 1,
    passivations: 0,
    second_leader: false,
    deaths: false,
    supervised: false,
    moves: false,
    cancels: false,
    words: 0,
    leaves: false,
};

/// One leader fails A, or moves its shard, while a command is under way.
const MOVE: Bounds =
    Bounds { ticks: 2, commands: 1, records: 2, entries: 4, moves: true, cancels: true, deaths: true, ..STILL };
/// A's serve lease, its fence and the shard's way to B.
const LEASE: Bounds = Bounds { ticks: 4, heartbeats: 2, commands: 1, records: 1, entries: 3, moves: true, ..STILL };
/// The same when A may die before the eyes of its supervisor.
const SUPERVISED: Bounds = Bounds { ticks: 3, heartbeats: 1, deaths: true, supervised: true, moves: false, ..LEASE };
/// Two leaders and no actor.
const LEADERS: Bounds =
    Bounds { ticks: 2, entries: 6, second_leader: true, moves: true, cancels: true, deaths: true, ..STILL };
/// Two leaders, no actor, and an operator who pauses redistribution, lets it go on, and asks A to leave.
const ORDERS: Bounds = Bounds { ticks: 0, entries: 7, words: 2, leaves: true, deaths: false, ..LEADERS };
/// Nothing but an actor that leaves memory and comes back, with stale reads.
const ACTOR: Bounds = Bounds { commands: 2, records: 4, passivations: 2, ..STILL };
/// Two owners that write at once.
const OWNERS: Bounds = Bounds { ticks: 2, commands: 2, records: 3, entries: 4, moves: true, passivations: 1, ..STILL };

/// The worlds in which the whole protocol is explored. `thorough`: larger ones as well, which take minutes.
pub fn sound(thorough: bool) -> Vec<World> {
    let world = |name, bounds| World { name, bounds };
    let mut worlds = vec![
        world("an actor that comes and goes", ACTOR),
        world("a serve lease and a fence", LEASE),
        world("a death before a supervisor's eyes", SUPERVISED),
        world("a move, its cancellation, and deaths", MOVE),
        world("two leaders", LEADERS),
        world("an operator's pause, and a node that leaves", ORDERS),
    ];
    if thorough {
        worlds.push(world("two owners of one actor", OWNERS));
        worlds.push(world("a move under a beating lease", Bounds { heartbeats: 1, ticks: 3, ..MOVE }));
        worlds.push(world("two leaders and longer time", Bounds { ticks: 3, heartbeats: 1, ..LEADERS }));
    }
    worlds
}

/// The world in which taking that rule away is noticed.
pub fn broken(rule: Rule) -> World {
    let (name, bounds) = match rule {
        Rule::LogBehindTheLast => ("two leaders", Bounds { ticks: 0, deaths: false, ..LEADERS }),
        Rule::PauseHolds | Rule::LetGoWithNothing => ("an operator's pause, and a node that leaves", ORDERS),
        Rule::WaitForRelease => ("a move, its cancellation, and deaths", MOVE),
        Rule::LeaseFromSending | Rule::FenceByCompareAndSet | Rule::WaitForLease => {
            ("a serve lease and a fence", LEASE)
        }
        Rule::DeadOnlyAfterDeath => ("a death before a supervisor's eyes", SUPERVISED),
        Rule::ConfirmSinceLoad | Rule::CommitBehindTheLast | Rule::UnknownIsNoFailure => {
            ("an actor that comes and goes", ACTOR)
        }
        Rule::LaterOwnerStops
        | Rule::ConfirmBeforeRead
        | Rule::RefusalIsRead
        | Rule::ReadUnderLease
        | Rule::Dedupe
        | Rule::LookThroughHistory => ("two owners of one actor", OWNERS),
    };
    World { name, bounds }
}
