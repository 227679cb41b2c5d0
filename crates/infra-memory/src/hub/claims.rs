//! What nodes tell each other of what they believe: an inbox for each that listens.

use std::collections::BTreeMap;
use std::sync::Arc;

use aether_domain::ids::NodeId;
use aether_domain::ports::{Claim, Claims, Heard, SendError, Updates};
use async_trait::async_trait;
use futures_util::stream;

use super::MemoryHub;
use super::inbox::{Inbox, Taken};
use super::ports::Connection;
use crate::fabric::SendFailure;

/// How many claims wait for one listener; what is more is lost, as over a network.
const CLAIMS_MAX: usize = 1_024;

/// Who listens. Invariant: `next` is the number the next listener gets, above all given.
#[derive(Default)]
pub(super) struct ClaimListeners {
    listeners: BTreeMap<u64, (NodeId, Arc<Inbox<Heard>>)>,
    next: u64,
}

#[async_trait]
impl Claims for Connection {
    async fn tell(&self, claim: &Claim) -> Result<(), SendError> {
        self.hub.awake(&self.node).await;
        let server = self.hub.lock();
        if let Some(cause) = server.switches.away(&self.node) {
            return Err(SendFailure::Unavailable(cause).into());
        }
        for (node, inbox) in server.claims.listeners.values() {
            if server.switches.away(node).is_none() {
                inbox.put(Heard::Claim(claim.clone()), 0);
            }
        }
        Ok(())
    }

    async fn listen(&self) -> Result<Updates<Heard>, SendError> {
        self.reach().map_err(SendFailure::Unavailable)?;
        let inbox = Arc::new(Inbox::new(CLAIMS_MAX, usize::MAX));
        let mut server = self.hub.lock();
        let number = server.claims.next;
        server.claims.next += 1;
        server.claims.listeners.insert(number, (self.node.clone(), inbox.clone()));
        let listening = Listening { hub: self.hub.clone(), node: self.node.clone(), number, inbox };
        Ok(Box::pin(stream::unfold(listening, |listening| async move {
            loop {
                match listening.inbox.take().await {
                    Taken::Message(heard) => {
                        listening.hub.awake(&listening.node).await;
                        return Some((heard, listening));
                    }
                    Taken::Overrun => {} // the next claim of the same node says as much
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
    inbox: Arc<Inbox<Heard>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.hub.lock().claims.listeners.remove(&self.number);
    }
}
