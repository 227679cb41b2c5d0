//! A stream's messages as they are stored, in order and without gaps: an ordered push consumer that heals itself.
//!
//! The client library has one too, but it notices a dead consumer only after ten silent seconds, within which a watcher
//! would take every node for silent; and one that has delivered nothing begins again at the first message. This one
//! notices after [`SILENCE_MAX`], and always knows where to go on. Making a consumer needs the leader of all JetStream,
//! whose election takes up to nine seconds; until there is one, this asks the stream's own leader for each next message,
//! so that a watcher is never blind while others can write.

use std::collections::VecDeque;
use std::time::Duration;

use aether_domain::ports::{BoxError, ReadError};
use async_nats::jetstream::Message as Delivered;
use async_nats::jetstream::consumer::push::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::message::StreamMessage;
use async_nats::{HeaderMap, Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::connection::Connection;
use crate::read::{self, Wanted};

/// How often the server shows that a consumer with nothing to say is alive.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// The longest silence of a living consumer: three heartbeats.
const SILENCE_MAX: Duration = Duration::from_millis(1500);

/// How long the server keeps a consumer nobody listens to.
const ABANDONED_AFTER: Duration = Duration::from_secs(5);

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
    /// Messages may be late from now on, until it has caught up.
    Interrupted,
}

/// See the module.
pub(crate) struct Feed {
    source: Source,
    from: From,
    /// The last sequence told.
    last: u64,
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

/// A consumer that delivers.
struct Live {
    deliveries: Subscriber,
    losses: watch::Receiver<u64>,
    /// How many it has delivered: its own numbers are contiguous.
    delivered: u64,
    /// How many were waiting when it began; `None` once they have been told.
    backlog: Option<u64>,
}

/// No consumer now: one is being made, and the stream's leader is asked meanwhile.
struct Healing {
    pause: Duration,
    begin: BoxFuture<'static, Result<Live, BoxError>>,
    ask: BoxFuture<'static, Result<Option<StreamMessage>, ReadError>>,
}

/// What one delivery means.
enum Step {
    Told(Told),
    Nothing,
    Broken(&'static str),
    Closed,
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
        let mut live = source.begin(from, last).await?;
        let owed = live.caught_up().then_some(Told::CaughtUp).into_iter().collect();
        Ok(Self { source, from, last, state: State::Live(live), blind: false, owed })
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
    async fn begin(&self, from: From, last: u64) -> Result<Live, BoxError> {
        let connection = &self.connection;
        let losses = connection.losses();
        connection.check()?;
        let inbox = connection.client.new_inbox();
        let deliveries = connection.bounded(connection.client.subscribe(inbox.clone())).await??;
        let deliver_policy = match from {
            From::LastPerSubject => DeliverPolicy::LastPerSubject,
            From::After(_) => DeliverPolicy::ByStartSequence { start_sequence: last + 1 },
        };
        let config = Config {
            deliver_subject: inbox,
            deliver_policy,
            filter_subject: self.filter.clone(),
            ack_policy: AckPolicy::None,
            replay_policy: ReplayPolicy::Instant,
            max_deliver: 1,
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            num_replicas: 1,
            memory_storage: true,
            inactive_threshold: ABANDONED_AFTER,
            ..Config::default()
        };
        let consumer = connection.js.create_consumer_on_stream(config, &self.stream).await?;
        let info = consumer.cached_info();
        let backlog = info.num_pending + info.delivered.consumer_sequence;
        Ok(Live { deliveries, losses, delivered: 0, backlog: Some(backlog) })
    }

    fn begin_after(self, pause: Duration, from: From, last: u64) -> BoxFuture<'static, Result<Live, BoxError>> {
        Box::pin(async move {
            sleep(pause).await;
            self.begin(from, last).await
        })
    }

    fn ask_after(self, pause: Duration, last: u64) -> BoxFuture<'static, Result<Option<StreamMessage>, ReadError>> {
        Box::pin(async move {
            sleep(pause).await;
            read::get(&self.connection, &self.stream, Wanted::NextOf(&self.filter, last + 1)).await
        })
    }
}

impl Live {
    /// Whether the backlog has just been told to its end.
    fn caught_up(&mut self) -> bool {
        self.backlog.take_if(|backlog| self.delivered >= *backlog).is_some()
    }

    async fn step(&mut self, connection: &Connection) -> Step {
        tokio::select! {
            biased;
            delivery = timeout(SILENCE_MAX, self.deliveries.next()) => match delivery {
                Ok(Some(message)) => self.take(connection, message).await,
                Ok(None) => Step::Closed,
                Err(_) => Step::Broken("silence"),
            },
            _ = self.losses.changed() => Step::Broken("connection lost"),
        }
    }

    async fn take(&mut self, connection: &Connection, message: Message) -> Step {
        match message.status {
            None => self.deliver(connection, message),
            Some(StatusCode::IDLE_HEARTBEAT) => self.control(connection, message).await,
            Some(_) => Step::Broken("the server ended the consumer"),
        }
    }

    fn deliver(&mut self, connection: &Connection, message: Message) -> Step {
        let delivered = Delivered { message, context: connection.js.clone() };
        let Ok(info) = delivered.info() else { return Step::Broken("a delivery without its numbers") };
        let (sequence, number, pending) = (info.stream_sequence, info.consumer_sequence, info.pending);
        if number != self.delivered + 1 {
            return Step::Broken("a delivery was lost");
        }
        self.delivered = number;
        if pending == 0 {
            self.backlog = self.backlog.map(|_| 0);
        }
        let Message { subject, headers, payload, .. } = delivered.message;
        Step::Told(Told::Message { subject, sequence, headers, payload })
    }

    /// A heartbeat, or the question whether we keep up.
    async fn control(&mut self, connection: &Connection, message: Message) -> Step {
        let header = |name: &str| Some(message.headers.as_ref()?.get(name)?.as_str().to_owned());
        let answer_to = message.reply.as_ref().map(ToString::to_string).or_else(|| header("Nats-Consumer-Stalled"));
        if let Some(subject) = answer_to {
            // A lost answer only delays: the server asks again.
            if connection.bounded(connection.client.publish(subject, Bytes::new())).await.is_err() {
                return Step::Broken("connection stuck");
            }
        }
        match header("Nats-Last-Consumer").map(|number| number.parse::<u64>()) {
            Some(Ok(number)) if message.reply.is_none() && self.delivered != number => {
                Step::Broken("a delivery was lost")
            }
            _ => Step::Nothing,
        }
    }
}
