//! Which browser: the one that is named, or the first on the path.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

/// Names that the browser goes by.
pub const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Says which one to use, instead of the first of [`NAMES`].
const VARIABLE: &str = "AETHER_CHROMIUM";

/// The browser, in an environment.
///
/// # Errors
/// There is none: what was looked for, and how to install one.
pub fn find(environment: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let cure = "install one (Debian: `apt-get install chromium`), or set AETHER_CHROMIUM to a Chromium or Chrome";
    if let Some(named) = environment(VARIABLE).filter(|named| !named.is_empty()) {
        let path = PathBuf::from(named);
        ensure!(path.is_file(), "{VARIABLE} names {}, which is no program: {cure}", path.display());
        return Ok(path);
    }
    let paths = environment("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&paths).collect();
    let places = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    match places.into_iter().find(|place| place.is_file()) {
        Some(found) => Ok(found),
        None => bail!("the dashboard is tested in a real browser, and there is no {} here: {cure}", NAMES.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_browser_it_is_said_how_to_install_one() {
        let nowhere = tempfile::tempdir().expect("a folder");
        let said = find(|name| (name == "PATH").then(|| nowhere.path().into())).expect_err("none").to_string();
        assert!(said.contains("no chromium") && said.contains("apt-get install chromium"), "{said}");
        let said = find(|name| (name == VARIABLE).then(|| "/no/such".into())).expect_err("none").to_string();
        assert!(said.contains("/no/such") && said.contains("AETHER_CHROMIUM"), "{said}");
    }

    #[test]
    fn the_one_that_is_named_is_used_and_else_the_first_on_the_path() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["google-chrome", "other"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        let other = folder.path().join("other");
        let environment = |named: Option<&PathBuf>, name: &str| match name {
            "PATH" => Some(folder.path().into()),
            _ => named.map(Into::into),
        };
        assert_eq!(find(|name| environment(None, name)).expect("on the path"), folder.path().join("google-chrome"));
        assert_eq!(find(|name| environment(Some(&other), name)).expect("named"), other);
    }
}
