//! How large a message between nodes is, and may be.

use aether_domain::ActorAddress;
use aether_domain::ports::{Answer, Frame, Request};

use super::outcome::SendFailure;

/// The most bytes of one message: a medium of 1 MiB, less room for its headers.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024 - 16 * 1024;

/// What a frame takes besides its texts and payloads, at most.
const FRAME_OVERHEAD_BYTES: usize = 160;

/// About how many bytes these frames would take on a wire.
///
/// # Errors
/// [`SendFailure::TooLarge`] if that is above [`MESSAGE_BYTES_MAX`].
pub(crate) fn message_bytes(frames: &[Frame]) -> Result<usize, SendFailure> {
    let bytes = frames.iter().map(frame_bytes).sum();
    if bytes > MESSAGE_BYTES_MAX {
        return Err(SendFailure::TooLarge { bytes, bytes_max: MESSAGE_BYTES_MAX });
    }
    Ok(bytes)
}

fn frame_bytes(frame: &Frame) -> usize {
    FRAME_OVERHEAD_BYTES
        + match frame {
            Frame::Ask(ask) => {
                let Request { actor: ActorAddress { key, .. }, payload, command, .. } = &*ask.request;
                payload.len() + command.len() + key.kind.as_str().len() + key.id.as_str().len()
            }
            Frame::Answer(answer) => match &answer.answer {
                Answer::Replied(bytes) | Answer::Looked(bytes) | Answer::Rejected(bytes) => bytes.len(),
                Answer::Poisoned { reason, .. }
                | Answer::Invalid { reason, .. }
                | Answer::Quarantined { reason, .. } => reason.len(),
                Answer::NotOwner { .. }
                | Answer::Moving { .. }
                | Answer::Behind
                | Answer::Unavailable { .. }
                | Answer::Busy
                | Answer::Expired { .. } => 0,
            },
            Frame::Warm(warm) => warm.bytes(),
            Frame::WarmTaken(_) => 0,
        }
}
