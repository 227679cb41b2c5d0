//! Histories of a store that keeps its promise, under callers that overlap, give up, and ask again.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::judged;

/// How many seeds are drawn.
const SEEDS: u64 = 2_000;

/// A question under way.
struct Flight {
    op: u64,
    actor: usize,
    id: u64,
    /// How much it adds; nothing if it only looks.
    add: Option<i64>,
    /// The value it is to be told.
    answer: Option<i64>,
}

#[derive(Default)]
struct Actor {
    value: i64,
    version: u64,
    sequence: u64,
    epoch: u64,
    /// What operations were answered, by id.
    done: Vec<(u64, i64)>,
}

/// A history of so many steps.
pub(super) fn history(seed: u64, steps: usize) -> Vec<Value> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut actors: Vec<Actor> = (0..3).map(|_| Actor::default()).collect();
    let mut flights: Vec<Flight> = Vec::new();
    let (mut lines, mut op) = (Vec::new(), 0);
    let call = |t: u64, op: u64, actor: usize, id: u64| json!({"line": "call", "t": t, "op": op, "actor": format!("account/{actor}"), "id": format!("{id:x}")});
    for t in 0..steps as u64 {
        let pick = dice.random_range(0..flights.len().max(1));
        match dice.random_range(0..10) {
            0..4 if flights.len() < 8 => {
                op += 1;
                let actor = dice.random_range(0..actors.len());
                let add = dice.random_ratio(2, 3).then(|| dice.random_range(-5..=5));
                lines.push(call(t, op, actor, op));
                flights.push(Flight { op, actor, id: op, add, answer: None });
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
                let Flight { op: number, actor, id, add, answer } = flights.swap_remove(pick);
                let lost = dice.random_ratio(1, 6);
                lines.push(match answer {
                    Some(value) if !lost && add.is_some() => {
                        json!({"line": "done", "t": t, "op": number, "value": value})
                    }
                    Some(value) if !lost => json!({"line": "seen", "t": t, "op": number, "value": value}),
                    None if !lost => json!({"line": "no", "t": t, "op": number}),
                    _ => json!({"line": "unsure", "t": t, "op": number}),
                });
                // Whoever does not know asks again, under the same id.
                if lost && add.is_some() {
                    op += 1;
                    lines.push(call(t, op, actor, id));
                    flights.push(Flight { op, actor, id, add, answer: None });
                }
            }
            _ if dice.random_ratio(1, 10) => actors[pick % 3].epoch += 1,
            _ => {}
        }
    }
    lines
}

/// Takes effect once, whoever asks again.
fn taken(flight: &Flight, actor: &mut Actor, dice: &mut ChaCha8Rng, lines: &mut Vec<Value>) -> i64 {
    let Some(add) = flight.add else { return actor.value };
    if let Some((_, answer)) = actor.done.iter().find(|(done, _)| *done == flight.id) {
        return *answer;
    }
    let events = dice.random_range(1..=3);
    actor.value += add;
    actor.version += events;
    actor.sequence += dice.random_range(1..=4);
    lines.push(json!({
        "line": "stored", "actor": format!("account/{}", flight.actor), "sequence": actor.sequence,
        "epoch": actor.epoch, "version": actor.version, "events": events, "id": format!("{:x}", flight.id),
        "value": actor.value
    }));
    actor.done.push((flight.id, actor.value));
    actor.value
}

#[test]
fn what_a_store_that_keeps_its_promise_does_is_never_called_wrong() {
    let (mut done, mut seen, mut stored) = (0, 0, 0);
    for seed in 0..SEEDS {
        let verdict = judged(&history(seed, 200));
        assert_eq!(verdict.wrong, [""; 0], "seed {seed}");
        done += verdict.agreed.done;
        seen += verdict.agreed.seen;
        stored += verdict.agreed.unsure_and_stored;
    }
    assert!(done > 20_000 && seen > 10_000 && stored > 5_000, "{done}, {seen}, {stored}");
}
