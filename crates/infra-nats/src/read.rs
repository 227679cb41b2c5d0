//! Single messages of a stream, answered by the stream's leader.
//!
//! A leader that was deposed and does not know it yet may still answer: what is read may be old, never invented.

use aether_domain::ports::{BoxError, ReadError};
use async_nats::jetstream::Context;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageError, RawMessageErrorKind, Stream};
use async_nats::{HeaderMap, HeaderValue};

use crate::connection::Connection;
use crate::wire::v1::CHECKSUM_HEADER;

/// Which message of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// The one at this sequence.
    At(u64),
    /// The last one of this subject.
    LastOf(&'a str),
    /// The first one of this subject that is not before this sequence.
    NextOf(&'a str, u64),
}

/// The message, if there is one.
pub(crate) async fn get(
    connection: &Connection,
    stream: &str,
    wanted: Wanted<'_>,
) -> Result<Option<StreamMessage>, ReadError> {
    connection.check().map_err(unavailable)?;
    get_over(&connection.js, stream, wanted).await
}

/// The same, for whoever has no more than JetStream.
pub(crate) async fn get_over(
    js: &Context,
    stream: &str,
    wanted: Wanted<'_>,
) -> Result<Option<StreamMessage>, ReadError> {
    let stream: Stream<()> = js.get_stream_no_info(stream).await.map_err(unavailable)?;
    let request = stream.raw_message_builder();
    let request = match wanted {
        Wanted::At(sequence) => request.sequence(sequence),
        Wanted::LastOf(subject) => request.last_by_subject(subject),
        Wanted::NextOf(subject, sequence) => request.sequence(sequence).next_by_subject(subject),
    };
    let answer: Result<StreamMessage, RawMessageError> = request.send().await;
    match answer {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(unavailable(error)),
    }
}

/// The checksum in a stored message's headers.
pub(crate) fn checksum_of(headers: Option<&HeaderMap>) -> Option<&str> {
    headers?.get(CHECKSUM_HEADER).map(HeaderValue::as_str)
}

pub(crate) fn unavailable(cause: impl Into<BoxError>) -> ReadError {
    ReadError::Unavailable { cause: cause.into() }
}
