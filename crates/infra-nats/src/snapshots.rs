//! Snapshots of actors: one message a snapshot; a large one is chunks first and then the message that names them.
//!
//! Everything is read by direct gets, from any replica: a snapshot is a cache, and an old one is as good. Whatever cannot be
//! understood, or is not all there, is passed over for the one kept before it.

use aether_domain::ports::{BoxError, ReadError, SNAPSHOT_BYTES_MAX, SaveError, SnapshotStore};
use aether_domain::records::ActorSnapshot;
use aether_domain::{ActorAddress, Sequence};
use async_nats::Message;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::read::unavailable;
use crate::wire::v1::{Encoded, Kept, ManifestB1, WireFault};
use crate::wire::{append_chunk, decode_kept, encode_chunk, encode_kept, snapshot_body, snapshot_chunks};

/// How many chunks of one snapshot are asked for at a time.
const CHUNKS_AT_ONCE: usize = 8;

/// [`SnapshotStore`] on a JetStream stream.
#[derive(Clone, Debug)]
pub(crate) struct NatsSnapshotStore {
    connection: Connection,
}

/// The server has no such message, or none that it gives away.
#[derive(Debug, thiserror::Error)]
#[error("a direct get was refused with status {0}")]
struct Refused(u16);

impl NatsSnapshotStore {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Stores a message and answers where.
    async fn publish(&self, subject: String, message: Encoded) -> Result<u64, SaveError> {
        let publish = async {
            self.connection.check()?;
            let acknowledged = self.connection.js.publish(subject, message.payload).await?.await?;
            Ok::<_, BoxError>(acknowledged.sequence)
        };
        publish.await.map_err(|cause| SaveError::Unavailable { cause })
    }

    /// One message of the stream, as some replica has it.
    async fn get(&self, wanted: Value) -> Result<Option<Message>, ReadError> {
        let connection = &self.connection;
        connection.check().map_err(unavailable)?;
        let subject = format!("$JS.API.DIRECT.GET.{}", connection.names.snapshot_stream());
        let asked = connection.client.request(subject, Bytes::from(wanted.to_string()));
        let answer = connection.bounded(asked).await.map_err(unavailable)?.map_err(unavailable)?;
        match answer.status.map(|status| status.as_u16()) {
            None | Some(200) => Ok(Some(answer)),
            Some(404) => Ok(None),
            Some(status) => Err(unavailable(Refused(status))),
        }
    }

    /// The snapshot of a message, if it is one and all of it is there.
    async fn understand(&self, message: &Message) -> Result<Option<ActorSnapshot>, ReadError> {
        let understood = match decode_kept(&message.payload, self.connection.formats.reads()) {
            Ok(Kept::Whole(snapshot)) => Ok(snapshot),
            Ok(Kept::Chunks(manifest)) => self.put_together(&manifest).await?,
            Err(fault) => Err(fault),
        };
        Ok(understood.inspect_err(|fault| tracing::debug!(%fault, "a snapshot is left out")).ok())
    }

    async fn put_together(&self, manifest: &ManifestB1) -> Result<Result<ActorSnapshot, WireFault>, ReadError> {
        let chunks: Vec<_> = manifest.chunks.iter().map(|at| self.get(json!({ "seq": at }))).collect();
        let chunks: Vec<_> = stream::iter(chunks).buffered(CHUNKS_AT_ONCE).try_collect().await?;
        let mut body = Vec::new();
        for chunk in chunks {
            let Some(chunk) = chunk else { return Ok(Err(WireFault::Envelope("one of its chunks is gone"))) };
            if let Err(fault) = append_chunk(&mut body, &chunk.payload, self.connection.formats.reads()) {
                return Ok(Err(fault));
            }
        }
        Ok(manifest.decode(&body))
    }
}

#[async_trait]
impl SnapshotStore for NatsSnapshotStore {
    async fn save(&self, actor: &ActorAddress, snapshot: &ActorSnapshot) -> Result<(), SaveError> {
        let (bytes, bytes_max) = (snapshot.bytes(), SNAPSHOT_BYTES_MAX);
        if bytes > bytes_max {
            return Err(SaveError::TooLarge { bytes, bytes_max });
        }
        let not_encoded = |fault: WireFault| SaveError::Unavailable { cause: fault.into() };
        let names = &self.connection.names;
        let body = snapshot_body(snapshot).map_err(not_encoded)?;
        let format = self.connection.formats.writes();
        let mut chunks = Vec::new();
        for (nth, part) in snapshot_chunks(&body).enumerate() {
            let part = encode_chunk(part, format).map_err(not_encoded)?;
            chunks.push(self.publish(names.snapshot_chunk_subject(actor, nth), part).await?);
        }
        let kept = encode_kept(&body, chunks, format).map_err(not_encoded)?;
        self.publish(names.snapshot_subject(actor), kept).await?;
        Ok(())
    }

    async fn load(&self, actor: &ActorAddress, up_to: Sequence) -> Result<Option<ActorSnapshot>, ReadError> {
        let subject = self.connection.names.snapshot_subject(actor);
        // The last one, and if that will not do the first one that is kept: there are two.
        for wanted in [json!({ "last_by_subj": subject }), json!({ "seq": 1, "next_by_subj": subject })] {
            let Some(message) = self.get(wanted).await? else { return Ok(None) };
            let understood = self.understand(&message).await?;
            if let Some(snapshot) = understood.filter(|snapshot| snapshot.at.sequence <= up_to) {
                return Ok(Some(snapshot));
            }
        }
        Ok(None)
    }
}
