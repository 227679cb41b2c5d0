//! The one place that publishes under compare-and-set and says what became of it: stored, conflict, unknown or
//! certainly not stored.
//!
//! The expectation goes into `Nats-Expected-Last-Subject-Sequence`, also when it is 0, and always speaks of the literal
//! subject that is published to. Nothing is resent here but what the server said it did not take because another write
//! on the subject was in its pipeline (10164): that one is safe, and on replicated streams it is common.

use std::time::Duration;

use aether_domain::ports::{AppendError, BoxError, WriteError};
use aether_domain::{Revision, Sequence};
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::ErrorCode;
use async_nats::{HeaderMap, HeaderValue, StatusCode};
use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use crate::acks::{Answered, Asker, Unanswered};
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

/// What JetStream answers to a publish.
#[derive(serde::Deserialize)]
struct Answer {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    error: Option<Refusal>,
}

/// Why the server says that it did not store a message.
#[derive(Debug, serde::Deserialize, thiserror::Error)]
#[error("{description} (error {err_code})")]
struct Refusal {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// Why a publish was answered without a word of its outcome.
#[derive(Debug, thiserror::Error)]
enum NoOutcome {
    /// Nobody listened on the subject: no stream, or one without a leader now.
    #[error("no stream takes messages on that subject now")]
    NobodyThere,
    #[error("an acknowledgement that cannot be read: {0}")]
    Unread(String),
}

/// Publishes `record` if `subject`'s last sequence is `expected`.
pub(crate) async fn publish(connection: &Connection, subject: &str, record: &Encoded, expected: u64) -> Outcome {
    let bytes_max = connection.client.max_payload();
    if record.payload.len() > bytes_max {
        return Outcome::TooLarge { bytes: record.payload.len(), bytes_max };
    }
    match attempt_once(connection, subject, record, expected).await {
        Attempt::Done(outcome) => outcome,
        // Rare, and large while it waits: apart from the future that every publish has.
        Attempt::InPipeline => Box::pin(publish_again(connection, subject, record, expected)).await,
    }
}

/// Publishes behind other writes on the subject that were in the server's pipeline.
async fn publish_again(connection: &Connection, subject: &str, record: &Encoded, expected: u64) -> Outcome {
    let mut pause = PIPELINE_PAUSE_MIN;
    for _ in 1..PIPELINE_ATTEMPTS_MAX {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PIPELINE_PAUSE_MAX);
        match attempt_once(connection, subject, record, expected).await {
            Attempt::InPipeline => {}
            Attempt::Done(outcome) => return outcome,
        }
    }
    Outcome::Conflict { actual: None }
}

/// What came of one attempt.
pub(crate) enum Attempt {
    /// This.
    Done(Outcome),
    /// Nothing was stored, because another write on the subject was under way.
    InPipeline,
}

async fn attempt_once(connection: &Connection, subject: &str, record: &Encoded, expected: u64) -> Attempt {
    let (asker, answer) = oneshot::channel();
    // Before the check: a loss between the two is then told as one while waiting.
    let place = connection.acks.place(Asker::Task(asker));
    if let Err(error) = connection.check() {
        place.give_back();
        return Attempt::Done(Outcome::Unavailable { cause: error.into() });
    }
    let send = || {
        let headers = headers(record, expected);
        let (subject, payload) = (subject.to_owned(), record.payload.clone());
        connection.client.publish_with_reply_and_headers(subject, place.subject(), headers, payload)
    };
    // There is room at once nearly always; what has to wait for it is large, so it is made apart.
    let sent = match send().now_or_never() {
        Some(sent) => sent.map_err(BoxError::from),
        None => match Box::pin(connection.bounded(send())).await {
            Ok(sent) => sent.map_err(BoxError::from),
            Err(silence) => Err(silence.into()),
        },
    };
    // Not handed to the connection, so it will never be sent.
    if let Err(cause) = sent {
        place.give_back();
        return Attempt::Done(Outcome::Unavailable { cause });
    }
    came_of(answer.await.unwrap_or(Err(Unanswered::Lost)))
}

/// What goes with a record that is stored if its subject's last sequence is `expected`.
pub(crate) fn headers(record: &Encoded, expected: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(expected));
    if let Some(checksum) = &record.checksum {
        headers.insert(CHECKSUM_HEADER, checksum.as_str());
    }
    headers
}

/// What the answer to an attempt, or that there is none, says of it.
pub(crate) fn came_of(answer: Answered) -> Attempt {
    match answer {
        Ok(message) if message.status == Some(StatusCode::NO_RESPONDERS) => {
            Attempt::Done(Outcome::Unavailable { cause: NoOutcome::NobodyThere.into() })
        }
        Ok(message) => judge(&message.payload),
        Err(silence) => Attempt::Done(Outcome::Unknown { cause: silence.into() }),
    }
}

fn judge(answer: &[u8]) -> Attempt {
    let unclear = |reason: String| Attempt::Done(Outcome::Unknown { cause: NoOutcome::Unread(reason).into() });
    let refusal = match serde_json::from_slice(answer) {
        Ok(Answer { error: Some(refusal), .. }) => refusal,
        Ok(Answer { seq: 0, .. }) => return unclear("it names no place".to_owned()),
        Ok(Answer { seq, .. }) => return Attempt::Done(Outcome::Stored(seq)),
        Err(fault) => return unclear(fault.to_string()),
    };
    match verdict(ErrorCode(refusal.err_code), &refusal.description) {
        Verdict::Conflict { actual } => Attempt::Done(Outcome::Conflict { actual }),
        Verdict::InPipeline => Attempt::InPipeline,
        Verdict::NotStored => Attempt::Done(Outcome::Unavailable { cause: refusal.into() }),
        Verdict::Unclear => Attempt::Done(Outcome::Unknown { cause: refusal.into() }),
    }
}

/// Where that answer says that a message is stored.
#[cfg(feature = "decoders")]
pub(crate) fn stored_at(answer: &[u8]) -> Option<u64> {
    match judge(answer) {
        Attempt::Done(Outcome::Stored(sequence)) => Some(sequence),
        Attempt::Done(_) | Attempt::InPipeline => None,
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
    fn an_answer_that_says_nothing_clear_is_never_taken_for_one_that_does() {
        let outcome = |answer: &str| match judge(answer.as_bytes()) {
            Attempt::Done(outcome) => format!("{outcome:?}"),
            Attempt::InPipeline => "in the pipeline".to_owned(),
        };
        assert_eq!(outcome(r#"{"stream":"S","seq":7,"duplicate":true}"#), "Stored(7)");
        let refused = |code: u64, text: &str| {
            outcome(&format!(
                r#"{{"error":{{"code":400,"err_code":{code},"description":"{text}"}},"stream":"","seq":0}}"#
            ))
        };
        assert_eq!(refused(10071, "wrong last sequence: 5"), "Conflict { actual: Some(5) }");
        assert_eq!(refused(10164, "wrong last sequence"), "in the pipeline");
        assert!(refused(10077, "maximum bytes exceeded").starts_with("Unavailable"));
        assert!(refused(10999, "something new").starts_with("Unknown"));
        for answer in ["", "{}", "null", r#"{"stream":"S"}"#, r#"{"stream":"S","seq":0}"#, "+OK", r#"{"error":{}}"#] {
            assert!(outcome(answer).starts_with("Unknown"), "{answer}");
        }
    }
}
