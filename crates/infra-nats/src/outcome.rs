//! The one place that publishes under compare-and-set and says what became of it: stored, conflict, unknown or
//! certainly not stored.
//!
//! The expectation goes into `Nats-Expected-Last-Subject-Sequence`, also when it is 0, and always speaks of the literal
//! subject that is published to. Nothing is resent here but what the server said it did not take because another write
//! on the subject was in its pipeline (10164): that one is safe, and on replicated streams it is common.

use std::error::Error as _;
use std::time::Duration;

use aether_domain::ports::{AppendError, BoxError, WriteError};
use aether_domain::{Revision, Sequence};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;

use crate::connection::Connection;
use crate::wire::v1::{CHECKSUM_HEADER, Encoded};

/// The first pause before a publish is repeated behind another one in the pipeline.
const PIPELINE_PAUSE_MIN: Duration = Duration::from_micros(500);

/// The longest such pause.
const PIPELINE_PAUSE_MAX: Duration = Duration::from_millis(8);

/// How often a publish is tried before a pipeline that stays busy counts as a conflict: after about 100 ms.
const PIPELINE_ATTEMPTS_MAX: usize = 16;

/// What became of a conditional publish.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Stored, at this sequence.
    Stored(u64),
    /// Not stored: the subject's last sequence is another one, named where the server named it.
    Conflict { actual: Option<u64> },
    /// Stored now, later or never.
    Unknown { cause: BoxError },
    /// Not stored.
    Unavailable { cause: BoxError },
    /// Not stored: more than the server takes in one message.
    TooLarge { bytes: usize, bytes_max: usize },
}

/// The connection was lost while an answer was awaited.
#[derive(Debug, thiserror::Error)]
#[error("connection to NATS lost before the acknowledgement came")]
struct LostInFlight;

/// Publishes `record` if `subject`'s last sequence is `expected`.
pub(crate) async fn publish(connection: &Connection, subject: &str, record: &Encoded, expected: u64) -> Outcome {
    let bytes_max = connection.client.max_payload();
    if record.payload.len() > bytes_max {
        return Outcome::TooLarge { bytes: record.payload.len(), bytes_max };
    }
    let mut pause = PIPELINE_PAUSE_MIN;
    for attempt in 1..=PIPELINE_ATTEMPTS_MAX {
        match attempt_once(connection, subject, record, expected).await {
            Attempt::InPipeline if attempt < PIPELINE_ATTEMPTS_MAX => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PIPELINE_PAUSE_MAX);
            }
            Attempt::InPipeline => break,
            Attempt::Done(outcome) => return outcome,
        }
    }
    Outcome::Conflict { actual: None }
}

enum Attempt {
    Done(Outcome),
    InPipeline,
}

async fn attempt_once(connection: &Connection, subject: &str, record: &Encoded, expected: u64) -> Attempt {
    // Before the check: a loss between the two is then seen as one while waiting.
    let mut losses = connection.losses();
    if let Err(error) = connection.check() {
        return Attempt::Done(Outcome::Unavailable { cause: error.into() });
    }
    let mut message = PublishMessage::build().payload(record.payload.clone()).expected_last_subject_sequence(expected);
    if let Some(checksum) = &record.checksum {
        message = message.header(CHECKSUM_HEADER, checksum.as_str());
    }
    let acknowledgement = match connection.js.send_publish(subject.to_owned(), message).await {
        Ok(acknowledgement) => acknowledgement.into_future(),
        // Not handed to the connection, so it will never be sent.
        Err(error) => return Attempt::Done(Outcome::Unavailable { cause: error.into() }),
    };
    tokio::select! {
        biased;
        answer = acknowledgement => match answer {
            Ok(stored) => Attempt::Done(Outcome::Stored(stored.sequence)),
            Err(error) => judge(error),
        },
        _ = losses.changed() => Attempt::Done(Outcome::Unknown { cause: LostInFlight.into() }),
    }
}

fn judge(error: PublishError) -> Attempt {
    if error.kind() == PublishErrorKind::StreamNotFound {
        // Nobody listened on the subject: no stream, or one without a leader now.
        return Attempt::Done(Outcome::Unavailable { cause: error.into() });
    }
    let answer = error.source().and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
    let Some(answer) = answer else {
        return Attempt::Done(Outcome::Unknown { cause: error.into() });
    };
    match verdict(answer.error_code(), &answer.to_string()) {
        Verdict::Conflict { actual } => Attempt::Done(Outcome::Conflict { actual }),
        Verdict::InPipeline => Attempt::InPipeline,
        Verdict::NotStored => Attempt::Done(Outcome::Unavailable { cause: error.into() }),
        Verdict::Unclear => Attempt::Done(Outcome::Unknown { cause: error.into() }),
    }
}

