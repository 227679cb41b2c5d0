//! Bytes that nobody of ours wrote: never a panic, never belief, never more memory than they pay for.

use aether_domain::records::{ControlKey, PayloadCodec};
use proptest::collection::vec;
use proptest::prelude::*;

use super::samples;
use crate::wire::v1::{
    CHUNK_BYTES_MAX, Encoded, Kept, WireFault, checksum, chunk, decode_checkpoint, decode_chunk, decode_claim,
    decode_commit, decode_control, decode_entry, decode_frames, decode_kept, decode_letter, decode_wake, encode_claim,
    encode_commit, encode_control, encode_entry, encode_frames, encode_letter, encode_wake, manifest, snapshot_body,
    whole,
};

fn keys() -> [ControlKey; 6] {
    let node = samples::node("n1", 0).node;
    let of_node = (ControlKey::Member(node.clone()), ControlKey::Release(node));
    [ControlKey::Lease, of_node.0, of_node.1, ControlKey::TopologySnapshot, ControlKey::Placement, ControlKey::Orders]
}

/// Every decoder, with a checksum that is right so that it has to look further.
fn decode_everything(bytes: &[u8]) -> usize {
    let right = checksum(bytes);
    let control = keys().iter().filter(|key| decode_control(key, bytes, Some(&right)).is_ok()).count();
    control
        + usize::from(decode_entry(bytes, Some(&right)).is_ok())
        + usize::from(decode_commit(bytes, Some(&right)).is_ok())
        + usize::from(decode_frames(bytes).is_ok())
        + usize::from(decode_claim(bytes).is_ok())
        + usize::from(decode_kept(bytes).is_ok())
        + usize::from(decode_chunk(bytes).is_ok())
        + usize::from(decode_checkpoint(&samples::checkpoint().feed, bytes, Some(&right)).is_ok())
        + usize::from(decode_letter(bytes, Some(&right)).is_ok())
        + usize::from(decode_wake(bytes).is_ok())
}

fn everything() -> Vec<Encoded> {
    let commit = |codec| encode_commit(&samples::commit(codec)).expect("it fits");
    let frames = [samples::frames(), samples::warm_frames()];
    let frames = frames.map(|frames| encode_frames(&samples::node("n1", 1), &frames, 1 << 20).expect("it fits"));
    let control = [samples::lease(), samples::member(), samples::release(), samples::orders()];
    let mut all: Vec<_> = control.iter().map(|record| encode_control(record).expect("it fits")).collect();
    all.push(encode_entry(&samples::entry()).expect("it fits"));
    all.push(encode_control(&samples::placement()).expect("it fits"));
    all.extend([commit(PayloadCodec::Json), commit(PayloadCodec::Binary)]);
    all.extend(frames.map(|payload| Encoded { payload, checksum: None }));
    all.push(encode_control(&samples::snapshot()).expect("it fits"));
    all.push(encode_letter(&samples::letter()).expect("it fits"));
    all.push(encode_wake(samples::WAKE).expect("it fits"));
    let claims = samples::claims();
    let body = snapshot_body(&samples::actor_snapshot()).expect("it fits");
    let kept = [whole(&body), chunk(&body), manifest(&body, vec![300])];
    all.extend(kept.map(|message| message.expect("it fits")));
    all.extend(claims.iter().map(|claim| encode_claim(claim).expect("it fits")));
    all
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(decode_everything(&bytes), 0);
    }

    #[test]
    fn a_random_body_in_a_right_envelope_is_no_panic(kind in 1u8..26, body in vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![b'A', b'E', 1, kind, 0];
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(crc32c::crc32c_append(crc32c::crc32c(&bytes), &body).to_le_bytes());
        bytes.extend(body);
        decode_everything(&bytes);
    }

    #[test]
    fn a_record_that_was_changed_is_refused_or_at_least_no_panic(
        which in 0usize..16, at: prop::sample::Index, flip in 1u8..=255, cut in any::<bool>(),
    ) {
        let Encoded { payload, checksum } = everything().swap_remove(which);
        let mut bytes = payload.to_vec();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
        decode_everything(&bytes);
        let header = checksum.as_deref();
        for key in keys() {
            prop_assert!(decode_control(&key, &bytes, header).is_err());
        }
        prop_assert!(decode_entry(&bytes, header).is_err());
        prop_assert!(decode_commit(&bytes, header).is_err());
        prop_assert!(decode_frames(&bytes).is_err());
        prop_assert!(decode_kept(&bytes).is_err());
        prop_assert!(decode_chunk(&bytes).is_err());
        prop_assert!(decode_letter(&bytes, header).is_err());
    }

    #[test]
    fn changed_json_with_a_right_checksum_is_no_panic(which in 0usize..6, at: prop::sample::Index, to in "[ -~]") {
        let mut bytes = everything().swap_remove(which).payload.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to.as_bytes()[0];
        decode_everything(&bytes);
    }
}

