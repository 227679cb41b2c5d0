//! How long it takes to read and judge a history of a million operations, of 48 actors and as many askers.
//!
//! Raw is that the same text is read, line by line, as JSON of no certain shape. `--quick` judges a tenth; with `--check` it fails above
//! five seconds for a million.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, looks at the clock and rounds"
)]

use std::fmt::Write as _;
use std::io::BufRead as _;
use std::time::Instant;

use aether_histcheck::History;
use serde_json::Value;

const OPERATIONS: u64 = 1_000_000;
const SECONDS_MAX: f64 = 5.0;
/// How many ask at once, each an actor of its own a moment later than the one before.
const ASKERS: u64 = 48;

/// Each operation begins while the last 47 are under way; one in five looks, one in twenty is never heard of again.
fn text(operations: u64) -> String {
    let (mut text, mut values) = (String::new(), vec![0_u64; ASKERS as usize]);
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("a string takes it");
    for op in 0..operations {
        let actor = op.wrapping_mul(2_654_435_761) % ASKERS;
        let (value, t, ends) = (&mut values[actor as usize], op * 10, (op + ASKERS) * 10 - 5);
        line(format_args!(r#"{{"line":"call","t":{t},"op":{op},"actor":"account/{actor}","id":"{op:x}"}}"#));
        if op % 5 == 0 {
            line(format_args!(r#"{{"line":"seen","t":{ends},"op":{op},"value":{value}}}"#));
            continue;
        }
        *value += 1;
        line(format_args!(
            r#"{{"line":"stored","actor":"account/{actor}","sequence":{t},"epoch":1,"version":{value},"id":"{op:x}","value":{value}}}"#
        ));
        if op % 20 != 1 {
            line(format_args!(r#"{{"line":"done","t":{ends},"op":{op},"value":{value}}}"#));
        }
    }
    text
}

fn main() {
    let asked = |flag: &str| std::env::args().any(|argument| argument == flag);
    let operations = if asked("--quick") { OPERATIONS / 10 } else { OPERATIONS };
    let text = text(operations);
    let raw = Instant::now();
    let lines = text.as_bytes().lines().map_while(Result::ok);
    let read = lines.filter(|line| serde_json::from_str::<Value>(line).is_ok()).count();
    let raw = raw.elapsed().as_secs_f64();
    let ours = Instant::now();
    let verdict = History::read(text.as_bytes()).and_then(|history| history.judge()).expect("a history");
    let ours = ours.elapsed().as_secs_f64();
    assert!(verdict.wrong.is_empty(), "{verdict}");
    println!(
        "{operations} operations, {read} lines: read and judged in {ours:.2} s, {:.2}x the time to read them as JSON \
         (goal: a million in {SECONDS_MAX} s)",
        ours / raw
    );
    let limit = SECONDS_MAX * operations as f64 / OPERATIONS as f64;
    assert!(!asked("--check") || ours <= limit, "{ours:.2} s, more than {limit:.2}");
}
