//! The reference of errors: every case of every public error, and none that there is not.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::Page;
use crate::tidy::Complaint;

/// The page, and which heading of it is about which error of which source.
const PAGE: &str = "docs/reference/errors.md";
const ERRORS: [(&str, &str, &str); 20] = [
    ("`AskError`", "AskError", "crates/runtime/src/actor/ask.rs"),
    ("`CodecError`", "CodecError", "crates/runtime/src/actor/codec.rs"),
    ("`StartError` of a node", "StartError", "crates/aether/src/node/builder.rs"),
    ("`StartError` of NATS", "StartError", "crates/infra-nats/src/start_error.rs"),
    ("`StartError` of the runtime", "StartError", "crates/runtime/src/node.rs"),
    ("`Ended`", "Ended", "crates/aether/src/node/ended.rs"),
    ("`RegisterError`", "RegisterError", "crates/runtime/src/actor/registry.rs"),
    ("`RegisterStrategyError`", "RegisterStrategyError", "crates/runtime/src/coordinator/strategies.rs"),
    ("`SubscribeError`", "SubscribeError", "crates/runtime/src/feed/options.rs"),
    ("`SubscriptionError`", "SubscriptionError", "crates/runtime/src/subscription/chain.rs"),
    ("`ConnectError`", "ConnectError", "crates/aether/src/client.rs"),
    ("`GatewayError`", "GatewayError", "crates/infra-nats/src/gateway_client.rs"),
    ("`OrderRefused`", "OrderRefused", "crates/aether/src/operator.rs"),
    ("`PlacementError`", "PlacementError", "crates/placement/src/strategy.rs"),
    ("`WriteError`", "WriteError", "crates/domain/src/ports/error.rs"),
    ("`AppendError`", "AppendError", "crates/domain/src/ports/error.rs"),
    ("`ReadError`", "ReadError", "crates/domain/src/ports/error.rs"),
    ("`SaveError`", "SaveError", "crates/domain/src/ports/keeping.rs"),
    ("`SendError`", "SendError", "crates/domain/src/ports/transport.rs"),
    ("`AppendFailed`", "AppendFailed", "crates/domain/src/journal/append.rs"),
];

/// Every case that the page leaves out, and every one that it invents.
///
/// # Errors
/// A source cannot be read.
pub fn check(root: &Path, pages: &[Page]) -> Result<Vec<Complaint>> {
    let Some(page) = pages.iter().find(|page| page.path == Path::new(PAGE)) else {
        return Ok(vec![format!("{PAGE}: there is no reference of errors")]);
    };
    let mut complaints = Vec::new();
    for (heading, name, source) in &ERRORS {
        let text = fs::read_to_string(root.join(source)).with_context(|| format!("reading {source}"))?;
        let (there, told) = (cases(&text, name), told(&page.text, heading));
        if there.is_empty() {
            complaints.push(format!("{source}: there is no `pub enum {name}` any more; see xtask/src/book/errors.rs"));
        }
        let missing = there.iter().filter(|case| !told.contains(case)).map(|case| format!("leaves out {case}"));
        let odd =
            told.iter().filter(|case| !there.contains(case)).map(|case| format!("has {case}, which there is not"));
        complaints.extend(missing.chain(odd).map(|what| format!("{PAGE}: {heading} {what} ({source})")));
    }
    Ok(complaints)
}

/// The cases of the enum of that name in a source, as rustfmt writes it.
fn cases(source: &str, name: &str) -> Vec<String> {
    let begins = |line: &&str| line.strip_prefix("pub enum ").is_some_and(|rest| rest.starts_with(name));
    let body = source.lines().skip_while(|line| !begins(line)).skip(1).take_while(|line| *line != "}");
    let at_first_level = body.filter_map(|line| line.strip_prefix("    "));
    let named = at_first_level.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    named.map(|line| line.chars().take_while(|c| c.is_alphanumeric()).collect()).collect()
}

/// The cases that the table below a heading tells.
fn told(page: &str, heading: &str) -> Vec<String> {
    let is_heading = |line: &str| line.starts_with('#');
    let below = page.lines().skip_while(|line| !(is_heading(line) && line.trim_start_matches('#').trim() == heading));
    let rows = below.skip(1).take_while(|line| !is_heading(line)).filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`').map(|(case, _)| case.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cases_of_an_enum_and_of_a_table_are_found() {
        let source = "/// Why.\npub enum AskError<E> {\n    /// No.\n    #[error(\"no\")]\n    Rejected(#[source] E),\n    Timeout {\n        Upper: u8,\n    },\n    Busy,\n}\npub enum B {\n    C,\n}\n";
        assert_eq!(cases(source, "AskError"), ["Rejected", "Timeout", "Busy"]);
        assert_eq!(cases(source, "Nobody"), Vec::<String>::new());
        let page =
            "## `A`\n\n| case | what |\n|---|---|\n| `Busy` | full |\n| `Timeout` | late |\n## `B`\n| `C` | c |\n";
        assert_eq!(told(page, "`A`"), ["Busy", "Timeout"]);
    }
}
