//! What each node believes, told to all others beside the stores: what a watch for split brains compares.

use async_trait::async_trait;

use super::{SendError, Updates};
use crate::ids::{Epoch, NodeRef, ShardId, Term};
use crate::topology::Topology;

/// What one life of a node believes now. It is no proof of anything, and nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose belief it is.
    pub node: NodeRef,
    /// The term it holds itself to lead in, by its own clock; nothing if it follows.
    pub leads: Option<Term>,
    /// The last term in its log.
    pub term: Term,
    /// Who leads in that term, by its log.
    pub leader: Option<NodeRef>,
    /// The last entry it has applied.
    pub epoch: Epoch,
    /// What that entry hashes to.
    pub hash: u64,
    /// A digest of the shards it serves with their shard epochs, as of that entry; nothing while it serves none. See
    /// [`Claim::digest`].
    pub serves: Option<u64>,
}

impl Claim {
    /// Digests shards with their shard epochs, in any order.
    pub fn digest(shards: impl IntoIterator<Item = (ShardId, Epoch)>) -> u64 {
        // Sums of scattered numbers: order does not matter, and no shard cancels another.
        shards
            .into_iter()
            .fold(0, |sum, (shard, epoch)| sum.wrapping_add(scatter(scatter(epoch.0) ^ u64::from(shard.0))))
    }

    /// The digest of what `topology` gives to each life that owns something.
    pub fn digests(topology: &Topology) -> std::collections::BTreeMap<crate::ids::Incarnation, u64> {
        let mut digests = std::collections::BTreeMap::new();
        for (shard, state) in topology.assignment().iter() {
            if let (Some(owner), Some(epoch)) = (state.owner(), state.epoch()) {
                let digest = digests.entry(owner).or_insert(0_u64);
                *digest = digest.wrapping_add(Self::digest([(shard, epoch)]));
            }
        }
        digests
    }
}

/// The finalizer of SplitMix64: every bit of the answer depends on every bit of the question.
fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A claim.
    Claim(Claim),
    /// Something that cannot be understood.
    Corrupt {
        /// What is wrong with it.
        reason: String,
    },
}

/// The way in which nodes tell each other what they believe: at most once, to everybody who listens, the teller included.
///
/// It goes by none of the stores, so that what is wrong with them is seen.
///
/// # Contract
/// - A claim reaches each listener of its namespace once or never, and none of another namespace.
/// - Claims of one teller that arrive do so in order.
/// - Bytes that cannot be understood are [`Heard::Corrupt`], never a panic.
#[async_trait]
pub trait Claims: Send + Sync {
    /// Tells everybody.
    ///
    /// # Errors
    /// [`SendError`]; nothing was told then.
    async fn tell(&self, claim: &Claim) -> Result<(), SendError>;

    /// Begins to listen; the stream ends when the connection is closed for good.
    ///
    /// # Errors
    /// [`SendError::Unavailable`] if it cannot begin.
    async fn listen(&self) -> Result<Updates<Heard>, SendError>;
}
