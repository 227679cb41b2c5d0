//! What CI does of the fuzzer, and that the fuzzer finds what there is to find.

use std::collections::BTreeSet;

use aether_fuzz::{Allowance, Decoded, Limit, Shape, Target, Verdict, corpus, run, shrunk, targets};

/// How many inputs each target is tried with here. `cargo xtask fuzz` tries as many as it is told.
const EXECUTIONS: u64 = 5_000;

/// Fewer of what takes a whole conversation, or a parser of whole files.
fn executions(target: &Target) -> u64 {
    if ["admin-http", "config-file", "config-variables", "policy-file"].contains(&target.name) {
        300
    } else {
        EXECUTIONS
    }
}

#[test]
fn everything_that_was_ever_found_is_decoded_or_refused_and_has_one_meaning() {
    let mut names = BTreeSet::new();
    for target in targets::all() {
        assert!(names.insert(target.name), "{} twice", target.name);
        let (mut ways, mut meant) = (BTreeSet::new(), 0);
        for (name, input) in corpus::read(&target).expect("a corpus") {
            match target.try_with(&input) {
                Verdict::Fine { meant: one, way, .. } => {
                    ways.insert(way);
                    meant += usize::from(one);
                }
                Verdict::Broken(what) => panic!("{}, {name}: {what}", target.name),
            }
        }
        assert!(meant > 0, "nothing in the corpus of {} means anything", target.name);
    }
}

#[test]
fn a_seeded_slice_of_bytes_that_nobody_wrote_breaks_no_decoder() {
    for target in targets::all() {
        let report = run(&target, 1, Limit::Executions(executions(&target))).expect("a corpus");
        assert_eq!(report.finding, None, "{}", target.name);
        let (inputs, meant, memory) = (report.executions, report.meant, report.memory);
        println!("{}: {inputs} inputs, {meant} with a meaning, at most {memory} % of its allowance", target.name);
    }
}

/// What is wrong, a decoder of that kind, and the least that shows it.
type Fault = (&'static str, fn(&[u8]) -> Decoded, &'static [u8]);

/// A decoder with a fault, and the corpus of the one of shards.
fn faulty(read: fn(&[u8]) -> Decoded) -> Target {
    let shards = targets::all().into_iter().find(|target| target.name == "shards").expect("it is there");
    Target { read, allowance: Allowance { times: 4, room: 64 * 1024 }, shape: Shape::Plain, ..shards }
}

#[test]
fn a_decoder_that_panics_takes_too_much_or_has_two_meanings_is_found_out_by_the_least_bytes_that_show_it() {
    let faults: [Fault; 3] = [
        (
            "panic: twice nothing",
            |bytes| {
                assert!(!bytes.windows(2).any(|two| two == b"00"), "twice nothing");
                Err("fine".to_owned())
            },
            b"00",
        ),
        (
            "memory: 1048576 bytes asked for",
            |bytes| {
                let promised = if bytes.contains(&b'!') { 1 << 20 } else { 1 };
                drop(std::hint::black_box(Vec::<u8>::with_capacity(promised)));
                Err("fine".to_owned())
            },
            b"!",
        ),
        (
            "meaning: another one",
            |bytes| {
                let two = bytes.ends_with(b",9");
                Ok(Box::new(move || if two { Err("another one".to_owned()) } else { Ok(()) }))
            },
            b",9",
        ),
    ];
    for (what, read, least) in faults {
        let target = faulty(read);
        let report = run(&target, 7, Limit::Executions(100_000)).expect("a corpus");
        let finding = report.finding.unwrap_or_else(|| panic!("{what} is missed"));
        assert!(finding.what.starts_with(what), "{finding:?}");
        let same = |input: &[u8]| matches!(target.try_with(input), Verdict::Broken(_));
        assert_eq!(shrunk(finding.input, same), least);
    }
}

#[test]
fn a_seed_is_a_run() {
    let target = faulty(|bytes| Err(bytes.len().to_string()));
    let of = |seed| run(&target, seed, Limit::Executions(3_000)).expect("a corpus").found;
    assert_eq!(of(3), of(3));
    assert_ne!(of(3), of(4));
}
