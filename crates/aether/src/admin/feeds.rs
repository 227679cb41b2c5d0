//! `GET /v1/feeds`: how the feeds stand to which this node subscribed.

use std::time::Duration;

use aether_runtime::feed::{FeedState, FeedStats};
use serde::{Deserialize, Serialize};

use super::picture::Picture;

/// `GET /v1/feeds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedsView {
    /// The last entry of the topology log this node has applied.
    pub epoch: u64,
    /// Every feed that this node ever subscribed to, by name.
    pub feeds: Vec<FeedView>,
}

/// One feed, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedView {
    /// Its name.
    pub name: String,
    /// `working`, `watching` another node or `stopped`.
    pub state: String,
    /// The node that works on it and its life, if it is another and known.
    pub owner: Option<String>,
    /// Everything up to that sequence of the event stream has been handled.
    pub position: u64,
    /// How many commits, at most, lie behind that: those that the feed does not want are counted too.
    pub behind: u64,
    /// How long ago the first event was stored that is at hand and not handled yet; 0 if there is none.
    pub lag_ms: u64,
    /// Events handled on this node.
    pub handled: u64,
    /// Times a handler failed on this node.
    pub failures: u64,
    /// Events given up and passed over on this node.
    pub skipped: u64,
    /// Events without a name that it passed over on this node, if it asks for events by name: it can never hand them out.
    pub unnamed: u64,
    /// Why it stands still, if it does: it was stopped, or an event's handler fails.
    pub reason: Option<String>,
}

impl FeedsView {
    pub(super) fn of(picture: &Picture) -> Self {
        let feeds = picture.feeds.iter().map(|stats| FeedView::of(stats)).collect();
        Self { epoch: picture.topology.epoch().0, feeds }
    }
}

impl FeedView {
    fn of(stats: &FeedStats) -> Self {
        let (owner, stopped) = match &stats.state {
            FeedState::Watching { owner } => (owner.as_ref().map(ToString::to_string), None),
            FeedState::Working => (None, None),
            FeedState::Stopped { reason } => (None, reason.clone()),
        };
        let failing = stats.failing.as_ref();
        let failing = failing.map(|event| {
            let (actor, sequence, tries, reason) = (&event.actor, event.sequence, event.tries, &event.reason);
            format!("the event of {actor} at {sequence} failed {tries} times: {reason}")
        });
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            name: stats.name.to_string(),
            state: stats.state.name().to_owned(),
            owner,
            position: stats.position.0,
            behind: stats.behind(),
            lag_ms: millis(stats.lag),
            handled: stats.handled,
            failures: stats.failures,
            skipped: stats.skipped,
            unnamed: stats.unnamed,
            reason: stopped.or(failing),
        }
    }
}
