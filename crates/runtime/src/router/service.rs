//! The router: takes commands from this node's callers and brings back what became of them.
//!
//! A command for a shard that this node owns runs on the caller's own task: two short locks, no task switch if it is
//! answered on the spot, and no codec. Everything else goes through the shard's machine ([`super::machine`]) in bytes.
//! No lock is held across an await, none of the node's shards is entered under one, and there is no global one.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::ports::{Answer, AskFrame, Request, Transport};
use aether_domain::records::PayloadCodec;
use aether_domain::{CommandId, Monotonic, ShardId};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::bounds::{LAST_WORD_WITHIN, RETRY_NEXT_LIFE, TIMEOUT_MAX};
use super::core::{Begun, Core};
use super::machine::Input;
use super::outgoing::{Local, Outgoing, Parcel};
use super::stats::RouterStats;
use crate::clock::Clock;
use crate::message::{Outcome, Payload, Responder, Told, Work};
use crate::view::View;
use crate::vitals::Tally;

/// What a router works with.
pub struct RouterConfig {
    /// The clock that deadlines are read on.
    pub clock: Arc<dyn Clock>,
    /// The way to other nodes.
    pub transport: Arc<dyn Transport>,
    /// This node's own shards.
    pub local: Arc<dyn Local>,
    /// Where commands go. When [`View::me`] changes, this node has begun a new life: every ask of the old one ends.
    pub view: watch::Receiver<Arc<View>>,
}

/// Brings commands to the actors they are for, wherever these are. Cheap to clone; all clones are the same router.
///
/// [`Self::run`] must be running for anything but commands to shards of this node, and for deadlines.
#[derive(Clone)]
pub struct Router {
    core: Arc<Core>,
}

impl Router {
    /// A router that does not listen yet. Call it within a tokio runtime.
    pub fn new(config: RouterConfig) -> Self {
        Self { core: Core::new(config) }
    }

    /// Listens, keeps time and follows the view until `shutdown`; then ends every ask and waits for its own tasks.
    /// To be run exactly once. If it ends before that, this node hears of nobody any more and should end.
    pub async fn run(&self, shutdown: CancellationToken) {
        super::inbox::run(&self.core, shutdown).await;
    }

    /// What routing has done so far.
    pub fn stats(&self) -> RouterStats {
        self.core.stats()
    }

    /// What was asked of each other life so far, and what it answered.
    pub(crate) fn tallies(&self) -> Vec<Tally> {
        self.core.links.tallies()
    }

    /// The view that commands are routed by now.
    pub fn view(&self) -> Arc<View> {
        self.core.view.load_full()
    }

