//! Actor histories: one subject an actor in a stream they share.
//!
//! Loading reads in batches from any replica, which is several times faster than anything else for a short history; a
//! stale answer is harmless, because the next append compares-and-sets. `read_fresh` asks the leader, message by message,
//! and reads in batches only what the leader has said is followed by more: how fresh a history is, is a matter of its end.

use std::sync::{Arc, Weak};

use aether_domain::ports::{AppendError, BeginAppend, BoxError, EventStore, OnAppended, ReadError};
use aether_domain::records::{CommitRecord, Format, Position, StoredCommit};
use aether_domain::{ActorAddress, Sequence};
use async_nats::{HeaderMap, Message, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;

use crate::acks::{Answered, Asker};
use crate::connection::{Connection, NotConnected};
use crate::outbox::{self, Publish};
use crate::outcome::{self, Attempt};
use crate::read::{self, Wanted, checksum_of};
use crate::topology_log::not_encoded;
use crate::wire::v1::payload_hash;
use crate::wire::{decode_commit, encode_commit};

/// How many commits one batch asks for. There is no flow control: a batch must fit into a subscription's queue.
const BATCH_MESSAGES_MAX: usize = 512;

/// How many bytes one batch asks for; one commit comes whatever its size.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How many commits in a row are asked of the leader before batches are: a round trip each, and a batch costs two.
const LEADER_GETS_MAX: usize = 4;

/// [`EventStore`] on a JetStream stream.
#[derive(Clone, Debug)]
pub(crate) struct NatsEventStore {
    connection: Arc<Connection>,
}

/// An append that was published once and waits for its answer, or could not be.
#[derive(Debug)]
pub(crate) struct BegunAppend {
    /// The connection owns this while the answer is awaited.
    connection: Weak<Connection>,
    actor: ActorAddress,
    record: Arc<CommitRecord>,
    after: Sequence,
    /// Of the record as it was published.
    hash: u64,
    told: OnAppended,
}

impl BegunAppend {
    /// The answer to what was published.
    pub(crate) fn hear(self, answer: Answered) {
        match outcome::came_of(answer) {
            Attempt::Done(outcome) => {
                let (after, hash) = (self.after, self.hash);
                self.told.tell(outcome.appended(after).map(|sequence| Position { sequence, hash }));
            }
            Attempt::InPipeline => self.begin_anew(),
        }
    }

    /// Nothing is stored: it is appended by a task, which can wait.
    pub(crate) fn begin_anew(self) {
        let Self { connection, actor, record, after, told, .. } = self;
        if let Some(connection) = connection.upgrade() {
            let store = NatsEventStore { connection };
            tokio::spawn(async move { told.tell(store.append(&actor, &record, after).await) });
        }
    }
}

/// A stored message, not yet understood.
struct Stored {
    sequence: u64,
    headers: Option<HeaderMap>,
    payload: Bytes,
}

/// A batch that cannot be used; the leader may do better.
#[derive(Debug, thiserror::Error)]
#[error("batch of stored commits: {0}")]
struct BadBatch(&'static str);

impl Stored {
    fn decode(self, reads: Format) -> Result<StoredCommit, ReadError> {
        let Self { sequence, headers, payload } = self;
        decode(sequence, headers.as_ref(), &payload, reads).map_err(|reason| ReadError::Corrupt { sequence, reason })
    }
}

/// The commit that is stored at `sequence`.
pub(crate) fn decode(
    sequence: u64,
    headers: Option<&HeaderMap>,
    payload: &[u8],
    reads: Format,
) -> Result<StoredCommit, String> {
    let record = decode_commit(payload, checksum_of(headers), reads).map_err(|fault| fault.to_string())?;
    let at = Position { sequence: Sequence(sequence), hash: payload_hash(payload) };
    Ok(StoredCommit { record, at })
}

impl NatsEventStore {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection: Arc::new(connection) }
    }

    fn stream_of(&self, actor: &ActorAddress) -> String {
        self.connection.names.event_stream(actor.slot.0 >> 12)
    }

    /// Everything behind `after`, as some replica has it.
    async fn batches(&self, actor: &ActorAddress, after: u64) -> Result<Vec<Stored>, BoxError> {
        let connection = &self.connection;
        let subject = connection.names.event_subject(actor);
        let request = format!("$JS.API.DIRECT.GET.{}", self.stream_of(actor));
        let inbox = connection.client.new_inbox();
        connection.check()?;
        let mut answers = connection.bounded(connection.client.subscribe(inbox.clone())).await??;
        let mut stored: Vec<Stored> = Vec::new();
        loop {
            let last = stored.last().map_or(after, |stored| stored.sequence);
            let batch = json!({
                "batch": BATCH_MESSAGES_MAX,
                "max_bytes": BATCH_BYTES_MAX,
                "seq": last + 1,
                "next_by_subj": subject,
            });
            let body = Bytes::from(batch.to_string());
            let asked = connection.client.publish_with_reply(request.clone(), inbox.clone(), body);
            connection.bounded(asked).await??;
            if !self.batch(&mut answers, &mut stored).await? {
                return Ok(stored);
            }
            if stored.last().is_none_or(|stored| stored.sequence == last) {
                return Err(BadBatch("empty before the end").into());
            }
        }
    }

    /// Adds what the leader has behind these commits, message by message; answers whether that was all.
    async fn ask_leader(
        &self,
        actor: &ActorAddress,
        after: Sequence,
        commits: &mut Vec<StoredCommit>,
        gets_max: usize,
    ) -> Result<bool, ReadError> {
        let (stream, subject) = (self.stream_of(actor), self.connection.names.event_subject(actor));
        for _ in 0..gets_max {
            let wanted = Wanted::NextOf(&subject, end(commits, after) + 1);
            let Some(message) = read::get(&self.connection, &stream, wanted).await? else { return Ok(true) };
            let (sequence, headers, payload) = (message.sequence, Some(message.headers), message.payload);
            commits.push(Stored { sequence, headers, payload }.decode(self.connection.formats.reads())?);
        }
        Ok(false)
    }

    /// Takes one batch; answers whether there is more behind it.
    async fn batch(&self, answers: &mut Subscriber, stored: &mut Vec<Stored>) -> Result<bool, BoxError> {
        let mut chain = Chain::default();
        loop {
            let answer = self.connection.bounded(answers.next()).await?.ok_or(NotConnected)?;
            match chain.take(answer)? {
                Part::Commit(commit) => stored.push(commit),
                Part::End { more } => return Ok(more),
            }
        }
    }
}

