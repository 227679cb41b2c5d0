//! How an input reaches a shard's machine, and how what it wants is carried out.
//!
//! Under a lane's lock frames are only queued, and callers only told if there are several; sending and running come after it,
//! in order. (A frame that its link holds back may begin that link's watch, which is a task.)

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aether_domain::ports::{Answer, AnswerFrame, Frame, SendError};
use aether_domain::{CommandId, Monotonic, NodeRef, ShardId};

use super::ask::{Target, Try};
use super::bounds::{REPLY_BYTES_MAX, RETRY_NEXT_LIFE};
use super::core::Core;
use super::lanes::{Caller, EFFECTS_KEPT};
use super::machine::{Effect, Input};
use super::window;
use crate::link::{Full, Link, Undelivered};
use crate::message::{Outcome, Payload, Responder};

impl Core {
    /// Takes an input on a caller's own task, `now` by the clock. What became of a `tell` that was not sent is answered.
    pub(crate) fn step(&self, now: Monotonic, shard: ShardId, input: Input<Caller>) -> Option<Answer> {
        let (untold, due) = self.step_lane(now, shard, input);
        if due {
            self.deliver_outbox(shard);
        }
        untold
    }

    /// Takes an input from anywhere, perhaps from within one of this node's shards: these are entered by another task.
    pub(crate) fn step_from_within(&self, now: Monotonic, shard: ShardId, input: Input<Caller>) {
        let (_, due) = self.step_lane(now, shard, input);
        if due && let Some(core) = self.this.upgrade() {
            self.tasks.spawn_on(async move { core.deliver_outbox(shard) }, &self.runtime);
        }
    }

    fn step_lane(&self, now: Monotonic, shard: ShardId, input: Input<Caller>) -> (Option<Answer>, bool) {
        let Some(lane) = self.lanes().get(shard.index()) else { return (None, false) };
        let mut untold = None;
        let mut flush: Option<Arc<Link>> = None;
        let mut told: Option<(Caller, Answer)> = None;
        let mut state = lane.lock();
        let due = {
            let state = &mut *state;
            if state.over && matches!(input, Input::Ask { .. } | Input::RefusedHere { .. }) {
                return (refuse_at_the_end(input), false);
            }
            let view = self.view.load();
            state.over |= matches!(input, Input::Over);
            let (mut next, mut unsent) = (Some(input), VecDeque::new());
            while let Some(input) = next.take() {
                state.asks.step(now, &view, input, &mut state.effects);
                for effect in state.effects.drain(..) {
                    match effect {
                        Effect::Send { to, attempt } => match self.send(now, &to, attempt, &mut state.sent) {
                            // All of a step go to one life, that of the view.
                            Ok(due) => flush = due.or(flush),
                            Err(sequence) => unsent.push_back(sequence),
                        },
                        Effect::Deliver { attempt } => state.outbox.push_back(attempt),
                        Effect::Complete { token, answer } => {
                            // To wake somebody takes longer than all else here: the last one is told without the lock.
                            if let Some((token, answer)) = told.replace((token, answer)) {
                                drop(token.send(answer));
                            }
                        }
                        Effect::Untold { answer } => {
                            self.counters.tells_unsent.more();
                            untold = Some(answer);
                        }
                    }
                }
                next = unsent.pop_front().map(|sequence| Input::NotSent { sequence });
            }
            if state.effects.capacity() > EFFECTS_KEPT {
                state.effects = Vec::new();
            }
            !state.outbox.is_empty() && !state.delivering
        };
        let wanted = lane.note_wake(state.asks.wakes_at());
        drop(state);
        if let Some((token, answer)) = told {
            drop(token.send(answer));
        }
        if wanted && !self.ticking.load(Ordering::SeqCst) {
            self.stir.notify_one();
        }
        if let Some(link) = flush {
            link.flush();
        }
        (untold, due)
    }

    /// Puts a try on its link, and says whether that is to be flushed; or, if there is no room, which command stays behind.
    fn send(&self, now: Monotonic, to: &NodeRef, attempt: Try, sent: &mut u64) -> Result<Option<Arc<Link>>, u64> {
        let (sequence, again) = (attempt.id.sequence, attempt.is_again());
        let Ok(due) = self.push(to, Frame::Ask(attempt.into_frame(now))) else {
            self.counters.link_full.more();
            return Err(sequence);
        };
        if again {
            self.counters.retries.more();
        } else {
            *sent += 1;
        }
        Ok(due)
    }

    /// Puts a frame on the link to that life, and says whether that is to be flushed; or that there is no room.
    fn push(&self, to: &NodeRef, frame: Frame) -> Result<Option<Arc<Link>>, Full> {
        let pushed = self.links.with(to, |link| link.push(frame).map(|due| due.then(|| link.clone())));
        pushed.unwrap_or(Err(Full))
    }

    /// Delivers what waits for this node's own shard, in order, unless somebody else is at it.
    fn deliver_outbox(&self, shard: ShardId) {
        let Some(lane) = self.lanes().get(shard.index()) else { return };
        let mut delivering = None;
        loop {
            let next = {
                let mut state = lane.lock();
                if state.delivering && delivering.is_none() {
                    return;
                }
                let next = state.outbox.pop_front();
                state.delivering = next.is_some();
                next
            };
            let Some(attempt) = next else { return };
            delivering.get_or_insert(Delivering { core: self, shard });
            self.deliver(attempt);
        }
    }

