//! What the shards of this node do, held against what its view says they should: a difference that stays is a bug or a
//! broken memory, and would be a shard that nobody serves. It is reported and put right; what cannot be put right here is told
//! to the leader, which gives the shard to somebody else.
//!
//! Whoever is at work, or has something in its inbox, is not judged at that moment: it may be about to do what it should. What
//! was seen before counts on, so that being asked again and again is no hiding place.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aether_domain::{Epoch, Monotonic, ShardId, ShardSet};

use crate::view::Route;

/// How long a shard may differ from the view before it is put right, and how long after that before it is tried again.
pub(super) const PUT_RIGHT_AFTER: Duration = Duration::from_secs(1);
/// How often shards are held against the view.
pub(super) const RECONCILE_EVERY: Duration = Duration::from_millis(500);
/// How long it is tried to serve a shard that is ours before others are told that it cannot be.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(5);

/// What a shard's machine takes itself to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not ours. `later`: a stored record has shown an owner under that epoch, so none before it is believed.
    Elsewhere { later: Option<Epoch> },
    /// Ours, under that shard epoch.
    Serving(Epoch),
    /// Being released, or released, for that drain epoch.
    Leaving(Epoch),
}

/// How a shard differs from the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// It is ours and is not served.
    Unserved,
    /// It is ours, and somebody has written under a later epoch than this: only another entry of the log can help.
    Outlived { later: Epoch },
    /// It was asked back and is not on its way.
    Kept,
    /// It is not ours and is served.
    Anothers,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unserved => f.write_str("is this node's, and was not served"),
            Self::Outlived { later } => write!(f, "is this node's, but was written to under the later epoch {later}"),
            Self::Kept => f.write_str("was asked back, and was not released"),
            Self::Anothers => f.write_str("is another's, and was served"),
        }
    }
}

/// How `standing` differs from what `route` says.
fn difference(standing: Standing, route: &Route) -> Option<Difference> {
    match (route, standing) {
        (Route::Mine { epoch }, Standing::Serving(under)) if under >= *epoch => None,
        (Route::Mine { epoch }, Standing::Elsewhere { later: Some(later) }) if later > *epoch => {
            Some(Difference::Outlived { later })
        }
        (Route::Mine { .. }, _) => Some(Difference::Unserved),
        (Route::Leaving { drain_epoch, .. }, Standing::Leaving(known)) if known >= *drain_epoch => None,
        // Whoever has nothing left to release is asked for the release all the same.
        (Route::Leaving { .. }, _) => Some(Difference::Kept),
        (Route::Nobody | Route::Remote { .. }, Standing::Serving(_)) => Some(Difference::Anothers),
        (Route::Nobody | Route::Remote { .. }, Standing::Elsewhere { .. } | Standing::Leaving(_)) => None,
    }
}

/// The entry that says what the shard is to do.
fn said_by(route: &Route) -> Epoch {
    match route {
        Route::Mine { epoch } => *epoch,
        Route::Leaving { drain_epoch, .. } => *drain_epoch,
        Route::Nobody | Route::Remote { .. } => Epoch::ZERO,
    }
}

/// A difference as it was last seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    what: Difference,
    /// The entry that it differs from.
    from: Epoch,
    since: Monotonic,
    /// When it was last seen to differ so.
    last: Monotonic,
    /// When it was last tried to put it right.
    told: Option<Monotonic>,
}

/// What there is to do about a difference that stays: the shard is to be told again what the view says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stays {
    pub(super) what: Difference,
    /// Whether it was told so before, in vain: then it has been reported.
    pub(super) again: bool,
}

/// Differences as they were last seen.
#[derive(Debug, Default)]
pub(super) struct Reconciler {
    seen: BTreeMap<ShardId, Seen>,
}

impl Reconciler {
    /// Takes what one shard does, or nothing if that cannot be said now. Answers with a difference that has stayed for too
    /// long, once and then every so often as long as it stays.
    pub(super) fn look(
        &mut self,
        now: Monotonic,
        shard: ShardId,
        standing: Option<Standing>,
        route: &Route,
    ) -> Option<Stays> {
        let Some(what) = difference(standing?, route) else {
            self.seen.remove(&shard);
            return None;
        };
        let from = said_by(route);
        let fresh = Seen { what, from, since: now, last: now, told: None };
        let seen = self.seen.entry(shard).or_insert(fresh);
        if (seen.what, seen.from) != (what, from) {
            *seen = fresh;
        }
        seen.last = now;
        if now.since(seen.told.unwrap_or(seen.since)) < PUT_RIGHT_AFTER {
            return None;
        }
        let again = seen.told.replace(now).is_some();
        Some(Stays { what, again })
    }

    /// How many shards differ although they were told what the view says.
    pub(super) fn stand(&self) -> usize {
        self.seen.values().filter(|seen| seen.told.is_some()).count()
    }

    /// The shards that are ours and that nothing here can make served: others have to be told, if another entry of the log can
    /// help, which is one behind `view`.
    pub(super) fn given_up(&self, view: Epoch) -> ShardSet {
        let given_up = |seen: &Seen| match seen.what {
            Difference::Unserved => seen.last.since(seen.since) >= GIVEN_UP_AFTER,
            Difference::Outlived { later } => seen.last.since(seen.since) >= GIVEN_UP_AFTER && later <= view,
            Difference::Kept | Difference::Anothers => false,
        };
        self.seen.iter().filter(|(_, seen)| given_up(seen)).map(|(shard, _)| *shard).collect()
    }
}

