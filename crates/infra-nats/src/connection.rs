//! One connection to NATS and what all adapters on it share: JetStream with short time-outs, news of losses, counters.
//!
//! It decides nothing and retries nothing. Publishing while disconnected would be queued and sent later, so everybody
//! asks [`Connection::check`] first.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use aether_domain::ports::BoxError;
use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, Event, ServerError, SubscribeError};
use futures_util::StreamExt;
use tokio::sync::watch;

use crate::acks::Acks;
use crate::names::Names;
use crate::outbox::Outbox;
use crate::wire::formats::Formats;

/// How many of the server's complaints are kept, the latest.
const COMPLAINTS_KEPT: usize = 128;

/// What happened on a connection so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounters {
    /// Times it was established, the first included.
    pub connects: u64,
    /// Times it was lost.
    pub disconnects: u64,
    /// Messages that were dropped because a subscription did not keep up.
    pub slow_consumers: u64,
    /// Complaints of the server, permission violations among them.
    pub server_errors: u64,
}

/// Where a connection's events go: made before the connection, because its first event comes while connecting.
#[derive(Debug)]
pub(crate) struct Observer {
    connects: AtomicU64,
    losses: watch::Sender<u64>,
    overruns: watch::Sender<u64>,
    server_errors: AtomicU64,
    complaints: Mutex<VecDeque<String>>,
    closed: AtomicBool,
}

impl Observer {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            connects: AtomicU64::new(0),
            losses: watch::Sender::new(0),
            overruns: watch::Sender::new(0),
            server_errors: AtomicU64::new(0),
            complaints: Mutex::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// Takes one event of the client. Never waits.
    pub(crate) fn on(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.connects.fetch_add(1, Ordering::Relaxed);
                tracing::info!("connected to NATS");
            }
            Event::Disconnected => {
                self.losses.send_modify(|count| *count += 1);
                tracing::warn!("connection to NATS lost; reconnecting");
            }
            Event::SlowConsumer(subscription) => {
                self.overruns.send_modify(|count| *count += 1);
                tracing::warn!(subscription, "a subscription did not keep up and lost a message");
            }
            Event::ServerError(error) => {
                self.server_errors.fetch_add(1, Ordering::Relaxed);
                if let ServerError::Other(text) = error {
                    let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
                    if complaints.len() == COMPLAINTS_KEPT {
                        complaints.pop_front();
                    }
                    complaints.push_back(text.clone());
                }
                tracing::warn!(%error, "NATS complains");
            }
            Event::LameDuckMode => tracing::info!("NATS server is about to stop; the client will move"),
            Event::ClientError(error) => tracing::debug!(%error, "NATS client"),
            Event::Draining | Event::Closed => {
                self.closed.store(true, Ordering::Relaxed);
                tracing::debug!(%event, "NATS client");
            }
        }
    }

    /// What the server complained about last.
    pub(crate) fn last_server_error(&self) -> Option<String> {
        self.complaints().pop()
    }

    /// What the server complained about, the latest last.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Why something was not even tried.
#[derive(Debug, thiserror::Error)]
#[error("not connected to NATS")]
pub(crate) struct NotConnected;

/// Why a step was given up.
#[derive(Debug, thiserror::Error)]
#[error("no answer from NATS within {0:?}")]
pub(crate) struct NoAnswer(pub(crate) Duration);

/// What the adapters of one connection share.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) js: jetstream::Context,
    pub(crate) names: Names,
    pub(crate) request_timeout: Duration,
    pub(crate) observer: Arc<Observer>,
    pub(crate) acks: Arc<Acks>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) formats: Arc<Formats>,
}

impl Connection {
    /// What the adapters share, on a connection that is up.
    pub(crate) async fn new(
        client: Client,
        names: Names,
        request_timeout: Duration,
        observer: Arc<Observer>,
        formats: Formats,
    ) -> Result<Self, SubscribeError> {
        let formats = Arc::new(formats);
        let js = ContextBuilder::new().timeout(request_timeout).ack_timeout(request_timeout).build(client.clone());
        let acks = Acks::listen(&client, observer.losses.subscribe(), request_timeout).await?;
        Ok(Self { client, js, names, request_timeout, observer, acks, outbox: Arc::default(), formats })
    }

    /// Whether something sent now would go out now.
    pub(crate) fn check(&self) -> Result<(), NotConnected> {
        if self.is_connected() { Ok(()) } else { Err(NotConnected) }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// Whether it was ended for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.observer.closed.load(Ordering::Relaxed)
    }

    /// Ends it for good, as soon as everything sent so far has gone out.
    pub(crate) async fn close(&self) {
        self.observer.closed.store(true, Ordering::Relaxed);
        let drained = self.bounded(self.client.drain()).await;
        if !matches!(drained, Ok(Ok(()))) {
            tracing::debug!("the NATS connection was closed already");
        }
    }

    /// Changes with every loss of the connection from now on.
    pub(crate) fn losses(&self) -> watch::Receiver<u64> {
        self.observer.losses.subscribe()
    }

    /// Changes with every message that was dropped from now on.
    pub(crate) fn overruns(&self) -> watch::Receiver<u64> {
        self.observer.overruns.subscribe()
    }

    pub(crate) fn counters(&self) -> ConnectionCounters {
        ConnectionCounters {
            connects: self.observer.connects.load(Ordering::Relaxed),
            disconnects: *self.observer.losses.borrow(),
            slow_consumers: *self.observer.overruns.borrow(),
            server_errors: self.observer.server_errors.load(Ordering::Relaxed),
        }
    }

    /// Runs a step that only a lost connection can delay, for as long as a request may take.
    pub(crate) async fn bounded<T>(&self, step: impl Future<Output = T>) -> Result<T, NoAnswer> {
        let mut step = pin!(step);
        // Most take their place in the connection's queue and are done: no timer for those.
        if let Poll::Ready(done) = poll_fn(|context| Poll::Ready(step.as_mut().poll(context))).await {
            return Ok(done);
        }
        tokio::time::timeout(self.request_timeout, step).await.map_err(|_| NoAnswer(self.request_timeout))
    }

    /// Waits until the server has worked off everything sent on this connection so far, subscriptions included.
    pub(crate) async fn round_trip(&self) -> Result<(), BoxError> {
        self.check()?;
        self.bounded(async {
            let inbox = self.client.new_inbox();
            let mut echo = self.client.subscribe(inbox.clone()).await?;
            self.client.publish(inbox, bytes::Bytes::new()).await?;
            echo.next().await.map(drop).ok_or_else(|| BoxError::from(NotConnected))
        })
        .await?
    }
}
