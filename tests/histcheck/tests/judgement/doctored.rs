//! One right history, made wrong in one way each: every one is refused, for the reason it was made wrong.

use aether_histcheck::Wrong;
use serde_json::{Value, json};

use super::judged;

/// Two callers and one account, step by step: five writes, of which the fourth is one that nobody knows of and the fifth is
/// refused, and three reads.
fn right() -> Vec<Value> {
    let invoke = |t: u64, op: u64, id: &str, add: i64| json!({"line": "invoke", "t": t, "op": op, "actor": "a", "lane": "one", "id": id, "add": add});
    let read = |t: u64, op: u64| json!({"line": "invoke", "t": t, "op": op, "actor": "a"});
    let ok = |t: u64, op: u64, value: i64, version: u64| json!({"line": "ok", "t": t, "op": op, "value": value, "version": version});
    vec![
        invoke(10, 1, "w1", 5),
        kept(101, 1, 1, "w1", 5),
        ok(20, 1, 5, 1),
        read(30, 2),
        ok(40, 2, 5, 1),
        invoke(50, 3, "w2", 7),
        kept(105, 1, 2, "w2", 7),
        ok(60, 3, 12, 2),
        invoke(70, 4, "w3", 1),
        kept(106, 2, 3, "w3", 1),
        ok(80, 4, 13, 3),
        read(90, 5),
        ok(100, 5, 13, 3),
        invoke(110, 6, "w4", 20),
        kept(110, 2, 4, "w4", 20),
        invoke(120, 7, "w5", 9),
        json!({"line": "fail", "t": 130, "op": 7}),
        read(140, 8),
        ok(150, 8, 33, 4),
    ]
}

/// A stored line of the only actor.
fn kept(sequence: u64, epoch: u64, version: u64, id: &str, add: i64) -> Value {
    json!({
        "line": "stored", "actor": "a", "sequence": sequence, "epoch": epoch, "version": version, "id": id, "add": add
    })
}

fn line<'a>(lines: &'a mut [Value], kind: &str, key: &str, what: &Value) -> &'a mut Value {
    lines.iter_mut().find(|line| line["line"] == kind && line[key] == *what).expect("there is such a line")
}

fn stored<'a>(lines: &'a mut [Value], id: &str) -> &'a mut Value {
    line(lines, "stored", "id", &json!(id))
}

fn answer(lines: &mut [Value], op: u64) -> &mut Value {
    line(lines, "ok", "op", &json!(op))
}

fn without(lines: &mut Vec<Value>, id: &str) {
    lines.retain(|line| line["line"] != "stored" || line["id"] != id);
}

/// Swaps what two stored lines hold, but for their place.
fn swap(lines: &mut [Value], one: &str, other: &str) {
    let of = |line: &Value| line["id"].as_str().map(str::to_owned);
    let place = |id: &str| lines.iter().position(|line| line["line"] == "stored" && of(line).as_deref() == Some(id));
    let (one, other) = (place(one).expect("it is stored"), place(other).expect("it is stored"));
    for key in ["id", "add"] {
        let first = lines[one][key].take();
        let second = std::mem::replace(&mut lines[other][key], first);
        lines[one][key] = second;
    }
}

#[test]
fn the_history_that_is_doctored_is_right() {
    let report = judged(&right());
    assert!(report.holds(), "{report}");
    assert_eq!(
        (report.acknowledged, report.reads, report.unknown, report.unknown_stored, report.stored),
        (3, 3, 1, 1, 4)
    );
}

/// What was done to it, how, and for what it must be refused, in what words.
type Doctored = (&'static str, fn(&mut Vec<Value>), Wrong, &'static str);

