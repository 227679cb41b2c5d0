//! Files that settings name: what is secret is its owner's alone to read, and what must be there is there.

use std::path::{Path, PathBuf};

use super::raw::{Misfit, misfit};
use super::{RefusedKind, Secret};

/// The largest file that is read here: a chain of certificates has a few thousand bytes.
const BYTES_MAX: u64 = 256 * 1024;

/// Refuses a file with a secret that does not exist or that others may read. As with PostgreSQL's keys, one that belongs to root
/// may be given to a group: that is how Kubernetes gives a secret to a process that is not root.
pub(super) fn private(key: &'static str, path: &Path) -> Result<(), Misfit> {
    let shown = path.display();
    let found = metadata(key, path)?;
    #[cfg(unix)]
    {
        if let Some(mode) = open_to_others(&found) {
            let problem = format!("{shown} may be read by others (mode {mode:03o})");
            return Err(Misfit {
                kind: RefusedKind::OpenFile,
                ..misfit(key, problem, format!("run: chmod 600 {shown}"))
            });
        }
    }
    #[cfg(not(unix))]
    drop(found);
    Ok(())
}

/// The mode of a file that others may read or write, although it holds a secret.
#[cfg(unix)]
pub(crate) fn open_to_others(found: &std::fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = found.mode() & 0o777;
    Some(mode).filter(|mode| mode & others(found.uid()) != 0)
}

/// The bits of a mode that let others at a file of this owner.
#[cfg(unix)]
fn others(owner: u32) -> u32 {
    if owner == 0 { 0o037 } else { 0o077 }
}

/// What a private file holds.
pub(super) fn secret(key: &'static str, path: &Path) -> Result<Secret, Misfit> {
    private(key, path)?;
    Ok(Secret::new(text(key, path)?))
}

/// A PEM file that holds at least one of `what`: without it the TLS library would go on with none.
pub(super) fn pem(key: &'static str, path: PathBuf, what: &str) -> Result<PathBuf, Misfit> {
    let held = Secret::new(text(key, &path)?);
    let begins = |line: &str| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{what}-----"));
    if held.reveal().lines().any(begins) {
        return Ok(path);
    }
    let problem = format!("{} holds no {}", path.display(), what.to_lowercase());
    Err(misfit(key, problem, format!("name a PEM file with `-----BEGIN {what}-----`")))
}

fn metadata(key: &'static str, path: &Path) -> Result<std::fs::Metadata, Misfit> {
    let shown = path.display();
    let found = std::fs::metadata(path)
        .map_err(|error| no_file(key, format!("{shown}: {error}"), "name a file that exists"))?;
    if !found.is_file() || found.len() > BYTES_MAX {
        let problem = format!("{shown} is no file of at most {BYTES_MAX} bytes");
        return Err(no_file(key, problem, "name a file that exists"));
    }
    Ok(found)
}

fn text(key: &'static str, path: &Path) -> Result<String, Misfit> {
    let shown = path.display();
    metadata(key, path)?;
    // What cannot be read is not quoted.
    let unreadable = |error| no_file(key, format!("{shown}: {error}"), "name a text file that this user may read");
    std::fs::read_to_string(path).map_err(unreadable)
}

fn no_file(key: &'static str, problem: String, cure: &str) -> Misfit {
    Misfit { kind: RefusedKind::NoFile, ..misfit(key, problem, cure) }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn roots_files_may_be_given_to_a_group_and_nobody_elses_to_anybody() {
        for (owner, mode, private) in [
            (0, 0o600, true),
            (0, 0o440, true),
            (0, 0o640, true),
            (0, 0o660, false),
            (0, 0o644, false),
            (1000, 0o600, true),
            (1000, 0o400, true),
            (1000, 0o440, false),
            (1000, 0o604, false),
        ] {
            assert_eq!(mode & others(owner) == 0, private, "{owner} {mode:o}");
        }
    }
}
