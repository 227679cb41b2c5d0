//! Every decoder of this crate as a function of bytes, for the fuzzer (`tests/fuzz`); nothing else uses it.
//!
//! A decoder is total: any bytes mean something, or are refused with the reason. A meaning that can be written is read back
//! as itself from what was written, and written the same again ([`meant`]).

use std::fmt::Debug;

use aether_domain::ports::ReadMode;
use aether_domain::records::{ControlKey, Entry, Format};
use aether_domain::{FeedName, Namespace, NodeId};
use async_nats::{HeaderMap, HeaderValue, Message, StatusCode};
use bytes::Bytes;

use crate::gateway_client::GatewayCommand;
use crate::names::{Names, actor_id_of, actor_token, control_key, node_of, node_token};
use crate::wire::v1::{Encoded, Kept, WireFault, checksum};
use crate::wire::{self, formats::NEWEST};
use crate::{base64url, event_store, gateway, gateway_client, outcome, traces};

/// What is left to be checked of a meaning; or why the bytes have none.
pub type Decoded = Result<Box<dyn FnOnce() -> Result<(), String>>, String>;

/// What stands around the bytes that are tried, made right so that a decoder looks further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Nothing.
    None,
    /// The binary envelope of that kind.
    Envelope(u8),
    /// The envelope of a message that has them as its only frame.
    Frame,
}

