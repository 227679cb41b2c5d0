//! What every source file must say, and what none may.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::Complaint;

/// Folders that hold our own text.
const ROOTS: [&str; 5] = ["crates", "tests", "xtask", "docs", ".ci"];

/// Files whose text is read besides Rust sources.
const TEXT: [&str; 8] = ["toml", "md", "yml", "yaml", "json", "sh", "html", "service"];

/// What no source may contain, with what to do instead. Written in two halves, so that this file is not found.
const FORBIDDEN: [([&str; 2], &str); 4] = [
    (["#[ign", "ore"], "a test that is not run proves nothing: make it pass or remove it"),
    (["tod", "o!("], "write it now, or leave it out and say so in the documentation"),
    (["unimplem", "ented!("], "write it now, or leave it out and say so in the documentation"),
    (["#![allow", "("], "expect one lint in one place, with a reason: #[expect(.., reason = \"..\")]"),
];

/// Hosts of package registries, as two halves. pip and cargo know theirs; a mirror may know better.
const REGISTRIES: [[&str; 2]; 5] = [
    ["pypi", ".org"],
    ["pythonhosted", ".org"],
    ["crates", ".io"],
    ["registry.npmjs", ".org"],
    ["proxy.golang", ".org"],
];

/// Checks every file below the workspace's folders, and the files at its top.
///
/// # Errors
/// A file cannot be read.
pub fn check(root: &Path) -> Result<Vec<Complaint>> {
    let mut files = Vec::new();
    for folder in ROOTS {
        collect(&root.join(folder), &mut files)?;
    }
    for entry in fs::read_dir(root).with_context(|| format!("reading {}", root.display()))? {
        let path = entry?.path();
        // The lock file names the registry by its own rules.
        if path.is_file() && path.file_name().is_some_and(|name| name != "Cargo.lock") {
            files.push(path);
        }
    }
    files.sort();
    let mut complaints = Vec::new();
    for path in files {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        complaints.extend(check_text(&name, &text));
    }
    Ok(complaints)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, files)?;
            }
        } else if path.extension().is_none_or(|e| e == "rs" || TEXT.iter().any(|text| e == *text)) {
            files.push(path);
        }
    }
    Ok(())
}

/// What is wrong with one file.
fn check_text(name: &str, text: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let is_rust = Path::new(name).extension().is_some_and(|e| e == "rs");
    if is_rust && !text.starts_with("//!") {
        complaints.push(format!("{name}:1: open the file with `//!`: what it is for and what it deliberately is not"));
    }
    for (index, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", index + 1);
        if is_rust {
            for (halves, instead) in FORBIDDEN {
                let forbidden = halves.concat();
                if line.contains(&forbidden) {
                    complaints.push(format!("{place}: `{forbidden}`: {instead}"));
                }
            }
        }
        for halves in REGISTRIES {
            let host = halves.concat();
            if line.contains(&host) {
                complaints
                    .push(format!("{place}: {host} is a registry's host; name packages, not where they come from"));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_must_open_with_what_it_is_for() {
        assert!(check_text("a.rs", "//! For tests.\n").is_empty());
        assert!(check_text("a.rs", "use std::fs;\n")[0].starts_with("a.rs:1:"));
        assert!(check_text("a.toml", "a = 1\n").is_empty());
    }

    #[test]
    fn what_is_unfinished_or_switched_off_is_named_with_its_line() {
        for (halves, _) in FORBIDDEN {
            let line = halves.concat();
            let found = check_text("a.rs", &format!("//! A.\n\n    {line}\n"));
            assert!(found.len() == 1 && found[0].starts_with("a.rs:3:"), "{found:?}");
            assert!(check_text("a.md", &line).is_empty());
        }
    }

    #[test]
    fn no_file_of_any_kind_names_a_registrys_host() {
        for halves in REGISTRIES {
            let host = halves.concat();
            assert_eq!(check_text("a.md", &format!("see https://{host}/x\n")).len(), 1);
        }
    }

    #[test]
    fn files_below_every_folder_are_read_and_builds_are_not() {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["crates/a/src", "crates/a/target"] {
            fs::create_dir_all(root.path().join(folder)).expect("a folder");
            fs::write(root.path().join(folder).join("x.rs"), "fn x() {}\n").expect("a file");
        }
        let found = check(root.path()).expect("readable");
        assert!(found.len() == 1 && found[0].starts_with("crates/a/src/x.rs:1:"), "{found:?}");
    }
}
