//! The table of contents: every page is in it, once. And the README, which is short.

use std::{collections::BTreeMap, path::Path};

use super::{DOCS, Page, links::targets};
use crate::tidy::Complaint;

/// The table's file, below `docs`.
const SUMMARY: &str = "SUMMARY.md";

/// How long the README may be, in lines.
const README_LINES_MAX: usize = 199;

/// Every page that is in the table not at all, or twice; and a README that is too long to be read.
pub fn check(pages: &[Page]) -> Vec<Complaint> {
    let readme = pages.iter().find(|page| page.path == Path::new("README.md"));
    let lines = readme.map_or(0, |page| page.text.lines().count());
    let long =
        format!("README.md: {lines} lines; with more than {README_LINES_MAX} nobody reads it: move some to docs");
    (lines > README_LINES_MAX).then_some(long).into_iter().chain(unlisted(pages)).collect()
}

fn unlisted(pages: &[Page]) -> Vec<Complaint> {
    let table = Path::new(DOCS).join(SUMMARY);
    let Some(summary) = pages.iter().find(|page| page.path == table) else {
        return vec![format!("{}: there is no table of contents", table.display())];
    };
    let mut listed: BTreeMap<&str, usize> = BTreeMap::new();
    for target in summary.text.lines().flat_map(targets) {
        *listed.entry(target).or_default() += 1;
    }
    let below = pages.iter().filter(|page| page.path != table).filter_map(|page| page.path.strip_prefix(DOCS).ok());
    let told = |path: &Path| match listed.get(&*path.to_string_lossy()) {
        Some(1) => None,
        Some(_) => Some(format!("{}: {} is listed twice", table.display(), path.display())),
        None => Some(format!("{}: {} is not listed", table.display(), path.display())),
    };
    below.filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readme_that_is_too_long_is_named() {
        let with = |lines| {
            let page = |path: &str, text: String| Page { path: path.into(), text };
            check(&[page("README.md", "a\n".repeat(lines)), page("docs/SUMMARY.md", String::new())])
        };
        assert_eq!(with(199), Vec::<String>::new());
        assert!(with(200)[0].starts_with("README.md: 200 lines"));
    }

    #[test]
    fn a_page_that_is_not_listed_or_twice_is_named() {
        let page = |path: &str, text: &str| Page { path: path.into(), text: text.into() };
        let rest = || [page("README.md", ""), page("docs/a.md", ""), page("docs/b/c.md", "")];
        let with = |text: &str| rest().into_iter().chain([page("docs/SUMMARY.md", text)]).collect::<Vec<_>>();
        assert_eq!(check(&with("- [A](a.md)\n  - [C](b/c.md)\n")), Vec::<String>::new());
        let found = check(&with("- [A](a.md)\n- [A again](a.md)\n"));
        assert_eq!(found, ["docs/SUMMARY.md: a.md is listed twice", "docs/SUMMARY.md: b/c.md is not listed"]);
        assert_eq!(check(&rest()), ["docs/SUMMARY.md: there is no table of contents"]);
    }
}
