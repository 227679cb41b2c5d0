//! What operators ask of a running cluster: values only.
//!
//! Each names what it is about, a life or a term, or has an id of its own: so it is taken up once, whoever leads, and says
//! nothing any more when what it names is over.

use crate::ids::{NodeRef, Nonce, Term};

/// Who asks, and why: for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Asked {
    by: String,
    why: String,
}

impl Asked {
    /// The most characters of who asks.
    pub const BY_CHARS_MAX: usize = 64;
    /// The most characters of why.
    pub const WHY_CHARS_MAX: usize = 200;

    /// Both are cut to their bounds.
    pub fn new(by: &str, why: &str) -> Self {
        let cut = |text: &str, most: usize| text.chars().take(most).collect();
        Self { by: cut(by, Self::BY_CHARS_MAX), why: cut(why, Self::WHY_CHARS_MAX) }
    }
    /// Who asks.
    pub fn by(&self) -> &str {
        &self.by
    }
    /// Why; empty if that was not said.
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { by, why } = self;
        if why.is_empty() { f.write_str(by) } else { write!(f, "{by}: {why}") }
    }
}

/// What is to become of redistribution. Shards without an owner, and those of a node that leaves or is relieved, change hands
/// whatever is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wish {
    /// It goes on. If something is out of balance, a plan is made at once, whoever may be about to leave.
    #[default]
    Resume,
    /// No move begins and no plan is made; what is under way ends.
    Pause,
    /// As paused, and what is under way is given up.
    Cancel,
}

impl Wish {
    /// Every wish with its stable name.
    pub const NAMES: [(Self, &'static str); 3] =
        [(Self::Resume, "resume"), (Self::Pause, "pause"), (Self::Cancel, "cancel")];

    /// The wish's stable name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(wish, _)| *wish == self).map_or("resume", |(_, name)| name)
    }
}

/// A word of an operator on redistribution.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RebalanceOrder {
    /// What is to become of it.
    pub wish: Wish,
    /// Who asks, and why.
    pub asked: Asked,
    /// What this order is known by: an order with the id of the last one taken up is that one.
    pub id: Nonce,
}

/// Everything that operators ask of a cluster beside its placement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// What is to become of redistribution.
    pub rebalance: Option<RebalanceOrder>,
    /// Lives that are to hand over and leave; at most [`Orders::DRAINS_MAX`].
    pub drains: Vec<(NodeRef, Asked)>,
    /// The term whose leader is to give the lead to another node.
    pub step_down: Option<(Term, Asked)>,
}

impl Orders {
    /// The most lives that are asked to leave at a time.
    pub const DRAINS_MAX: usize = 64;

    /// Who asks that life to leave, if somebody does.
    pub fn drains(&self, node: &NodeRef) -> Option<&Asked> {
        self.drains.iter().find(|(drained, _)| drained == node).map(|(_, asked)| asked)
    }

    /// Asks that life to leave; false if it is asked already.
    ///
    /// # Errors
    /// [`TooManyDrains`]: nothing is asked.
    pub fn drain(&mut self, node: NodeRef, asked: Asked) -> Result<bool, TooManyDrains> {
        if self.drains(&node).is_some() {
            return Ok(false);
        }
        // Another life of the same node is over.
        self.drains.retain(|(drained, _)| drained.node != node.node);
        if self.drains.len() >= Self::DRAINS_MAX {
            return Err(TooManyDrains);
        }
        self.drains.push((node, asked));
        Ok(true)
    }
}

/// As many lives are asked to leave as can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} nodes are asked to leave already; wait until some have", Orders::DRAINS_MAX)]
pub struct TooManyDrains;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::life;

    #[test]
    fn a_life_is_asked_to_leave_once_and_the_list_is_bounded() {
        let mut orders = Orders::default();
        assert_eq!(orders.drain(life("n1", 1), Asked::new("ann", "disk")), Ok(true));
        assert_eq!(orders.drain(life("n1", 1), Asked::new("ben", "again")), Ok(false));
        assert_eq!(orders.drains(&life("n1", 1)).map(Asked::by), Some("ann"));
        assert_eq!(orders.drain(life("n1", 2), Asked::default()), Ok(true));
        assert_eq!(orders.drains(&life("n1", 1)), None, "that life is over");
        for nth in 1..Orders::DRAINS_MAX {
            assert_eq!(orders.drain(life(&format!("m{nth}"), 1), Asked::default()), Ok(true));
        }
        assert_eq!(orders.drain(life("n2", 1), Asked::default()), Err(TooManyDrains), "nobody is forgotten");
        assert_eq!(orders.drain(life("n1", 3), Asked::default()), Ok(true), "in the place of its life before");
    }

    #[test]
    fn who_asks_and_why_are_cut_to_their_bounds() {
        let asked = Asked::new(&"ä".repeat(100), &"why".repeat(100));
        assert_eq!((asked.by().chars().count(), asked.why().chars().count()), (64, 200));
        assert_eq!(Asked::new("ann", "").to_string(), "ann");
        assert_eq!(Asked::new("ann", "disk").to_string(), "ann: disk");
    }
}
