//! The work on a feed: a reader that hands commits to lanes, and the lanes that hand their events to the handler.
//!
//! It knows nothing of who is to work; dropping a [`Work`] ends it. Every queue is bounded: a lane that stands still in the
//! end holds the reader, and the store keeps what is not read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aether_domain::ports::{BusUpdate, EventBus, EventFilter, StartAt};
use aether_domain::records::{CommitRecord, EventRecord};
use aether_domain::{FeedName, Sequence, WallTime};
use futures_util::StreamExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::machine::Standing;
use super::options::{FeedOptions, OnFailure};
use super::recorded::{Fault, Handling, Item};
use super::stats::FailingEvent;
use super::watermark::Watermark;

/// How many commits wait for a lane.
const LANE_COMMITS_MAX: usize = 64;

/// How long to wait before a subscription that did not begin, or ended, is begun again.
const SUBSCRIBE_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What a feed has counted on this node, whoever worked in between.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) handled: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) unnamed: AtomicU64,
}

/// What the work is done with.
pub(super) struct Tools {
    pub(super) feed: FeedName,
    pub(super) bus: Arc<dyn EventBus>,
    pub(super) filter: EventFilter,
    pub(super) options: FeedOptions,
    pub(super) handling: Box<dyn Handling>,
    pub(super) counts: Counts,
}

/// The work while this node does it.
pub(super) struct Work {
    tasks: JoinSet<()>,
    board: Arc<Board>,
}

/// How the work stands, written by its tasks.
struct Board {
    tools: Arc<Tools>,
    state: Mutex<State>,
    /// Wakes whoever looks after the work.
    news: Arc<Notify>,
    /// The tasks are to end behind the event they are at.
    finish: CancellationToken,
}

struct State {
    mark: Watermark,
    handled: u64,
    /// Nothing more was stored when it was last heard.
    at_end: bool,
    /// Why the work cannot go on.
    stuck: Option<String>,
    failing: Option<FailingEvent>,
}

impl Work {
    /// Begins behind `position`.
    pub(super) fn begin(tools: &Arc<Tools>, position: Sequence, news: &Arc<Notify>) -> Self {
        let state = State { mark: Watermark::at(position), handled: 0, at_end: false, stuck: None, failing: None };
        let (state, finish) = (Mutex::new(state), CancellationToken::new());
        let board = Arc::new(Board { tools: Arc::clone(tools), state, news: Arc::clone(news), finish });
        let mut tasks = JoinSet::new();
        let lanes = (0..tools.options.lanes).map(|_| {
            let (lane, items) = mpsc::channel(LANE_COMMITS_MAX);
            tasks.spawn(run_lane(Arc::clone(&board), items));
            lane
        });
        let lanes = lanes.collect();
        tasks.spawn(read(Arc::clone(&board), position, lanes));
        Self { tasks, board }
    }

    /// How it stands.
    pub(super) fn standing(&self) -> Standing {
        let state = self.board.state();
        let caught_up = state.at_end && state.mark.is_idle();
        Standing { position: state.mark.position(), handled: state.handled, caught_up }
    }

    /// Why it cannot go on, if it cannot.
    pub(super) fn stuck(&self) -> Option<String> {
        self.board.state().stuck.clone()
    }

    /// The event that is waited for, and when the first event that is not handled was stored.
    pub(super) fn waiting(&self) -> (Option<FailingEvent>, Option<WallTime>) {
        let state = self.board.state();
        (state.failing.clone(), state.mark.oldest())
    }

    /// Ends it in the middle, and waits until nothing of it runs any more.
    pub(super) async fn halt(mut self) {
        self.tasks.shutdown().await;
    }

    /// Lets what is being handled be handled to its end, for as long as `within`; then as [`Self::halt`]. Answers how it
    /// stood in the end.
    pub(super) async fn finish(mut self, within: Duration) -> Standing {
        self.board.finish.cancel();
        // What takes longer is ended in the middle, and comes again.
        let _ = tokio::time::timeout(within, async { while self.tasks.join_next().await.is_some() {} }).await;
        self.tasks.shutdown().await;
        self.standing()
    }
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever panicked under the lock left nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stick(&self, reason: String) {
        self.state().stuck.get_or_insert(reason);
        self.news.notify_one();
    }

    fn takes(&self, event: &EventRecord) -> bool {
        let names = &self.tools.options.names;
        names.is_empty() || names.iter().any(|name| **name == event.name)
    }