#[test]
fn a_record_is_refused_for_the_reason_that_helps() {
    let lease = encode_control(&samples::lease()).expect("it fits");
    let text = std::str::from_utf8(&lease.payload).expect("JSON is text");
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in {text}");
        let changed = text.replacen(from, to, 1);
        decode_control(&ControlKey::Lease, changed.as_bytes(), Some(&checksum(changed.as_bytes())))
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(changed("\"format\":1", "\"format\":2,\"new\":3"), "format 2 is not known here, which reads up to 1");
    assert_eq!(changed("\"kind\":\"lease\"", "\"kind\":\"member\""), "kind \"member\" where \"lease\" belongs");
    assert!(changed("\"term\":\"1a\"", "\"term\":26").contains("invalid type"));
    assert!(changed("\"term\":\"1a\"", "\"term\":\"01a\"").contains("not a counter"));
    assert!(changed("\"term\":\"1a\"", "\"term\":\"1A\"").contains("not a counter"));
    assert!(changed("\"node\":\"n1\"", "\"node\":\"N1\"").contains("node id"));
    assert!(changed("\"state\":\"held\"", "\"state\":\"helt\"").contains("not one of the names"));
    assert!(changed("\"state\":\"held\"", "\"state\":\"held\",\"extra\":1").contains("unknown field"));
    let key = ControlKey::Lease;
    assert!(matches!(decode_control(&key, &lease.payload, None), Err(WireFault::NoChecksum)));
    assert!(matches!(decode_control(&key, &lease.payload, Some("00000000")), Err(WireFault::Checksum)));
    assert!(matches!(decode_control(&key, b"", Some("00000000")), Err(WireFault::UnknownEncoding)));
}

#[test]
fn a_small_text_cannot_name_more_shards_than_any_cluster_has() {
    let release = encode_control(&samples::release()).expect("it fits");
    let text = std::str::from_utf8(&release.payload).expect("JSON is text");
    let one = "{\"shards\":\"0-65535\",\"epoch\":\"1\"},";
    let many = text.replacen("\"released\":[", &format!("\"released\":[{}", one.repeat(17)), 1);
    let key = ControlKey::Release(samples::node("n1", 0).node);
    let read = decode_control(&key, many.as_bytes(), Some(&checksum(many.as_bytes())));
    assert!(matches!(read, Err(WireFault::TooManyShards(_))));
}

#[test]
fn frames_of_a_kind_that_is_not_known_leave_the_others_of_their_message_alone() {
    let [first, .., last] = &samples::frames()[..] else { panic!("there are several") };
    let sent = vec![first.clone(), last.clone()];
    let bytes = encode_frames(&samples::node("n1", 1), &sent, 1 << 20).expect("it fits");
    // The message's head, its sender (a name of two bytes and a number of one), how many frames: then the first one's length
    // and its kind, of which there are no 200.
    let at = 13 + 3 + 1 + 1;
    let length = if bytes[at] == 251 { 3 } else { 1 };
    let mut body = bytes[13..].to_vec();
    body[at - 13 + length] = 200;
    let mut unknown = vec![b'A', b'E', 1, 1, 0];
    unknown.extend((body.len() as u32).to_le_bytes());
    unknown.extend(crc32c::crc32c_append(crc32c::crc32c(&unknown), &body).to_le_bytes());
    unknown.extend(body);
    let read = decode_frames(&unknown).expect("the message is sound");
    assert_eq!((read.from, read.frames), (samples::node("n1", 1), sent[1..].to_vec()));
    assert!(matches!(&read.refused[..], [WireFault::Body(_)]), "{:?}", read.refused);
}

