//! One ordered push consumer: deliveries whose own numbers are contiguous, heartbeats in between, or it is broken.
//!
//! It never heals; [`super`] does.

use std::time::Duration;

use aether_domain::ports::BoxError;
use async_nats::jetstream::Message as Delivered;
use async_nats::jetstream::consumer::push::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy};
use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{From, Source, Told};
use crate::connection::Connection;

/// How often the server shows that a consumer with nothing to say is alive.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// The longest silence of a living consumer: three heartbeats.
const SILENCE_MAX: Duration = Duration::from_millis(1500);

/// How long the server keeps a consumer nobody listens to.
const ABANDONED_AFTER: Duration = Duration::from_secs(5);

/// A consumer that delivers.
pub(super) struct Live {
    deliveries: Subscriber,
    losses: watch::Receiver<u64>,
    /// How many it has delivered: its own numbers are contiguous.
    delivered: u64,
    /// How many were waiting when it began; `None` once they have been told.
    backlog: Option<u64>,
}

/// What one delivery means.
pub(super) enum Step {
    Told(Told),
    Nothing,
    Broken(&'static str),
    Closed,
}

impl Live {
    /// Makes a consumer of `source` that begins as `from` says, behind `last`.
    pub(super) async fn begin(source: &Source, from: From, last: u64) -> Result<Self, BoxError> {
        let connection = &source.connection;
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
            filter_subject: source.filter.clone(),
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
        let consumer = connection.js.create_consumer_on_stream(config, &source.stream).await?;
        let info = consumer.cached_info();
        let backlog = info.num_pending + info.delivered.consumer_sequence;
        Ok(Self { deliveries, losses, delivered: 0, backlog: Some(backlog) })
    }

    /// Whether the backlog has just been told to its end.
    pub(super) fn caught_up(&mut self) -> bool {
        self.backlog.take_if(|backlog| self.delivered >= *backlog).is_some()
    }

    /// Waits for the next delivery.
    pub(super) async fn step(&mut self, connection: &Connection) -> Step {
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
        let number = |name: &str| header(name)?.parse::<u64>().ok();
        match (number("Nats-Last-Consumer"), number("Nats-Last-Stream")) {
            // An answer was asked for: that is no heartbeat, which alone says how far the consumer has looked.
            _ if message.reply.is_some() => Step::Nothing,
            (Some(delivered), _) if self.delivered != delivered => Step::Broken("a delivery was lost"),
            (Some(_), Some(sequence)) => Step::Told(Told::Reached(sequence)),
            _ => Step::Nothing,
        }
    }
}
