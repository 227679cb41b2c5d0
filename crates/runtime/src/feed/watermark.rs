//! Up to where everything has been handled, though commits are handled side by side. Pure.

use std::collections::BTreeMap;

use aether_domain::{Sequence, WallTime};

/// What has been taken up and what of it has been handled.
#[derive(Clone, Debug)]
pub(super) struct Watermark {
    /// What has been taken up and is not handled yet, and when it was stored.
    open: BTreeMap<Sequence, WallTime>,
    /// Everything up to here has been taken up or is of no interest.
    seen: Sequence,
}

impl Watermark {
    /// Everything up to `position` is handled.
    pub(super) fn at(position: Sequence) -> Self {
        Self { open: BTreeMap::new(), seen: position }
    }

    /// The commit at `sequence` is taken up; answers whether it is new.
    pub(super) fn take(&mut self, sequence: Sequence, stored: WallTime) -> bool {
        let new = sequence > self.seen;
        if new {
            self.open.insert(sequence, stored);
            self.seen = sequence;
        }
        new
    }

    /// What lies up to `sequence` has been taken up or is of no interest.
    pub(super) fn pass(&mut self, sequence: Sequence) {
        self.seen = self.seen.max(sequence);
    }

    /// The commit at `sequence` has been handled.
    pub(super) fn handled(&mut self, sequence: Sequence) {
        self.open.remove(&sequence);
    }

    /// Everything up to here has been handled.
    pub(super) fn position(&self) -> Sequence {
        self.open.keys().next().map_or(self.seen, |first| Sequence(first.0.saturating_sub(1)))
    }

    /// When the first commit that is not handled yet was stored.
    pub(super) fn oldest(&self) -> Option<WallTime> {
        self.open.values().next().copied()
    }

    /// Whether everything taken up has been handled.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What is stored: the sequences of wanted commits are told, the others go by.
    #[derive(Clone, Debug)]
    enum Step {
        Take { gap: u64 },
        Pass { gap: u64 },
        Handle(prop::sample::Index),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (1..4u64).prop_map(|gap| Step::Take { gap }),
            1 => (0..4u64).prop_map(|gap| Step::Pass { gap }),
            3 => any::<prop::sample::Index>().prop_map(Step::Handle),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// The oracle keeps everything it was ever told in plain sets.
        #[test]
        fn the_position_never_passes_what_is_not_handled_and_never_lags_behind_what_is(steps in steps()) {
            let start = 7;
            let mut mark = Watermark::at(Sequence(start));
            let (mut last, mut open, mut before) = (start, BTreeSet::new(), Sequence(start));
            for step in steps {
                match step {
                    Step::Take { gap } => {
                        last += gap;
                        open.insert(last);
                        let stored = WallTime { unix_millis: last };
                        prop_assert!(mark.take(Sequence(last), stored), "it is new");
                        prop_assert!(!mark.take(Sequence(last), stored), "told twice");
                    }
                    Step::Pass { gap } => {
                        last += gap;
                        mark.pass(Sequence(last));
                    }
                    Step::Handle(index) if !open.is_empty() => {
                        let sequence = *index.get(&open.iter().copied().collect::<Vec<_>>());
                        open.remove(&sequence);
                        mark.handled(Sequence(sequence));
                    }
                    Step::Handle(_) => {}
                }
                let position = mark.position();
                prop_assert!(open.iter().all(|sequence| *sequence > position.0), "{position} passes {open:?}");
                let expected = open.first().map_or(last, |first| first - 1);
                prop_assert_eq!(position.0, expected);
                prop_assert!(position >= before, "it went back");
                prop_assert_eq!(mark.oldest().map(|at| at.unix_millis), open.first().copied());
                prop_assert_eq!(mark.is_idle(), open.is_empty());
                before = position;
            }
        }
    }
}
