//! The text itself.

use aether_domain::testing::history::{Book, Told, as_stored};
use aether_histcheck::{History, write};
use serde_json::json;

use super::{clean, judged};

#[test]
fn lines_may_stand_in_any_order_but_for_what_is_stored() {
    for seed in 0..50 {
        let mut lines = clean::history(seed, 200);
        let before = judged(&lines);
        lines.sort_by_key(|line| (line["line"] == "stored", line["line"] == "call"));
        assert_eq!(judged(&lines), before, "seed {seed}");
    }
}

#[test]
fn a_text_that_is_no_history_is_refused_with_its_line() {
    let call = r#"{"line":"call","t":5,"op":1,"actor":"a","id":"1f"}"#;
    let after = |line: &str| format!("{call}\n\n{line}");
    for (text, said) in [
        ("what", "line 1: expected value"),
        (r#"{"line":"never"}"#, "line 1: unknown variant"),
        (r#"{"line":"no","t":1,"op":1,"more":1}"#, "line 1: unknown field"),
        (r#"{"line":"done","t":1,"op":1,"value":0.5}"#, "line 1: invalid type"),
        (r#"{"line":"no","t":1}"#, "line 1: op is missing"),
        (r#"{"line":"no","op":1}"#, "line 1: t is missing"),
        (r#"{"line":"done","t":1,"op":1}"#, "line 1: value is missing"),
        (r#"{"line":"call","t":1,"op":1,"id":"1"}"#, "line 1: actor is missing"),
        (r#"{"line":"call","t":1,"op":1,"actor":"a"}"#, "line 1: id is missing"),
        (r#"{"line":"call","t":1,"op":1,"actor":"a","id":"g"}"#, "line 1: the id \"g\" is not 1 to 32 hex digits"),
        (
            &format!(r#"{{"line":"call","t":1,"op":1,"actor":"a","id":"{}"}}"#, "0".repeat(33)),
            "is not 1 to 32 hex digits",
        ),
        (r#"{"line":"stored","actor":"a","id":"1","version":1,"value":1}"#, "line 1: sequence is missing"),
        (&after(call), "line 3: question 1 is asked twice"),
        (&after(r#"{"line":"no","t":4,"op":1}"#), "line 3: question 1 is ended and was not asked before"),
        (
            &after("{\"line\":\"no\",\"t\":6,\"op\":1}\n{\"line\":\"no\",\"t\":7,\"op\":1}"),
            "line 4: question 1 is ended twice",
        ),
        (r#"{"line":"no","t":4,"op":1}"#, "line 1: question 1 is ended and was not asked before"),
        (&"x".repeat(70_000), "line 1: longer than"),
    ] {
        let refused =
            History::read(text.as_bytes()).and_then(|history| history.judge()).expect_err("refused").to_string();
        assert!(refused.contains(said), "{text:.80}: {refused}");
    }
}

#[test]
fn a_book_is_written_as_it_is() {
    let mut book: Book<u64, u64> = Book::default();
    let calls: Vec<_> = (1..=4).map(|name| book.call(7, name)).collect();
    let last = book.call_in_turn(7, 5, 3);
    let told = [Told::Done(2), Told::Seen { value: 0, fresh: false }, Told::No, Told::Unsure];
    for (call, told) in calls.into_iter().zip(told) {
        book.told(call, told);
    }
    let (mut text, nothing) = (Vec::new(), as_stored(&[]));
    let kept =
        |_: &u64| aether_domain::testing::history::Kept { commits: nothing.commits, born: Some(0), commands: vec![] };
    write(&book, kept, &mut text).expect("a buffer takes it");
    let text = String::from_utf8(text).expect("text");
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0], json!({"line": "call", "t": 1, "op": 0, "actor": "7", "id": "1"}));
    assert_eq!(lines[1], json!({"line": "done", "t": 6, "op": 0, "value": 2}));
    assert_eq!(lines[3], json!({"line": "seen", "t": 7, "op": 1, "value": 0, "stale": true}));
    assert_eq!(lines[8], json!({"line": "call", "t": 5, "op": 4, "actor": "7", "id": "5", "turn": 3}));
    assert_eq!(lines[9], json!({"line": "born", "actor": "7", "value": 0}));
    assert_eq!(judged(&lines).wrong, ["7: 1 was acknowledged, and is not in the history"]);
    let _ = last;
}
