//! Commands that were given up, as a page and as lines of the program.
//!
//! What a command says is shown to whoever has the operators' token, and to the program, which reads the store itself.

use std::sync::Arc;

use aether_domain::ports::{DeadLetters, ReadError};
use aether_domain::records::StoredLetter;
use aether_domain::{MessageId, Sequence};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use axum::response::{IntoResponse as _, Json, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pages::{Refused, picture};
use super::picture::Source;
use super::writes::Token;

/// The most letters on one page.
pub const LETTERS_MAX: usize = 100;
/// How many bytes of commands end a page before that; it may have the rest of one reading more.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// How many are read at once: together at most as many bytes as end a page.
const READ_AT_ONCE: usize = 8;

/// `GET /v1/dead-letters`: letters behind a number, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LettersView {
    /// The last entry this node has applied.
    pub epoch: u64,
    /// At most [`LETTERS_MAX`], and about 4 MiB of commands.
    pub letters: Vec<LetterView>,
    /// What to ask for next, as `?after=` this; nothing if there were no more.
    pub next: Option<u64>,
}

/// One letter, or that it cannot be understood.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "nearly all can be understood, and there are at most a hundred")]
pub enum LetterView {
    /// A command that was given up.
    Readable {
        /// Its number.
        letter: u64,
        /// Whom the command was for.
        kind: String,
        /// The same.
        id: String,
        /// The command's stable name.
        command: String,
        /// What it says, if it is kept as JSON and may be shown.
        payload: Option<Value>,
        /// How many bytes of it are kept; nothing if it was too large for that.
        payload_bytes: Option<usize>,
        /// The application's own name for it, in hex.
        message_id: Option<String>,
        /// Its identity.
        command_id: String,
        /// Why it was given up, for people.
        reason: String,
        /// Whether it may be in the history all the same.
        maybe_applied: bool,
        /// Who gave it up.
        by: String,
        /// When, by that node's wall clock, in milliseconds since 1970.
        at_ms: u64,
    },
    /// Bytes that this build cannot read.
    Corrupt {
        /// Its number.
        letter: u64,
        /// What is wrong with it.
        corrupt: String,
    },
}

impl LetterView {
    /// The letter as it is shown to whoever may read its command.
    pub fn of(StoredLetter { letter, sequence }: &StoredLetter) -> Self {
        let payload = letter.payload.as_deref();
        Self::Readable {
            letter: sequence.0,
            kind: letter.actor.key.kind.as_str().to_owned(),
            id: letter.actor.key.id.as_str().to_owned(),
            command: letter.command.clone(),
            payload: payload.and_then(|bytes| serde_json::from_slice(bytes).ok()),
            payload_bytes: payload.map(<[u8]>::len),
            message_id: letter.message.map(|MessageId(id)| format!("{id:032x}")),
            command_id: letter.id.to_string(),
            reason: letter.reason.clone(),
            maybe_applied: letter.maybe_applied,
            by: letter.by.to_string(),
            at_ms: letter.at.unix_millis,
        }
    }

    /// The same for everybody else.
    #[must_use]
    pub fn without_payload(mut self) -> Self {
        if let Self::Readable { payload, .. } = &mut self {
            *payload = None;
        }
        self
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Readable { payload_bytes, .. } => payload_bytes.unwrap_or_default(),
            Self::Corrupt { .. } => 0,
        }
    }
}

/// The letters behind `after`, up to `limit` and about [`PAGE_BYTES`] of commands; and behind which the next are, unless
/// these were the last.
///
/// # Errors
/// The store does not answer.
pub(crate) async fn read(
    letters: &dyn DeadLetters,
    mut after: u64,
    limit: usize,
) -> Result<(Vec<LetterView>, Option<u64>), ReadError> {
    let (mut page, mut bytes) = (Vec::new(), 0);
    while page.len() < limit && bytes < PAGE_BYTES {
        match letters.read(Sequence(after), READ_AT_ONCE.min(limit - page.len())).await {
            Ok(read) => {
                let Some(last) = read.last() else { return Ok((page, None)) };
                after = last.sequence.0;
                let read: Vec<_> = read.iter().map(LetterView::of).collect();
                bytes += read.iter().map(LetterView::bytes).sum::<usize>();
                page.extend(read);
            }
            Err(ReadError::Corrupt { sequence, reason }) => {
                after = sequence;
                page.push(LetterView::Corrupt { letter: sequence, corrupt: reason });
            }
            Err(error @ ReadError::Unavailable { .. }) => return Err(error),
        }
    }
    Ok((page, Some(after)))
}

#[derive(Clone)]
struct Letters {
    source: Arc<dyn Source>,
    token: Token,
}

/// The page; with a token, what commands say is on it for whoever has that.
pub(super) fn router(source: Arc<dyn Source>, token: Token) -> Router {
    Router::new().route("/v1/dead-letters", get(page)).with_state(Letters { source, token })
}

