//! A stream's messages as they are stored, in order and without gaps: an ordered push consumer that heals itself.
//!
//! The client library has one too, but it notices a dead consumer only after ten silent seconds, within which a watcher
//! would take every node for silent; and one that has delivered nothing begins again at the first message. This one
//! notices after a second and a half, and always knows where to go on. Making a consumer needs the leader of all JetStream,
//! whose election takes up to nine seconds; until there is one, this asks the stream's own leader for each next message,
//! so that a watcher is never blind while others can write.

mod consumer;

use std::collections::VecDeque;
use std::time::Duration;

use aether_domain::ports::{BoxError, ReadError};
use async_nats::jetstream::message::StreamMessage;
use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use self::consumer::{Live, Step};
use crate::connection::Connection;
use crate::read::{self, Wanted};

/// The pauses between attempts to make a consumer: doubling from the first to the last.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(50);
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(500);

/// How often the stream's leader is asked for a next message while there is no consumer.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Where a feed begins, and begins again after an interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// With the last message of every subject, each time.
    LastPerSubject,
    /// Behind this sequence; after an interruption behind the last one told.
    After(u64),
}

/// What a feed tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// The next message.
    Message { subject: Subject, sequence: u64, headers: Option<HeaderMap>, payload: Bytes },
    /// Everything that was there when it began, or was interrupted, has been told.
    CaughtUp,
    /// Of what is stored up to there, nothing is left to tell. It comes when there was nothing to tell for a heartbeat.
    Reached(u64),
    /// Messages may be late from now on, until it has caught up.
    Interrupted,
}

/// See the module.
pub(crate) struct Feed {
    source: Source,
    from: From,
    /// The last sequence told, or known not to be of this feed.
    last: u64,
    /// The last sequence of which it was said that it is reached.
    reached: u64,
    state: State,
    /// Whether it was said that messages may be late, and not yet that all has been told.
    blind: bool,
    owed: VecDeque<Told>,
}

/// What is read.
#[derive(Clone)]
struct Source {
    connection: Connection,
    stream: String,
    filter: String,
}

enum State {
    Live(Live),
    Healing(Healing),
}

/// No consumer now: one is being made, and the stream's leader is asked meanwhile.
struct Healing {
    pause: Duration,
    begin: BoxFuture<'static, Result<Live, BoxError>>,
    ask: BoxFuture<'static, Result<Option<StreamMessage>, ReadError>>,
}

impl Feed {
    /// Begins; fails if it cannot right now.
    pub(crate) async fn open(
        connection: Connection,
        stream: String,
        filter: String,
        from: From,
    ) -> Result<Self, BoxError> {
        let source = Source { connection, stream, filter };
        let last = if let From::After(last) = from { last } else { 0 };
        let mut live = Live::begin(&source, from, last).await?;
        let owed = live.caught_up().then_some(Told::CaughtUp).into_iter().collect();
        Ok(Self { source, from, last, reached: 0, state: State::Live(live), blind: false, owed })
    }

    /// What comes next; `None` once the connection has been closed for good.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(told) = self.owed.pop_front() {
                return Some(told);
            }
            let step = match &mut self.state {
                State::Live(live) => live.step(&self.source.connection).await,
                State::Healing(_) if self.source.connection.is_closed() => Step::Closed,
                State::Healing(_) => self.heal().await,
            };
            match step {
                Step::Nothing => {}
                Step::Closed => return None,
                Step::Broken(why) => {
                    tracing::info!(stream = self.source.stream, why, "a feed was interrupted and begins again");
                    let (begin, ask) = (self.begin_after(Duration::ZERO), self.ask_after(Duration::ZERO));
                    self.state = State::Healing(Healing { pause: RETRY_PAUSE_MIN, begin, ask });
                    self.blind = true;
                    return Some(Told::Interrupted);
                }
                Step::Told(told) => {
                    if let Told::Message { sequence, .. } = told {
                        let again = self.from != From::LastPerSubject && sequence <= self.last;
                        self.last = if again { self.last } else { sequence };
                        self.owed.extend((!again).then_some(told));
                    } else if let Told::Reached(sequence) = told {
                        let news = sequence > self.reached && sequence >= self.last;
                        self.owed.extend(news.then_some(told));
                        self.reached = self.reached.max(sequence);
                        self.last = if news { sequence } else { self.last };
                    } else {
                        self.owed.push_back(told);
                    }
                    if let State::Live(live) = &mut self.state
                        && live.caught_up()
                    {
                        self.blind = false;
                        self.owed.push_back(Told::CaughtUp);
                    }
                }
            }
        }
    }

    /// One step while there is no consumer.
    async fn heal(&mut self) -> Step {
        let State::Healing(healing) = &mut self.state else { return Step::Nothing };
        tokio::select! {
            biased;
            begun = &mut healing.begin => match begun {
                Ok(live) => {
                    self.state = State::Live(live);
                    // An empty backlog is caught up with at once.
                    if let State::Live(live) = &mut self.state && live.caught_up() {
                        self.blind = false;
                        return Step::Told(Told::CaughtUp);
                    }
                }
                Err(error) => {
                    tracing::debug!(stream = self.source.stream, %error, "a feed cannot begin again yet");
                    let pause = healing.pause;
                    healing.pause = (pause * 2).min(RETRY_PAUSE_MAX);
                    healing.begin = self.source.clone().begin_after(pause, self.from, self.last);
                }
            },
            answered = &mut healing.ask => match answered {
                Ok(Some(StreamMessage { subject, sequence, headers, payload, .. })) => {
                    self.last = sequence;
                    healing.ask = self.source.clone().ask_after(Duration::ZERO, sequence);
                    self.owed.push_back(Told::Message { subject, sequence, headers: Some(headers), payload });
                }
                Ok(None) => {
                    healing.ask = self.source.clone().ask_after(ASK_EVERY, self.last);
                    if std::mem::replace(&mut self.blind, false) {
                        return Step::Told(Told::CaughtUp);
                    }
                }
                Err(_) => {
                    healing.ask = self.source.clone().ask_after(ASK_EVERY, self.last);
                    if !std::mem::replace(&mut self.blind, true) {
                        return Step::Told(Told::Interrupted);
                    }
                }
            },
        }
        Step::Nothing
    }

    fn begin_after(&self, pause: Duration) -> BoxFuture<'static, Result<Live, BoxError>> {
        self.source.clone().begin_after(pause, self.from, self.last)
    }

    fn ask_after(&self, pause: Duration) -> BoxFuture<'static, Result<Option<StreamMessage>, ReadError>> {
        self.source.clone().ask_after(pause, self.last)
    }
}

impl Source {
    fn begin_after(self, pause: Duration, from: From, last: u64) -> BoxFuture<'static, Result<Live, BoxError>> {
        Box::pin(async move {
            sleep(pause).await;
            Live::begin(&self, from, last).await
        })
    }

    fn ask_after(self, pause: Duration, last: u64) -> BoxFuture<'static, Result<Option<StreamMessage>, ReadError>> {
        Box::pin(async move {
            sleep(pause).await;
            read::get(&self.connection, &self.stream, Wanted::NextOf(&self.filter, last + 1)).await
        })
    }
}
