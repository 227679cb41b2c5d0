//! Frames between lives: an inbox for each that listens.

use std::collections::BTreeMap;
use std::sync::Arc;

use aether_domain::ids::NodeRef;
use aether_domain::ports::{Delivery, Frame, SendError, Transport, Updates};
use async_trait::async_trait;
use futures_util::stream;

use super::inbox::{Inbox, Taken};
use super::ports::Connection;
use super::{MemoryHub, Server};
use crate::fabric::{Cause, SendFailure, message_bytes};

/// How many messages wait for one listener.
const INBOX_MESSAGES_MAX: usize = 65_536;

/// How many bytes wait for one listener.
const INBOX_BYTES_MAX: usize = 64 * 1024 * 1024;

/// About what a delivery without frames takes.
const NOTICE_BYTES: usize = 64;

/// Who listens, by life.
pub(super) type Inboxes = BTreeMap<NodeRef, Arc<Inbox<Delivery>>>;

#[async_trait]
impl Transport for Connection {
    async fn listen(&self, me: &NodeRef) -> Result<Updates<Delivery>, SendError> {
        self.reach().map_err(SendFailure::Unavailable)?;
        let inbox = Arc::new(Inbox::new(INBOX_MESSAGES_MAX, INBOX_BYTES_MAX));
        let mut server = self.hub.lock();
        if server.inboxes.contains_key(me) {
            return Err(SendFailure::Unavailable(Cause::AlreadyListening).into());
        }
        server.inboxes.insert(me.clone(), inbox.clone());
        let listening = Listening { hub: self.hub.clone(), me: me.clone(), inbox };
        Ok(Box::pin(stream::unfold(listening, |listening| async move {
            let delivery = match listening.inbox.take().await {
                Taken::Message(delivery) => delivery,
                Taken::Overrun => Delivery::Overrun,
                Taken::Closed => return None,
            };
            listening.hub.awake(&listening.me.node).await;
            Some((delivery, listening))
        })))
    }

    async fn send(&self, from: &NodeRef, to: &NodeRef, frames: Vec<Frame>) -> Result<(), SendError> {
        let bytes = message_bytes(&frames)?;
        self.hub.way(&self.node, "message").await;
        let mut server = self.hub.lock();
        if let Some(cause) = server.switches.away(&self.node) {
            return Err(SendFailure::Unavailable(cause).into());
        }
        if !server.switches.loses_message(&self.node) {
            deliver(&server, from, to, frames, bytes);
        }
        Ok(())
    }
}

fn deliver(server: &Server, from: &NodeRef, to: &NodeRef, frames: Vec<Frame>, bytes: usize) {
    if let Some(inbox) = server.inboxes.get(to) {
        // A life that is cut off still listens: its frames are lost, and nobody is told.
        if server.switches.away(&to.node).is_none() {
            inbox.put(Delivery::Frames { from: from.clone(), frames }, bytes);
        }
    } else if let Some(sender) = server.inboxes.get(from) {
        sender.put(Delivery::Unreachable { to: to.clone() }, NOTICE_BYTES);
    }
}

/// A listener that takes its inbox with it when it is dropped.
struct Listening {
    hub: MemoryHub,
    me: NodeRef,
    inbox: Arc<Inbox<Delivery>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut server = self.hub.lock();
        // After `kill` the life may listen anew: that inbox is not ours.
        if server.inboxes.get(&self.me).is_some_and(|inbox| Arc::ptr_eq(inbox, &self.inbox)) {
            server.inboxes.remove(&self.me);
        }
    }
}
