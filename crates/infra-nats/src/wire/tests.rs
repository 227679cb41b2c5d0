//! Builds that know different formats: what is written for whom, and what becomes of what is too new.

use std::collections::BTreeMap;
use std::path::Path;

use aether_domain::records::{Format, PayloadCodec};

use super::v1::tests::samples;
use super::v1::{Encoded, WireFault};
use super::{decode_commit, decode_entry, decode_frames, encode_commit, encode_entry, encode_frames};

const ONE: Format = Format(1);
const TWO: Format = Format(2);

/// What a reader of that format makes of the sample of each kind, written in another.
fn read(written: Format, reads: Format) -> Vec<Result<(), WireFault>> {
    let entry = aether_domain::records::Entry { format: written, ..samples::entry() };
    let header = |encoded: &Encoded| encoded.checksum.clone();
    let encoded = encode_entry(&entry).expect("it fits");
    let mut outcomes = vec![decode_entry(&encoded.payload, header(&encoded).as_deref(), reads).map(|found| {
        assert_eq!(found, entry);
    })];
    for codec in [PayloadCodec::Json, PayloadCodec::Binary] {
        let encoded = encode_commit(&samples::commit(codec), written).expect("it fits");
        outcomes.push(decode_commit(&encoded.payload, header(&encoded).as_deref(), reads).map(|found| {
            assert_eq!(found, samples::commit(codec));
        }));
    }
    let from = samples::node("n1", 1);
    let bytes = encode_frames(&from, &samples::frames(), 1 << 20, written).expect("it fits");
    outcomes.push(
        decode_frames(&bytes, reads).map(|found| assert_eq!((found.from, found.frames), (from, samples::frames()))),
    );
    outcomes
}

#[test]
fn each_format_is_read_by_builds_that_know_it_or_a_later_one() {
    for (written, reads) in [(ONE, ONE), (ONE, TWO), (TWO, TWO)] {
        for outcome in read(written, reads) {
            outcome.unwrap_or_else(|fault| panic!("{written} read by {reads}: {fault}"));
        }
    }
}

#[test]
fn a_newer_format_is_refused_with_its_number_and_the_build_that_wrote_it() {
    let said: Vec<_> =
        read(TWO, ONE).into_iter().map(|outcome| outcome.expect_err("it is newer").to_string()).collect();
    let plain = "format 2 is not known here, which reads up to 1";
    let text = format!("{plain}: it was written by build next");
    assert_eq!(said, [&text, &text, plain, plain]);
}

#[test]
fn a_format_that_no_build_knows_is_not_written() {
    let entry = aether_domain::records::Entry { format: Format(9), ..samples::entry() };
    assert!(matches!(encode_entry(&entry), Err(WireFault::UnknownFormat { found: 9, .. })));
    let commit = encode_commit(&samples::commit(PayloadCodec::Binary), Format(9));
    assert!(matches!(commit, Err(WireFault::UnknownFormat { found: 9, .. })));
}

#[test]
fn damage_is_damage_in_either_format() {
    let encoded = encode_commit(&samples::commit(PayloadCodec::Binary), TWO).expect("it fits");
    for at in 0..encoded.payload.len() {
        let mut bytes = encoded.payload.to_vec();
        bytes[at] ^= 4;
        assert!(decode_commit(&bytes, None, TWO).is_err(), "byte {at}");
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
