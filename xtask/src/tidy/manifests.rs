//! The manifests of the workspace's packages, and what each must inherit.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::Complaint;

/// Keys of `[package]` that every package inherits.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

/// One package of the workspace.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The package's name.
    pub name: String,
    /// Its folder, relative to the workspace, for example `crates/domain`.
    pub folder: String,
    /// The whole file.
    pub table: Table,
}

impl Manifest {
    /// Reads the text of a manifest that lies in `folder`.
    ///
    /// # Errors
    /// It is not a package's manifest.
    pub fn parse(folder: &str, text: &str) -> Result<Self> {
        let table: Table = text.parse().with_context(|| format!("{folder}/Cargo.toml is malformed"))?;
        let name = table.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
        let name = name.with_context(|| format!("{folder}/Cargo.toml names no package"))?.to_owned();
        Ok(Self { name, folder: folder.to_owned(), table })
    }

    /// What the package itself needs, on any platform; what only its tests or build script need is not among it.
    pub fn dependencies(&self) -> BTreeSet<String> {
        let mut names = names_in(self.table.get("dependencies"));
        for (_, target) in self.table.get("target").and_then(Value::as_table).into_iter().flatten() {
            names.extend(names_in(target.get("dependencies")));
        }
        names
    }
}

/// The packages a dependency table names; a renamed one under its own name.
fn names_in(table: Option<&Value>) -> BTreeSet<String> {
    let entries = table.and_then(Value::as_table).into_iter().flatten();
    entries.map(|(key, value)| value.get("package").and_then(Value::as_str).unwrap_or(key).to_owned()).collect()
}

/// Reads every package's manifest, by package name.
///
/// # Errors
/// One is missing or malformed.
pub fn read_all(root: &Path) -> Result<BTreeMap<String, Manifest>> {
    let mut folders = vec!["xtask".to_owned()];
    for parent in ["crates", "tests"] {
        for entry in fs::read_dir(root.join(parent)).with_context(|| format!("reading {parent}"))? {
            let entry = entry?;
            if entry.path().join("Cargo.toml").is_file() {
                folders.push(format!("{parent}/{}", entry.file_name().to_string_lossy()));
            }
        }
    }
    let mut manifests = BTreeMap::new();
    for folder in folders {
        let path = root.join(&folder).join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let manifest = Manifest::parse(&folder, &text)?;
        manifests.insert(manifest.name.clone(), manifest);
    }
    Ok(manifests)
}

/// Every package inherits the lints and the shared facts of the workspace.
pub fn check(manifests: &BTreeMap<String, Manifest>) -> Vec<Complaint> {
    let inherits =
        |value: Option<&Value>| value.and_then(|v| v.get("workspace")).and_then(Value::as_bool) == Some(true);
    let mut complaints = Vec::new();
    for Manifest { folder, table, .. } in manifests.values() {
        if !inherits(table.get("lints")) {
            complaints.push(format!("{folder}/Cargo.toml: inherit the lints: [lints] workspace = true"));
        }
        let package = table.get("package");
        for key in INHERITED.into_iter().filter(|key| !inherits(package.and_then(|package| package.get(key)))) {
            complaints.push(format!("{folder}/Cargo.toml: inherit it: {key}.workspace = true"));
        }
        if package.is_none_or(|package| package.get("description").is_none()) {
            complaints.push(format!("{folder}/Cargo.toml: say in one line what it is: description = \"...\""));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[package]
name = "a"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true
description = "A"
[lints]
workspace = true
[dependencies]
b = "1"
c = { package = "real-c", version = "1" }
[target.'cfg(unix)'.dependencies]
d.workspace = true
[dev-dependencies]
e = "1"
[build-dependencies]
f = "1"
"#;

    fn complaints(text: &str) -> Vec<Complaint> {
        let manifest = Manifest::parse("crates/a", text).expect("a manifest");
        check(&BTreeMap::from([(manifest.name.clone(), manifest)]))
    }

    #[test]
    fn dependencies_of_every_platform_count_and_those_of_tests_do_not() {
        let names = Manifest::parse("crates/a", GOOD).expect("a manifest").dependencies();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["b", "d", "real-c"]);
    }

    #[test]
    fn a_package_that_inherits_everything_is_fine() {
        assert_eq!(complaints(GOOD), Vec::<Complaint>::new());
    }

    #[test]
    fn what_is_not_inherited_is_named() {
        for (line, instead) in [
            ("publish.workspace = true", "publish = true"),
            ("edition.workspace = true", "edition = \"2021\""),
            ("[lints]\nworkspace = true", ""),
            ("description = \"A\"", ""),
        ] {
            let found = complaints(&GOOD.replace(line, instead));
            assert_eq!(found.len(), 1, "without `{line}`: {found:?}");
        }
    }
}
