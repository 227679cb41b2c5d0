//! One link per life of another node: what this node sends there, in order, as few messages as the moment allows.
//!
//! A lone frame leaves at once, on the spot. While a send is under way, when several frames have been sent since the
//! other end was last heard of, or when it answered several asks at once, frames gather for one turn of the scheduler and
//! leave together. While many asks are unanswered, further ones are held back until they are a fair share of those, so that
//! a busy link carries few large messages; an answer from there, one to there, or a millisecond lets them go. A link has no
//! task of its own: whoever finds it idle begins the send, and only a send that has to wait becomes a task.
//!
//! It does not repeat anything: what was lost is asked again by the router, under the same id.

mod links;
mod queue;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use aether_domain::NodeRef;
use aether_domain::ports::Frame;
use tokio::task::yield_now;
use tokio::time::sleep;

pub use links::LINKS_MAX;
pub(crate) use links::{Links, Undelivered, Wiring};
pub(crate) use queue::Full;
use queue::Queue;
pub use queue::{LINK_BYTES_MAX, LINK_FRAMES_MAX, MESSAGE_BYTES_MAX, MESSAGE_FRAMES_MAX};

use crate::vitals::Tally;

/// Messages sent in a row before others get their turn.
const MESSAGES_PER_TURN: u32 = 4;

/// Asks are held back until there is one for so many that are unanswered: about so many messages are under way then.
const UNANSWERED_PER_HELD: usize = 4;

/// How long asks are held back at most, give or take as much again: by then the answers are slow, or lost.
const HELD_BACK_FOR: Duration = Duration::from_millis(1);

/// The way to one life of another node.
pub(crate) struct Link {
    me: NodeRef,
    to: NodeRef,
    wiring: Arc<Wiring>,
    /// All that changes, in one place: two threads that ask at once fight over one lock.
    state: Mutex<State>,
}

/// Keeps a link's frames together; dropped, whatever happens meanwhile, it sends what has gathered.
pub(crate) struct Cork(Arc<Link>);

impl Drop for Cork {
    fn drop(&mut self) {
        self.0.begin(|state| {
            state.corks -= 1;
            // Those who have been answered meanwhile may be about to ask again; one who was answered alone has done so.
            !state.queue.has_only_asks() || state.since_heard == 1 && state.queue.len() == 1
        });
    }
}

#[derive(Default)]
struct State {
    queue: Queue,
    /// Frames taken since the other end was last heard of.
    since_heard: u64,
    /// Asks taken that want an answer, and answers that have come.
    asks: u64,
    answers: u64,
    /// Somebody is sending, and will go on until nothing waits.
    sending: bool,
    /// How many are about to add more, and will send then.
    corks: u32,
    /// Asks that have left and are not answered yet; those that are slow or lost are not counted any more.
    unanswered: usize,
    /// Messages sent so far.
    messages: u64,
    /// Somebody sees that nothing is held back for long.
    watched: bool,
    closed: bool,
}

impl State {
    /// Whether something waits that is to wait for more.
    fn holds_back(&self) -> bool {
        let only_asks = !self.queue.is_empty() && self.queue.has_only_asks();
        only_asks && self.queue.len() * UNANSWERED_PER_HELD < self.unanswered
    }
}

impl Link {
    fn new(me: NodeRef, to: NodeRef, wiring: Arc<Wiring>) -> Self {
        Self { me, to, wiring, state: Mutex::default() }
    }

    /// Takes a frame, and says whether [`Self::flush`] is to be called, soon: if not, it leaves by itself, with a send under
    /// way or once it need not wait for others. Refuses it if the queue is full; a closed link takes everything and sends
    /// nothing.
    pub(crate) fn push(self: &Arc<Self>, frame: Frame) -> Result<bool, Full> {
        let mut state = self.lock();
        state.since_heard += 1;
        state.asks += u64::from(ask_sequence(&frame).is_some());
        if state.closed {
            return Ok(false);
        }
        state.queue.push(frame)?;
        Ok(self.is_due(&mut state))
    }

    /// Sends what waits, on the spot if the link is quiet.
    pub(crate) fn flush(self: &Arc<Self>) {
        self.begin(|state| state.since_heard <= 1);
    }

