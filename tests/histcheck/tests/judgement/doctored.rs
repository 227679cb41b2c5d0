//! One right history, made wrong in one way each: every one is refused, for the reason it was made wrong.

use serde_json::{Value, json};

use super::judged;

/// An account, step by step: five operations, of which nobody knows what became of the fourth and the fifth is refused, and
/// three looks.
fn right() -> Vec<Value> {
    let ask =
        |t: u64, op: u64| json!({"line": "call", "t": t, "op": op, "actor": "a", "turn": 1, "id": format!("a{op}")});
    let look = |t: u64, op: u64| json!({"line": "call", "t": t, "op": op, "actor": "a", "id": format!("b{op}")});
    let done = |t: u64, op: u64, value: i64| json!({"line": "done", "t": t, "op": op, "value": value});
    let seen = |t: u64, op: u64, value: i64| json!({"line": "seen", "t": t, "op": op, "value": value});
    vec![
        ask(10, 1),
        stored(101, 1, 1, "a1", 5),
        done(20, 1, 5),
        look(30, 2),
        seen(40, 2, 5),
        ask(50, 3),
        stored(105, 1, 2, "a3", 12),
        done(60, 3, 12),
        ask(70, 4),
        stored(106, 2, 3, "a4", 13),
        done(80, 4, 13),
        look(90, 5),
        seen(100, 5, 13),
        ask(110, 6),
        stored(110, 2, 4, "a6", 33),
        ask(120, 7),
        json!({"line": "no", "t": 130, "op": 7}),
        look(140, 8),
        seen(150, 8, 33),
    ]
}

fn stored(sequence: u64, epoch: u64, version: u64, id: &str, value: i64) -> Value {
    json!({
        "line": "stored", "actor": "a", "sequence": sequence, "epoch": epoch, "version": version, "id": id, "value": value
    })
}

fn kept<'a>(lines: &'a mut [Value], id: &str) -> &'a mut Value {
    lines.iter_mut().find(|line| line["line"] == "stored" && line["id"] == id).expect("it is stored")
}

/// The answer to a question.
fn answer(lines: &mut [Value], op: u64) -> &mut Value {
    lines.iter_mut().find(|line| line["line"] != "call" && line["op"] == op).expect("it is answered")
}

fn without(lines: &mut Vec<Value>, id: &str) {
    lines.retain(|line| line["line"] != "stored" || line["id"] != id);
}

/// Nobody is told what became of these questions.
fn unsure(lines: &mut Vec<Value>, ops: &[u64]) {
    lines.retain(|line| line["line"] == "call" || !ops.iter().any(|op| line["op"] == *op));
}

/// Swaps the ids of two stored operations.
fn swap(lines: &mut [Value], one: &str, other: &str) {
    kept(lines, one)["id"] = json!("c");
    kept(lines, other)["id"] = json!(one);
    kept(lines, "c")["id"] = json!(other);
}

#[test]
fn the_history_that_is_doctored_is_right() {
    let verdict = judged(&right());
    assert_eq!(verdict.wrong, [""; 0]);
    let agreed = verdict.agreed;
    assert_eq!((agreed.done, agreed.seen, agreed.no, agreed.unsure_and_stored, agreed.records), (3, 3, 1, 1, 4));
}

/// What was done to it, how, and what must be said of it.
type Doctored = (&'static str, fn(&mut Vec<Value>), &'static str);

#[test]
fn every_doctored_history_is_refused_for_what_was_done_to_it() {
    let cases: [Doctored; 18] = [
        (
            "an acknowledged operation is gone",
            |lines| {
                without(lines, "a4");
                kept(lines, "a6")["version"] = json!(3);
            },
            "a4 was acknowledged, and is not in the history",
        ),
        (
            "the store has lost its tail",
            |lines| ["a4", "a6"].iter().for_each(|id| without(lines, id)),
            "a4 was acknowledged, and is not in the history",
        ),
        ("an operation is stored twice", |lines| lines.push(stored(120, 2, 5, "a3", 40)), "a3 is in the history twice"),
        (
            "a refused operation is stored",
            |lines| lines.push(stored(120, 2, 5, "a7", 42)),
            "a7 is in the history, and everybody was told that it is not",
        ),
        (
            "an operation comes from nowhere",
            |lines| lines.push(stored(120, 2, 5, "dd", 42)),
            "dd is in the history, and nobody asked it",
        ),
        (
            "an actor that nobody asked has a history",
            |lines| {
                let mut elsewhere = stored(7, 1, 1, "dd", 1);
                elsewhere["actor"] = json!("b");
                lines.push(elsewhere);
            },
            "b: dd is in the history, and nobody asked it",
        ),
        (
            "another reply is stored",
            |lines| kept(lines, "a3")["value"] = json!(11),
            "a3 was told 12, and the history says 11",
        ),
        (
            "another reply was told",
            |lines| answer(lines, 4)["value"] = json!(12),
            "a4 was told 12, and the history says 13",
        ),
        (
            "whoever asks again is told something else",
            |lines| {
                lines.push(json!({"line": "call", "t": 160, "op": 9, "actor": "a", "id": "a3"}));
                lines.push(json!({"line": "done", "t": 170, "op": 9, "value": 13}));
            },
            "a3 was told 12 and then 13",
        ),
        (
            "an operation is acknowledged before what precedes it was asked",
            |lines| {
                swap(lines, "a4", "a6");
                unsure(lines, &[5, 8]);
                answer(lines, 4)["value"] = json!(33);
                for line in lines {
                    drop(line.as_object_mut().map(|line| line.remove("turn")));
                }
            },
            "a4 was acknowledged at 8, and stands behind what was asked later",
        ),
        (
            "an asker is overtaken by himself",
            |lines| {
                unsure(lines, &[3, 4, 5, 8]);
                swap(lines, "a3", "a4");
            },
            "a4 was asked in turn after a3, and stands before it",
        ),
        ("a look tells what was never true", |lines| answer(lines, 5)["value"] = json!(14), "b5 saw 14"),
        (
            "a look tells what was true before",
            |lines| answer(lines, 5)["value"] = json!(12),
            "b5 saw 12, which the actor was not between command 3 and command 3",
        ),
        (
            "a look tells what was asked only later",
            |lines| answer(lines, 2)["value"] = json!(12),
            "b2 saw 12, which the actor was not between command 1 and command 1",
        ),
        (
            "a look goes back behind an earlier one",
            |lines| {
                // Of an operation that nobody has acknowledged one look has told; the next one must not forget it.
                lines.push(json!({"line": "call", "t": 160, "op": 9, "actor": "a", "id": "b9"}));
                lines.push(json!({"line": "seen", "t": 170, "op": 9, "value": 13}));
            },
            "b9 saw 13, which the actor was not between command 4 and command 4",
        ),
        (
            "a version is left out",
            |lines| kept(lines, "a6")["version"] = json!(5),
            "sequence 110 makes version 5 of 3 with 1 events",
        ),
        (
            "two owners have written the same version",
            |lines| lines.push(stored(111, 2, 4, "a7", 42)),
            "sequence 111 makes version 4 of 4 with 1 events",
        ),
        (
            "an old owner has written after a new one",
            |lines| kept(lines, "a6")["epoch"] = json!(1),
            "sequence 110 is of epoch 1, after one of 2",
        ),
    ];
    for (what, doctor, said) in cases {
        let mut lines = right();
        doctor(&mut lines);
        let verdict = judged(&lines);
        assert!(verdict.wrong.iter().any(|wrong| wrong.contains(said)), "{what}: {verdict}");
    }
}