    /// Asks, and waits for the outcome at most as long as [`Outgoing::timeout`] says, and [`LAST_WORD_WITHIN`] more for
    /// what a shard of this node says at that moment. That time begins when the command is written, if it has to be, or has
    /// run, if it runs at once on the caller's own task.
    ///
    /// A refusal is tried again until then, a lost message too, all under one id: the command counts once. The outcome
    /// is never [`Answer::NotOwner`], [`Answer::Moving`] or [`Answer::Behind`]. Dropping the future gives up the answer,
    /// not the command.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` keeps a second place for what it is given")]
    pub fn ask<P: Parcel>(&self, mut outgoing: Outgoing<P>) -> impl Future<Output = Outcome> + Send + use<'_, P> {
        async move {
            let core = &*self.core;
            outgoing.timeout = outgoing.timeout.min(TIMEOUT_MAX);
            if !core.knows_cluster() {
                let deadline = core.clock.now() + outgoing.timeout;
                if let Err(answer) = Box::pin(core.wait_for_cluster(deadline)).await {
                    return core.tell_caller(answer);
                }
                outgoing.timeout = deadline.since(core.clock.now());
            }
            let shard = core.shard_of(&outgoing.actor);
            let told = match core.begin(shard, outgoing.actor.slot) {
                Begun::Here { id, floor } => {
                    let begun = BegunHere { core, shard, sequence: id.sequence };
                    // The clock is read only for what is not answered at once.
                    let (told, deadline) = {
                        let deadline = OnceCell::new();
                        let read = || *deadline.get_or_init(|| core.clock.now() + outgoing.timeout);
                        let told = core.local.ask(work(id, floor, Monotonic::MAX, &outgoing), &read);
                        let waits = matches!(told, Told::Later(_));
                        (told, if waits { read() } else { Monotonic::MAX })
                    };
                    let answered = match told {
                        Told::Now(outcome) => Some(outcome),
                        Told::Later(told) => core.last_word(told, deadline).await,
                    };
                    match begun.end(answered, deadline, outgoing) {
                        Ok(outcome) => return outcome,
                        Err(told) => told,
                    }
                }
                Begun::Busy => return core.tell_caller(Answer::Busy),
                Begun::Elsewhere => {
                    let timeout = outgoing.timeout;
                    match written(outgoing) {
                        Ok(request) => core.through_machine(shard, request, timeout, Monotonic::MAX, None),
                        Err(answer) => return core.tell_caller(answer),
                    }
                }
            };
            told.outcome(core).await
        }
    }

    /// Sends once and waits for nothing: it arrives at most once, and nobody learns what became of it.
    ///
    /// # Errors
    /// Why it certainly is not sent: `Busy`, `Invalid`, `Expired` or `Unavailable`.
    pub fn tell<P: Parcel>(&self, outgoing: Outgoing<P>) -> Result<(), Answer> {
        let core = &*self.core;
        if !core.knows_cluster() {
            return Err(Answer::Unavailable { retry_after: RETRY_NEXT_LIFE, maybe_applied: false });
        }
        let timeout = outgoing.timeout.min(TIMEOUT_MAX);
        let shard = core.shard_of(&outgoing.actor);
        if let Begun::Here { id, floor } = core.begin(shard, outgoing.actor.slot) {
            // It will not be sent again, so its origin need not remember it.
            core.settle(shard, id.sequence);
            let deadline = core.clock.now() + timeout;
            core.local.deliver(work(id, floor, deadline, &outgoing), Responder::Call(Box::new(drop)));
            return Ok(());
        }
        let request = written(outgoing)?;
        let now = core.clock.now();
        core.step(now, shard, Input::Ask { token: None, request, deadline: now + timeout }).map_or(Ok(()), Err)
    }
}

impl Core {
    /// What a shard of this node says later of a command that it has taken; nothing, if it goes away with that.
    async fn last_word(&self, mut told: oneshot::Receiver<Outcome>, deadline: Monotonic) -> Option<Outcome> {
        match told.try_recv() {
            Ok(outcome) => Some(outcome),
            // Dropped unanswered is seen again below, and no ready future arms a timer for nothing.
            // At the deadline the shard says whether the command may be stored; this timer is for a shard that does not.
            Err(_) => match timeout(deadline.since(self.clock.now()) + LAST_WORD_WITHIN, told).await {
                Ok(told) => told.ok(),
                Err(_) => Some(Outcome::Other(Answer::Expired { maybe_applied: true })),
            },
        }
    }

    /// Lets the shard's machine look after a command for so long from now, and no longer than until `deadline`; `refused` if it
    /// was begun in place under that sequence.
    fn through_machine(
        &self,
        shard: ShardId,
        request: Arc<Request>,
        timeout: Duration,
        deadline: Monotonic,
        refused: Option<(u64, Answer)>,
    ) -> FromMachine {
        let (codec, now) = (request.codec, self.clock.now());
        let deadline = deadline.min(now + timeout);
        let (token, told) = oneshot::channel();
        let input = match refused {
            Some((sequence, answer)) => Input::RefusedHere { sequence, token, request, deadline, answer },
            None => Input::Ask { token: Some(token), request, deadline },
        };
        self.step(now, shard, input);
        FromMachine { codec, told }
    }
}

/// A command that the shard's machine looks after.
struct FromMachine {
    codec: PayloadCodec,
    told: oneshot::Receiver<Answer>,
}

