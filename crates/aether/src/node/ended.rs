//! How a node ends, in a paragraph that says what to do.

use aether_domain::NodeId;
use aether_runtime::control::StopReason;

/// How a node has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It has left in good order.
    #[error("node {node} has left the cluster")]
    Left {
        /// Which.
        node: NodeId,
    },
    /// It asked to leave and nobody let it go in time; the others will notice its silence.
    #[error(
        "node {node} ended without having handed over everything: nobody let it go in time; nothing acknowledged is lost, \
         and the others take over what it still had once they have missed it; check that NATS answers and that one of the \
         other nodes leads (aether status)"
    )]
    NotLetGo {
        /// Which.
        node: NodeId,
    },
    /// Another process lives under its id.
    #[error(
        "another process lives under the node id {node} (life {by}); give this one an id of its own (node.id), or end the \
         other one first"
    )]
    NodeIdInUse {
        /// The id.
        node: NodeId,
        /// The life that has it.
        by: String,
    },
    /// It cannot read what is stored.
    #[error(
        "node {node} cannot join: {why}; if a newer build has written there, run that build here too; nothing was changed"
    )]
    LogUnreadable {
        /// Which node.
        node: NodeId,
        /// Where, and what is wrong with it.
        why: String,
    },
    /// The cluster was founded with other settings.
    #[error(
        "the cluster that node {node} would join was founded with other settings ({founded}) than it has ({configured}); \
         give it the profile it was founded with, run a build of the same shards, hash and seed, or choose another \
         namespace"
    )]
    SettingsDiffer {
        /// Which node.
        node: NodeId,
        /// The cluster's settings.
        founded: String,
        /// This build's.
        configured: String,
    },
    /// A part of it ended by itself, which it cannot be without.
    #[error(
        "node {node} ended because its {part} did, which is a bug; nothing acknowledged is lost, and the others take over \
         what it had; start it again, and report what its log says just before"
    )]
    PartEnded {
        /// Which node.
        node: NodeId,
        /// Which part.
        part: &'static str,
    },
    /// It was killed by this process.
    #[error("node {node} was ended without a word to the others")]
    Killed {
        /// Which.
        node: NodeId,
    },
}

impl Ended {
    pub(super) fn of(node: &NodeId, reason: Option<StopReason>) -> Self {
        let node = node.clone();
        match reason {
            Some(StopReason::Left) => Self::Left { node },
            Some(StopReason::LeftUnasked) => Self::NotLetGo { node },
            Some(StopReason::PartEnded { part }) => Self::PartEnded { node, part },
            Some(StopReason::NodeIdInUse { by }) => Self::NodeIdInUse { node, by: by.incarnation.to_string() },
            Some(StopReason::LogUnreadable { why }) => Self::LogUnreadable { node, why },
            Some(StopReason::SettingsDiffer { found, configured }) => {
                let shown = |settings: aether_domain::cluster::ClusterSettings| {
                    let (shards, hash, seed) = (settings.shards.get(), settings.hash, settings.hash_seed);
                    let profile = settings.profile.name();
                    format!("{shards} shards, hash {hash}, seed {seed:x}, profile {profile}")
                };
                Self::SettingsDiffer { node, founded: shown(found), configured: shown(configured) }
            }
            None => Self::Killed { node },
        }
    }
}
