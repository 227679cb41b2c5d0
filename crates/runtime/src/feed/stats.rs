//! How a feed stands.

use std::time::Duration;

use aether_domain::{ActorKey, FeedName, NodeRef, Sequence};

/// How a feed stands, as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedStats {
    /// Its name.
    pub name: FeedName,
    /// What this node does about it.
    pub state: FeedState,
    /// Everything up to here has been handled: as stored, or as far as this node has come if it works.
    pub position: Sequence,
    /// The last place in which anything is stored, whether this feed wants it or not; nothing until it was asked for.
    pub end: Option<Sequence>,
    /// How long ago, by the writer's clock, the first event was stored that is at hand and not handled yet; zero if there
    /// is none.
    pub lag: Duration,
    /// Events handled on this node.
    pub handled: u64,
    /// Times a handler failed or panicked on this node.
    pub failures: u64,
    /// Events given up and passed over on this node.
    pub skipped: u64,
    /// Events passed over on this node because they have no name, while the feed asks for some
    /// [`names`](super::FeedOptions::names): their type tells none, or told none when they were stored.
    pub unnamed: u64,
    /// An event whose handler has failed and that is waited for.
    pub failing: Option<FailingEvent>,
}

impl FeedStats {
    /// How many commits, at most, lie behind what has been handled: those that the feed does not want are counted too.
    pub fn behind(&self) -> u64 {
        self.end.map_or(0, |end| end.0.saturating_sub(self.position.0))
    }
    /// Whether all that was stored when its end was last asked for has been handled.
    pub fn is_caught_up(&self) -> bool {
        self.end.is_some_and(|end| self.position >= end)
    }
}

/// What a node does about a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedState {
    /// It would work on it, but another node does, or it is not clear yet who does.
    Watching {
        /// Who does, if that is known.
        owner: Option<NodeRef>,
    },
    /// It works on it.
    Working,
    /// It works on it no more, and will not by itself: the feed was stopped, or cannot go on.
    Stopped {
        /// Why, if it was not asked to.
        reason: Option<String>,
    },
}

impl FeedState {
    /// `watching`, `working` or `stopped`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Watching { .. } => "watching",
            Self::Working => "working",
            Self::Stopped { .. } => "stopped",
        }
    }
}

/// An event that waits for its handler to succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingEvent {
    /// Whose.
    pub actor: ActorKey,
    /// Its commit.
    pub sequence: Sequence,
    /// How often it has been tried.
    pub tries: u32,
    /// What the handler said last.
    pub reason: String,
}
