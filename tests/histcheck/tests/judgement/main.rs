//! Histories that are right, and histories that were made wrong in one way each.

mod clean;
mod doctored;
mod oracle;

use aether_histcheck::{History, Report, check};
use serde_json::Value;

fn judged(lines: &[Value]) -> Report {
    let text = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    check(&History::read(text.as_bytes()).expect("a history"))
}
