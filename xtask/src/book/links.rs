//! Links between pages: the file is there, and the heading that is meant.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use super::Page;
use crate::tidy::Complaint;

/// Every link of the pages that leads nowhere.
pub fn check(root: &Path, pages: &[Page]) -> Vec<Complaint> {
    let anchors: BTreeMap<&Path, Vec<String>> = pages.iter().map(|page| (&*page.path, anchors(page))).collect();
    let mut complaints = Vec::new();
    for page in pages {
        for (line, text, code) in page.lines() {
            for target in targets(text).filter(|target| !code && !target.contains("://")) {
                let place = format!("{}:{line}: the link {target:?}", page.path.display());
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                let path = if file.is_empty() { page.path.clone() } else { joined(&page.path, file) };
                if !root.join(&path).exists() {
                    complaints.push(format!("{place} leads to no file"));
                } else if !anchor.is_empty() {
                    match anchors.get(&*path) {
                        Some(there) if there.iter().any(|there| there == anchor) => {}
                        _ => complaints.push(format!("{place} leads to no heading there")),
                    }
                }
            }
        }
    }
    complaints
}

/// What stands in the brackets behind `](`, as far as a line goes, outside of code.
pub(super) fn targets(line: &str) -> impl Iterator<Item = &str> {
    // Every second piece is code.
    let prose = line.split('`').step_by(2);
    let spans = prose.flat_map(|piece| piece.match_indices("](").map(move |(at, found)| &piece[at + found.len()..]));
    // A link whose text is code has its brackets in two pieces: they begin with the end of that text.
    spans.filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// `target`, seen from the page at `from`.
fn joined(from: &Path, target: &str) -> PathBuf {
    let mut path = from.parent().map(Path::to_path_buf).unwrap_or_default();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

/// The names that headings have as targets of links, as code hosts and mdbook make them.
fn anchors(page: &Page) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, line, code) in page.lines() {
        let text = line.trim_start_matches('#');
        let is_heading = !code && text.len() < line.len() && text.starts_with(' ');
        if !is_heading {
            continue;
        }
        let kept = text.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let name: String = kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect();
        let before = anchors.iter().filter(|anchor| **anchor == name).count();
        anchors.push(if before == 0 { name } else { format!("{name}-{before}") });
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str, text: &str) -> Page {
        Page { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_link_to_no_file_or_to_no_heading_is_named_with_its_line() {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(root.path().join("docs/a")).expect("a folder");
        std::fs::write(root.path().join("docs/b.md"), "").expect("a file");
        let b = page("docs/b.md", "# One, `two`: three\n\n```text\n# not one\n```\n## Again\n## Again\n");
        let good = "[x](../b.md#one-two-three) [`y`](../b.md#again-1)\n[z](https://a.b/c) `[no](none.md)`\n```\n[w](none.md)\n```\n";
        assert_eq!(check(root.path(), &[b.clone(), page("docs/a/c.md", good)]), Vec::<String>::new());
        let bad = page("docs/a/c.md", "[x](b.md)\n[y](../b.md#not-one), [`z`](../b.md#three)\n");
        let found = check(root.path(), &[b, bad]);
        assert_eq!(
            found,
            [
                "docs/a/c.md:1: the link \"b.md\" leads to no file",
                "docs/a/c.md:2: the link \"../b.md#not-one\" leads to no heading there",
                "docs/a/c.md:2: the link \"../b.md#three\" leads to no heading there",
            ]
        );
    }
}