    /// Whether the feed wants any event of that commit. Counts those that it can never want, for they have no name.
    fn wants(&self, commit: &CommitRecord) -> bool {
        let Tools { feed, options, counts, .. } = &*self.tools;
        if !options.names.is_empty() {
            let unnamed = commit.events.iter().filter(|event| event.name.is_empty()).count() as u64;
            if unnamed > 0 && counts.unnamed.fetch_add(unnamed, Ordering::Relaxed) == 0 {
                tracing::warn!(
                    %feed,
                    "a feed asks for events by their names and passes over events without one: does their type write `Event::name`?"
                );
            }
        }
        commit.events.iter().any(|event| self.takes(event))
    }
}

/// Hands every commit to its actor's lane. Ends when the work is to be finished, or cannot go on.
async fn read(board: Arc<Board>, from: Sequence, lanes: Vec<mpsc::Sender<Item>>) {
    let mut from = from;
    let finish = board.finish.clone();
    let reading = async {
        loop {
            match board.tools.bus.subscribe(&board.tools.filter, StartAt::Behind(from)).await {
                Ok(mut updates) => {
                    while let Some(update) = updates.next().await {
                        match update {
                            BusUpdate::EventStored { actor, commit } => {
                                from = commit.at.sequence;
                                if !board.wants(&commit.record) {
                                    let mut state = board.state();
                                    state.mark.pass(from);
                                    state.at_end = false;
                                } else if take(&board, from, commit.record.at) {
                                    let lane = usize::from(actor.slot.0) % lanes.len();
                                    if lanes[lane].send(Item { actor, commit }).await.is_err() {
                                        return;
                                    }
                                }
                            }
                            BusUpdate::Reached(sequence) => {
                                from = sequence;
                                let mut state = board.state();
                                state.mark.pass(sequence);
                                state.at_end = true;
                            }
                            BusUpdate::Corrupt { sequence, reason } => {
                                return board.stick(format!("the commit at {sequence} is corrupt: {reason}"));
                            }
                        }
                    }
                }
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a feed cannot read events yet");
                }
            }
            tokio::time::sleep(SUBSCRIBE_AGAIN_AFTER).await;
        }
    };
    tokio::select! {
        biased;
        () = finish.cancelled() => {}
        () = reading => {}
    }
}

fn take(board: &Board, sequence: Sequence, stored: WallTime) -> bool {
    let mut state = board.state();
    state.at_end = false;
    state.mark.take(sequence, stored)
}

/// Hands out the events of its commits, one after the other.
async fn run_lane(board: Arc<Board>, mut items: mpsc::Receiver<Item>) {
    let finish = board.finish.clone();
    loop {
        let item = tokio::select! {
            biased;
            () = finish.cancelled() => return,
            item = items.recv() => item,
        };
        // Without its last event a commit is not handled: all of it comes again.
        let Some(item) = item else { return };
        for index in 0..item.commit.record.events.len() {
            if board.takes(&item.commit.record.events[index]) && !hand_out(&board, &item, index).await {
                return;
            }
        }
        let mut state = board.state();
        state.mark.handled(item.commit.at.sequence);
        drop(state);
    }
}

/// Hands out one event until it is handled or given up; answers whether the lane goes on.
async fn hand_out(board: &Board, item: &Item, index: usize) -> bool {
    let Tools { handling, options, counts, .. } = &*board.tools;
    let (sequence, actor) = (item.commit.at.sequence, &item.actor.key);
    let (mut tries, mut pause) = (0_u32, options.retry_pause.0);
    let counted = loop {
        let reason = match handling.handle(item, index).await {
            Ok(()) => break &counts.handled,
            Err(Fault::Unreadable(reason)) => {
                board.stick(format!("event {index} of the commit at {sequence} of {actor} cannot be read: {reason}"));
                return false;
            }
            Err(Fault::Failed(reason)) => reason,
        };
        tries += 1;
        counts.failures.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%actor, %sequence, index, tries, reason, "a feed's handler failed");
        match options.on_failure {
            OnFailure::StopAfter { tries: most } if tries >= most => {
                board.stick(format!(
                    "event {index} of the commit at {sequence} of {actor} failed {tries} times: {reason}"
                ));
                return false;
            }
            OnFailure::SkipAfter { tries: most } if tries >= most => {
                tracing::error!(%actor, %sequence, index, tries, reason, "a feed passes an event over");
                break &counts.skipped;
            }
            _ => {}
        }
        let failing = FailingEvent { actor: actor.clone(), sequence, tries, reason };
        board.state().failing = Some(failing);
        tokio::select! {
            biased;
            () = board.finish.cancelled() => return false,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(options.retry_pause.1);
    };
    counted.fetch_add(1, Ordering::Relaxed);
    let mut state = board.state();
    if tries > 0 {
        state.failing.take_if(|failing| failing.sequence == sequence && failing.actor == *actor);
    }
    state.handled += 1;
    let news = state.handled.is_multiple_of(options.checkpoint_events);
    drop(state);
    if news {
        board.news.notify_one();
    }
    true
}