/// One answer of a batch.
enum Part {
    Commit(Stored),
    End { more: bool },
}

/// A batch so far. The server names in each answer, the last included, which one it sent before, and 0 in the first: so
/// a lost part is noticed wherever it was.
#[derive(Default)]
struct Chain {
    previous: u64,
}

impl Chain {
    fn take(&mut self, answer: Message) -> Result<Part, BadBatch> {
        match answer.status.map(|status| status.as_u16()) {
            None | Some(200) => {
                let sequence = number(&answer, "Nats-Sequence").ok_or(BadBatch("a commit without its sequence"))?;
                self.follows(&answer)?;
                self.previous = sequence;
                Ok(Part::Commit(Stored { sequence, headers: answer.headers, payload: answer.payload }))
            }
            Some(204) => {
                self.follows(&answer)?;
                Ok(Part::End { more: number(&answer, "Nats-Num-Pending").unwrap_or(0) > 0 })
            }
            // There is nothing to send, which is only ever the whole answer.
            Some(404) if self.previous == 0 => Ok(Part::End { more: false }),
            Some(503) => Err(BadBatch("no replica answers")),
            Some(_) => Err(BadBatch("refused")),
        }
    }

    fn follows(&self, answer: &Message) -> Result<(), BadBatch> {
        if number(answer, "Nats-Last-Sequence") == Some(self.previous) {
            Ok(())
        } else {
            Err(BadBatch("a part was lost"))
        }
    }
}