    /// The other end was heard of: what follows from that gathers until the cork is dropped.
    pub(crate) fn heard(self: &Arc<Self>) -> Cork {
        let mut state = self.lock();
        (state.since_heard, state.corks) = (0, state.corks + 1);
        Cork(self.clone())
    }

    /// So many answers have come from there, in one message: what they were waited for with may leave.
    pub(crate) fn answered(self: &Arc<Self>, times: usize) {
        self.begin(|state| {
            state.answers += times as u64;
            state.unanswered = state.unanswered.saturating_sub(times);
            // Who was answered together is likely to ask again together: the first of them is not alone.
            state.since_heard += if times > 1 { 2 } else { 0 };
            false
        });
    }

    /// What was asked there, and what has been answered.
    pub(crate) fn tally(&self) -> Tally {
        let State { asks, answers, .. } = *self.lock();
        Tally { to: self.to.clone(), asks, answers }
    }

    /// Drops what waits and takes no more.
    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queue.clear();
    }

    /// Notes something, and lets somebody send what waits if it is to be sent now and nobody does: on the spot, or after
    /// gathering for a turn, as is said then.
    fn begin(self: &Arc<Self>, on_the_spot: impl FnOnce(&mut State) -> bool) {
        let on_the_spot = {
            let mut state = self.lock();
            let on_the_spot = on_the_spot(&mut state);
            if !self.is_due(&mut state) {
                return;
            }
            state.sending = true;
            on_the_spot
        };
        if on_the_spot {
            let mut send = Box::pin(self.clone().send_all());
            if send.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                // Polled again by its task, which wakes it from then on.
                self.wiring.tasks.spawn_on(send, &self.wiring.runtime);
            }
        } else {
            let link = self.clone();
            let gathered = async move {
                yield_now().await;
                link.send_all().await;
            };
            self.wiring.tasks.spawn_on(gathered, &self.wiring.runtime);
        }
    }

    /// Whether somebody has to begin to send.
    fn is_due(self: &Arc<Self>, state: &mut State) -> bool {
        !state.sending && state.corks == 0 && self.lets_go(state)
    }

    /// Whether something waits that is to be sent now. What is held back is seen to.
    fn lets_go(self: &Arc<Self>, state: &mut State) -> bool {
        let holds_back = state.holds_back();
        if holds_back && !std::mem::replace(&mut state.watched, true) {
            self.wiring.tasks.spawn_on(self.clone().watch(state.messages), &self.wiring.runtime);
        }
        !holds_back && !state.queue.is_empty()
    }

    /// Lets go what has been held back since the link had sent so many messages, and whatever is afterwards, in time.
    async fn watch(self: Arc<Self>, mut messages: u64) {
        loop {
            tokio::select! {
                biased;
                () = self.wiring.over.cancelled() => return,
                () = sleep(HELD_BACK_FOR) => {}
            }
            let mut state = self.lock();
            if state.queue.is_empty() || state.sending {
                state.watched = false;
                return;
            }
            if state.messages == messages {
                // Their answers are slow, or lost: nobody waits for them any more.
                (state.unanswered, state.watched) = (0, false);
                drop(state);
                return self.begin(|_| false);
            }
            messages = state.messages;
        }
    }

    /// Sends until nothing waits, or the rest is held back. Called by whoever has set `sending`.
    async fn send_all(self: Arc<Self>) {
        let mut turn = 0;
        while let Some((frames, sequences)) = self.next_message() {
            let sent = tokio::select! {
                biased;
                sent = self.wiring.transport.send(&self.me, &self.to, frames) => sent,
                () = self.wiring.over.cancelled() => return,
            };
            if let Err(fault) = sent {
                tracing::debug!(node = %self.to, frames = sequences.len(), %fault, "message not sent");
                {
                    let mut state = self.lock();
                    state.unanswered = state.unanswered.saturating_sub(sequences.len());
                }
                if let Some(router) = self.wiring.undelivered.upgrade() {
                    router.undelivered(&sequences, &fault);
                }
            }
            turn += 1;
            if turn == MESSAGES_PER_TURN {
                turn = 0;
                yield_now().await;
            }
        }
    }

    /// The next message, with the sequences of the asks in it that want an answer.
    fn next_message(self: &Arc<Self>) -> Option<(Vec<Frame>, Vec<u64>)> {
        let mut state = self.lock();
        state.sending = self.lets_go(&mut state);
        if !state.sending {
            return None;
        }
        let frames = state.queue.next_message();
        state.messages += 1;
        let mut sequences = Vec::with_capacity(frames.len());
        sequences.extend(frames.iter().filter_map(ask_sequence));
        state.unanswered += sequences.len();
        Some((frames, sequences))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if it did, the queue would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask_sequence(frame: &Frame) -> Option<u64> {
    match frame {
        Frame::Ask(ask) if ask.wants_answer => Some(ask.id.sequence),
        Frame::Ask(_) | Frame::Answer(_) | Frame::Warm(_) | Frame::WarmTaken(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use aether_domain::ports::{
        Answer, AnswerFrame, AskFrame, Delivery, ReadMode, Request, SendError, Transport, Updates,
    };
    use aether_domain::records::PayloadCodec;
    use aether_domain::testing::life;
    use aether_domain::{ActorAddress, ActorId, ActorKey, ActorKind, CommandId, Epoch, Slot};
    use async_trait::async_trait;
    use tokio::runtime::Handle;
    use tokio::sync::Semaphore;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::*;

    /// Notes how many frames each message has, once a permit lets it pass.
    struct Wire {
        sizes: Mutex<Vec<usize>>,
        permits: Semaphore,
    }

    #[async_trait]
    impl Transport for Wire {
        async fn listen(&self, _: &NodeRef) -> Result<Updates<Delivery>, SendError> {
            Ok(Box::pin(futures_util::stream::pending()))
        }
        async fn send(&self, _: &NodeRef, _: &NodeRef, frames: Vec<Frame>) -> Result<(), SendError> {
            self.permits.acquire().await.expect("never closed").forget();
            self.sizes.lock().expect("no panic").push(frames.len());
            Ok(())
        }
    }

    struct Nobody;
    impl Undelivered for Nobody {
        fn undelivered(&self, _: &[u64], _: &SendError) {}
    }

    fn links(permits: usize) -> (Arc<Wire>, Links, TaskTracker) {
        let wire = Arc::new(Wire { sizes: Mutex::default(), permits: Semaphore::new(permits) });
        let tasks = TaskTracker::new();
        let wiring = Wiring {
            transport: wire.clone(),
            undelivered: std::sync::Weak::<Nobody>::new(),
            runtime: Handle::current(),
            tasks: tasks.clone(),
            over: CancellationToken::new(),
        };
        (wire, Links::new(life("me", 1), wiring), tasks)
    }

    impl Links {
        fn known_or_made(&self, to: &NodeRef) -> Arc<Link> {
            self.with(to, Arc::clone).expect("there are few")
        }
    }

    fn frame(nth: u64) -> Frame {
        let id = CommandId { origin: life("me", 1).incarnation, sequence: nth };
        Frame::Answer(AnswerFrame { id, sending: 1, view: Epoch(1), answer: Answer::Busy })
    }

    fn ask(nth: u64) -> Frame {
        let key = ActorKey { kind: ActorKind::new("k").expect("valid"), id: ActorId::new("1").expect("valid") };
        let request = Request {
            actor: ActorAddress { key, slot: Slot(0) },
            command: "get".into(),
            payload: bytes::Bytes::new(),
            codec: PayloadCodec::Binary,
            message: None,
            mode: ReadMode::Strict,
            trace: None,
        };
        Frame::Ask(AskFrame {
            id: CommandId { origin: life("me", 1).incarnation, sequence: nth },
            floor: 0,
            request: request.into(),
            view: Epoch(1),
            budget: Duration::from_secs(1),
            attempt: 1,
            sending: 1,
            wants_answer: true,
        })
    }

    /// A link on which so many asks are unanswered, and the messages that have left since.
    async fn busy_link(unanswered: u64) -> (Arc<Wire>, Arc<Link>) {
        let (wire, links, _) = links(1000);
        let link = links.known_or_made(&life("a", 1));
        let cork = link.heard();
        for nth in 0..unanswered {
            link.push(ask(nth)).expect("there is room");
        }
        drop(cork);
        turns().await;
        assert_eq!(std::mem::take(&mut *wire.sizes.lock().expect("no panic")), [unanswered as usize]);
        (wire, link)
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_asks_and_is_answered_alone_needs_no_task() {
        let (wire, links, tasks) = links(1000);
        let link = links.known_or_made(&life("a", 1));
        for nth in 0..10 {
            // The next ask may come before all that follows from the answer is done.
            let cork = link.heard();
            if nth > 0 {
                link.answered(1);
            }
            assert!(!link.push(ask(nth)).expect("there is room"), "it leaves with the cork");
            drop(cork);
            assert_eq!((wire.sizes.lock().expect("no panic").len(), tasks.len()), (nth as usize + 1, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_held_back_waits_for_those_who_are_answered_together() {
        let (wire, link) = busy_link(7).await;
        link.push(ask(7)).expect("there is room");
        let cork = link.heard();
        link.answered(4);
        drop(cork);
        for nth in 0..4 {
            link.push(ask(nth)).expect("there is room");
            link.flush();
        }
        turns().await;
        assert_eq!(*wire.sizes.lock().expect("no panic"), [5]);
    }

    /// Long enough for whoever gathers for a turn.
    async fn turns() {
        for _ in 0..8 {
            yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn asks_are_held_back_until_they_are_a_fair_share_of_what_is_unanswered() {
        let (wire, link) = busy_link(40).await;
        for nth in 0..10 {
            assert!(wire.sizes.lock().expect("no panic").is_empty(), "{nth} of 10");
            link.push(ask(nth)).expect("there is room");
            link.flush();
            turns().await;
        }
        assert_eq!(*wire.sizes.lock().expect("no panic"), [10]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_back_leaves_when_answers_come_when_one_is_sent_and_in_time() {
        for (what, let_go) in [("answers", 0), ("an answer", 1), ("time", 2)] {
            let (wire, link) = busy_link(40).await;
            for nth in 0..3 {
                link.push(ask(nth)).expect("there is room");
                link.flush();
            }
            turns().await;
            assert!(wire.sizes.lock().expect("no panic").is_empty(), "{what}");
            match let_go {
                0 => link.answered(28),
                1 => {
                    link.push(frame(9)).expect("there is room");
                    link.flush();
                }
                _ => sleep(2 * HELD_BACK_FOR).await,
            }
            turns().await;
            assert_eq!(*wire.sizes.lock().expect("no panic"), [3 + usize::from(let_go == 1)], "{what}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_next_leaves_together_by_those_who_were_answered_together_and_at_once_by_one_who_was_answered_alone()
     {
        for (answered, sizes) in [(8, vec![3]), (1, vec![1, 2])] {
            let (wire, link) = busy_link(answered).await;
            drop(link.heard());
            link.answered(answered as usize);
            for nth in 0..3 {
                link.push(ask(nth)).expect("there is room");
                link.flush();
            }
            turns().await;
            assert_eq!(*wire.sizes.lock().expect("no panic"), sizes, "{answered} answered");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn few_asks_are_never_held_back_and_lost_answers_cost_one_wait() {
        let (wire, link) = busy_link(40).await;
        link.push(ask(40)).expect("there is room");
        link.flush();
        sleep(2 * HELD_BACK_FOR).await;
        assert_eq!(std::mem::take(&mut *wire.sizes.lock().expect("no panic")), [1]);
        for nth in 41..45 {
            link.push(ask(nth)).expect("there is room");
            link.flush();
            turns().await;
        }
        assert_eq!(*wire.sizes.lock().expect("no panic"), [1; 4], "at once");
    }

    async fn quiet(tasks: &TaskTracker) {
        tasks.close();
        tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await.expect("every send ends");
    }

    #[tokio::test]
    async fn a_lone_frame_leaves_on_the_spot_and_a_burst_leaves_together() {
        let (wire, links, tasks) = links(100);
        let link = links.known_or_made(&life("a", 1));
        for nth in 0..10 {
            link.push(frame(nth)).expect("there is room");
            link.flush();
        }
        assert_eq!(*wire.sizes.lock().expect("no panic"), [1], "without any task switch");
        quiet(&tasks).await;
        drop(link.heard());
        link.push(frame(10)).expect("there is room");
        link.flush();
        assert_eq!(*wire.sizes.lock().expect("no panic"), [1, 9, 1]);
    }

    #[tokio::test]
    async fn frames_gather_while_a_send_is_under_way() {
        let (wire, links, tasks) = links(0);
        let link = links.known_or_made(&life("a", 1));
        for nth in 0..300 {
            link.push(frame(nth)).expect("there is room");
            link.flush();
        }
        wire.permits.add_permits(100);
        quiet(&tasks).await;
        assert_eq!(*wire.sizes.lock().expect("no panic"), [1, 256, 43]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_says_whether_its_link_has_to_be_flushed_and_leaves_without_it_otherwise() {
        let (wire, links, _) = links(0);
        let link = links.known_or_made(&life("a", 1));
        let cork = link.heard();
        assert_eq!(link.push(frame(1)), Ok(false), "the cork sends it");
        drop(cork);
        assert_eq!(link.push(frame(2)), Ok(false), "whoever sends the first one sends it too");
        wire.permits.add_permits(100);
        turns().await;
        assert_eq!(*wire.sizes.lock().expect("no panic"), [1, 1]);
        assert_eq!(link.push(frame(3)), Ok(true), "nobody sends");
        link.flush();
        turns().await;
        assert_eq!(std::mem::take(&mut *wire.sizes.lock().expect("no panic")), [1, 1, 1]);
        for nth in 0..40 {
            link.push(ask(nth)).expect("there is room");
        }
        link.flush();
        turns().await;
        assert_eq!(link.push(ask(40)), Ok(false), "it waits for more, or for its time");
        sleep(2 * HELD_BACK_FOR).await;
        turns().await;
        assert_eq!(*wire.sizes.lock().expect("no panic"), [40, 1]);
        links.keep(&life("me", 1), &[].into());
        assert_eq!(link.push(frame(4)), Ok(false), "it is closed");
    }

    #[tokio::test]
    async fn whoever_asks_for_the_same_life_at_once_has_the_same_link() {
        let (_, links, _) = links(0);
        for round in 1..50 {
            let made = std::thread::scope(|scope| {
                let make = |nth: u64| {
                    scope.spawn({
                        let links = &links;
                        move || {
                            [links.known_or_made(&life("a", round)), links.known_or_made(&life("b", 100 * round + nth))]
                        }
                    })
                };
                let makers: Vec<_> = (0..4).map(make).collect();
                makers.into_iter().map(|maker| maker.join().expect("no panic")).collect::<Vec<_>>()
            });
            for [same, _] in &made {
                assert!(Arc::ptr_eq(same, &made[0][0]), "round {round}");
            }
            for link in made.iter().flatten() {
                assert!(links.known(&link.to).is_some_and(|known| Arc::ptr_eq(&known, link)), "round {round}");
            }
        }
    }

    #[tokio::test]
    async fn a_corked_link_waits_for_the_last_cork() {
        let (wire, links, _) = links(100);
        let link = links.known_or_made(&life("a", 1));
        let (first, second) = (link.heard(), link.heard());
        for nth in 0..3 {
            link.push(frame(nth)).expect("there is room");
            link.flush();
        }
        drop(first);
        assert!(wire.sizes.lock().expect("no panic").is_empty());
        drop(second);
        assert_eq!(*wire.sizes.lock().expect("no panic"), [3]);
    }

    #[tokio::test]
    async fn links_to_lives_that_are_gone_are_closed_and_their_frames_dropped() {
        let (wire, links, tasks) = links(0);
        let (a, b) = (life("a", 1), life("b", 1));
        for to in [&a, &b] {
            let link = links.known_or_made(to);
            for nth in 0..3 {
                link.push(frame(nth)).expect("there is room");
                link.flush();
            }
        }
        links.keep(&life("me", 1), &[b.incarnation].into());
        assert_eq!((links.count(), links.known(&a).is_none()), (1, true));
        wire.permits.add_permits(100);
        quiet(&tasks).await;
        let mut sizes = wire.sizes.lock().expect("no panic").clone();
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 1, 2], "what was under way to a has left, the rest has not");
    }
}
