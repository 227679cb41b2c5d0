//! What the shards of this node do, held against what its view says they should: a difference that stays is a bug or a
//! broken memory, and would be a shard that nobody serves. It is reported and put right.
//!
//! Whoever is at work, or has something in its inbox, is not judged: it may be about to do what it should.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aether_domain::{Epoch, Monotonic, ShardId};

use crate::view::Route;

/// How long a shard may differ from the view before it is put right.
pub(super) const PUT_RIGHT_AFTER: Duration = Duration::from_secs(1);
/// How often shards are held against the view.
pub(super) const RECONCILE_EVERY: Duration = Duration::from_millis(500);

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

/// Differences as they were last seen, each with since when, and whether it was tried to put it right.
#[derive(Debug, Default)]
pub(super) struct Reconciler {
    seen: BTreeMap<ShardId, (Difference, Monotonic, bool)>,
}

impl Reconciler {
    /// Takes what one shard does, or nothing if that cannot be said now. Answers with a difference that has just stayed for
    /// too long: it is to be reported, and the shard is to be told again what the view says.
    pub(super) fn look(
        &mut self,
        now: Monotonic,
        shard: ShardId,
        standing: Option<Standing>,
        route: &Route,
    ) -> Option<Difference> {
        let Some(difference) = standing.and_then(|standing| difference(standing, route)) else {
            self.seen.remove(&shard);
            return None;
        };
        let (known, since, told) = self.seen.entry(shard).or_insert((difference, now, false));
        if *known != difference {
            (*known, *since, *told) = (difference, now, false);
        }
        let stays = now.since(*since) >= PUT_RIGHT_AFTER && !*told;
        *told |= stays;
        stays.then_some(difference)
    }

    /// How many shards differ although they were told what the view says.
    pub(super) fn stand(&self) -> usize {
        self.seen.values().filter(|(_, _, told)| *told).count()
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
            (found, reconciler.stand())
        };
        assert_eq!(look(0, idle), (None, 0));
        assert_eq!(look(900, None), (None, 0), "it is at work");
        assert_eq!(look(1_000, idle), (None, 0));
        assert_eq!(look(1_999, idle), (None, 0));
        assert_eq!(look(2_000, idle), (Some(Difference::Unserved), 1));
        assert_eq!(look(3_000, idle), (None, 1), "it is said once, and stands");
        assert_eq!(look(4_000, serving), (None, 0));
        assert_eq!(look(5_000, idle), (None, 0));
    }
}