#[test]
fn a_length_prefix_that_lies_reserves_no_memory() {
    // A frame message whose list of frames claims 2^62 entries, and one whose node name does.
    for body in [&[2, b'n', b'1', 1, 253, 0, 0, 0, 0, 0, 0, 0, 64][..], &[253, 0, 0, 0, 0, 0, 0, 0, 64, b'n'][..]] {
        let mut bytes = vec![b'A', b'E', 1, 1, 0];
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(crc32c::crc32c_append(crc32c::crc32c(&bytes), body).to_le_bytes());
        bytes.extend(body);
        assert!(matches!(decode_frames(&bytes), Err(WireFault::Body(_))));
    }
}

#[test]
fn a_message_of_more_frames_than_any_node_sends_is_refused() {
    let sent = |count: usize| {
        let frames = vec![samples::frames().swap_remove(0); count];
        encode_frames(&samples::node("n1", 1), &frames, 8 << 20).expect("it fits")
    };
    // Frames without a byte: each is refused by itself.
    let empty = |count: u16| {
        let mut body = vec![2, b'n', b'1', 1, 251];
        body.extend(count.to_le_bytes());
        body.extend(vec![0; count.into()]);
        let mut bytes = vec![b'A', b'E', 1, 1, 0];
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(crc32c::crc32c_append(crc32c::crc32c(&bytes), &body).to_le_bytes());
        bytes.extend(body);
        bytes
    };
    assert_eq!(decode_frames(&sent(1_000)).expect("they are few").frames.len(), 1_000);
    assert_eq!(decode_frames(&empty(4_096)).expect("as many as may be").refused.len(), 4_096);
    assert!(matches!(decode_frames(&empty(4_097)), Err(WireFault::TooMany { what: "frames", count: 4_097 })));
}

#[test]
fn a_policy_pins_no_more_shards_than_there_can_be() {
    let text =
        String::from_utf8(encode_control(&samples::placement()).expect("it fits").payload.to_vec()).expect("JSON");
    let (begin, rest) = text.split_once("\"pins\":[").expect("it has pins");
    let pinned = |runs: &[&str]| {
        let pins: Vec<_> = runs.iter().map(|runs| format!("{{\"node\":\"n1\",\"shards\":\"{runs}\"}}")).collect();
        let (_, rest) = rest.split_once(']').expect("they end");
        let text = format!("{begin}\"pins\":[{}]{rest}", pins.join(","));
        decode_control(&ControlKey::Placement, text.as_bytes(), Some(&checksum(text.as_bytes())))
    };
    assert!(pinned(&["0-65535"]).is_ok());
    let refused = pinned(&["0-65535", "7"]);
    assert!(matches!(refused, Err(WireFault::TooMany { what: "pins", count: 65_537 })), "{refused:?}");
}

#[test]
fn bytes_behind_the_end_of_a_body_are_refused() {
    let frames = encode_frames(&samples::node("n1", 1), &[], 1 << 20).expect("it fits");
    let mut body = frames[13..].to_vec();
    body.push(0);
    let mut bytes = vec![b'A', b'E', 1, 1, 0];
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(crc32c::crc32c_append(crc32c::crc32c(&bytes), &body).to_le_bytes());
    bytes.extend(body);
    assert!(matches!(decode_frames(&bytes), Err(WireFault::Body(_))));
}

/// The sample's bytes with something else in them, in an envelope that is right again.
fn snapshot_with(from: &[u8], to: &[u8]) -> Result<(), WireFault> {
    let payload = encode_control(&samples::snapshot()).expect("it fits").payload;
    let body = &payload[13..];
    let at = body.windows(from.len()).position(|window| window == from).expect("it is there");
    let body = [&body[..at], to, &body[at + from.len()..]].concat();
    let mut bytes = vec![b'A', b'E', 1, 3, 0];
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(crc32c::crc32c_append(crc32c::crc32c(&bytes), &body).to_le_bytes());
    bytes.extend(body);
    decode_control(&ControlKey::TopologySnapshot, &bytes, None).map(drop)
}

