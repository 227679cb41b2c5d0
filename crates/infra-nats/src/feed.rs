//! A stream's messages as they are stored, in order and without gaps: an ordered push consumer that heals itself.
//!
//! The client library has one too, but it notices a dead consumer only after ten silent seconds, within which a watcher
//! would take every node for silent; and one that has delivered nothing begins again at the first message. This one
//! notices after [`SILENCE_MAX`], and always knows where to go on.

use std::collections::VecDeque;
use std::time::Duration;

use aether_domain::ports::BoxError;
use async_nats::jetstream::Message as Delivered;
use async_nats::jetstream::consumer::push::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy};
use async_nats::{HeaderMap, Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::connection::Connection;

/// How often the server shows that a consumer with nothing to say is alive.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// The longest silence of a living consumer: three heartbeats.
const SILENCE_MAX: Duration = Duration::from_millis(1500);

/// How long the server keeps a consumer nobody listens to.
const ABANDONED_AFTER: Duration = Duration::from_secs(5);

/// The pauses between attempts to begin again: doubling from the first to the last.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(50);
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Where a feed begins, and begins again after an interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// With the last message of every subject, each time.
    LastPerSubject,
    /// Behind this sequence; after an interruption behind the last one delivered.
    After(u64),
}

/// What a feed tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// The next message.
    Message { subject: Subject, sequence: u64, headers: Option<HeaderMap>, payload: Bytes },
    /// Everything that was there when it began, or began again, has been told.
    CaughtUp,
    /// Messages may be late; the feed is beginning again.
    Interrupted,
}

/// See the module.
pub(crate) struct Feed {
    connection: Connection,
    stream: String,
    filter: String,
    from: From,
    live: Option<Live>,
    owed: VecDeque<Told>,
    pause: Duration,
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

/// What one delivery means.
enum Step {
    Told(Told),
    Nothing,
    Broken(&'static str),
}

impl Feed {
    /// Begins; fails if it cannot right now.
    pub(crate) async fn open(
        connection: Connection,
        stream: String,
        filter: String,
        from: From,
    ) -> Result<Self, BoxError> {
        let owed = VecDeque::new();
        let mut feed = Self { connection, stream, filter, from, live: None, owed, pause: RETRY_PAUSE_MIN };
        feed.begin().await?;
        Ok(feed)
    }

    /// What comes next; `None` once the connection has been closed for good.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(told) = self.owed.pop_front() {
                return Some(told);
            }
            let Some(live) = &mut self.live else {
                sleep(self.pause).await;
                self.pause = (self.pause * 2).min(RETRY_PAUSE_MAX);
                if let Err(error) = self.begin().await {
                    tracing::debug!(stream = self.stream, %error, "a feed cannot begin again yet");
                }
                continue;
            };
            let step = tokio::select! {
                biased;
                delivery = timeout(SILENCE_MAX, live.deliveries.next()) => match delivery {
                    Ok(Some(message)) => live.take(&self.connection, message).await,
                    Ok(None) => return None,
                    Err(_) => Step::Broken("silence"),
                },
                _ = live.losses.changed() => Step::Broken("connection lost"),
            };
            match step {
                Step::Nothing => {}
                Step::Broken(why) => {
                    tracing::info!(stream = self.stream, why, "a feed was interrupted and begins again");
                    self.live = None;
                    return Some(Told::Interrupted);
                }
                Step::Told(told) => {
                    self.pause = RETRY_PAUSE_MIN;
                    if let (From::After(last), Told::Message { sequence, .. }) = (&mut self.from, &told) {
                        *last = *sequence;
                    }
                    if live.caught_up() {
                        self.owed.push_back(Told::CaughtUp);
                    }
                    return Some(told);
                }
            }
        }
    }

    async fn begin(&mut self) -> Result<(), BoxError> {
        let losses = self.connection.losses();
        self.connection.check()?;
        let inbox = self.connection.client.new_inbox();
        let deliveries = self.connection.bounded(self.connection.client.subscribe(inbox.clone())).await??;
        let deliver_policy = match self.from {
            From::LastPerSubject => DeliverPolicy::LastPerSubject,
            From::After(last) => DeliverPolicy::ByStartSequence { start_sequence: last + 1 },
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
        let consumer = self.connection.js.create_consumer_on_stream(config, &self.stream).await?;
        let info = consumer.cached_info();
        let backlog = info.num_pending + info.delivered.consumer_sequence;
        let mut live = Live { deliveries, losses, delivered: 0, backlog: Some(backlog) };
        if live.caught_up() {
            self.owed.push_back(Told::CaughtUp);
        }
        self.live = Some(live);
        Ok(())
    }
}

impl Live {
    /// Whether the backlog has just been told to its end.
    fn caught_up(&mut self) -> bool {
        self.backlog.take_if(|backlog| self.delivered >= *backlog).is_some()
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
