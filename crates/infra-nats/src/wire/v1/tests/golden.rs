//! Bytes that were once released. A test that fails here means that stored histories could no longer be read, or that
//! an older node could not be talked to: make a new format instead of changing the expectation.

use aether_domain::FeedName;
use aether_domain::records::{ControlKey, PayloadCodec};
use bytes::Bytes;

use super::samples;
use crate::wire::v1::{
    Encoded, Kept, chunk, decode_checkpoint, decode_chunk, decode_claim, decode_commit, decode_control, decode_entry,
    decode_kept, decode_letter, decode_wake, encode_checkpoint, encode_claim, encode_commit, encode_control,
    encode_entry, encode_frames, encode_letter, encode_wake, manifest, snapshot_body, whole,
};

/// The file, and what the writer makes today.
fn json(golden: &str, encoded: &Encoded) {
    let mut lines = golden.lines();
    let (checksum, payload) = (lines.next().expect("the checksum"), lines.next().expect("the payload"));
    assert_eq!(std::str::from_utf8(&encoded.payload).expect("JSON is text"), payload);
    assert_eq!(encoded.checksum.as_deref(), Some(checksum));
}

fn hex(golden: &str) -> Bytes {
    let digits: String = golden.split_whitespace().collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
    (0..digits.len()).step_by(2).map(byte).collect::<Vec<_>>().into()
}

fn as_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.chunks(32).fold(String::new(), |mut text, line| {
        for byte in line {
            let _ = write!(text, "{byte:02x}");
        }
        text + "\n"
    })
}

#[test]
fn control_records_are_these_texts_for_ever() {
    let n1 = samples::node("n1", 0).node;
    for (record, key, golden) in [
        (samples::lease(), ControlKey::Lease, include_str!("../golden/lease.json.txt")),
        (samples::member(), ControlKey::Member(n1.clone()), include_str!("../golden/member.json.txt")),
        (samples::release(), ControlKey::Release(n1), include_str!("../golden/release.json.txt")),
        (samples::placement(), ControlKey::Placement, include_str!("../golden/placement.json.txt")),
        (samples::orders(), ControlKey::Orders, include_str!("../golden/orders.json.txt")),
    ] {
        let encoded = encode_control(&record).expect("it fits");
        json(golden, &encoded);
        let read = decode_control(&key, &encoded.payload, encoded.checksum.as_deref());
        assert_eq!(read.expect("own bytes"), record);
    }
}

#[test]
fn a_checkpoint_is_this_text_for_ever() {
    let record = samples::checkpoint();
    let encoded = encode_checkpoint(&record).expect("it fits");
    json(include_str!("../golden/checkpoint.json.txt"), &encoded);
    let read = |feed| decode_checkpoint(feed, &encoded.payload, encoded.checksum.as_deref());
    assert_eq!(read(&record.feed).expect("own bytes"), record);
    assert!(read(&FeedName::new("other").expect("a name")).is_err(), "it speaks of another feed");
}

#[test]
fn a_topology_entry_with_every_event_is_this_text_for_ever() {
    let encoded = encode_entry(&samples::entry()).expect("it fits");
    json(include_str!("../golden/entry.json.txt"), &encoded);
    let read = decode_entry(&encoded.payload, encoded.checksum.as_deref());
    assert_eq!(read.expect("own bytes"), samples::entry());
}

#[test]
fn a_json_commit_is_this_text_for_ever() {
    let record = samples::commit(PayloadCodec::Json);
    let encoded = encode_commit(&record).expect("it fits");
    json(include_str!("../golden/commit.json.txt"), &encoded);
    assert_eq!(decode_commit(&encoded.payload, encoded.checksum.as_deref()).expect("own bytes"), record);
}

#[test]
fn a_binary_commit_is_these_bytes_for_ever() {
    let record = samples::commit(PayloadCodec::Binary);
    let golden = include_str!("../golden/commit.hex.txt");
    assert_eq!(as_hex(&encode_commit(&record).expect("it fits").payload), golden);
    assert_eq!(decode_commit(&hex(golden), None).expect("released bytes"), record);
}

