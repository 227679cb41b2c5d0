//! Small histories of every kind, against a judgement that tries all places of all reads and compares all pairs.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::judged;

/// When it was asked and answered, and of a read what it was told.
type Span = (u64, Option<u64>);

fn span() -> impl Strategy<Value = Span> {
    (0_u64..12, proptest::option::weighted(0.9, 0_u64..6))
        .prop_map(|(asked, took)| (asked, took.map(|took| asked + took)))
}

fn lines(writes: &[(Span, i64)], reads: &[(Span, i64, bool)]) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut value = 0;
    for (place, &((asked, answered), add)) in writes.iter().enumerate() {
        value += add;
        let id = format!("{place:x}");
        lines.push(json!({"line": "call", "t": asked, "op": place, "actor": "a", "id": id}));
        if let Some(t) = answered {
            lines.push(json!({"line": "done", "t": t, "op": place, "value": value}));
        }
        let version = place + 1;
        lines.push(
            json!({"line": "stored", "actor": "a", "sequence": version, "version": version, "id": id, "value": value}),
        );
    }
    for (place, &((asked, answered), told, stale)) in reads.iter().enumerate() {
        let op = writes.len() + place;
        lines.push(json!({"line": "call", "t": asked, "op": op, "actor": "a", "id": format!("{op:x}")}));
        if let Some(t) = answered {
            lines.push(json!({"line": "seen", "t": t, "op": op, "value": told, "stale": stale}));
        }
    }
    lines
}

/// Whether some place for each answered read explains everything, by comparing all pairs.
fn explained(writes: &[(Span, i64)], reads: &[(Span, i64, bool)]) -> bool {
    let before = |one: Span, other: Span| one.1.is_some_and(|answered| answered < other.0);
    let values: Vec<i64> = std::iter::once(0)
        .chain(writes.iter().scan(0, |value, (_, add)| {
            *value += add;
            Some(*value)
        }))
        .collect();
    let in_order = (0..writes.len()).all(|later| (0..later).all(|earlier| !before(writes[later].0, writes[earlier].0)));
    // A write's own answer is what is true behind it, so all up to it must have been asked by then.
    let answered_late_enough = (0..writes.len()).all(|place| {
        writes[place].0.1.is_none_or(|answered| writes[..place].iter().all(|(span, _)| span.0 <= answered))
    });
    let answered: Vec<_> = reads.iter().filter(|(span, ..)| span.1.is_some()).collect();
    let mut choices: Vec<Vec<usize>> = vec![vec![]];
    for (span, told, stale) in answered.iter().copied() {
        let places = (0..=writes.len()).filter(|&count| {
            let fits = values[count] == *told;
            let of_the_future = writes[..count].iter().any(|(write, _)| before(*span, *write));
            let stale_enough = *stale || !writes[count..].iter().any(|(write, _)| before(*write, *span));
            fits && !of_the_future && stale_enough
        });
        let places: Vec<_> = places.collect();
        choices = choices.iter().flat_map(|so_far| places.iter().map(|&one| [&so_far[..], &[one]].concat())).collect();
    }
    let monotonic = |counts: &Vec<usize>| {
        (0..counts.len()).all(|a| {
            (0..counts.len()).all(|b| {
                let ((one, _, one_stale), (other, _, other_stale)) = (answered[a], answered[b]);
                *one_stale || *other_stale || !before(*one, *other) || counts[a] <= counts[b]
            })
        })
    };
    in_order && answered_late_enough && choices.iter().any(monotonic)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn a_history_is_called_right_just_when_some_places_explain_it(
        writes in proptest::collection::vec((span(), -1_i64..=2), 0..5),
        reads in proptest::collection::vec((span(), -1_i64..=4, proptest::bool::weighted(0.2)), 0..4),
    ) {
        let verdict = judged(&lines(&writes, &reads));
        prop_assert_eq!(verdict.wrong.is_empty(), explained(&writes, &reads), "{}", verdict);
    }
}
