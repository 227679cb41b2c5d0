//! What to do with a command that arrives from another node, and where it waits when this node's view is behind.
//!
//! Pure: the inbox brings the view and the time.

use std::collections::VecDeque;

use aether_domain::ports::{Answer, AskFrame};
use aether_domain::{Epoch, Monotonic, NodeRef};

use super::bounds::{PARKED_BYTES_MAX, PARKED_FOR, PARKED_MAX};
use crate::view::View;

/// A command as it arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) from: NodeRef,
    pub(crate) ask: AskFrame,
    pub(crate) at: Monotonic,
}

/// What becomes of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// A shard of this node decides.
    Run,
    /// This node's view is older than the sender's.
    Wait,
    /// It is answered so at once.
    Refuse(Answer),
    /// It is not what it claims to be: no answer.
    Forged,
}

/// Judges a command by who sent it and under which view. Whether this node owns the shard is the shard's to say.
pub(crate) fn judge(view: &View, received: &Received) -> Judgement {
    let Received { from, ask, .. } = received;
    if ask.id.origin != from.incarnation {
        Judgement::Forged
    } else if ask.request.payload.len() > AskFrame::PAYLOAD_BYTES_MAX {
        let (bytes, bytes_max) = (ask.request.payload.len(), AskFrame::PAYLOAD_BYTES_MAX);
        let reason = format!("a command of {bytes} bytes exceeds {bytes_max}");
        Judgement::Refuse(Answer::Invalid { reason, maybe_applied: false })
    } else if ask.view > view.epoch {
        Judgement::Wait
    } else if !view.lives.contains(&from.incarnation) {
        Judgement::Refuse(Answer::NotOwner { owner: None })
    } else {
        Judgement::Run
    }
}

/// Commands that wait for this node to reach their sender's topology: in order, bounded, and not for long.
#[derive(Debug, Default)]
pub(crate) struct Parking {
    waiting: VecDeque<Received>,
    bytes: usize,
}

impl Parking {
    /// Lets a command wait; gives it back if too many do.
    pub(crate) fn park(&mut self, received: Received) -> Result<(), Box<Received>> {
        let bytes = received.ask.request.payload.len();
        if self.waiting.len() >= PARKED_MAX || self.bytes + bytes > PARKED_BYTES_MAX {
            return Err(received.into());
        }
        self.bytes += bytes;
        self.waiting.push_back(received);
        Ok(())
    }

    /// Takes out the commands that this epoch is enough for, in order.
    pub(crate) fn reached(&mut self, epoch: Epoch) -> Vec<Received> {
        let (reached, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition::<Vec<_>, _>(|received| received.ask.view <= epoch);
        self.waiting = waiting.into();
        self.bytes -= reached.iter().map(|received| received.ask.request.payload.len()).sum::<usize>();
        reached
    }

    /// Takes out the commands that have waited long enough.
    pub(crate) fn overdue(&mut self, now: Monotonic) -> Vec<Received> {
        let mut overdue = Vec::new();
        while self.waiting.front().is_some_and(|received| received.at + PARKED_FOR <= now)
            && let Some(received) = self.waiting.pop_front()
        {
            self.bytes -= received.ask.request.payload.len();
            overdue.push(received);
        }
        overdue
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use aether_domain::ports::{ReadMode, Request};
    use aether_domain::records::PayloadCodec;
    use aether_domain::testing::life;
    use aether_domain::{ActorAddress, ActorId, ActorKey, ActorKind, CommandId, Slot};
    use bytes::Bytes;

    use super::*;

    pub(in super::super) fn received(from: &str, view: u64, bytes: usize) -> Received {
        let from = life(from, 1);
        let kind = ActorKind::new("account").expect("a kind");
        let key = ActorKey { kind, id: ActorId::new("alice").expect("an id") };
        let request = Request {
            trace: None,
            actor: ActorAddress { key, slot: Slot(0) },
            command: "open".into(),
            payload: Bytes::from(vec![0; bytes]),
            codec: PayloadCodec::Json,
            message: None,
            mode: ReadMode::Strict,
        };
        let ask = AskFrame {
            id: CommandId { origin: from.incarnation, sequence: 1 },
            floor: 1,
            request: request.into(),
            view: Epoch(view),
            budget: Duration::from_secs(1),
            attempt: 1,
            sending: 1,
            wants_answer: true,
        };
        Received { from, ask, at: Monotonic::ZERO }
    }

    #[test]
    fn a_command_is_judged_by_its_sender_and_its_view() {
        let mut view = View::empty(life("me", 1));
        view.epoch = Epoch(5);
        view.lives.insert(life("a", 1).incarnation);
        let forged = {
            let mut forged = received("a", 5, 1);
            forged.ask.id.origin = life("b", 1).incarnation;
            forged
        };
        for (received, judgement) in [
            (received("a", 5, 1), Judgement::Run),
            (received("a", 3, 1), Judgement::Run),
            (received("a", 6, 1), Judgement::Wait),
            (received("stranger", 5, 1), Judgement::Refuse(Answer::NotOwner { owner: None })),
            (received("newcomer", 6, 1), Judgement::Wait),
            (forged, Judgement::Forged),
        ] {
            assert_eq!(judge(&view, &received), judgement, "{received:?}");
        }
        let large = received("a", 5, AskFrame::PAYLOAD_BYTES_MAX + 1);
        assert!(matches!(judge(&view, &large), Judgement::Refuse(Answer::Invalid { .. })));
    }

    #[test]
    fn parked_commands_leave_in_order_when_the_view_comes_or_their_time_is_over() {
        let mut parking = Parking::default();
        for (nth, view) in [(1, 7), (2, 6), (3, 8), (4, 6)] {
            let mut parked = received("a", view, 10);
            parked.ask.id.sequence = nth;
            parked.at = Monotonic::from_start(Duration::from_millis(nth));
            parking.park(parked).expect("there is room");
        }
        let order = |parked: Vec<Received>| parked.iter().map(|one| one.ask.id.sequence).collect::<Vec<_>>();
        assert_eq!(order(parking.reached(Epoch(6))), [2, 4]);
        assert_eq!(order(parking.overdue(Monotonic::ZERO + PARKED_FOR)), [0u64; 0]);
        assert_eq!(order(parking.overdue(Monotonic::from_start(Duration::from_millis(1)) + PARKED_FOR)), [1]);
        assert_eq!(order(parking.reached(Epoch(9))), [3]);
        assert!(parking.is_empty() && parking.bytes == 0);
    }

    #[test]
    fn parking_is_bounded_in_count_and_bytes() {
        let mut parking = Parking::default();
        for _ in 0..PARKED_MAX {
            parking.park(received("a", 6, 0)).expect("there is room");
        }
        assert!(parking.park(received("a", 6, 0)).is_err());
        let mut parking = Parking::default();
        parking.park(received("a", 6, PARKED_BYTES_MAX)).expect("there is room");
        assert!(parking.park(received("a", 6, 1)).is_err());
    }
}
