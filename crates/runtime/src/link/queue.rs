//! What waits for one link: bounded, in order, and taken out in messages.

use std::collections::VecDeque;

use aether_domain::ports::{Answer, Frame, Request};

/// Frames that may wait for one link: eight full rounds of a shard's outstanding asks.
pub const LINK_FRAMES_MAX: usize = 8 * 1024;
/// Bytes of the frames that wait for one link.
pub const LINK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Frames in one message.
pub const MESSAGE_FRAMES_MAX: usize = 256;
/// Bytes of the frames in one message, unless a single one is larger.
pub const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// What a frame costs besides its texts and payload: an upper estimate of its fixed fields on the wire.
const FRAME_BYTES: usize = 96;

/// The queue has no room: nothing of the frame is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Frames on their way to one life, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Each with its bytes.
    frames: VecDeque<(usize, Frame)>,
    bytes: usize,
    /// How many of them are answers.
    answers: usize,
}

impl Queue {
    /// Adds a frame, or refuses it if there is no room.
    pub(crate) fn push(&mut self, frame: Frame) -> Result<(), Full> {
        let bytes = frame_bytes(&frame);
        if self.frames.len() >= LINK_FRAMES_MAX || self.bytes + bytes > LINK_BYTES_MAX {
            return Err(Full);
        }
        self.bytes += bytes;
        self.answers += usize::from(matches!(frame, Frame::Answer(_)));
        self.frames.push_back((bytes, frame));
        Ok(())
    }

    /// The frames of the next message; empty if nothing waits.
    pub(crate) fn next_message(&mut self) -> Vec<Frame> {
        let (mut count, mut bytes, mut answers) = (0, 0, 0);
        for (more, frame) in self.frames.iter().take(MESSAGE_FRAMES_MAX) {
            if count > 0 && bytes + more > MESSAGE_BYTES_MAX {
                break;
            }
            (count, bytes) = (count + 1, bytes + more);
            answers += usize::from(matches!(frame, Frame::Answer(_)));
        }
        self.bytes -= bytes;
        self.answers -= answers;
        self.frames.drain(..count).map(|(_, frame)| frame).collect()
    }

    /// How many frames wait.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether no answer waits.
    pub(crate) fn has_only_asks(&self) -> bool {
        self.answers == 0
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Drops whatever waits.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn frame_bytes(frame: &Frame) -> usize {
    FRAME_BYTES
        + match frame {
            Frame::Ask(ask) => {
                let Request { payload, command, actor, .. } = &*ask.request;
                payload.len() + command.len() + actor.key.id.as_str().len()
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

#[cfg(test)]
mod tests {
    use aether_domain::ports::AnswerFrame;
    use aether_domain::{CommandId, Epoch, Incarnation};
    use bytes::Bytes;

    use super::*;

    fn frame(nth: u64, bytes: usize) -> Frame {
        let id = CommandId { origin: Incarnation(1), sequence: nth };
        Frame::Answer(AnswerFrame {
            id,
            sending: 1,
            view: Epoch(1),
            answer: Answer::Replied(Bytes::from(vec![0; bytes])),
        })
    }

    #[test]
    fn a_message_gathers_what_waits_up_to_its_bounds() {
        for (frames, bytes, messages) in [
            (0, 0, vec![]),
            (1, 10, vec![1]),
            (300, 10, vec![256, 44]),
            (5, 200 * 1024, vec![2, 2, 1]),
            (2, 600 * 1024, vec![1, 1]),
        ] {
            let mut queue = Queue::default();
            for nth in 0..frames {
                queue.push(frame(nth, bytes)).expect("there is room");
            }
            let mut taken = Vec::new();
            let mut next = 0;
            while !queue.is_empty() {
                let message = queue.next_message();
                for taken in &message {
                    assert_eq!(taken, &frame(next, bytes), "in order");
                    next += 1;
                }
                taken.push(message.len());
            }
            assert_eq!(taken, messages, "{frames} frames of {bytes} bytes");
            assert_eq!(queue.bytes, 0);
        }
    }

    #[test]
    fn a_full_queue_refuses_more() {
        let mut queue = Queue::default();
        for nth in 0..LINK_FRAMES_MAX as u64 {
            queue.push(frame(nth, 0)).expect("there is room");
        }
        assert_eq!(queue.push(frame(9, 0)), Err(Full));
        let mut queue = Queue::default();
        queue.push(frame(1, LINK_BYTES_MAX - 1000)).expect("there is room");
        assert!(queue.push(frame(2, 1000)).is_err());
    }
}
