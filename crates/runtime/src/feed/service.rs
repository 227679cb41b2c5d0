//! A feed's loop on one node: it asks the stores what the machine wants to know, and begins and ends the work.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aether_domain::ports::CheckpointStore;
use aether_domain::ports::StartAt;
use aether_domain::{FeedName, Sequence};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::machine::{Effect, Input, Machine, Standing};
use super::stats::{FeedState, FeedStats};
use super::work::{Tools, Work};
use crate::clock::Clock;

/// How often the end of what is stored is asked for.
const END_EVERY: Duration = Duration::from_secs(1);

/// What a feed's loop works with.
pub(super) struct Wiring {
    pub(super) feed: FeedName,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) checkpoints: Arc<dyn CheckpointStore>,
    pub(super) tools: Arc<Tools>,
    pub(super) report: watch::Sender<Arc<FeedStats>>,
    /// Ends it in good order.
    pub(super) stop: CancellationToken,
    /// Ends it at once, as a crash would.
    pub(super) kill: CancellationToken,
}

/// What the stores have answered.
enum Answer {
    Of(Input),
    End(Option<Sequence>),
}

struct Feed {
    wiring: Wiring,
    machine: Machine,
    work: Option<Work>,
    /// Rung by the work.
    news: Arc<Notify>,
    asked: FuturesUnordered<BoxFuture<'static, Answer>>,
    end: Option<Sequence>,
    /// That it was stopped, and why, if it was; said once all is done.
    stopped: Option<FeedState>,
}

/// Works on the feed, or waits to, until it is stopped.
pub(super) async fn run(wiring: Wiring, machine: Machine) {
    let (kill, stop) = (wiring.kill.clone(), wiring.stop.clone());
    let news = Arc::default();
    let mut feed = Feed { wiring, machine, work: None, news, asked: FuturesUnordered::new(), end: None, stopped: None };
    feed.ask_end();
    let mut next_end = pin!(tokio::time::sleep(END_EVERY));
    loop {
        let now = feed.wiring.clock.now();
        let wake = feed.machine.wakes_at().map(|at| at.since(now));
        let news = Arc::clone(&feed.news);
        let effects = tokio::select! {
            biased;
            () = kill.cancelled() => {
                if let Some(work) = feed.work.take() {
                    work.halt().await;
                }
                feed.stopped = Some(FeedState::Stopped { reason: Some("the node has ended".to_owned()) });
                feed.report(true);
                return;
            }
            () = stop.cancelled(), if feed.stopped.is_none() => feed.release(None).await,
            Some(answer) = feed.asked.next() => match answer {
                Answer::Of(input) => feed.step(input),
                Answer::End(end) => {
                    feed.end = end.or(feed.end);
                    Vec::new()
                }
            },
            () = news.notified() => feed.tick(),
            () = sleep(wake) => feed.tick(),
            () = next_end.as_mut() => {
                feed.ask_end();
                next_end.set(tokio::time::sleep(END_EVERY));
                Vec::new()
            }
        };
        let mut ended = feed.apply(effects).await;
        if let Some(reason) = feed.work.as_ref().and_then(Work::stuck) {
            tracing::error!(feed = %feed.wiring.feed, reason, "a feed cannot go on, and stops on this node");
            let effects = feed.release(Some(reason)).await;
            ended |= feed.apply(effects).await;
        }
        feed.report(ended);
        if ended {
            return;
        }
    }
}

async fn sleep(wake: Option<Duration>) {
    match wake {
        Some(wake) => tokio::time::sleep(wake).await,
        None => std::future::pending().await,
    }
}

impl Feed {
    fn step(&mut self, input: Input) -> Vec<Effect> {
        self.machine.step(self.wiring.clock.now(), input)
    }

    fn tick(&mut self) -> Vec<Effect> {
        self.step(Input::Tick(self.standing()))
    }

    fn standing(&self) -> Standing {
        self.work.as_ref().map_or_else(Standing::default, Work::standing)
    }

