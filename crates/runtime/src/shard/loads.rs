//! Which histories are read now, and who waits for that: so many at once on a node, and shards in turn.
//!
//! It keeps the books only; `admission.rs` does the reading. Actors in memory never wait here, and those among them that
//! have to be read again come before all that are new.

use std::collections::{BTreeMap, VecDeque};

use aether_domain::{ActorAddress, Monotonic, ShardId};

use super::bounds::LOADS_WAITING_MAX;
use super::memory::KindPlace;
use super::snapshots::Part;

/// An actor whose history is to be read.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) actor: ActorAddress,
    pub(super) kind: KindPlace,
    /// To be named in the answer.
    pub(super) ticket: u64,
    /// What is to be read. Whoever needs it as fresh as the store can was in memory, or has waited already, and goes first.
    pub(super) part: Part,
    /// When nobody waits for it any more.
    pub(super) until: Monotonic,
}

/// The reads of a node, under way and waiting.
#[derive(Debug)]
pub(super) struct Loads {
    under_way: usize,
    under_way_max: usize,
    waiting: usize,
    again: InTurn,
    new: InTurn,
}

/// Loads by shard. The shards take turns.
#[derive(Debug, Default)]
struct InTurn {
    by_shard: BTreeMap<ShardId, VecDeque<Load>>,
    /// Whose turn was last.
    last: Option<ShardId>,
}

impl Loads {
    pub(super) fn new(under_way_max: usize) -> Self {
        let (again, new) = Default::default();
        Self { under_way: 0, under_way_max: under_way_max.max(1), waiting: 0, again, new }
    }

    /// Whether a read may begin at once: nobody else waits for it. Whoever is told so begins it.
    pub(super) fn begin(&mut self) -> bool {
        let begins = self.waiting == 0 && self.may_begin();
        if begins {
            self.under_way += 1;
        }
        begins
    }

    /// Whether a reader may begin, to go on with what waits; whoever is told so does.
    pub(super) fn begin_waiting(&mut self) -> bool {
        let begins = self.waiting > 0 && self.may_begin();
        if begins {
            self.under_way += 1;
        }
        begins
    }

    /// A read that had begun is over.
    pub(super) fn end(&mut self) {
        self.under_way -= 1;
    }

    /// Lets a load wait; gives it back if too many do.
    pub(super) fn wait(&mut self, shard: ShardId, load: Load) -> Result<(), Load> {
        if self.waiting >= LOADS_WAITING_MAX {
            return Err(load);
        }
        self.waiting += 1;
        if load.part.fresh { &mut self.again } else { &mut self.new }.push(shard, load);
        Ok(())
    }

    /// The next one, of the shard whose turn it is.
    pub(super) fn next(&mut self) -> Option<(ShardId, Load)> {
        let next = self.again.pop().or_else(|| self.new.pop())?;
        self.waiting -= 1;
        Some(next)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    fn may_begin(&self) -> bool {
        self.under_way < self.under_way_max
    }
}

impl InTurn {
    fn push(&mut self, shard: ShardId, load: Load) {
        self.by_shard.entry(shard).or_default().push_back(load);
    }

    fn pop(&mut self) -> Option<(ShardId, Load)> {
        let after = self.last.map(|last| (std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded));
        let next = after.and_then(|after| self.by_shard.range(after).next());
        let shard = *next.or_else(|| self.by_shard.iter().next())?.0;
        self.last = Some(shard);
        let of_shard = self.by_shard.get_mut(&shard)?;
        let load = of_shard.pop_front()?;
        if of_shard.is_empty() {
            self.by_shard.remove(&shard);
        }
        Some((shard, load))
    }
}

#[cfg(test)]
mod tests {
    use aether_domain::{ActorId, ActorKey, ActorKind, Sequence, Slot};

    use super::*;

    fn load(ticket: u64, fresh: bool) -> Load {
        let key = ActorKey {
            kind: ActorKind::new("account").expect("a kind"),
            id: ActorId::new(ticket.to_string()).expect("an id"),
        };
        let part = Part { up_to: Sequence::MAX, schema: 1, fresh };
        Load { actor: ActorAddress { key, slot: Slot(0) }, kind: 0, ticket, part, until: Monotonic::ZERO }
    }

    #[test]
    fn shards_take_turns_and_whoever_was_in_memory_goes_first() {
        let mut loads = Loads::new(64);
        for (shard, ticket, fresh) in
            [(1, 1, false), (1, 2, false), (1, 3, false), (7, 4, false), (7, 5, false), (3, 6, false), (9, 7, true)]
        {
            loads.wait(ShardId(shard), load(ticket, fresh)).expect("there is room");
        }
        let order: Vec<_> = std::iter::from_fn(|| loads.next()).map(|(_, load)| load.ticket).collect();
        assert_eq!(order, [7, 1, 6, 4, 2, 5, 3]);
        assert_eq!(loads.waiting(), 0);
    }

    #[test]
    fn so_many_are_read_at_once_and_so_many_wait() {
        let mut loads = Loads::new(2);
        assert_eq!((loads.begin(), loads.begin(), loads.begin()), (true, true, false));
        for nth in 0..LOADS_WAITING_MAX as u64 {
            loads.wait(ShardId(0), load(nth, false)).expect("there is room");
        }
        let refused = loads.wait(ShardId(1), load(9, true)).expect_err("there is none");
        assert_eq!(refused.ticket, 9);
        loads.end();
        assert!(!loads.begin(), "others wait for it");
        assert_eq!((loads.begin_waiting(), loads.begin_waiting()), (true, false));
    }
}
