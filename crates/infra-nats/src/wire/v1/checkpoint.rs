//! How far a feed has come, in JSON: people look at it when a feed stands still.

use aether_domain::records::{Checkpoint, FeedState};
use aether_domain::{FeedName, Incarnation, NodeId, NodeRef, Nonce, Sequence};
use serde::{Deserialize, Serialize};

use super::json::{self, Counter, JsonRecord, Mark, Text};
use super::{Encoded, FORMAT, WireFault};

/// The most bytes of a checkpoint: two names and a few numbers.
const CHECKPOINT_BYTES_MAX: usize = 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointV1 {
    format: u8,
    kind: String,
    feed: Text<FeedName>,
    position: Counter,
    node: Text<NodeId>,
    inc: Mark,
    nonce: Mark,
    state: StateV1,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateV1 {
    Held,
    Released,
}

impl JsonRecord for CheckpointV1 {
    const KIND: &'static str = "checkpoint";
    fn head(&self) -> (u8, &str) {
        (self.format, &self.kind)
    }
}

/// The record as it is stored.
pub(crate) fn encode_checkpoint(checkpoint: &Checkpoint) -> Result<Encoded, WireFault> {
    let dto = CheckpointV1 {
        format: FORMAT,
        kind: CheckpointV1::KIND.to_owned(),
        feed: Text(checkpoint.feed.clone()),
        position: Counter(checkpoint.position.0),
        node: Text(checkpoint.owner.node.clone()),
        inc: Mark(checkpoint.owner.incarnation.0),
        nonce: Mark(checkpoint.nonce.0),
        state: match checkpoint.state {
            FeedState::Held => StateV1::Held,
            FeedState::Released => StateV1::Released,
        },
    };
    json::encode(&dto, CHECKPOINT_BYTES_MAX)
}

/// The record stored for that feed.
pub(crate) fn decode_checkpoint(
    feed: &FeedName,
    payload: &[u8],
    header: Option<&str>,
) -> Result<Checkpoint, WireFault> {
    let dto: CheckpointV1 = json::decode(payload, header, CHECKPOINT_BYTES_MAX)?;
    if dto.feed.0 != *feed {
        return Err(WireFault::Kind { expected: "a record of its subject's feed", found: dto.feed.0.to_string() });
    }
    Ok(Checkpoint {
        feed: dto.feed.0,
        position: Sequence(dto.position.0),
        owner: NodeRef { node: dto.node.0, incarnation: Incarnation(dto.inc.0) },
        nonce: Nonce(dto.nonce.0),
        state: match dto.state {
            StateV1::Held => FeedState::Held,
            StateV1::Released => FeedState::Released,
        },
    })
}
