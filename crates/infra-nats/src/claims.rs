//! What nodes believe, on one subject of core NATS: to everybody who listens, stored nowhere.

use aether_domain::ports::{BoxError, Claim, Claims, Heard, SendError, Updates};
use async_trait::async_trait;
use futures_util::StreamExt as _;

use crate::connection::Connection;
use crate::wire::{decode_claim, encode_claim};

/// [`Claims`] on core NATS.
#[derive(Clone, Debug)]
pub(crate) struct NatsClaims {
    connection: Connection,
}

impl NatsClaims {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

fn unavailable(cause: impl Into<BoxError>) -> SendError {
    SendError::Unavailable { cause: cause.into() }
}

#[async_trait]
impl Claims for NatsClaims {
    async fn tell(&self, claim: &Claim) -> Result<(), SendError> {
        let connection = &self.connection;
        let payload = encode_claim(claim, connection.formats.writes()).map_err(unavailable)?;
        // One that waited for a connection would be told when it is no longer believed.
        connection.check().map_err(unavailable)?;
        let sent = connection.client.publish(connection.names.claims_subject(), payload);
        connection.bounded(sent).await.map_err(unavailable)?.map_err(unavailable)
    }

    async fn listen(&self) -> Result<Updates<Heard>, SendError> {
        let connection = &self.connection;
        connection.check().map_err(unavailable)?;
        let subscribe = connection.client.subscribe(connection.names.claims_subject());
        let messages = connection.bounded(subscribe).await.map_err(unavailable)?.map_err(unavailable)?;
        let reads = connection.formats.reads();
        connection.round_trip().await.map_err(unavailable)?;
        Ok(Box::pin(messages.map(move |message| match decode_claim(&message.payload, reads) {
            Ok(claim) => Heard::Claim(claim),
            Err(fault) => Heard::Corrupt { reason: fault.to_string() },
        })))
    }
}