/// The sequences in these answers to one batch and whether there is more, or what is wrong with them.
#[cfg(any(test, feature = "decoders"))]
pub(crate) fn batch_of(answers: impl IntoIterator<Item = Message>) -> Result<(Vec<u64>, bool), &'static str> {
    let (mut chain, mut sequences) = (Chain::default(), Vec::new());
    for answer in answers {
        match chain.take(answer).map_err(|bad| bad.0)? {
            Part::Commit(stored) => sequences.push(stored.sequence),
            Part::End { more } => return Ok((sequences, more)),
        }
    }
    Err("no end")
}

/// Takes over what some replica has, as far as it can be read and each commit follows the one before; answers whether that
/// was all. A replica's damage convicts nobody: what is left out is for the leader to say.
fn take_sound(stored: Vec<Stored>, after: Sequence, commits: &mut Vec<StoredCommit>, reads: Format) -> bool {
    for stored in stored {
        match stored.decode(reads) {
            Ok(commit) if commit.record.prev_sequence.0 == end(commits, after) => commits.push(commit),
            _ => return false,
        }
    }
    true
}

/// The sequence of the last of these commits, which are behind `after`.
fn end(commits: &[StoredCommit], after: Sequence) -> u64 {
    commits.last().map_or(after, |commit| commit.at.sequence).0
}

fn number(answer: &Message, header: &str) -> Option<u64> {
    answer.headers.as_ref()?.get(header)?.as_str().parse().ok()
}

#[async_trait]
impl EventStore for NatsEventStore {
    async fn append(
        &self,
        actor: &ActorAddress,
        record: &CommitRecord,
        after: Sequence,
    ) -> Result<Position, AppendError> {
        let encoded = encode_commit(record, self.connection.formats.writes()).map_err(not_encoded)?;
        let subject = self.connection.names.event_subject(actor);
        let outcome = outcome::publish(&self.connection, &subject, &encoded, after.0).await;
        let sequence = outcome.appended(after)?;
        Ok(Position { sequence, hash: payload_hash(&encoded.payload) })
    }

    fn begins(&self) -> Option<&dyn BeginAppend> {
        Some(self)
    }

    async fn read(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        match self.batches(actor, after.0).await {
            Ok(stored) => {
                let reads = self.connection.formats.reads();
                stored.into_iter().map(|stored| stored.decode(reads)).collect()
            }
            Err(error) => {
                tracing::debug!(%error, "reading a history from the leader instead");
                self.read_fresh(actor, after).await
            }
        }
    }

    async fn read_fresh(&self, actor: &ActorAddress, after: Sequence) -> Result<Vec<StoredCommit>, ReadError> {
        let (mut commits, mut batched, reads) = (Vec::new(), true, self.connection.formats.reads());
        loop {
            let gets_max = if batched { LEADER_GETS_MAX } else { usize::MAX };
            if self.ask_leader(actor, after, &mut commits, gets_max).await? {
                return Ok(commits);
            }
            // The leader has more: most of it is old, and any replica has that. Then the leader says what is behind it.
            match self.batches(actor, end(&commits, after)).await {
                Ok(stored) => batched = !stored.is_empty() && take_sound(stored, after, &mut commits, reads),
                Err(error) => {
                    tracing::debug!(%error, "reading the rest of a history from the leader");
                    batched = false;
                }
            }
        }
    }
}

impl BeginAppend for NatsEventStore {
    fn begin(&self, actor: ActorAddress, record: Arc<CommitRecord>, after: Sequence, told: OnAppended) {
        let connection = &self.connection;
        let encoded = match encode_commit(&record, connection.formats.writes()) {
            Ok(encoded) => encoded,
            Err(fault) => return told.tell(Err(not_encoded(fault))),
        };
        let (subject, hash) = (connection.names.event_subject(&actor), payload_hash(&encoded.payload));
        let begun = BegunAppend { connection: Arc::downgrade(connection), actor, record, after, hash, told };
        if encoded.payload.len() > connection.client.max_payload() {
            return begun.begin_anew();
        }
        // Before it is seen whether the connection is up: a loss between the two is then told as one while waiting.
        let number = connection.acks.place(Asker::Append(Box::new(begun))).number();
        outbox::leave(connection, Publish { subject, record: encoded, expected: after.0, number });
    }
}

