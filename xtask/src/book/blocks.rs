//! Code blocks: what they are is said, and what is Rust is compiled.
//!
//! Compiled are the blocks of the pages that `crates/aether/src/lib.rs` takes into its documentation tests.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::Page;
use crate::tidy::Complaint;

/// What a block may be said to be. `rust` is compiled and run; `console` is for people to type.
const KINDS: [&str; 8] = ["rust", "console", "text", "toml", "json", "yaml", "ini", "promql"];

/// Where pages become documentation tests.
const COMPILED_BY: &str = "crates/aether/src/lib.rs";

/// Every block that does not say what it is, and every page whose Rust nobody compiles.
///
/// # Errors
/// The source that compiles them cannot be read.
pub fn check(root: &Path, pages: &[Page]) -> Result<Vec<Complaint>> {
    let compiled = fs::read_to_string(root.join(COMPILED_BY)).with_context(|| format!("reading {COMPILED_BY}"))?;
    Ok(pages.iter().flat_map(|page| complaints(page, &compiled)).collect())
}

fn complaints(page: &Page, compiled: &str) -> Vec<Complaint> {
    let (mut complaints, mut open) = (Vec::new(), false);
    let name = page.path.display().to_string();
    let is_compiled = compiled.contains(&format!("../../../{name}\""));
    for (line, text, _) in page.lines() {
        let Some(kind) = text.trim_start().strip_prefix("```") else { continue };
        open = !open;
        if !open {
            continue;
        }
        if !KINDS.contains(&kind) {
            complaints.push(format!("{name}:{line}: a block is one of {}, not {kind:?}", KINDS.join(", ")));
        } else if kind == "rust" && !is_compiled {
            complaints
                .push(format!("{name}:{line}: nobody compiles this: take the page into {COMPILED_BY}, `printed`"));
        }
    }
    if open {
        complaints.push(format!("{name}: its last code block has no end"));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_says_what_it_is_and_rust_is_compiled_by_somebody() {
        let page = |text: &str| Page { path: "docs/a.md".into(), text: text.into() };
        let compiled = "#[doc = include_str!(\"../../../docs/a.md\")]";
        assert_eq!(complaints(&page("```rust\n```\n```text\n```\n"), compiled), Vec::<String>::new());
        for (text, of, part) in [
            ("```rust\n```\n", "", "docs/a.md:1: nobody compiles this"),
            ("\n```rust,ignore\n```\n", compiled, "docs/a.md:2: a block is one of rust, "),
            ("```\n```\n", compiled, "docs/a.md:1: a block is one of"),
            ("```text\n", compiled, "has no end"),
        ] {
            let found = complaints(&page(text), of);
            assert!(found.len() == 1 && found[0].contains(part), "{text:?}: {found:?}");
        }
    }
}
