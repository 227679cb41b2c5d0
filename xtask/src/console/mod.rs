//! Console blocks of documents, played as they are printed: `cargo xtask first-minutes`.
//!
//! A block is what stands between ` ```console ` and the next fence, in Markdown or in the `//!` lines of an example. A line that
//! begins with `$ ` is a command; the lines below it are what it must say on standard output. Where nothing is shown nothing is
//! compared, but every command must end well. What differs from run to run is printed as `…`: within a line any text, on a line
//! of its own any number of lines. A command whose last line is `…` may still run when the next one is played; all of them must
//! have ended when their document does.
//!
//! Read next: [`page`], [`compare`], [`play`].

pub mod compare;
pub mod page;
pub mod play;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{clock::Stopwatch, interrupt, out};

/// Whoever follows these need not know more than is printed there.
const DOCUMENTS: [&str; 2] = ["README.md", "docs/guide/first-minutes.md"];

/// Each program here prints in its header what it says.
const EXAMPLES: &str = "crates/aether/examples";

/// The one example that needs a cluster that is there already: the header says so.
const BY_HAND: [&str; 1] = ["client.rs"];

/// The documents whose commands are played, relative to the workspace: the README, the first guide, and each example.
///
/// # Errors
/// The folder of examples cannot be read.
pub fn documents(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<_> = DOCUMENTS.iter().map(PathBuf::from).collect();
    let folder = root.join(EXAMPLES);
    let entries = std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let names = entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    let mut examples: Vec<_> = names.into_iter().filter(|name| !BY_HAND.iter().any(|hand| name == *hand)).collect();
    examples.sort();
    found.extend(examples.into_iter().map(|name| Path::new(EXAMPLES).join(name)));
    Ok(found)
}

/// `cargo xtask first-minutes`: plays every console block of these documents, or of those named, and compares.
///
/// # Errors
/// A document has no console block, a command does not end well, or says something else than is printed.
pub fn first_minutes(root: &Path, named: &[PathBuf]) -> Result<()> {
    interrupt::listen()?;
    let documents = if named.is_empty() { documents(root)? } else { named.to_vec() };
    let (watch, mut played) = (Stopwatch::start(), 0);
    for name in &documents {
        let text = std::fs::read_to_string(root.join(name)).with_context(|| format!("reading {}", name.display()))?;
        let commands = page::commands(&text).with_context(|| format!("in {}", name.display()))?;
        ensure!(!commands.is_empty(), "{} has no console block: what should somebody type?", name.display());
        play::document(root, &name.display().to_string(), &commands)?;
        played += commands.len();
    }
    let seconds = watch.elapsed().as_secs_f64();
    out::line(format!("{played} commands of {} documents did as is printed, in {seconds:.0} s", documents.len()));
    Ok(())
}