#[test]
fn every_doctored_history_is_refused_for_what_was_done_to_it() {
    let cases: [Doctored; 18] = [
        ("an acknowledged write is gone", |lines| without(lines, "w2"), Wrong::Lost, "operation 3)"),
        (
            "the store has lost its tail",
            |lines| ["w3", "w4"].iter().for_each(|id| without(lines, id)),
            Wrong::Lost,
            "operation 4)",
        ),
        (
            "a write is stored twice",
            |lines| {
                let mut again = stored(lines, "w2").clone();
                (again["sequence"], again["version"]) = (json!(120), json!(5));
                lines.push(again);
            },
            Wrong::Doubled,
            "at sequence 120",
        ),
        (
            "a refused write is stored",
            |lines| {
                lines.push(kept(120, 2, 5, "w5", 9));
            },
            Wrong::AppliedThoughRefused,
            "at sequence 120",
        ),
        (
            "a write comes from nowhere",
            |lines| {
                lines.push(kept(120, 2, 5, "w6", 0));
            },
            Wrong::FromNowhere,
            "at sequence 120",
        ),
        ("another actor has the write", |lines| stored(lines, "w3")["actor"] = json!("b"), Wrong::Lost, "operation 4)"),
        ("a stored amount differs", |lines| stored(lines, "w4")["add"] = json!(21), Wrong::Changed, "operation 6)"),
        ("two writes have changed places", |lines| swap(lines, "w1", "w2"), Wrong::OutOfOrder, "operation 3)"),
        (
            "a lane is overtaken by itself",
            |lines| {
                // Both under way at once, and nobody answered: only the lane tells them apart.
                lines.retain(|line| line["op"] != 3 || line["line"] != "ok");
                lines.retain(|line| ![4, 5, 8].iter().any(|op| line["op"] == *op && line["line"] == "ok"));
                swap(lines, "w2", "w3");
            },
            Wrong::LaneOutOfOrder,
            "operation 4 is stored in a before operation 3",
        ),
        (
            "a write was answered another value",
            |lines| answer(lines, 3)["value"] = json!(13),
            Wrong::WrongAnswer,
            "operation 3)",
        ),
        (
            "a write was answered another version",
            |lines| answer(lines, 4)["version"] = json!(2),
            Wrong::WrongAnswer,
            "operation 4)",
        ),
        (
            "a read answers what was never true",
            |lines| answer(lines, 5)["value"] = json!(14),
            Wrong::Unexplained,
            "operation 5)",
        ),
        (
            "a read answers what was true before",
            |lines| (answer(lines, 5)["value"], answer(lines, 5)["version"]) = (json!(12), json!(2)),
            Wrong::Unexplained,
            "from 3 to 3",
        ),
        (
            "a read answers what was asked only later",
            |lines| (answer(lines, 2)["value"], answer(lines, 2)["version"]) = (json!(12), json!(2)),
            Wrong::Unexplained,
            "from 1 to 1",
        ),
        (
            "a read goes back behind an earlier one",
            |lines| {
                // Of a write that nobody has acknowledged, one read has told; the next one must not forget it.
                (answer(lines, 8)["value"], answer(lines, 8)["version"]) = (json!(33), json!(4));
                lines.push(json!({"line": "invoke", "t": 160, "op": 9, "actor": "a"}));
                lines.push(json!({"line": "ok", "t": 170, "op": 9, "value": 13}));
            },
            Wrong::Unexplained,
            "from 4 to 4",
        ),
        ("a version is left out", |lines| stored(lines, "w4")["version"] = json!(5), Wrong::Gap, "where 4 comes next"),
        (
            "two owners have written the same version",
            |lines| {
                lines.push(kept(111, 2, 4, "w5", 9));
            },
            Wrong::Gap,
            "where 5 comes next",
        ),
        (
            "an old owner has written after a new one",
            |lines| stored(lines, "w4")["epoch"] = json!(1),
            Wrong::EpochBack,
            "epoch 1 behind 2",
        ),
    ];
    for (what, doctor, wrong, words) in cases {
        let mut lines = right();
        doctor(&mut lines);
        let report = judged(&lines);
        let found = report.violations.iter().any(|found| found.wrong == wrong && found.found.contains(words));
        assert!(found, "{what}: {report}");
    }
}

#[test]
fn what_is_wrong_is_counted_beyond_what_is_shown() {
    let mut lines = right();
    for nth in 0..300 {
        lines.push(
            json!({"line": "stored", "actor": "b", "sequence": nth + 1, "version": nth + 1, "id": format!("x{nth}")}),
        );
    }
    let report = judged(&lines);
    assert_eq!((report.wrong, report.violations.len()), (300, aether_histcheck::VIOLATIONS_KEPT));
    assert!(report.to_string().ends_with("and 200 more"), "{report}");
}
