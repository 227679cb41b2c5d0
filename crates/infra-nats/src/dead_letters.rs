//! Commands that were given up: one message a letter, under the subject of its actor.

use aether_domain::Sequence;
use aether_domain::ports::{BoxError, DeadLetters, ReadError, SaveError};
use aether_domain::records::{DeadLetter, StoredLetter};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{DeleteMessageErrorKind, Stream};
use async_trait::async_trait;

use crate::connection::Connection;
use crate::read::{self, Wanted, checksum_of};
use crate::wire::v1::{CHECKSUM_HEADER, WireFault};
use crate::wire::{decode_letter, encode_letter};

/// [`DeadLetters`] on JetStream.
#[derive(Clone, Debug)]
pub(crate) struct NatsDeadLetters {
    connection: Connection,
}

impl NatsDeadLetters {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

#[async_trait]
impl DeadLetters for NatsDeadLetters {
    async fn keep(&self, letter: &DeadLetter) -> Result<(), SaveError> {
        let encoded = encode_letter(letter, self.connection.formats.writes()).map_err(|fault| match fault {
            WireFault::TooLarge { bytes, bytes_max } => SaveError::TooLarge { bytes, bytes_max },
            fault => unavailable(fault),
        })?;
        self.connection.check().map_err(unavailable)?;
        let subject = self.connection.names.dead_letter_subject(&letter.actor);
        let mut message = PublishMessage::build().payload(encoded.payload);
        if let Some(checksum) = encoded.checksum {
            message = message.header(CHECKSUM_HEADER, checksum);
        }
        let acknowledgement = self.connection.js.send_publish(subject, message).await.map_err(unavailable)?;
        acknowledgement.await.map_err(unavailable)?;
        Ok(())
    }

    async fn read(&self, after: Sequence, limit: usize) -> Result<Vec<StoredLetter>, ReadError> {
        let (stream, subjects) =
            (self.connection.names.dead_letter_stream(), self.connection.names.dead_letter_subjects());
        let (mut letters, mut next) = (Vec::new(), after.0 + 1);
        while letters.len() < limit {
            let Some(message) = read::get(&self.connection, &stream, Wanted::NextOf(&subjects, next)).await? else {
                break;
            };
            let sequence = message.sequence;
            let header = checksum_of(Some(&message.headers));
            match decode_letter(&message.payload, header, self.connection.formats.reads()) {
                Ok(letter) => letters.push(StoredLetter { letter, sequence: Sequence(sequence) }),
                Err(fault) if letters.is_empty() => {
                    return Err(ReadError::Corrupt { sequence, reason: fault.to_string() });
                }
                Err(_) => break,
            }
            next = sequence + 1;
        }
        Ok(letters)
    }

    async fn forget(&self, sequence: Sequence) -> Result<(), SaveError> {
        self.connection.check().map_err(unavailable)?;
        let name = self.connection.names.dead_letter_stream();
        let stream: Stream<()> = self.connection.js.get_stream_no_info(name).await.map_err(unavailable)?;
        match stream.delete_message(sequence.0).await {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), DeleteMessageErrorKind::JetStream(ref fault) if is_gone(fault)) => {
                Ok(())
            }
            Err(error) => Err(unavailable(error)),
        }
    }
}

/// Whether the server says that there is no such message, in one of its ways.
fn is_gone(fault: &async_nats::jetstream::Error) -> bool {
    const MESSAGE_NOT_FOUND: ErrorCode = ErrorCode(10057);
    let gone = [ErrorCode::NO_MESSAGE_FOUND, ErrorCode::SEQUENCE_NOT_FOUND, MESSAGE_NOT_FOUND];
    gone.contains(&fault.error_code()) || fault.to_string().contains("no message found")
}

fn unavailable(cause: impl Into<BoxError>) -> SaveError {
    SaveError::Unavailable { cause: cause.into() }
}
