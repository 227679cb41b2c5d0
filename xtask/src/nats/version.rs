//! Which nats-server is good enough.
//!
//! The gate that counts is the JetStream API level a running server reports; the version is what can be asked of a
//! program that is not running yet, and what people are shown.

use std::{fmt, path::Path, process::Command, str::FromStr};

use anyhow::{Context, Result, bail};

/// The oldest nats-server this project supports.
pub const VERSION_MIN: Version = Version { major: 2, minor: 12, patch: 2 };

/// The lowest JetStream API level this project supports: the one of nats-server 2.12.
pub const API_LEVEL_MIN: u64 = 2;

/// A nats-server release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Grows when nothing stays the same.
    pub major: u32,
    /// Grows with features.
    pub minor: u32,
    /// Grows with repairs.
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = anyhow::Error;

    /// Reads `2.15.1`, with or without a leading `v` and a trailing `-beta.1`.
    fn from_str(text: &str) -> Result<Self> {
        let number = text.trim().trim_start_matches('v');
        let number = number.split(['-', '+', ' ']).next().unwrap_or(number);
        let parts: Vec<u32> = number
            .split('.')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .with_context(|| format!("`{text}` is not a version like 2.15.1"))?;
        let [major, minor, patch] = parts[..] else { bail!("`{text}` is not a version like 2.15.1") };
        Ok(Self { major, minor, patch })
    }
}

/// Runs `program --version` and reads the answer.
///
/// # Errors
/// It does not start, fails, or says something else than nats-server says.
pub(super) fn of_program(program: &Path) -> Result<Version> {
    let output = Command::new(program).arg("--version").output().context("it does not start")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let Some(version) = said.trim().strip_prefix("nats-server:") else {
        bail!("`--version` said `{}`, which no nats-server says", said.lines().next().unwrap_or_default().trim());
    };
    version.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_print_them() {
        for (text, expected) in [("v2.15.1", "2.15.1"), ("2.12.0-preview.1", "2.12.0"), (" v2.9.10\n", "2.9.10")] {
            assert_eq!(text.parse::<Version>().expect("a version").to_string(), expected);
        }
        for text in ["", "2.15", "two", "2.15.1.7", "v2.15.x"] {
            assert!(text.parse::<Version>().is_err(), "`{text}` should not be a version");
        }
    }

    #[test]
    fn a_server_of_2_11_or_one_that_locks_itself_up_is_too_old_and_2_12_2_is_not() {
        for old in ["2.11.11", "2.12.0", "2.12.1"] {
            assert!(old.parse::<Version>().expect("a version") < VERSION_MIN, "{old}");
        }
        assert!("2.12.2".parse::<Version>().expect("a version") >= VERSION_MIN);
        assert!("10.0.0".parse::<Version>().expect("a version") > VERSION_MIN);
    }
}
