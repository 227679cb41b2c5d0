//! One link per life of another node: what this node sends there, in order, as few messages as the moment allows.
//!
//! A lone frame leaves at once, on the spot. While a send is under way, or when several frames have been sent since the
//! other end was last heard of, frames gather for one turn of the scheduler and leave together. A link has no task of
//! its own: whoever finds it idle begins the send, and only a send that has to wait becomes a task.
//!
//! It does not repeat anything: what was lost is asked again by the router, under the same id.
//!
//! For later tuning: gathering while a few messages are unanswered (`actor-runtime` figures) would need the number of
//! unanswered messages per link, which `Link::heard` is the place to count.

mod links;
mod queue;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use aether_domain::NodeRef;
use aether_domain::ports::Frame;
use tokio::task::yield_now;

pub use links::LINKS_MAX;
pub(crate) use links::{Links, Undelivered, Wiring};
use queue::{Full, Queue};
pub use queue::{LINK_BYTES_MAX, LINK_FRAMES_MAX, MESSAGE_BYTES_MAX, MESSAGE_FRAMES_MAX};

use crate::vitals::Tally;

/// Messages sent in a row before others get their turn.
const MESSAGES_PER_TURN: u32 = 4;

/// The way to one life of another node.
pub(crate) struct Link {
    me: NodeRef,
    to: NodeRef,
    wiring: Arc<Wiring>,
    state: Mutex<State>,
    /// Frames taken since the other end was last heard of.
    since_heard: AtomicU64,
    /// Asks taken that want an answer, and answers that have come.
    asks: AtomicU64,
    answers: AtomicU64,
}

/// Keeps a link's frames together; dropped, whatever happens meanwhile, it sends what has gathered.
pub(crate) struct Cork(Arc<Link>);

impl Drop for Cork {
    fn drop(&mut self) {
        self.0.lock().corks -= 1;
        self.0.begin(true);
    }
}

#[derive(Default)]
struct State {
    queue: Queue,
    /// Somebody is sending, and will go on until nothing waits.
    sending: bool,
    /// How many are about to add more, and will send then.
    corks: u32,
    closed: bool,
}

impl Link {
    fn new(me: NodeRef, to: NodeRef, wiring: Arc<Wiring>) -> Self {
        let (since_heard, asks, answers) = Default::default();
        Self { me, to, wiring, state: Mutex::default(), since_heard, asks, answers }
    }

    /// Takes a frame, to leave with the next [`Self::flush`] or with a send under way. Refuses it if the queue is full; a
    /// closed link takes everything and sends nothing.
    pub(crate) fn push(&self, frame: Frame) -> Result<(), Full> {
        self.since_heard.fetch_add(1, Ordering::Relaxed);
        if ask_sequence(&frame).is_some() {
            self.asks.fetch_add(1, Ordering::Relaxed);
        }
        let mut state = self.lock();
        if state.closed { Ok(()) } else { state.queue.push(frame) }
    }

    /// Sends what waits, on the spot if the link is quiet.
    pub(crate) fn flush(self: &Arc<Self>) {
        let lone = self.since_heard.load(Ordering::Relaxed) <= 1;
        self.begin(lone);
    }

    /// Lets frames gather until the cork is dropped.
    pub(crate) fn cork(self: &Arc<Self>) -> Cork {
        self.lock().corks += 1;
        Cork(self.clone())
    }

    /// The other end was heard of.
    pub(crate) fn heard(&self) {
        self.since_heard.store(0, Ordering::Relaxed);
    }

    /// So many answers have come from there.
    pub(crate) fn answered(&self, times: u64) {
        self.answers.fetch_add(times, Ordering::Relaxed);
    }

    /// What was asked there, and what has been answered.
    pub(crate) fn tally(&self) -> Tally {
        // Answers first: each of them was asked before.
        let answers = self.answers.load(Ordering::Relaxed);
        Tally { to: self.to.clone(), asks: self.asks.load(Ordering::Relaxed), answers }
    }

    /// Drops what waits and takes no more.
    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queue.clear();
    }

    fn begin(self: &Arc<Self>, on_the_spot: bool) {
        {
            let mut state = self.lock();
            if state.sending || state.corks > 0 || state.queue.is_empty() {
                return;
            }
            state.sending = true;
        }
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

    /// Sends until nothing waits. Called by whoever has set `sending`.
    async fn send_all(self: Arc<Self>) {
        let mut turn = 0;
        while let Some(frames) = self.next_message() {
            let sequences: Vec<u64> = frames.iter().filter_map(ask_sequence).collect();
            let sent = tokio::select! {
                biased;
                sent = self.wiring.transport.send(&self.me, &self.to, frames) => sent,
                () = self.wiring.over.cancelled() => return,
            };
            if let Err(fault) = sent
                && let Some(router) = self.wiring.undelivered.upgrade()
            {
                tracing::debug!(node = %self.to, frames = sequences.len(), %fault, "message not sent");
                router.undelivered(&sequences, &fault);
            }
            turn += 1;
            if turn == MESSAGES_PER_TURN {
                turn = 0;
                yield_now().await;
            }
        }
    }

    fn next_message(&self) -> Option<Vec<Frame>> {
        let mut state = self.lock();
        let frames = state.queue.next_message();
        state.sending = !frames.is_empty();
        state.sending.then_some(frames)
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
    use std::time::Duration;

    use aether_domain::ports::{Answer, AnswerFrame, Delivery, SendError, Transport, Updates};
    use aether_domain::testing::life;
    use aether_domain::{CommandId, Epoch};
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

    fn frame(nth: u64) -> Frame {
        let id = CommandId { origin: life("me", 1).incarnation, sequence: nth };
        Frame::Answer(AnswerFrame { id, sending: 1, view: Epoch(1), answer: Answer::Busy })
    }

    async fn quiet(tasks: &TaskTracker) {
        tasks.close();
        tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await.expect("every send ends");
    }

    #[tokio::test]
    async fn a_lone_frame_leaves_on_the_spot_and_a_burst_leaves_together() {
        let (wire, links, tasks) = links(100);
        let link = links.to(&life("a", 1)).expect("there are few");
        for nth in 0..10 {
            link.push(frame(nth)).expect("there is room");
            link.flush();
        }
        assert_eq!(*wire.sizes.lock().expect("no panic"), [1], "without any task switch");
        quiet(&tasks).await;
        link.heard();
        link.push(frame(10)).expect("there is room");
        link.flush();
        assert_eq!(*wire.sizes.lock().expect("no panic"), [1, 9, 1]);
    }

    #[tokio::test]
    async fn frames_gather_while_a_send_is_under_way() {
        let (wire, links, tasks) = links(0);
        let link = links.to(&life("a", 1)).expect("there are few");
        for nth in 0..300 {
            link.push(frame(nth)).expect("there is room");
            link.flush();
        }
        wire.permits.add_permits(100);
        quiet(&tasks).await;
        assert_eq!(*wire.sizes.lock().expect("no panic"), [1, 256, 43]);
    }

    #[tokio::test]
    async fn a_corked_link_waits_for_the_last_cork() {
        let (wire, links, _) = links(100);
        let link = links.to(&life("a", 1)).expect("there are few");
        let (first, second) = (link.cork(), link.cork());
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
            let link = links.to(to).expect("there are few");
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
