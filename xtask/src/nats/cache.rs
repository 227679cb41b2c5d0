//! The folder in which fetched servers wait for their next use.
//!
//! A program in the cache is hashed again before each use, so a torn or altered file is fetched anew instead of run.
//! It keeps nothing else, and never deletes another version.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use etcetera::{BaseStrategy, choose_base_strategy};

use super::pins::{Build, sha256_of};

/// Where one version for one machine lies.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// `root`, or the platform's cache folder with `aether` below it.
    ///
    /// # Errors
    /// This user has no home folder to derive it from.
    pub(super) fn open(root: Option<&Path>, version: &str) -> Result<Self> {
        let root = match root {
            Some(root) => std::path::absolute(root).context("making the cache folder's path absolute")?,
            None => choose_base_strategy()
                .context("no home folder to keep the cache in; set AETHER_CACHE_DIR to a folder")?
                .cache_dir()
                .join("aether"),
        };
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        Ok(Self { folder: root.join(format!("nats-server-{version}-{os}-{arch}")) })
    }

    /// The folder of this version, for downloads beside the target.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn program(&self) -> PathBuf {
        self.folder.join("nats-server")
    }

    /// Beside a program that came with the release's own checksum instead of a pinned one: that checksum.
    fn released_sum(&self) -> PathBuf {
        self.folder.join("nats-server.sha256")
    }

    /// The program, if it is there and its content is what it should be.
    ///
    /// # Errors
    /// Why it cannot be used, in words that fit a list of reasons.
    pub(super) fn usable(&self, build: Option<&Build>) -> Result<PathBuf> {
        let program = self.program();
        if !program.is_file() {
            bail!("{} is not there yet", program.display());
        }
        let found = sha256_of(&program)?;
        let pinned = build.is_some_and(|b| b.binary_sha256 == found);
        let released = || fs::read_to_string(self.released_sum()).is_ok_and(|sum| sum.trim() == found);
        if pinned || released() {
            return Ok(program);
        }
        bail!("{} has the wrong content (SHA-256 {found}), so it is fetched again", program.display());
    }

    /// Keeps every other fetcher of this version out until the file is dropped.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub(super) fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.folder).with_context(|| {
            format!("making the cache folder {} (AETHER_CACHE_DIR chooses another)", self.folder.display())
        })?;
        let path = self.folder.join("fetch.lock");
        let file = File::create(&path).with_context(|| {
            format!("writing to the cache folder {} (AETHER_CACHE_DIR chooses another)", self.folder.display())
        })?;
        file.lock().with_context(|| format!("locking {}", path.display()))?;
        Ok(file)
    }

    /// Puts a verified program in its place: complete or not at all, whoever else looks.
    ///
    /// # Errors
    /// The folder cannot be written; what was there before stays.
    pub(super) fn place(&self, verified: &Path, released_sum: Option<&str>) -> Result<PathBuf> {
        fs::set_permissions(verified, fs::Permissions::from_mode(0o755)).context("making it executable")?;
        if let Some(sum) = released_sum {
            fs::write(self.released_sum(), sum).context("noting its checksum")?;
        }
        let program = self.program();
        fs::rename(verified, &program).with_context(|| format!("moving it to {}", program.display()))?;
        Ok(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_altered_program_in_the_cache_is_not_used() {
        let root = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(Some(root.path()), "0.0.0").expect("a cache");
        let _lock = cache.lock().expect("nobody else fetches");
        let fresh = cache.folder().join("fresh");
        fs::write(&fresh, "abc").expect("a file");
        let sum = sha256_of(&fresh).expect("a hash");
        let placed = cache.place(&fresh, Some(&sum)).expect("placed");
        assert_eq!(cache.usable(None).expect("as it was placed"), placed);
        fs::write(&placed, "abd").expect("altered");
        let refused = cache.usable(None).expect_err("altered since");
        assert!(refused.to_string().contains("wrong content"), "{refused}");
    }

    #[test]
    fn an_empty_cache_says_so() {
        let root = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(Some(root.path()), "0.0.0").expect("a cache");
        assert!(cache.usable(None).expect_err("nothing there").to_string().contains("not there yet"));
    }
}
