//! What must hold in every reachable state.

use crate::rules::{Rule, Rules};
use crate::state::{Entry, Node, State, Write};

/// What is wrong with a state, if anything is.
pub(crate) fn fault(state: &State, rules: Rules) -> Option<&'static str> {
    let written = |command| state.history.iter().filter(|record| record.write == Write::Command(command)).count();
    for command in 0..8 {
        let (times, bit) = (written(command), 1 << command);
        if times > 1 {
            return Some("a command is in the history twice (I9)");
        }
        if times == 0 && state.acknowledged & bit != 0 {
            return Some("an acknowledged command is not in the history (I9)");
        }
        if times == 1 && state.denied & bit != 0 {
            return Some("a command is in the history although its caller was told that it is not (R13)");
        }
    }
    let lease = |node: Node| node == Node::B || state.now < state.a_serves_until;
    for node in Node::BOTH {
        let Some(instance) = state.instances[node as usize].filter(|_| state.serves(node).is_some()) else { continue };
        let lease = lease(node) || !rules.hold(Rule::ReadUnderLease);
        let misses = state.acknowledged & !state.applied(instance.sees) != 0;
        if lease && misses && (instance.confirmed || !rules.hold(Rule::ConfirmBeforeRead)) {
            return Some("a read would be older than what was acknowledged before it (I10)");
        }
        if lease && misses && (instance.confirmed || !rules.hold(Rule::RefusalIsRead)) {
            return Some("a refusal would be older than what was acknowledged before it (I10)");
        }
    }
    let live = |node: Node| state.instances[node as usize].is_some() && state.serves(node).is_some() && lease(node);
    if live(Node::A) && live(Node::B) {
        return Some("two nodes serve the shard under a lease that holds (I7)");
    }
    let mut last = 0;
    for (before, entry) in (0..).zip(state.log.iter()) {
        match entry {
            Entry::TermStarted(term) if term <= last => return Some("a term was started twice (I1)"),
            Entry::TermStarted(term) => last = term,
            Entry::Drain if state.is_paused(before) && !state.has(before, Entry::Leaves) => {
                return Some("a move begins while redistribution is paused (I4)");
            }
            Entry::Left if state.shard(before).owner == Node::A => {
                return Some("a node is let go that owns the shard (I2)");
            }
            Entry::Owned(Node::A) if state.has(before, Entry::Left) => {
                return Some("a node that has left is given the shard (I3)");
            }
            _ => {}
        }
    }
    None
}
