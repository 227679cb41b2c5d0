//! Histories that are right, and histories that were made wrong in one way each.

mod clean;
mod doctored;
mod oracle;
mod text;

use aether_histcheck::{History, Verdict};
use serde_json::Value;

fn judged(lines: &[Value]) -> Verdict {
    let text = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    History::read(text.as_bytes()).and_then(|history| history.judge()).expect("a history")
}
