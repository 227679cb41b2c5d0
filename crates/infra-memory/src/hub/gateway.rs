//! Commands from clients in the same process, each given to one of the nodes that take them, in turn.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::ids::{MessageId, NodeId};
use aether_domain::ports::{Gateway, GatewayAnswer, GatewayRequest, ReadMode, SendError, Updates};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{self, BoxFuture, Either};
use futures_util::stream;
use tokio::sync::oneshot;

use super::MemoryHub;
use super::inbox::{Inbox, Taken};
use super::ports::Connection;
use crate::fabric::SendFailure;

/// How many requests wait for one node.
const DESK_REQUESTS_MAX: usize = 1024;

/// How many bytes of requests wait for one node.
const DESK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A client's command, as [`MemoryHub::gateway_ask`] takes it. The fields are those of [`GatewayRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayCall {
    /// The actor's kind.
    pub kind: String,
    /// The actor's id.
    pub id: String,
    /// The command's stable name.
    pub command: String,
    /// The command, as JSON.
    pub payload: Bytes,
    /// The client's own name for it, so that its own retries count once.
    pub message: Option<MessageId>,
    /// How fresh an answer that changes nothing must be.
    pub mode: ReadMode,
    /// How long the client waits.
    pub timeout: Duration,
}

/// Who takes requests. Invariant: `next` is the number the next listener gets, above all given.
#[derive(Default)]
pub(super) struct GatewayDesk {
    listeners: BTreeMap<u64, (NodeId, Arc<Inbox<GatewayRequest>>)>,
    next: u64,
    /// The listener that had the last request.
    last: u64,
}

impl MemoryHub {
    /// Asks as a client that is no node: one of the nodes that take requests gets it, in turn.
    ///
    /// The answer is always one of the gateway's: nobody there, a full queue and a time-out are
    /// [`GatewayAnswer::Failed`] with the code `unavailable`, `busy` or `timeout`.
    pub async fn gateway_ask(&self, call: GatewayCall) -> GatewayAnswer {
        let (answer, answered) = oneshot::channel();
        let (bytes, timeout) = (call.payload.len(), call.timeout);
        let request = GatewayRequest {
            trace: None,
            kind: call.kind,
            id: call.id,
            command: call.command,
            payload: call.payload,
            message: call.message,
            mode: call.mode,
            timeout,
            // A client that has gone away needs no answer.
            respond: Box::new(move |given| {
                drop(answer.send(given));
                Box::pin(future::ready(()))
            }),
        };
        if let Err(refused) = self.give(request, bytes) {
            return refused;
        }
        // A request dropped unanswered leaves the client to its time-out, as over a network.
        let never = std::future::pending::<GatewayAnswer>;
        let answered = async { if let Ok(given) = answered.await { given } else { never().await } };
        match tokio::time::timeout(timeout, answered).await {
            Ok(given) => given,
            Err(_) => failed("timeout", "no answer in time; ask again with the same message id", true),
        }
    }

    /// Queues a request where it is next in turn. Whoever has stopped taking requests before gets none.
    fn give(&self, request: GatewayRequest, bytes: usize) -> Result<(), GatewayAnswer> {
        let mut server = self.lock();
        let desk = &server.gateway;
        let mut order = desk.listeners.range(desk.last + 1..).chain(desk.listeners.range(..=desk.last));
        let next = order.find(|(_, (node, _))| server.switches.away(node).is_none());
        let Some((&number, (_, inbox))) = next else {
            return Err(failed("unavailable", "no node takes requests now; try again", false));
        };
        let fits = inbox.put(request, bytes);
        server.gateway.last = number;
        if fits { Ok(()) } else { Err(failed("busy", "the node's queue of requests is full; try again", false)) }
    }
}

fn failed(code: &'static str, reason: &str, maybe_applied: bool) -> GatewayAnswer {
    GatewayAnswer::Failed { code, reason: reason.to_owned(), maybe_applied }
}

#[async_trait]
impl Gateway for Connection {
    async fn listen(&self, until: BoxFuture<'static, ()>) -> Result<Updates<GatewayRequest>, SendError> {
        self.reach().map_err(SendFailure::Unavailable)?;
        let inbox = Arc::new(Inbox::new(DESK_REQUESTS_MAX, DESK_BYTES_MAX));
        let mut server = self.hub.lock();
        let number = server.gateway.next;
        server.gateway.next += 1;
        server.gateway.listeners.insert(number, (self.node.clone(), inbox.clone()));
        let until = Some(until);
        let listening = Listening { hub: self.hub.clone(), node: self.node.clone(), number, inbox, until };
        Ok(Box::pin(stream::unfold(listening, |mut listening| async move {
            loop {
                match listening.take().await? {
                    Taken::Message(request) => {
                        listening.hub.awake(&listening.node).await;
                        return Some((request, listening));
                    }
                    Taken::Overrun => {} // the client was told
                    Taken::Closed => return None,
                }
            }
        })))
    }
}

struct Listening {
    hub: MemoryHub,
    node: NodeId,
    number: u64,
    inbox: Arc<Inbox<GatewayRequest>>,
    /// Until when requests are taken; nothing once none is any more.
    until: Option<BoxFuture<'static, ()>>,
}

impl Listening {
    /// What comes next; nothing once no more are taken and none is left.
    async fn take(&mut self) -> Option<Taken<GatewayRequest>> {
        if let Some(until) = &mut self.until {
            if let Either::Right((taken, _)) = future::select(until, pin!(self.inbox.take())).await {
                return Some(taken);
            }
            self.until = None;
            self.leave();
        }
        self.inbox.try_take()
    }

    fn leave(&self) {
        self.hub.lock().gateway.listeners.remove(&self.number);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.leave();
    }
}
