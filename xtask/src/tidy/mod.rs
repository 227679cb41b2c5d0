//! The rules of the house that no compiler checks: who may depend on whom, and what a file must open with.
//!
//! Everything is read from manifests and sources as text; nothing is built and nothing is changed. Each rule answers a
//! list of complaints, each with the file and what to do.
//!
//! What documents must say is checked too, by [`crate::book`].
//!
//! Read next: [`arrows`], then [`sources`].

pub mod arrows;
pub mod manifests;
pub mod sources;
pub mod top;

use std::path::Path;

use anyhow::{Result, bail};

use crate::{book, out};

/// One breach of a rule: where, and what to do about it.
pub type Complaint = String;

/// Checks every rule on the workspace at `root`.
///
/// # Errors
/// A rule is broken (each breach is printed first), or a file cannot be read.
pub fn tidy(root: &Path) -> Result<()> {
    let manifests = manifests::read_all(root)?;
    let mut complaints = arrows::check(&manifests);
    complaints.extend(manifests::check(&manifests));
    complaints.extend(top::check(root)?);
    complaints.extend(sources::check(root)?);
    complaints.extend(book::check(root)?);
    for complaint in &complaints {
        out::note(complaint);
    }
    if complaints.is_empty() {
        return Ok(());
    }
    bail!("{} breaches of the rules of the house, listed above", complaints.len())
}
