//! `cluster-down`: ends exactly what was written down, load first, servers last.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use super::file::ClusterFile;
use crate::process::end_all;

/// How long each group of processes may take to end by itself when what they store is to be used again. Nodes hand
/// everything over meanwhile and leave; one of them that was killed a moment ago must first be missed.
const GRACE_KEEP: Duration = Duration::from_secs(20);

/// The same when everything is thrown away afterwards.
const GRACE: Duration = Duration::from_secs(4);

/// What ending a cluster came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// How many recorded processes were still there.
    pub ended: usize,
    /// How many of them had to be killed because they did not end by themselves.
    pub killed: usize,
}

/// Ends the cluster in `dir`, if there is one, and removes its stores unless they were to be kept. Logs stay until the
/// next cluster.
///
/// # Errors
/// A process could not be ended; the record stays, so that the command can be repeated.
pub fn down(dir: &Path) -> Result<Ending> {
    let dir = std::path::absolute(dir)?;
    if !dir.exists() {
        return Ok(Ending::default());
    }
    let _lock = ClusterFile::lock(&dir)?;
    match ClusterFile::find(&dir)? {
        Some(file) => end(&file, &dir),
        None => Ok(Ending::default()),
    }
}

/// As [`down`], for whoever holds the lock.
pub(super) fn end(file: &ClusterFile, dir: &Path) -> Result<Ending> {
    let mut ending = Ending::default();
    let grace = if file.keep { GRACE_KEEP } else { GRACE };
    for group in file.processes() {
        ending.ended += group.iter().filter(|process| process.is_alive()).count();
        ending.killed += end_all(&group, grace)?;
    }
    if !file.keep {
        remove_stores(dir)?;
    }
    ClusterFile::remove(dir)?;
    Ok(ending)
}

/// Where the servers of the cluster in `dir` store what they are given.
pub(super) fn stores(dir: &Path) -> PathBuf {
    dir.join("nats")
}

pub(super) fn remove_stores(dir: &Path) -> Result<()> {
    let stores = stores(dir);
    match fs::remove_dir_all(&stores) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", stores.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::{cluster::file::tests::sample, process};

    #[test]
    fn only_what_was_written_down_is_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let start = || {
            let mut command = Command::new("sleep");
            command.arg("600");
            process::spawn(command, &folder.path().join("log")).expect("it starts")
        };
        let (ours, bystander) = (start(), start());
        let mut file = sample();
        file.nodes[0].process = ours.clone();
        // A number that was given to somebody else since: the start time tells.
        file.load.as_mut().expect("a load").process.pid = bystander.pid;
        file.save(folder.path()).expect("saved");
        let ending = down(folder.path()).expect("ended");
        assert_eq!(ending, Ending { ended: 1, killed: 0 });
        assert!(!ours.is_alive() && bystander.is_alive());
        assert_eq!(down(folder.path()).expect("nothing left"), Ending::default());
        bystander.kill().expect("ended by its owner");
    }
}
