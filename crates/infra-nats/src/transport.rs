//! Frames between nodes on core NATS: one message carries many, to the subject of one life of a node.
//!
//! Each message names an inbox of its sender for the server's "nobody listens" alone; the inbox's last tokens say whose
//! it is and whom the message was for. A node whose connection is being re-established has no interest on the server
//! either, so an [`Delivery::Unreachable`] is evidence, not proof. The client says that some subscription of a connection
//! lost a message, not which: every listener on it is told [`Delivery::Overrun`].

use std::collections::BTreeMap;
use std::sync::Arc;

use aether_domain::ports::{BoxError, Delivery, Frame, SendError, Transport, Updates};
use aether_domain::records::Format;
use aether_domain::{Incarnation, NodeRef};
use arc_swap::ArcSwap;
use async_nats::{Message, StatusCode, Subject, Subscriber};
use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use crate::connection::Connection;
use crate::names::{node_of, node_token};
use crate::traces;
use crate::wire::v1::{Received, WireFault};
use crate::wire::{decode_frames, encode_frames};

/// [`Transport`] on core NATS.
#[derive(Clone, Debug)]
pub(crate) struct NatsTransport {
    connection: Connection,
    /// Where "nobody listens" comes to: `<inbox>.<sender's incarnation>.<addressee>`.
    returns: String,
    /// By addressee.
    ways: Arc<ArcSwap<BTreeMap<Incarnation, Way>>>,
}

/// How messages get from one life to another: what is the same for all of them.
#[derive(Clone, Debug)]
struct Way {
    from: Incarnation,
    to: NodeRef,
    subject: Subject,
    returns: Subject,
}

/// Ways known at a time; one more, and all are forgotten.
const WAYS_MAX: usize = 1024;

impl NatsTransport {
    pub(crate) fn new(connection: Connection) -> Self {
        let returns = connection.client.new_inbox();
        Self { connection, returns, ways: Arc::default() }
    }

    /// The subject of a message between those, and where it says that nobody listens.
    fn subjects(&self, from: &NodeRef, to: &NodeRef) -> (Subject, Subject) {
        let known = self.ways.load();
        let known = known.get(&to.incarnation).filter(|way| way.from == from.incarnation && way.to == *to);
        if let Some(Way { subject, returns, .. }) = known {
            return (subject.clone(), returns.clone());
        }
        let way = Way {
            from: from.incarnation,
            to: to.clone(),
            subject: self.connection.names.node_subject(to).into(),
            returns: format!("{}.{}.{}", self.returns, from.incarnation, node_token(to)).into(),
        };
        self.ways.rcu(|ways| {
            let mut ways = if ways.len() < WAYS_MAX { BTreeMap::clone(ways) } else { BTreeMap::new() };
            ways.insert(to.incarnation, way.clone());
            ways
        });
        (way.subject, way.returns)
    }
}

fn unavailable(cause: impl Into<BoxError>) -> SendError {
    SendError::Unavailable { cause: cause.into() }
}

/// What one life listens to.
struct Listener {
    frames: Subscriber,
    returns: Subscriber,
    overruns: watch::Receiver<u64>,
    reads: Format,
    /// That a frame was not understood, to be told behind those of the same message that were.
    refused: Option<Delivery>,
}

impl Listener {
    async fn next(&mut self) -> Option<Delivery> {
        if let Some(refused) = self.refused.take() {
            return Some(refused);
        }
        loop {
            tokio::select! {
                biased;
                changed = self.overruns.changed() => {
                    changed.ok()?;
                    return Some(Delivery::Overrun);
                }
                returned = self.returns.next() => if let Some(delivery) = unreachable(&returned?) {
                    return Some(delivery);
                },
                message = self.frames.next() => return Some(self.frames(&message?)),
            }
        }
    }
}

impl Listener {
    fn frames(&mut self, message: &Message) -> Delivery {
        let Received { from, mut frames, refused } = match decode_frames(&message.payload, self.reads) {
            Ok(read) => read,
            Err(fault) => return corrupt(&message.subject, fault.to_string()),
        };
        if let [first, ..] = &refused[..] {
            let reason = format!("{} of {} frames: {first}", refused.len(), refused.len() + frames.len());
            self.refused = Some(corrupt(&message.subject, reason));
        }
        traces::give(message.headers.as_ref(), &mut frames);
        Delivery::Frames { from, frames }
    }
}

fn unreachable(message: &Message) -> Option<Delivery> {
    if message.status != Some(StatusCode::NO_RESPONDERS) {
        return Some(corrupt(&message.subject, "an answer where none is expected".to_owned()));
    }
    let addressee = message.subject.rsplit('.').next()?;
    node_of(addressee).map(|to| Delivery::Unreachable { to })
}

fn corrupt(subject: &str, reason: String) -> Delivery {
    tracing::warn!(subject, reason, "a message cannot be understood");
    Delivery::Corrupt { reason }
}

#[async_trait]
impl Transport for NatsTransport {
    async fn listen(&self, me: &NodeRef) -> Result<Updates<Delivery>, SendError> {
        let connection = &self.connection;
        connection.check().map_err(unavailable)?;
        let overruns = connection.overruns();
        let subscribe = async {
            let returns = format!("{}.{}.*", self.returns, me.incarnation);
            let returns = connection.client.subscribe(returns).await?;
            let frames = connection.client.subscribe(connection.names.node_subject(me)).await?;
            Ok::<_, BoxError>(Listener { frames, returns, overruns, reads: connection.formats.reads(), refused: None })
        };
        let listener = connection.bounded(subscribe).await.map_err(unavailable)?.map_err(unavailable)?;
        // From here on the server knows: whoever is told that this life listens will reach it.
        connection.round_trip().await.map_err(unavailable)?;
        Ok(Box::pin(stream::unfold(listener, |mut listener| async {
            let delivery = listener.next().await?;
            Some((delivery, listener))
        })))
    }

    async fn send(&self, from: &NodeRef, to: &NodeRef, frames: Vec<Frame>) -> Result<(), SendError> {
        let connection = &self.connection;
        let traced = traces::behind(&frames);
        let bytes_max = connection.client.max_payload().saturating_sub(traces::bytes(traced.as_ref()));
        let format = connection.formats.writes();
        let payload = encode_frames(from, &frames, bytes_max, format).map_err(|fault| match fault {
            WireFault::TooLarge { bytes, bytes_max } => SendError::TooLarge { bytes, bytes_max },
            fault => unavailable(fault),
        })?;
        connection.check().map_err(unavailable)?;
        let (subject, returns) = self.subjects(from, to);
        let client = &connection.client;
        let sent = async {
            match traced {
                None => client.publish_with_reply(subject, returns, payload).await,
                Some(headers) => client.publish_with_reply_and_headers(subject, returns, headers, payload).await,
            }
        };
        connection.bounded(sent).await.map_err(unavailable)?.map_err(unavailable)
    }
}
