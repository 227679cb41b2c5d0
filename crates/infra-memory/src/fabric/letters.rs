//! Dead letters, as a server keeps them.

use std::collections::BTreeMap;

use aether_domain::ids::Sequence;
use aether_domain::records::{DeadLetter, StoredLetter};

/// The letters of one server, up to [`DeadLetter::KEPT_MAX`].
#[derive(Clone, Debug, Default)]
pub struct Letters {
    kept: BTreeMap<Sequence, DeadLetter>,
    last: Sequence,
}

impl Letters {
    /// Keeps a letter; false if there is no room.
    pub fn keep(&mut self, letter: &DeadLetter) -> bool {
        if self.kept.len() >= DeadLetter::KEPT_MAX {
            return false;
        }
        self.last = self.last.next();
        self.kept.insert(self.last, letter.clone());
        true
    }

    /// Those behind `after`, in order.
    pub fn behind(&self, after: Sequence) -> impl Iterator<Item = StoredLetter> {
        self.kept
            .range(after.next()..)
            .map(|(sequence, letter)| StoredLetter { letter: letter.clone(), sequence: *sequence })
    }

    /// Forgets one.
    pub fn forget(&mut self, sequence: Sequence) {
        self.kept.remove(&sequence);
    }
}