#[test]
fn a_topology_snapshot_is_these_bytes_for_ever() {
    let record = samples::snapshot();
    let golden = include_str!("../golden/snapshot.hex.txt");
    assert_eq!(as_hex(&encode_control(&record).expect("it fits").payload), golden);
    let read = decode_control(&ControlKey::TopologySnapshot, &hex(golden), None);
    assert_eq!(read.expect("released bytes"), record);
}

#[test]
fn frames_of_every_kind_are_these_bytes_for_ever() {
    let from = samples::node("n1", 0x4d2);
    let golden = include_str!("../golden/frames.hex.txt");
    assert_eq!(as_hex(&encode_frames(&from, &samples::frames(), 1 << 20).expect("it fits")), golden);
    assert_eq!(samples::sound_frames(&hex(golden)), (from, samples::frames()));
}

#[test]
fn warm_actors_and_what_becomes_of_them_are_these_bytes_for_ever() {
    let from = samples::node("n1", 0x4d2);
    let golden = include_str!("../golden/warm_frames.hex.txt");
    assert_eq!(as_hex(&encode_frames(&from, &samples::warm_frames(), 1 << 20).expect("it fits")), golden);
    assert_eq!(samples::sound_frames(&hex(golden)), (from, samples::warm_frames()));
}

#[test]
fn claims_of_a_leader_and_of_a_newcomer_are_these_bytes_for_ever() {
    let golden = include_str!("../golden/claims.hex.txt");
    let written: String =
        samples::claims().iter().map(|claim| as_hex(&encode_claim(claim).expect("it fits").payload) + "\n").collect();
    assert_eq!(written, golden);
    let read = golden.split("\n\n").filter(|bytes| !bytes.is_empty()).map(|bytes| decode_claim(&hex(bytes)));
    assert_eq!(read.map(|claim| claim.expect("released bytes")).collect::<Vec<_>>(), samples::claims());
}

#[test]
fn an_actor_snapshot_is_these_bytes_for_ever() {
    let body = snapshot_body(&samples::actor_snapshot()).expect("it fits");
    let golden = include_str!("../golden/actor_snapshot.hex.txt");
    assert_eq!(as_hex(&whole(&body).expect("it fits").payload), golden);
    let Ok(Kept::Whole(read)) = decode_kept(&hex(golden)) else { panic!("released bytes") };
    assert_eq!(read, samples::actor_snapshot());
}

#[test]
fn a_manifest_and_its_chunks_are_these_bytes_for_ever() {
    // As much is one message really; what is in the manifest is the same for more.
    let body = snapshot_body(&samples::actor_snapshot()).expect("it fits");
    let written =
        [chunk(&body[..7]), manifest(&body, vec![300])].map(|message| as_hex(&message.expect("it fits").payload));
    let golden = include_str!("../golden/snapshot_chunks.hex.txt");
    assert_eq!(written.join("\n"), golden);
    let (part, manifest) = golden.split_once("\n\n").expect("two messages");
    assert_eq!(decode_chunk(&hex(part)).expect("released bytes"), &body[..7]);
    let Ok(Kept::Chunks(manifest)) = decode_kept(&hex(manifest)) else { panic!("released bytes") };
    assert_eq!(manifest.chunks, [300]);
    assert_eq!(manifest.decode(&body).expect("all of it"), samples::actor_snapshot());
}

#[test]
fn a_dead_letter_is_this_text_for_ever() {
    let encoded = encode_letter(&samples::letter()).expect("it fits");
    json(include_str!("../golden/dead_letter.json.txt"), &encoded);
    let read = decode_letter(&encoded.payload, encoded.checksum.as_deref());
    assert_eq!(read.expect("own bytes"), samples::letter());
}

#[test]
fn a_wake_and_one_that_is_cleared_are_these_bytes_for_ever() {
    let (wakes, golden) = ([samples::WAKE, None], include_str!("../golden/wakes.hex.txt"));
    let written = wakes.map(|at| as_hex(&encode_wake(at).expect("it fits").payload));
    assert_eq!(written.join("\n"), golden);
    let read = golden.split("\n\n").map(|bytes| decode_wake(&hex(bytes)).expect("released bytes"));
    assert_eq!(read.collect::<Vec<_>>(), wakes);
}