/// A decoder: its name, what stands around its bytes, and itself.
pub type Decoder = (&'static str, Framing, fn(&[u8]) -> Decoded);

/// All of them.
pub const ALL: [Decoder; 27] = [
    ("entry", Framing::None, entry),
    ("commit-json", Framing::None, commit),
    ("commit-binary", Framing::Envelope(2), commit),
    ("lease", Framing::None, |bytes| control(ControlKey::Lease, bytes)),
    ("member", Framing::None, |bytes| control(ControlKey::Member(node()), bytes)),
    ("release", Framing::None, |bytes| control(ControlKey::Release(node()), bytes)),
    ("placement", Framing::None, |bytes| control(ControlKey::Placement, bytes)),
    ("orders", Framing::None, |bytes| control(ControlKey::Orders, bytes)),
    ("topology-snapshot", Framing::Envelope(3), |bytes| control(ControlKey::TopologySnapshot, bytes)),
    ("checkpoint", Framing::None, checkpoint),
    ("dead-letter", Framing::None, letter),
    ("claim", Framing::Envelope(4), claim),
    ("wake", Framing::Envelope(24), wake),
    ("actor-snapshot", Framing::Envelope(16), kept),
    ("manifest", Framing::Envelope(17), kept),
    ("chunk", Framing::Envelope(18), chunk),
    ("frames", Framing::Envelope(1), frames),
    ("frame", Framing::Frame, frames),
    ("stored-or-sent", Framing::None, anything),
    ("gateway-request", Framing::None, request),
    ("gateway-answer", Framing::None, answer),
    ("acknowledgement", Framing::None, acknowledgement),
    ("batch", Framing::None, batch),
    ("subject", Framing::None, subject),
    ("token", Framing::None, token),
    ("base64url", Framing::None, base64),
    ("trace", Framing::None, trace),
];

/// Whether `value` is read back as itself from what is written of it, and that is written the same again.
///
/// # Errors
/// It is not, or cannot be written: what was found instead.
pub fn meant<T: PartialEq + Debug>(
    value: &T,
    write: impl Fn(&T) -> Result<Vec<u8>, String>,
    read: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<(), String> {
    let written = write(value).map_err(|fault| format!("it cannot be written again: {fault}"))?;
    let back = read(&written).map_err(|fault| format!("what is written of it is refused: {fault}"))?;
    if back != *value {
        return Err(format!("it is read back as something else: {value:?}, {back:?}"));
    }
    if write(&back)? == written { Ok(()) } else { Err("it is written in two ways".to_owned()) }
}

fn told(fault: impl ToString) -> String {
    fault.to_string()
}

/// The node that records by node speak of.
fn node() -> NodeId {
    NodeId::new("n1").expect("a node id")
}

/// What `read` makes of a payload with the right checksum, and that `write` writes it.
fn record<T, R, W>(payload: &[u8], read: R, write: W) -> Decoded
where
    T: PartialEq + Debug + 'static,
    R: Fn(&[u8], Option<&str>) -> Result<T, WireFault> + 'static,
    W: Fn(&T) -> Result<Encoded, WireFault> + 'static,
{
    let read = move |payload: &[u8]| read(payload, Some(&checksum(payload))).map_err(told);
    let value = read(payload)?;
    let write = move |value: &T| write(value).map(|encoded| encoded.payload.to_vec()).map_err(told);
    Ok(Box::new(move || meant(&value, write, read)))
}

fn sent(payload: Bytes) -> Encoded {
    Encoded { payload, checksum: None }
}

fn entry(bytes: &[u8]) -> Decoded {
    record(
        bytes,
        |payload, header| wire::decode_entry(payload, header, NEWEST),
        |entry: &Entry| wire::encode_entry(entry),
    )
}

fn commit(bytes: &[u8]) -> Decoded {
    record(
        bytes,
        |payload, header| wire::decode_commit(payload, header, NEWEST),
        |commit| wire::encode_commit(commit, Format::FIRST),
    )
}

fn control(key: ControlKey, bytes: &[u8]) -> Decoded {
    record(
        bytes,
        move |payload, header| wire::decode_control(&key, payload, header, NEWEST),
        |record| wire::encode_control(record, Format::FIRST),
    )
}

fn checkpoint(bytes: &[u8]) -> Decoded {
    let feed = FeedName::new("totals").expect("a name");
    record(
        bytes,
        move |payload, header| wire::decode_checkpoint(&feed, payload, header, NEWEST),
        |record| wire::encode_checkpoint(record, Format::FIRST),
    )
}

fn letter(bytes: &[u8]) -> Decoded {
    record(
        bytes,
        |payload, header| wire::decode_letter(payload, header, NEWEST),
        |letter| wire::encode_letter(letter, Format::FIRST),
    )
}

fn claim(bytes: &[u8]) -> Decoded {
    record(
        bytes,
        |payload, _| wire::decode_claim(payload, NEWEST),
        |claim| wire::encode_claim(claim, Format::FIRST).map(sent),
    )
}

fn wake(bytes: &[u8]) -> Decoded {
    record(bytes, |payload, _| wire::decode_wake(payload, NEWEST), |at| wire::encode_wake(*at, Format::FIRST))
}

fn kept(bytes: &[u8]) -> Decoded {
    match wire::decode_kept(bytes, NEWEST).map_err(told)? {
        Kept::Whole(_) => record(
            bytes,
            |payload, _| match wire::decode_kept(payload, NEWEST)? {
                Kept::Whole(snapshot) => Ok(snapshot),
                Kept::Chunks(_) => Err(WireFault::Envelope("it was whole")),
            },
            |snapshot| wire::encode_kept(&wire::snapshot_body(snapshot)?, Vec::new(), Format::FIRST),
        ),
        Kept::Chunks(_) => Ok(Box::new(|| Ok(()))),
    }
}

fn chunk(bytes: &[u8]) -> Decoded {
    record(
        bytes,
        |payload, _| {
            let mut body = Vec::new();
            wire::append_chunk(&mut body, payload, NEWEST).map(|()| body)
        },
        |part| wire::encode_chunk(part, Format::FIRST),
    )
}

fn frames(bytes: &[u8]) -> Decoded {
    record(
        bytes,
        |payload, _| wire::decode_frames(payload, NEWEST).map(|received| (received.from, received.frames)),
        |(from, frames)| wire::encode_frames(from, frames, usize::MAX, Format::FIRST).map(sent),
    )
}

/// Every decoder of what is stored or sent, each with bytes that are hardly ever for it.
fn anything(bytes: &[u8]) -> Decoded {
    let header = checksum(bytes);
    let (header, reads) = (Some(header.as_str()), NEWEST);
    let keys = [
        ControlKey::Lease,
        ControlKey::Member(node()),
        ControlKey::Release(node()),
        ControlKey::TopologySnapshot,
        ControlKey::Placement,
        ControlKey::Orders,
    ];
    let controls = keys.iter().filter(|key| wire::decode_control(key, bytes, header, reads).is_ok()).count();
    let others = [
        wire::decode_entry(bytes, header, reads).is_ok(),
        wire::decode_commit(bytes, header, reads).is_ok(),
        wire::decode_checkpoint(&FeedName::new("totals").map_err(told)?, bytes, header, reads).is_ok(),
        wire::decode_letter(bytes, header, reads).is_ok(),
        wire::decode_wake(bytes, reads).is_ok(),
        wire::decode_kept(bytes, reads).is_ok(),
        wire::append_chunk(&mut Vec::new(), bytes, reads).is_ok(),
        wire::decode_claim(bytes, reads).is_ok(),
        wire::decode_frames(bytes, reads).is_ok(),
    ];
    let meanings = controls + others.into_iter().filter(|meant| *meant).count();
    Ok(Box::new(move || if meanings < 2 { Ok(()) } else { Err(format!("it means {meanings} different things")) }))
}

fn request(bytes: &[u8]) -> Decoded {
    let understood = gateway::understand(bytes)?;
    Ok(Box::new(move || {
        let write = |request: &gateway::Understood| {
            let command = GatewayCommand {
                trace: None,
                kind: &request.kind,
                id: &request.id,
                command: &request.command,
                payload: &request.payload,
                message_id: request.message,
                mode: request.mode,
                timeout: request.timeout,
            };
            gateway_client::written(&command).map(|bytes| bytes.to_vec()).map_err(told)
        };
        let known = matches!(understood.mode, ReadMode::Strict | ReadMode::Leased | ReadMode::Log);
        if !known || understood.timeout.is_zero() || understood.timeout > gateway::GATEWAY_TIMEOUT_MAX {
            return Err("beyond its bounds".to_owned());
        }
        meant(&understood, write, gateway::understand)
    }))
}

fn answer(bytes: &[u8]) -> Decoded {
    let read = |bytes: &[u8]| gateway_client::understand(bytes).map_err(told);
    let understood = read(bytes)?;
    let write = |answer: &_| Ok(gateway::written(Clone::clone(answer), usize::MAX).to_vec());
    Ok(Box::new(move || meant(&understood, write, read)))
}

fn acknowledgement(bytes: &[u8]) -> Decoded {
    let stored = outcome::stored_at(bytes).ok_or("not stored, or not said to be")?;
    Ok(Box::new(move || if stored > 0 { Ok(()) } else { Err("stored nowhere".to_owned()) }))
}

/// One answer a line: its status, then its sequence, the one before, and how many are left, each as any text.
fn batch(bytes: &[u8]) -> Decoded {
    let text = String::from_utf8_lossy(bytes);
    let answers = text.lines().take(64).map(|line| {
        let mut words = line.split(' ');
        let status: u16 = words.next().and_then(|word| word.parse().ok()).unwrap_or(200);
        let mut headers = HeaderMap::new();
        for (name, word) in ["Nats-Sequence", "Nats-Last-Sequence", "Nats-Num-Pending"].into_iter().zip(words) {
            // What cannot be a header's value never comes in one.
            if let Ok(value) = word.parse::<HeaderValue>() {
                headers.insert(name, value);
            }
        }
        Message {
            subject: "_INBOX.1".into(),
            reply: None,
            payload: Bytes::new(),
            headers: Some(headers),
            status: StatusCode::from_u16(status).ok().filter(|_| status != 200),
            description: None,
            length: 0,
        }
    });
    let (sequences, _) = event_store::batch_of(answers).map_err(told)?;
    Ok(Box::new(move || if sequences.len() < 64 { Ok(()) } else { Err("more than there were".to_owned()) }))
}

/// One value of a header that traces commands.
fn trace(bytes: &[u8]) -> Decoded {
    let read = |bytes: &[u8]| {
        let value = std::str::from_utf8(bytes).map_err(told)?;
        traces::read(value).ok_or_else(|| "it traces nothing".to_owned())
    };
    let understood = read(bytes)?;
    Ok(Box::new(move || meant(&understood, |(of, trace)| Ok(traces::written(*of, *trace).into_bytes()), read)))
}

/// Whatever reads a subject: what is read of one is written as that one.
fn subject(bytes: &[u8]) -> Decoded {
    let subject = std::str::from_utf8(bytes).map_err(told)?.to_owned();
    let names = Names::new(Namespace::new("bank").map_err(told)?);
    let written: Vec<String> = [
        names.control_key_of(&subject).map(|key| format!("$KV.{}.{}", names.control_bucket(), control_key(&key))),
        names.actor_of(&subject).map(|actor| names.event_subject(&actor)),
        names.wake_actor(&subject).map(|actor| names.wake_subject(&actor)),
        names.feed_of(&subject).map(|feed| names.feed_subject(&feed)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if written.is_empty() {
        return Err("none of ours".to_owned());
    }
    Ok(Box::new(move || if written == [subject] { Ok(()) } else { Err(format!("it is written as {written:?}")) }))
}

/// The same of a subject's tokens.
fn token(bytes: &[u8]) -> Decoded {
    let token = std::str::from_utf8(bytes).map_err(told)?.to_owned();
    let actor = actor_id_of(&token).map(|id| actor_token(&id));
    let written = actor.or_else(|| node_of(&token).map(|node| node_token(&node))).ok_or("none of ours")?;
    Ok(Box::new(move || if written == token { Ok(()) } else { Err(format!("it is written as {written}")) }))
}

fn base64(bytes: &[u8]) -> Decoded {
    let text = std::str::from_utf8(bytes).map_err(told)?.to_owned();
    let decoded = base64url::decode(&text).ok_or("no text that an encoder writes")?;
    Ok(Box::new(move || if base64url::encode(&decoded) == text { Ok(()) } else { Err("it has two texts".to_owned()) }))
}
