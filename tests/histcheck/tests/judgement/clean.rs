//! Histories of a store that keeps its promise, under callers that overlap, give up, and ask again.

use aether_histcheck::History;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::judged;

/// An operation under way.
struct Flight {
    op: u64,
    actor: usize,
    /// Its id and amount, of a write.
    write: Option<(String, i64)>,
    /// The value and version it is to be answered.
    answer: Option<(i64, u64)>,
}

#[derive(Default)]
struct Actor {
    value: i64,
    version: u64,
    sequence: u64,
    epoch: u64,
    /// What writes were answered, by id.
    done: Vec<(String, (i64, u64))>,
}

/// A history of so many steps.
pub(super) fn history(seed: u64, steps: usize) -> Vec<Value> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut actors: Vec<Actor> = (0..3).map(|_| Actor::default()).collect();
    let mut flights: Vec<Flight> = Vec::new();
    let (mut lines, mut op) = (Vec::new(), 0);
    for t in 0..steps as u64 {
        let pick = dice.random_range(0..flights.len().max(1));
        match dice.random_range(0..10) {
            0..4 if flights.len() < 8 => {
                op += 1;
                let actor = dice.random_range(0..actors.len());
                let name = format!("account/{actor}");
                let write = dice.random_ratio(2, 3).then(|| (format!("w{op}"), dice.random_range(-5..=5)));
                lines.push(match &write {
                    Some((id, add)) => json!({"line": "invoke", "t": t, "op": op, "actor": name, "id": id, "add": add}),
                    None => json!({"line": "invoke", "t": t, "op": op, "actor": name}),
                });
                flights.push(Flight { op, actor, write, answer: None });
            }
            // It takes effect.
            4..7 if !flights.is_empty() => {
                let flight = &mut flights[pick];
                if flight.answer.is_none() {
                    flight.answer = Some(taken(flight, &mut actors[flight.actor], &mut dice, &mut lines));
                }
            }
            // It ends: answered, refused before anything was applied, or never heard of again.
            7..9 if !flights.is_empty() => {
                let Flight { op: number, actor, write, answer } = flights.swap_remove(pick);
                let lost = dice.random_ratio(1, 6);
                lines.push(match answer {
                    Some((value, version)) if !lost => {
                        let mut line = json!({"line": "ok", "t": t, "op": number, "value": value});
                        if dice.random_ratio(1, 2) {
                            line["version"] = version.into();
                        }
                        line
                    }
                    None if !lost => json!({"line": "fail", "t": t, "op": number}),
                    _ => json!({"line": "info", "t": t, "op": number}),
                });
                // Whoever does not know asks again, under the same id.
                if lost && let Some((id, add)) = write {
                    op += 1;
                    let name = format!("account/{actor}");
                    lines.push(json!({"line": "invoke", "t": t, "op": op, "actor": name, "id": id, "add": add}));
                    flights.push(Flight { op, actor, write: Some((id, add)), answer: None });
                }
            }
            _ if dice.random_ratio(1, 10) => actors[pick % 3].epoch += 1,
            _ => {}
        }
    }
    lines
}

/// Takes effect once, whoever asks again.
fn taken(flight: &Flight, actor: &mut Actor, dice: &mut ChaCha8Rng, lines: &mut Vec<Value>) -> (i64, u64) {
    let Some((id, add)) = &flight.write else { return (actor.value, actor.version) };
    if let Some((_, answer)) = actor.done.iter().find(|(done, _)| done == id) {
        return *answer;
    }
    let events = dice.random_range(1..=3);
    actor.value += add;
    actor.version += events;
    actor.sequence += dice.random_range(1..=4);
    lines.push(json!({
        "line": "stored", "actor": format!("account/{}", flight.actor), "sequence": actor.sequence,
        "epoch": actor.epoch, "version": actor.version, "events": events, "id": id, "add": add
    }));
    actor.done.push((id.clone(), (actor.value, actor.version)));
    (actor.value, actor.version)
}

#[test]
fn what_a_store_that_keeps_its_promise_does_is_never_called_wrong() {
    let (mut acknowledged, mut reads, mut unknown) = (0, 0, 0);
    for seed in 0..2_000 {
        let report = judged(&history(seed, 200));
        assert!(report.holds(), "seed {seed}: {report}");
        acknowledged += report.acknowledged;
        reads += report.reads;
        unknown += report.unknown_stored;
    }
    assert!(acknowledged > 20_000 && reads > 10_000 && unknown > 10_000, "{acknowledged}, {reads}, {unknown}");
}

#[test]
fn lines_may_stand_in_any_order_but_for_what_is_stored() {
    for seed in 0..50 {
        let mut lines = history(seed, 200);
        lines.sort_by_key(|line| (line["line"] == "stored", line["line"] == "invoke"));
        let report = judged(&lines);
        assert!(report.holds(), "seed {seed}: {report}");
    }
}

#[test]
fn a_text_that_is_no_history_is_refused_with_its_line() {
    let begin = r#"{"line":"invoke","t":5,"op":1,"actor":"a"}"#;
    for (text, said) in [
        ("what", "line 1: expected value"),
        (r#"{"line":"never"}"#, "line 1: unknown variant"),
        (r#"{"line":"ok","t":1,"op":1,"more":1}"#, "unknown field"),
        (r#"{"line":"ok","t":1}"#, "line 1: op is missing"),
        (r#"{"line":"ok","op":1}"#, "line 1: t is missing"),
        (r#"{"line":"invoke","t":1,"op":1}"#, "line 1: actor is missing"),
        (r#"{"line":"stored","actor":"a","id":"x","version":1}"#, "line 1: sequence is missing"),
        (&format!("{begin}\n\n{begin}"), "line 3: operation 1 begins twice"),
        (&format!("{begin}\n{{\"line\":\"ok\",\"t\":4,\"op\":1}}"), "line 2: operation 1 ends before it begins"),
        (&format!("{{\"line\":\"ok\",\"t\":4,\"op\":1}}\n{begin}"), "line 2: operation 1 ends before it begins"),
        (
            &format!("{begin}\n{{\"line\":\"ok\",\"t\":6,\"op\":1}}\n{{\"line\":\"info\",\"t\":6,\"op\":1}}"),
            "ends twice",
        ),
        (r#"{"line":"ok","t":4,"op":1}"#, "operation 1 ends and never begins"),
        (&"x".repeat(70_000), "line 1: longer than"),
    ] {
        let error = History::read(text.as_bytes()).expect_err("refused").to_string();
        assert!(error.contains(said), "{text:.80}: {error}");
    }
}
