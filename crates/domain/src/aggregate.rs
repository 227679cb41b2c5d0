//! What every aggregate is: a fold of events that can judge commands.

use crate::ids::Epoch;
use crate::topology::TopologyEvent;

/// A consistency boundary of the topology.
///
/// `decide` judges and never changes; `evolve` records and never refuses, because the fact has already happened.
pub trait Aggregate: Clone + Default {
    /// What may be asked of it, in the imperative.
    type Command;
    /// Its "no", with the numbers a person would ask for.
    type Refusal: std::error::Error + PartialEq;

    /// The events that would carry out `command` now; none if nothing need happen.
    ///
    /// # Errors
    /// The refusal, if the command's preconditions do not hold.
    fn decide(&self, command: &Self::Command) -> Result<Vec<TopologyEvent>, Self::Refusal>;

    /// Records an event of the entry with that epoch. Events of other aggregates are read where they matter here.
    fn evolve(&mut self, event: &TopologyEvent, epoch: Epoch);
}
