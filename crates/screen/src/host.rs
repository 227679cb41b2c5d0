//! Whoever shows the screen: it says where the nodes are, and does what is asked by keys.

use crate::model::{Alert, Health, View};
use crate::text::Text;

/// What whoever shows the screen does for it. All of it may take its time: it is called beside the screen.
pub trait Host: Send + Sync + 'static {
    /// Where the nodes' pages are, as far as is known beforehand. What nodes say of each other comes on top.
    fn urls(&self) -> Vec<String>;

    /// Whether the screen is to end: somebody has asked this process to, or the cluster is gone.
    fn is_over(&self) -> bool {
        false
    }

    /// What is wrong; what the node's own health page finds, unless there is a better judge.
    fn alerts(&self, pages: &Pages<'_>) -> Vec<Alert> {
        health_alerts(pages)
    }

    /// Adds what only whoever runs the processes knows.
    fn complete(&self, _view: &mut View) {}

    /// What can be asked by keys.
    fn verbs(&self) -> Vec<Verb> {
        Vec::new()
    }

    /// Does it, and says what came of it.
    ///
    /// # Errors
    /// Why it was not done, in words.
    fn act(&self, deed: &Deed) -> Result<String, String> {
        Err(format!("nobody here can {deed}"))
    }
}

/// What one node has answered, as it was.
#[derive(Clone, Copy, Debug)]
pub struct Pages<'a> {
    /// Its address.
    pub asked: &'a str,
    /// `/v1/cluster`.
    pub cluster: &'a str,
    /// `/v1/health`.
    pub health: &'a str,
    /// `/v1/moves`.
    pub moves: &'a str,
    /// For how many seconds the plan under way has been; nothing if there is none, or that is not known.
    pub plan_seconds: Option<u64>,
}

/// What a node's health page finds, as the dashboard has it in its strip.
pub fn health_alerts(pages: &Pages<'_>) -> Vec<Alert> {
    let Ok(Health { verdict, reasons, .. }) = serde_json::from_str(pages.health) else { return Vec::new() };
    let critical = &*verdict != "degraded";
    reasons.into_iter().map(|text| Alert { critical, text }).collect()
}

/// Something that can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// A node hands over and leaves.
    Drain,
    /// The leader makes room for another.
    StepDown,
    /// Redistribution is paused.
    Pause,
    /// It goes on.
    Resume,
    /// A node's process is killed.
    Kill,
    /// A node's process is stopped where it is.
    Freeze,
    /// It goes on.
    Continue,
    /// A node's process is started again.
    Restart,
    /// Another node is started.
    Add,
}

impl Verb {
    /// The key that asks for it.
    pub fn key(self) -> char {
        match self {
            Self::Drain => 'd',
            Self::StepDown => 'l',
            Self::Pause | Self::Resume => 'p',
            Self::Kill => 'k',
            Self::Freeze => 'z',
            Self::Continue => 'c',
            Self::Restart => 'r',
            Self::Add => 'a',
        }
    }

    /// In a word, for the line of keys.
    pub fn word(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::StepDown => "step down",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Continue => "continue",
            Self::Restart => "restart",
            Self::Add => "add",
        }
    }

    /// In a sentence, for the list of keys.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Drain => "the node hands its shards over and leaves",
            Self::StepDown => "the leader makes room for another node",
            Self::Pause => "pause redistribution, or go on with it",
            Self::Resume => "go on with redistribution",
            Self::Kill => "kill the node: it tells nobody",
            Self::Freeze => "freeze the node (SIGSTOP)",
            Self::Continue => "let it go on (SIGCONT)",
            Self::Restart => "start the node again",
            Self::Add => "start another node",
        }
    }

    /// Whether it is about one node.
    pub fn of_node(self) -> bool {
        matches!(self, Self::Drain | Self::Kill | Self::Freeze | Self::Continue | Self::Restart)
    }
}

/// Something that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// What.
    pub verb: Verb,
    /// Of which node, if it is about one.
    pub node: Option<Text>,
}

impl std::fmt::Display for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.verb, &self.node) {
            (verb, Some(node)) => write!(f, "{} {node}", verb.word()),
            (Verb::StepDown, None) => f.write_str("make the leader step down"),
            (Verb::Pause, None) => f.write_str("pause redistribution"),
            (Verb::Resume, None) => f.write_str("resume redistribution"),
            (Verb::Add, None) => f.write_str("add a node"),
            (verb, None) => f.write_str(verb.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_health_finds_is_what_is_wrong() {
        let of = |health| {
            let pages = Pages { asked: "", cluster: "", health, moves: "", plan_seconds: None };
            health_alerts(&pages).into_iter().map(|alert| (alert.critical, alert.text.to_string())).collect::<Vec<_>>()
        };
        assert_eq!(of(r#"{"verdict":"ok","reasons":[],"nodes":[]}"#), []);
        assert_eq!(of(r#"{"verdict":"degraded","reasons":["a"],"nodes":[]}"#), [(false, "a".to_owned())]);
        assert_eq!(of(r#"{"verdict":"a newer word","reasons":["a"]}"#), [(true, "a".to_owned())]);
        assert_eq!(of("no page"), []);
    }
}
