//! Builds that know different formats: what is written for whom, and what becomes of what is too new.

use std::collections::BTreeMap;
use std::path::Path;

use aether_domain::ports::Frame;
use aether_domain::records::{ControlRecord, Entry, Format, PayloadCodec};

use super::v1::tests::samples;
use super::v1::{Encoded, Kept, WireFault};
use super::{
    append_chunk, decode_checkpoint, decode_claim, decode_commit, decode_control, decode_entry, decode_frames,
    decode_kept, decode_letter, decode_wake, encode_checkpoint, encode_chunk, encode_claim, encode_commit,
    encode_control, encode_entry, encode_frames, encode_kept, encode_letter, encode_wake, snapshot_body,
};

const ONE: Format = Format(1);
const TWO: Format = Format(2);

/// Everything that is stored or sent, by its golden file: how its sample is written in a format, and whether a reader of
/// formats up to one has the sample back.
type Kind = (&'static str, fn(Format) -> Result<Encoded, WireFault>, fn(&Encoded, Format) -> Result<bool, WireFault>);

const KINDS: [Kind; 16] = [
    (
        "actor_snapshot.hex.txt",
        |format| kept(Vec::new(), format),
        |stored, reads| {
            Ok(matches!(decode_kept(&stored.payload, reads)?, Kept::Whole(read) if read == samples::actor_snapshot()))
        },
    ),
    (
        "checkpoint.json.txt",
        |format| encode_checkpoint(&samples::checkpoint(), format),
        |stored, reads| {
            let sample = samples::checkpoint();
            Ok(decode_checkpoint(&sample.feed, &stored.payload, stored.checksum.as_deref(), reads)? == sample)
        },
    ),
    (
        "claims.hex.txt",
        |format| sent(encode_claim(&samples::claims()[0], format)),
        |stored, reads| Ok(decode_claim(&stored.payload, reads)? == samples::claims()[0]),
    ),
    (
        "commit.hex.txt",
        |format| encode_commit(&samples::commit(PayloadCodec::Binary), format),
        |stored, reads| Ok(decode_commit(&stored.payload, None, reads)? == samples::commit(PayloadCodec::Binary)),
    ),
    (
        "commit.json.txt",
        |format| encode_commit(&samples::commit(PayloadCodec::Json), format),
        |stored, reads| {
            let read = decode_commit(&stored.payload, stored.checksum.as_deref(), reads)?;
            Ok(read == samples::commit(PayloadCodec::Json))
        },
    ),
    (
        "dead_letter.json.txt",
        |format| encode_letter(&samples::letter(), format),
        |stored, reads| Ok(decode_letter(&stored.payload, stored.checksum.as_deref(), reads)? == samples::letter()),
    ),
    (
        "entry.json.txt",
        |format| encode_entry(&Entry { format, ..samples::entry() }),
        |stored, reads| {
            let format = super::format_of(&stored.payload);
            let read = decode_entry(&stored.payload, stored.checksum.as_deref(), reads)?;
            Ok(read == Entry { format, ..samples::entry() })
        },
    ),
    (
        "frames.hex.txt",
        |format| frames(samples::frames(), format),
        |stored, reads| Ok(decode_frames(&stored.payload, reads)?.frames == samples::frames()),
    ),
    (
        "lease.json.txt",
        |format| encode_control(&samples::lease(), format),
        |stored, reads| control(&samples::lease(), stored, reads),
    ),
    (
        "member.json.txt",
        |format| encode_control(&samples::member(), format),
        |stored, reads| control(&samples::member(), stored, reads),
    ),
    (
        "orders.json.txt",
        |format| encode_control(&samples::orders(), format),
        |stored, reads| control(&samples::orders(), stored, reads),
    ),
    (
        "placement.json.txt",
        |format| encode_control(&samples::placement(), format),
        |stored, reads| control(&samples::placement(), stored, reads),
    ),
    (
        "release.json.txt",
        |format| encode_control(&samples::release(), format),
        |stored, reads| control(&samples::release(), stored, reads),
    ),
    (
        "snapshot.hex.txt",
        |format| encode_control(&samples::snapshot(), format),
        |stored, reads| control(&samples::snapshot(), stored, reads),
    ),
    (
        "warm_frames.hex.txt",
        |format| frames(samples::warm_frames(), format),
        |stored, reads| Ok(decode_frames(&stored.payload, reads)?.frames == samples::warm_frames()),
    ),
    (
        "wakes.hex.txt",
        |format| encode_wake(samples::WAKE, format),
        |stored, reads| Ok(decode_wake(&stored.payload, reads)? == samples::WAKE),
    ),
];

/// A large snapshot is several messages: the one that names the others, and one of those.
const CHUNKED: [Kind; 2] = [
    (
        "snapshot_chunks.hex.txt",
        |format| kept(vec![300], format),
        |stored, reads| {
            Ok(matches!(decode_kept(&stored.payload, reads)?, Kept::Chunks(manifest) if manifest.chunks == [300]))
        },
    ),
    (
        "snapshot_chunks.hex.txt",
        |format| encode_chunk(b"a part", format),
        |stored, reads| {
            let mut body = b"the first and ".to_vec();
            append_chunk(&mut body, &stored.payload, reads)?;
            Ok(body == b"the first and a part")
        },
    ),
];

fn kinds() -> impl Iterator<Item = Kind> {
    KINDS.into_iter().chain(CHUNKED)
}

fn kept(chunks: Vec<u64>, format: Format) -> Result<Encoded, WireFault> {
    encode_kept(&snapshot_body(&samples::actor_snapshot())?, chunks, format)
}

fn sent(payload: Result<bytes::Bytes, WireFault>) -> Result<Encoded, WireFault> {
    Ok(Encoded { payload: payload?, checksum: None })
}

fn frames(frames: Vec<Frame>, format: Format) -> Result<Encoded, WireFault> {
    sent(encode_frames(&samples::node("n1", 1), &frames, 1 << 20, format))
}

fn control(sample: &ControlRecord, stored: &Encoded, reads: Format) -> Result<bool, WireFault> {
    Ok(decode_control(&sample.key(), &stored.payload, stored.checksum.as_deref(), reads)? == *sample)
}

#[test]
fn every_kind_of_record_and_message_is_among_the_kinds() {
    let mut names: Vec<_> = kinds().map(|(name, ..)| name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, manifest().into_keys().collect::<Vec<_>>());
}

#[test]
fn each_format_is_read_by_builds_that_know_it_or_a_later_one() {
    for (written, reads) in [(ONE, ONE), (ONE, TWO), (TWO, TWO)] {
        for (name, write, read) in kinds() {
            let stored = write(written).expect("it fits");
            assert_eq!(super::format_of(&stored.payload), written, "{name}");
            let whole = read(&stored, reads).unwrap_or_else(|fault| panic!("{name}: {written} by {reads}: {fault}"));
            assert!(whole, "{name}: {written} read by {reads}");
        }
    }
}

#[test]
fn a_newer_format_is_refused_with_its_number_and_the_build_that_wrote_it() {
    let plain = "format 2 is not known here, which reads up to 1";
    let text = format!("{plain}: it was written by build next");
    for (name, write, read) in kinds() {
        let stored = write(TWO).expect("it fits");
        let fault = read(&stored, ONE).expect_err("it is newer").to_string();
        assert_eq!(fault, if name.ends_with(".json.txt") { &text } else { plain }, "{name}");
    }
}

#[test]
fn a_format_that_no_build_knows_is_not_written_and_not_read() {
    for (name, write, read) in kinds() {
        assert!(matches!(write(Format(9)), Err(WireFault::UnknownFormat { found: 9, .. })), "{name}");
        let mut stored = write(ONE).expect("it fits");
        let mut bytes = stored.payload.to_vec();
        match stored.checksum {
            Some(_) => {
                bytes[b"{\"format\":".len()] = b'9';
                stored.checksum = Some(super::v1::checksum(&bytes));
            }
            None => bytes[2] = 9,
        }
        stored.payload = bytes.into();
        // Also by a build that says it reads so far and does not.
        for reads in [ONE, TWO, Format(9)] {
            assert!(matches!(read(&stored, reads), Err(WireFault::UnknownFormat { found: 9, .. })), "{name}");
        }
    }
}

#[test]
fn damage_is_damage_in_either_format() {
    for (name, write, read) in kinds() {
        let encoded = write(TWO).expect("it fits");
        for at in 0..encoded.payload.len() {
            let mut stored = encoded.clone();
            let mut bytes = stored.payload.to_vec();
            bytes[at] ^= 4;
            stored.payload = bytes.into();
            assert!(read(&stored, TWO).is_err(), "{name}: byte {at}");
        }
    }
}

/// Each golden file by name, and since which release it is frozen.
fn manifest() -> BTreeMap<&'static str, &'static str> {
    let lines = include_str!("v1/golden/MANIFEST").lines().filter(|line| !line.starts_with('#'));
    let parts = lines.map(|line| {
        let [name, _, since] = line.split(" | ").collect::<Vec<_>>()[..] else { panic!("three parts: {line:?}") };
        (name, since)
    });
    parts.collect()
}

#[test]
fn every_golden_file_is_in_the_manifest_and_what_was_released_has_not_changed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire/v1/golden");
    let files = std::fs::read_dir(&folder).expect("the folder").map(|file| file.expect("a file").file_name());
    let mut names: Vec<_> =
        files.map(|name| name.into_string().expect("a name")).filter(|name| name != "MANIFEST").collect();
    names.sort();
    let manifest = manifest();
    assert_eq!(names, manifest.keys().copied().collect::<Vec<_>>());
    for (name, since) in manifest {
        let bytes = std::fs::read(folder.join(name)).expect("it is there");
        let hash = format!("{:016x}", super::v1::payload_hash(&bytes));
        // "unreleased", or the release and what its bytes hash to.
        match since.split_once(' ') {
            Some((release, frozen)) => assert_eq!(hash, frozen, "{name} is frozen since {release}: make a new format"),
            None => assert_eq!(since, "unreleased", "{name}: released is `VERSION {hash}`"),
        }
    }
}
