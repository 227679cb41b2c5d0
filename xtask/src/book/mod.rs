//! The documentation: what no compiler checks of it, and the book that is made of it.
//!
//! The pages in `docs` are the book's sources: they read the same on the code host and in the book. Checked are links with
//! their anchors ([`links`]), the table of contents ([`contents`]), that code blocks are compiled ([`blocks`]), and that every
//! case of a public error stands in the reference ([`errors`]). The checks are rules of the house ([`crate::tidy`]); the book
//! itself is built by mdbook where somebody has it.

pub mod blocks;
pub mod contents;
pub mod errors;
pub mod links;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{out, tidy::Complaint};

/// Where the pages are.
const DOCS: &str = "docs";

/// One page, and what it says.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where it is, from the workspace's root.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

impl Page {
    fn read(root: &Path, path: PathBuf) -> Result<Self> {
        let text = fs::read_to_string(root.join(&path)).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self { path, text })
    }

    /// Its lines, each with its number from 1 and whether it is part of a code block.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let mut open = false;
        self.text.lines().enumerate().map(move |(nth, line)| {
            let fence = line.trim_start().starts_with("```");
            let code = open || fence;
            open ^= fence;
            (nth + 1, line, code)
        })
    }
}

/// The README, the changelog, and every page below `docs`, in order.
///
/// # Errors
/// One cannot be read.
pub fn pages(root: &Path) -> Result<Vec<Page>> {
    let mut paths = Vec::new();
    collect(root, Path::new(DOCS), &mut paths)?;
    paths.sort();
    let top = ["README.md", "CHANGELOG.md"].into_iter().map(PathBuf::from);
    top.chain(paths).map(|path| Page::read(root, path)).collect()
}

fn collect(root: &Path, folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(root.join(folder)).with_context(|| format!("reading {}", folder.display()))? {
        let path = folder.join(entry?.file_name());
        if root.join(&path).is_dir() {
            collect(root, &path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
    Ok(())
}

/// Everything that is wrong with the documentation.
///
/// # Errors
/// A page or a source cannot be read.
pub fn check(root: &Path) -> Result<Vec<Complaint>> {
    let pages = pages(root)?;
    let mut complaints = links::check(root, &pages);
    complaints.extend(contents::check(&pages));
    complaints.extend(blocks::check(root, &pages)?);
    complaints.extend(errors::check(root, &pages)?);
    Ok(complaints)
}

/// `cargo xtask book`: checks the documentation, then lets mdbook make a book of it.
///
/// # Errors
/// Something is wrong with it, or there is no mdbook.
pub fn build(root: &Path) -> Result<()> {
    let complaints = check(root)?;
    complaints.iter().for_each(out::note);
    ensure!(complaints.is_empty(), "{} things are wrong with the documentation, listed above", complaints.len());
    let Ok(mdbook) = which::which("mdbook") else {
        bail!("the documentation is sound, but there is no mdbook to make a book of it: cargo install mdbook --locked")
    };
    let status = Command::new(mdbook).arg("build").arg(root.join(DOCS)).status().context("starting mdbook")?;
    ensure!(status.success(), "mdbook ended with {status}");
    out::line(format!("{}", root.join("target/book/index.html").display()));
    Ok(())
}