impl FromMachine {
    async fn outcome(self, core: &Core) -> Outcome {
        let Self { codec, told } = self;
        match told.await {
            Ok(Answer::Replied(bytes)) => Outcome::Replied(Payload::Encoded(codec, bytes)),
            Ok(Answer::Looked(bytes)) => Outcome::Looked(Payload::Encoded(codec, bytes)),
            Ok(Answer::Rejected(bytes)) => Outcome::Rejected(Payload::Encoded(codec, bytes)),
            Ok(answer) => core.tell_caller(answer),
            Err(_) => Outcome::Other(Answer::Unavailable { retry_after: RETRY_NEXT_LIFE, maybe_applied: true }),
        }
    }
}

/// A command that runs in place. Dropped, it is taken off the books: its outcome is known or nobody waits for it.
struct BegunHere<'a> {
    core: &'a Core,
    shard: ShardId,
    sequence: u64,
}

impl BegunHere<'_> {
    /// What its caller is told of what its shard has said, if anything; or else the machine looks after it, for its shard has
    /// refused it. The largest `deadline` if that was at once: none has been read then.
    fn end<P: Parcel>(
        self,
        answered: Option<Outcome>,
        deadline: Monotonic,
        outgoing: Outgoing<P>,
    ) -> Result<Outcome, FromMachine> {
        // A shard that goes away with a command in it owes an answer: it may have been the last thing it stored.
        let lost = Answer::Unavailable { retry_after: RETRY_NEXT_LIFE, maybe_applied: true };
        let refusal = match answered.unwrap_or(Outcome::Other(lost)) {
            Outcome::Other(answer) if is_refusal(&answer) => answer,
            Outcome::Other(answer) => return Ok(self.core.tell_caller(answer)),
            outcome => return Ok(outcome),
        };
        self.core.counters.note_refusal(&refusal);
        let timeout = outgoing.timeout;
        match written(outgoing) {
            Ok(request) => {
                let (core, shard, sequence) = (self.core, self.shard, self.sequence);
                // From now on the machine has it in its books.
                std::mem::forget(self);
                Err(core.through_machine(shard, request, timeout, deadline, Some((sequence, refusal))))
            }
            // It can run only in this process, and was refused here.
            Err(answer) => {
                let applied = matches!(refusal, Answer::Unavailable { maybe_applied: true, .. });
                Ok(self.core.tell_caller(answer.or_applied(applied)))
            }
        }
    }
}

impl Drop for BegunHere<'_> {
    fn drop(&mut self) {
        self.core.settle(self.shard, self.sequence);
    }
}

fn work<P: Parcel>(id: CommandId, floor: u64, deadline: Monotonic, outgoing: &Outgoing<P>) -> Work {
    Work {
        trace: outgoing.trace.clone(),
        id,
        floor,
        actor: outgoing.actor.clone(),
        command: outgoing.command.clone(),
        payload: outgoing.parcel.here(),
        message: outgoing.message,
        mode: outgoing.mode,
        deadline,
        attempt: 1,
    }
}

/// The command in bytes, if it can be written and is not too large to be sent.
fn written<P: Parcel>(outgoing: Outgoing<P>) -> Result<Arc<Request>, Answer> {
    let invalid = |reason| Answer::Invalid { reason, maybe_applied: false };
    let request = outgoing.into_request().map_err(|fault| invalid(fault.to_string()))?;
    let (bytes, bytes_max) = (request.payload.len(), AskFrame::PAYLOAD_BYTES_MAX);
    if bytes > bytes_max {
        return Err(invalid(format!("a command of {bytes} bytes exceeds {bytes_max}: send less")));
    }
    Ok(Arc::new(request))
}

/// Whether trying again may help.
fn is_refusal(answer: &Answer) -> bool {
    match answer {
        Answer::NotOwner { .. }
        | Answer::Moving { .. }
        | Answer::Behind
        | Answer::Unavailable { .. }
        | Answer::Busy => true,
        Answer::Replied(_)
        | Answer::Looked(_)
        | Answer::Rejected(_)
        | Answer::Expired { .. }
        | Answer::Poisoned { .. }
        | Answer::Invalid { .. }
        | Answer::Quarantined { .. } => false,
    }
}