#[test]
fn a_snapshot_that_no_log_folds_to_is_refused_whatever_its_checksum_says() {
    // Runs of the sample: the first three were given by two entries, three are on their way, two stay.
    let runs = [4, 1, 0, 2, 2, 0, 1, 3, 1, 3, 3, 0, 2];
    assert!(snapshot_with(&runs, &runs).is_ok(), "nothing was changed");
    for (to, why) in [
        (&[4, 1, 0, 2, 2, 0, 1, 3, 1, 3, 3, 0, 3][..], "its runs are not of as many shards"),
        (&[4, 1, 0, 2, 2, 0, 1, 3, 1, 3, 3, 0, 252, 255, 255, 255, 255], "its runs are not of as many shards"),
        (&[4, 1, 0, 2, 2, 0, 1, 3, 1, 3, 9, 0, 2], "it names something that it does not list"),
        (&[4, 1, 0, 2, 2, 0, 1, 0, 1, 3, 3, 0, 2], "it names something that it does not list"),
        (&[253, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0], "envelope's body"),
    ] {
        let refused = snapshot_with(&runs, to).expect_err("refused").to_string();
        assert!(refused.contains(why), "{refused}");
    }
    // Given to the first life by entry 1; the third one has failed.
    let refused = snapshot_with(&[3, 1, 1, 1, 251, 4, 1], &[3, 3, 1, 1, 251, 4, 1]).expect_err("refused").to_string();
    assert!(refused.contains("no member"), "{refused}");
    // Two shards from the seventh on are to move; from the eighth on there are not as many.
    let refused = snapshot_with(&[1, 6, 2, 0, 1], &[1, 7, 2, 0, 1]).expect_err("refused").to_string();
    assert!(refused.contains("it moves shards that there are not"), "{refused}");
    let refused = snapshot_with(b"default", b"defaulT").expect_err("refused").to_string();
    assert!(refused.contains("not one of the names"), "{refused}");
}

#[test]
fn a_manifest_asks_for_no_more_than_a_snapshot_may_be_and_for_as_many_chunks_as_that_takes() {
    let large = vec![7; CHUNK_BYTES_MAX + 1];
    for (chunks, fits) in [(vec![1, 2], true), (vec![1], false), (vec![1, 2, 3], false), (vec![], false)] {
        let message = manifest(&large, chunks).expect("it is small").payload;
        assert_eq!(decode_kept(&message).is_ok(), fits);
    }
    // 2^40 bytes, and as many chunks as it takes places in a body.
    let body = [&[253, 0, 0, 0, 0, 0, 1, 0, 0, 7, 1, 1][..]].concat();
    let mut bytes = vec![b'A', b'E', 1, 17, 0];
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(crc32c::crc32c_append(crc32c::crc32c(&bytes), &body).to_le_bytes());
    bytes.extend(body);
    assert!(matches!(decode_kept(&bytes), Err(WireFault::TooLarge { .. })));
}

#[test]
fn chunks_that_are_not_the_whole_snapshot_are_not_believed() {
    let body = snapshot_body(&samples::actor_snapshot()).expect("it fits");
    let message = manifest(&body, vec![300]).expect("it is small").payload;
    let Ok(Kept::Chunks(manifest)) = decode_kept(&message) else { panic!("own bytes") };
    assert!(manifest.decode(&body).is_ok());
    let mut flipped = body.to_vec();
    flipped[3] ^= 1;
    for wrong in [&body[1..], &body[..body.len() - 1], &flipped, &[]] {
        assert!(matches!(manifest.decode(wrong), Err(WireFault::Checksum)));
    }
}

#[test]
fn a_letter_says_its_command_in_one_way_only_and_within_its_bound() {
    let letter = encode_letter(&samples::letter()).expect("it fits");
    let text = std::str::from_utf8(&letter.payload).expect("JSON is text");
    let read = |text: &str| decode_letter(text.as_bytes(), Some(&checksum(text.as_bytes())));
    let twice = text.replacen("\"reason\"", "\"payload_b64\":\"AAAA\",\"reason\"", 1);
    assert!(matches!(read(&twice), Err(WireFault::Body(_))));
    let long = text.replacen("\"amount\":12", &format!("\"amount\":{}", "1".repeat(512 * 1024)), 1);
    assert!(matches!(read(&long), Err(WireFault::TooLarge { .. })));
    let wordy = text.replacen("\"reason\":\"", &format!("\"reason\":\"{}", "x".repeat(1025)), 1);
    assert!(matches!(read(&wordy), Err(WireFault::TooLarge { .. })));
}