    fn deliver(&self, attempt: Try) {
        if attempt.is_again() {
            self.counters.retries.more();
        }
        let (this, id, sending) = (self.this.clone(), attempt.id, attempt.sending);
        let respond: Box<dyn FnOnce(Outcome) + Send> = if attempt.wants_answer {
            Box::new(move |outcome| {
                if let Some(core) = this.upgrade() {
                    let view = core.view.load().epoch;
                    let frame = AnswerFrame { id, sending, view, answer: in_bytes(outcome) };
                    core.answered(core.clock.now(), Target::Here, frame);
                }
            })
        } else {
            Box::new(drop)
        };
        self.local.deliver(attempt.into_work(), Responder::Call(respond));
    }

    /// Takes what became of a command of ours.
    pub(crate) fn answered(&self, now: Monotonic, from: Target, frame: AnswerFrame) {
        let AnswerFrame { id: CommandId { sequence, .. }, sending, view, answer } = frame;
        self.counters.note_refusal(&answer);
        let input = Input::Answered { sequence, sending, from, view, answer };
        self.step_from_within(now, window::shard_of(sequence), input);
    }

    /// Answers that sending of another node's command.
    pub(crate) fn reply(&self, to: &NodeRef, id: CommandId, sending: u32, answer: Answer) {
        let answer = match answer {
            Answer::Replied(ref bytes) | Answer::Looked(ref bytes) | Answer::Rejected(ref bytes)
                if bytes.len() > REPLY_BYTES_MAX =>
            {
                let reason = format!("an answer of {} bytes exceeds {REPLY_BYTES_MAX}", bytes.len());
                Answer::Invalid { reason, maybe_applied: matches!(answer, Answer::Replied(_)) }
            }
            answer => answer,
        };
        let frame = Frame::Answer(AnswerFrame { id, sending, view: self.view.load().epoch, answer });
        match self.push(to, frame) {
            Ok(Some(due)) => due.flush(),
            Ok(None) => {}
            Err(Full) => self.counters.answers_dropped.more(),
        }
    }

    /// Notes what a caller is told, and words it.
    pub(crate) fn tell_caller(&self, answer: Answer) -> Outcome {
        self.counters.note_told(&answer);
        Outcome::Other(answer)
    }
}

/// Whoever delivers a lane's outbox. If that ends in a panic of what a shard runs, the lane goes on without it.
struct Delivering<'a> {
    core: &'a Core,
    shard: ShardId,
}

impl Drop for Delivering<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        tracing::error!(shard = self.shard.0, "bringing a command to its shard panicked; going on with the next one");
        let Some(lane) = self.core.lanes().get(self.shard.index()) else { return };
        lane.lock().delivering = false;
        if let Some(core) = self.core.this.upgrade() {
            let shard = self.shard;
            self.core.tasks.spawn_on(async move { core.deliver_outbox(shard) }, &self.core.runtime);
        }
    }
}

impl Undelivered for Core {
    fn undelivered(&self, sequences: &[u64], fault: &SendError) {
        let now = self.clock.now();
        for sequence in sequences.iter().copied() {
            self.counters.not_sent.more();
            let input = match fault {
                SendError::Unavailable { .. } => Input::NotSent { sequence },
                SendError::TooLarge { .. } => Input::TooLarge { sequence, reason: fault.to_string() },
            };
            self.step_from_within(now, window::shard_of(sequence), input);
        }
    }
}

/// An outcome as it travels. A value here would be an answer to a command that nobody sent as a value.
pub(crate) fn in_bytes(outcome: Outcome) -> Answer {
    let unwritten = |maybe_applied| {
        let reason = "the answer to a written command was not written".into();
        Answer::Invalid { reason, maybe_applied }
    };
    match outcome {
        Outcome::Replied(Payload::Encoded(_, bytes)) => Answer::Replied(bytes),
        Outcome::Looked(Payload::Encoded(_, bytes)) => Answer::Looked(bytes),
        Outcome::Rejected(Payload::Encoded(_, bytes)) => Answer::Rejected(bytes),
        Outcome::Other(answer) => answer,
        Outcome::Replied(Payload::Typed(_)) => unwritten(true),
        Outcome::Looked(Payload::Typed(_)) | Outcome::Rejected(Payload::Typed(_)) => unwritten(false),
    }
}

/// What an input gets when routing is over.
fn refuse_at_the_end(input: Input<Caller>) -> Option<Answer> {
    let refusal = |maybe_applied| Answer::Unavailable { retry_after: RETRY_NEXT_LIFE, maybe_applied };
    match input {
        Input::Ask { token: Some(token), .. } => drop(token.send(refusal(false))),
        Input::Ask { token: None, .. } => return Some(refusal(false)),
        Input::RefusedHere { token, answer, .. } => {
            let applied = matches!(answer, Answer::Unavailable { maybe_applied: true, .. });
            drop(token.send(refusal(applied)));
        }
        _ => {}
    }
    None
}