/// What the server's own answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Conflict { actual: Option<u64> },
    InPipeline,
    NotStored,
    Unclear,
}

fn verdict(code: ErrorCode, text: &str) -> Verdict {
    const FULL: u64 = 10077; // "maximum bytes exceeded" and the like, but also failures while storing
    const REFUSED_BEFORE_STORING: [u64; 10] = [
        10002, // account's resources exceeded
        10008, // JetStream temporarily unavailable
        10009, // not the leader
        10023, // insufficient resources
        10028, // memory exceeded
        10039, // JetStream not enabled for the account
        10047, // storage exceeded
        10054, // message larger than the stream takes
        10076, // JetStream not enabled
        10109, // stream sealed
    ];
    match code {
        ErrorCode::STREAM_WRONG_LAST_SEQUENCE => Verdict::Conflict { actual: named_sequence(text) },
        ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => Verdict::InPipeline,
        ErrorCode(FULL) if text.contains("maximum") => Verdict::NotStored,
        ErrorCode(code) if REFUSED_BEFORE_STORING.contains(&code) => Verdict::NotStored,
        ErrorCode(_) => Verdict::Unclear,
    }
}

/// The number in "wrong last sequence: 5".
fn named_sequence(text: &str) -> Option<u64> {
    let (_, behind) = text.split_once("wrong last sequence: ")?;
    let digits = behind.find(|c: char| !c.is_ascii_digit()).map_or(behind, |end| &behind[..end]);
    digits.parse().ok()
}

impl Outcome {
    /// As the control store says it.
    pub(crate) fn written(self) -> Result<Revision, WriteError> {
        match self {
            Self::Stored(sequence) => Ok(Revision(sequence)),
            Self::Conflict { actual } => Err(WriteError::Conflict { actual: actual.map(Revision) }),
            Self::Unknown { cause } => Err(WriteError::Unknown { cause }),
            Self::Unavailable { cause } => Err(WriteError::Unavailable { cause }),
            Self::TooLarge { bytes, bytes_max } => {
                let cause = format!("a record of {bytes} bytes exceeds the server's bound of {bytes_max}").into();
                Err(WriteError::Unavailable { cause })
            }
        }
    }

    /// As the log and the histories say it.
    pub(crate) fn appended(self, expected: Sequence) -> Result<Sequence, AppendError> {
        match self {
            Self::Stored(sequence) => Ok(Sequence(sequence)),
            Self::Conflict { actual } => Err(AppendError::Conflict { expected, actual: actual.map(Sequence) }),
            Self::Unknown { cause } => Err(AppendError::Unknown { cause }),
            Self::Unavailable { cause } => Err(AppendError::Unavailable { cause }),
            Self::TooLarge { bytes, bytes_max } => Err(AppendError::TooLarge { bytes, bytes_max }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_of_the_server_has_its_meaning() {
        for (code, text, expected) in [
            (10071, "wrong last sequence: 17 (code 400, error code 10071)", Verdict::Conflict { actual: Some(17) }),
            (10071, "wrong last sequence: 0", Verdict::Conflict { actual: Some(0) }),
            (10071, "wrong last sequence", Verdict::Conflict { actual: None }),
            (10164, "wrong last sequence", Verdict::InPipeline),
            (10077, "maximum bytes exceeded", Verdict::NotStored),
            (10077, "maximum messages exceeded", Verdict::NotStored),
            (10077, "write error: no space left on device", Verdict::Unclear),
            (10047, "insufficient storage resources available", Verdict::NotStored),
            (10008, "JetStream system temporarily unavailable", Verdict::NotStored),
            (10999, "something new", Verdict::Unclear),
        ] {
            assert_eq!(verdict(ErrorCode(code), text), expected, "{code} {text}");
        }
    }

    #[test]
    fn silence_is_never_a_conflict() {
        for kind in [PublishErrorKind::TimedOut, PublishErrorKind::BrokenPipe, PublishErrorKind::Other] {
            assert!(matches!(judge(PublishError::new(kind)), Attempt::Done(Outcome::Unknown { .. })), "{kind}");
        }
        let nobody = judge(PublishError::new(PublishErrorKind::StreamNotFound));
        assert!(matches!(nobody, Attempt::Done(Outcome::Unavailable { .. })));
    }
}