    /// Ends the work in good order and gives the feed back.
    async fn release(&mut self, reason: Option<String>) -> Vec<Effect> {
        self.stopped = Some(FeedState::Stopped { reason });
        // Well before others would take the feed over.
        let within = self.wiring.tools.options.steal_after / 5;
        let standing = match self.work.take() {
            Some(work) => work.finish(within).await,
            None => Standing::default(),
        };
        self.step(Input::Release(standing))
    }

    /// Does what the machine wants; answers whether nothing is left to do.
    async fn apply(&mut self, effects: Vec<Effect>) -> bool {
        let mut ended = false;
        for effect in effects {
            match effect {
                Effect::Read => self.ask_record(),
                Effect::Write { checkpoint, expected } => {
                    let store = Arc::clone(&self.wiring.checkpoints);
                    self.asked.push(Box::pin(async move {
                        let result = store.write(&checkpoint, expected).await;
                        Answer::Of(Input::Written { nonce: checkpoint.nonce, result })
                    }));
                }
                Effect::Begin(position) => {
                    tracing::info!(feed = %self.wiring.feed, %position, "this node works on a feed");
                    self.work = Some(Work::begin(&self.wiring.tools, position, &self.news));
                }
                Effect::Halt => {
                    tracing::warn!(feed = %self.wiring.feed, "this node works on a feed no more");
                    if let Some(work) = self.work.take() {
                        work.halt().await;
                    }
                }
                Effect::Ended => ended = true,
            }
        }
        ended
    }

    fn ask_record(&mut self) {
        let (store, tools) = (Arc::clone(&self.wiring.checkpoints), Arc::clone(&self.wiring.tools));
        let feed = self.wiring.feed.clone();
        self.asked.push(Box::pin(async move {
            let found = async {
                let stored = store.read(&feed).await?;
                let begin = match (&stored, tools.options.start) {
                    (Some(_), _) | (None, StartAt::Beginning) => Sequence::ZERO,
                    (None, StartAt::Behind(sequence)) => sequence,
                    (None, StartAt::Now) => tools.bus.end().await?,
                };
                Ok::<_, aether_domain::ports::ReadError>(Input::Found { stored, begin })
            };
            Answer::Of(found.await.unwrap_or_else(|error| {
                tracing::warn!(%feed, error = &error as &dyn std::error::Error, "a feed's checkpoint cannot be read");
                Input::NotRead
            }))
        }));
    }

    fn ask_end(&mut self) {
        let tools = Arc::clone(&self.wiring.tools);
        self.asked.push(Box::pin(async move { Answer::End(tools.bus.end().await.ok()) }));
    }

    fn report(&self, ended: bool) {
        let counts = &self.wiring.tools.counts;
        let (failing, oldest) = self.work.as_ref().map_or((None, None), Work::waiting);
        let state = match (&self.stopped, self.machine.works() && self.work.is_some()) {
            (Some(stopped), _) if ended => stopped.clone(),
            (_, true) => FeedState::Working,
            (_, false) => FeedState::Watching { owner: self.machine.owner().cloned() },
        };
        let position = self.work.as_ref().map_or(self.machine.stored(), |work| work.standing().position);
        let wall = self.wiring.clock.wall().unix_millis;
        let stats = FeedStats {
            name: self.wiring.feed.clone(),
            state,
            position,
            end: self.end.map(|end| end.max(position)),
            lag: Duration::from_millis(oldest.map_or(0, |oldest| wall.saturating_sub(oldest.unix_millis))),
            handled: counts.handled.load(Ordering::Relaxed),
            failures: counts.failures.load(Ordering::Relaxed),
            skipped: counts.skipped.load(Ordering::Relaxed),
            unnamed: counts.unnamed.load(Ordering::Relaxed),
            failing,
        };
        self.wiring.report.send_if_modified(|last| {
            let news = **last != stats;
            if news {
                *last = Arc::new(stats);
            }
            news
        });
    }
}