#[cfg(test)]
mod tests {
    use async_nats::StatusCode;

    use super::*;

    /// An answer as the server makes it: its status, and what its headers say.
    fn answer(status: u16, numbers: &[(&'static str, u64)]) -> Message {
        let mut headers = HeaderMap::new();
        for (header, number) in numbers {
            headers.insert(*header, number.to_string());
        }
        Message {
            subject: "_INBOX.1".into(),
            reply: None,
            payload: Bytes::new(),
            headers: Some(headers),
            status: (status != 200).then(|| StatusCode::from_u16(status).expect("a status")),
            description: None,
            length: 0,
        }
    }

    fn commit(sequence: u64, previous: u64) -> Message {
        answer(200, &[("Nats-Sequence", sequence), ("Nats-Last-Sequence", previous)])
    }

    fn end(pending: u64, previous: u64) -> Message {
        answer(204, &[("Nats-Num-Pending", pending), ("Nats-Last-Sequence", previous)])
    }

    /// A commit as it is stored at `sequence`, behind the one at `previous`.
    fn stored(sequence: u64, previous: u64) -> Stored {
        let record = CommitRecord {
            shard_epoch: aether_domain::Epoch(1),
            owner: aether_domain::Incarnation(1),
            nonce: aether_domain::Nonce(sequence),
            base: aether_domain::Version(0),
            prev_sequence: Sequence(previous),
            prev_hash: 0,
            at: aether_domain::WallTime::default(),
            codec: aether_domain::records::PayloadCodec::Binary,
            commands: Vec::new(),
            events: Vec::new(),
            timers: Vec::new(),
        };
        let payload = encode_commit(&record, Format::FIRST).expect("it is small").payload;
        Stored { sequence, headers: None, payload }
    }

    #[test]
    fn what_a_damaged_replica_has_is_taken_over_only_as_far_as_it_is_sound() {
        let check = |batch: Vec<Stored>| {
            let mut commits = Vec::new();
            let all = take_sound(batch, Sequence(2), &mut commits, Format::FIRST);
            (commits.iter().map(|commit| commit.at.sequence.0).collect::<Vec<_>>(), all)
        };
        assert_eq!(check(vec![stored(5, 2), stored(9, 5)]), (vec![5, 9], true));
        assert_eq!(check(vec![stored(5, 2), stored(11, 9)]), (vec![5], false), "one is missing");
        assert_eq!(check(vec![stored(9, 5)]), (vec![], false), "the first is missing");
        let torn = Stored { payload: Bytes::from_static(b"AE torn"), ..stored(9, 5) };
        assert_eq!(check(vec![stored(5, 2), torn, stored(12, 9)]), (vec![5], false));
    }

    #[test]
    fn a_batch_that_lost_any_part_is_not_believed() {
        assert_eq!(batch_of(vec![commit(3, 0), commit(7, 3), commit(9, 7), end(2, 9)]), Ok((vec![3, 7, 9], true)));
        assert_eq!(batch_of(vec![commit(3, 0), end(0, 3)]), Ok((vec![3], false)));
        assert_eq!(batch_of(vec![answer(404, &[])]), Ok((vec![], false)));
        for lost in [
            vec![commit(7, 3), commit(9, 7), end(0, 9)],
            vec![commit(9, 7), end(0, 9)],
            vec![commit(3, 0), commit(9, 7), end(0, 9)],
            vec![commit(3, 0), commit(7, 3), end(0, 9)],
            vec![end(0, 9)],
        ] {
            assert_eq!(batch_of(lost), Err("a part was lost"));
        }
        assert!(batch_of(vec![commit(3, 0), answer(404, &[])]).is_err());
        assert!(batch_of(vec![answer(503, &[])]).is_err());
    }
}