#[cfg(test)]
mod tests {
    use aether_domain::testing::life;

    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(millis))
    }

    #[test]
    fn a_shard_differs_from_the_view_when_it_does_something_else_than_that_says() {
        let mine = Route::Mine { epoch: Epoch(7) };
        let leaving = Route::Leaving { epoch: Epoch(7), drain_epoch: Epoch(9), to: life("b", 1) };
        let remote = Route::Remote { owner: life("b", 1) };
        let elsewhere = Standing::Elsewhere { later: None };
        for (route, standing, expected) in [
            (&mine, Standing::Serving(Epoch(7)), None),
            (&mine, Standing::Serving(Epoch(6)), Some(Difference::Unserved)),
            (&mine, elsewhere, Some(Difference::Unserved)),
            (&mine, Standing::Leaving(Epoch(5)), Some(Difference::Unserved)),
            (&mine, Standing::Elsewhere { later: Some(Epoch(7)) }, Some(Difference::Unserved)),
            (&mine, Standing::Elsewhere { later: Some(Epoch(8)) }, Some(Difference::Outlived { later: Epoch(8) })),
            (&leaving, Standing::Leaving(Epoch(9)), None),
            (&leaving, Standing::Leaving(Epoch(8)), Some(Difference::Kept)),
            (&leaving, Standing::Serving(Epoch(7)), Some(Difference::Kept)),
            (&leaving, elsewhere, Some(Difference::Kept)),
            (&remote, elsewhere, None),
            (&remote, Standing::Leaving(Epoch(9)), None),
            (&remote, Standing::Serving(Epoch(7)), Some(Difference::Anothers)),
            (&Route::Nobody, Standing::Serving(Epoch(7)), Some(Difference::Anothers)),
            (&Route::Nobody, elsewhere, None),
        ] {
            assert_eq!(difference(standing, route), expected, "{standing:?}, {route:?}");
        }
    }

    #[test]
    fn a_difference_is_put_right_once_it_has_stayed_and_one_that_comes_and_goes_never() {
        let (mut reconciler, mine) = (Reconciler::default(), Route::Mine { epoch: Epoch(7) });
        let (idle, serving) = (Some(Standing::Elsewhere { later: None }), Some(Standing::Serving(Epoch(7))));
        let mut look = |millis, standing| {
            let found = reconciler.look(at(millis), ShardId(3), standing, &mine);
            (found.map(|stays| (stays.what, stays.again)), reconciler.stand())
        };
        assert_eq!(look(0, idle), (None, 0));
        assert_eq!(look(999, idle), (None, 0));
        assert_eq!(look(1_500, None), (None, 0), "it is at work");
        assert_eq!(look(2_000, idle), (Some((Difference::Unserved, false)), 1), "what was seen before counts on");
        assert_eq!(look(2_500, idle), (None, 1), "it was said, and stands");
        assert_eq!(look(2_900, None), (None, 1), "it is at work, which changes nothing");
        assert_eq!(look(3_000, idle), (Some((Difference::Unserved, true)), 1), "it is tried again");
        assert_eq!(look(4_000, serving), (None, 0));
        assert_eq!(look(5_000, idle), (None, 0));
    }

    #[test]
    fn what_is_ours_and_cannot_be_served_for_five_seconds_is_given_up_until_another_entry_says_so_again() {
        let given_up = |standing, route: &Route, view| {
            let mut reconciler = Reconciler::default();
            let mut look = |millis, standing| {
                reconciler.look(at(millis), ShardId(3), standing, route);
                !reconciler.given_up(Epoch(view)).is_empty()
            };
            assert!(!look(0, Some(standing)) && !look(4_999, Some(standing)), "it is tried for a while");
            assert!(!look(5_000, None), "it is at work");
            look(5_500, Some(standing))
        };
        let (mine, elsewhere) = (Route::Mine { epoch: Epoch(7) }, Standing::Elsewhere { later: None });
        assert!(given_up(elsewhere, &mine, 9));
        let outlived = Standing::Elsewhere { later: Some(Epoch(9)) };
        assert!(given_up(outlived, &mine, 9), "the next entry is later than what was written under");
        assert!(!given_up(outlived, &mine, 8), "nor would whoever had it next be believed");
        let leaving = Route::Leaving { epoch: Epoch(7), drain_epoch: Epoch(9), to: life("b", 1) };
        assert!(!given_up(Standing::Serving(Epoch(7)), &leaving, 9), "that move has a deadline of its own");
        assert!(!given_up(Standing::Serving(Epoch(7)), &Route::Nobody, 9));

        let mut reconciler = Reconciler::default();
        let mut look = |millis, epoch| {
            reconciler.look(at(millis), ShardId(3), Some(elsewhere), &Route::Mine { epoch: Epoch(epoch) });
            reconciler.given_up(Epoch(9))
        };
        for (millis, epoch) in [(0, 7), (4_000, 7), (6_000, 9), (10_999, 9)] {
            assert!(look(millis, epoch).is_empty(), "it was given to us anew");
        }
        assert_eq!(look(11_000, 9), ShardSet::from(ShardId(3)));
    }
}
