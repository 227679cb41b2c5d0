//! What lies at the top of the repository: the few things that were agreed, and nothing else.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::Complaint;

const ALLOWED: [&str; 13] = [
    "Cargo.toml",
    "Cargo.lock",
    "crates",
    "xtask",
    "docs",
    "tests",
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "deny.toml",
    "clippy.toml",
    "rustfmt.toml",
    "CHANGELOG.md",
];

/// What builds leave, which the repository ignores.
const IGNORED: [&str; 1] = ["target"];

/// Compares the top folder with the list. Dot files are free.
///
/// # Errors
/// The folder cannot be read.
pub fn check(root: &Path) -> Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for entry in fs::read_dir(root).with_context(|| format!("reading {}", root.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !ALLOWED.contains(&name.as_str()) && !IGNORED.contains(&name.as_str()) {
            complaints.push(format!("{name}: nothing else belongs at the top; put it below docs, tests or xtask"));
        }
    }
    complaints.sort();
    Ok(complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_file_at_the_top_is_named_and_dot_files_are_free() {
        let root = tempfile::tempdir().expect("a folder");
        for name in ["Cargo.toml", "README.md", ".gitignore", "notes.txt"] {
            fs::write(root.path().join(name), "").expect("a file");
        }
        let found = check(root.path()).expect("readable");
        assert!(found.len() == 1 && found[0].starts_with("notes.txt:"), "{found:?}");
    }
}