#[derive(Deserialize)]
struct Asked {
    after: Option<u64>,
    limit: Option<usize>,
}

async fn page(
    State(Letters { source, token }): State<Letters>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let epoch = picture(&source)?.topology.epoch().0;
    let starting = || Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the node is starting", "ask again in a moment");
    let store = source.dead_letters().ok_or_else(starting)?;
    let limit = asked.limit.unwrap_or(LETTERS_MAX).min(LETTERS_MAX);
    let (mut letters, next) = read(&*store, asked.after.unwrap_or_default(), limit).await.map_err(|error| {
        let error = format!("the letters cannot be read: {error}");
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, error, "ask again once NATS answers")
    })?;
    if !token.is_told(&headers) {
        letters = letters.into_iter().map(LetterView::without_payload).collect();
    }
    Ok(Json(LettersView { epoch, letters, next }).into_response())
}

#[cfg(test)]
mod tests {
    use aether_domain::ports::SaveError;
    use aether_domain::records::{DeadLetter, PayloadCodec};
    use aether_domain::testing::life;
    use aether_domain::{ActorAddress, ActorId, ActorKey, ActorKind, CommandId, Incarnation, Slot, WallTime};
    use async_trait::async_trait;
    use bytes::Bytes;

    use super::*;

    fn letter(payload: &[u8]) -> DeadLetter {
        let key = ActorKey { kind: ActorKind::new("account").expect("a kind"), id: ActorId::new("7").expect("an id") };
        DeadLetter {
            actor: ActorAddress { key, slot: Slot(1) },
            command: "withdraw".into(),
            id: CommandId { origin: Incarnation(3), sequence: 9 },
            message: None,
            codec: PayloadCodec::Json,
            payload: Some(Bytes::copy_from_slice(payload)),
            reason: "boom".into(),
            maybe_applied: false,
            by: life("a", 1),
            at: WallTime { unix_millis: 5 },
        }
    }

    /// Letters numbered from 1; in the place of one that cannot be read, nothing.
    struct Shelf(Vec<Option<DeadLetter>>);

    #[async_trait]
    impl DeadLetters for Shelf {
        async fn keep(&self, _: &DeadLetter) -> Result<(), SaveError> {
            unreachable!("it is only read")
        }
        async fn read(&self, after: Sequence, limit: usize) -> Result<Vec<StoredLetter>, ReadError> {
            let behind = (1..).zip(&self.0).skip(after.0 as usize);
            let readable = behind.map_while(|(nth, letter)| letter.clone().map(|letter| (nth, letter)));
            let read: Vec<_> =
                readable.take(limit).map(|(nth, letter)| StoredLetter { letter, sequence: Sequence(nth) }).collect();
            let corrupt = read.is_empty() && (after.0 as usize) < self.0.len();
            let error = || ReadError::Corrupt { sequence: after.0 + 1, reason: "no letter".into() };
            if corrupt { Err(error()) } else { Ok(read) }
        }
        async fn forget(&self, _: Sequence) -> Result<(), SaveError> {
            unreachable!("it is only read")
        }
    }

    #[tokio::test]
    async fn whoever_goes_on_behind_each_page_has_every_letter_once_those_that_cannot_be_read_too() {
        let shelf: Vec<_> = (1..=30).map(|nth| (nth % 7 != 0).then(|| letter(b"{}"))).collect();
        let all = shelf.len();
        let shelf = Shelf(shelf);
        for limit in [1, 3, 10, 29, 30, 31, LETTERS_MAX] {
            let (mut after, mut numbers, mut corrupt) = (0, Vec::new(), 0);
            loop {
                let (page, next) = read(&shelf, after, limit).await.expect("it answers");
                assert!(page.len() <= limit, "{limit}");
                for letter in page {
                    match letter {
                        LetterView::Readable { letter, .. } => numbers.push(letter),
                        LetterView::Corrupt { letter, .. } => (numbers.push(letter), corrupt += 1).0,
                    }
                }
                let Some(next) = next else { break };
                after = next;
            }
            assert_eq!((numbers, corrupt), ((1..=all as u64).collect(), 4), "{limit}");
        }
    }

    #[tokio::test]
    async fn a_page_of_large_commands_ends_early_and_says_where_to_go_on() {
        let large = letter(&vec![b' '; DeadLetter::PAYLOAD_BYTES_MAX]);
        let shelf = Shelf(vec![Some(large); 40]);
        let (page, next) = read(&shelf, 0, LETTERS_MAX).await.expect("it answers");
        let bytes: usize = page.iter().map(LetterView::bytes).sum();
        assert!(bytes < 2 * PAGE_BYTES, "{bytes}");
        assert_eq!(next, Some(page.len() as u64));
    }
}
