//! `cluster-down`: ends exactly what was written down, load first, servers last.

use std::{
    fs,
    io::ErrorKind,
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
    if !ClusterFile::marks(&dir) {
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

/// Removes the stores in `dir`, and nothing else that may lie beside them.
pub(super) fn remove_stores(dir: &Path) -> Result<()> {
    let stores = stores(dir);
    let entries = match fs::read_dir(&stores) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
        entries => entries.with_context(|| format!("reading {}", stores.display()))?,
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", stores.display()))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("nats-"));
        if number.is_some_and(|number| number.parse::<usize>().is_ok()) && entry.path().is_dir() {
            fs::remove_dir_all(entry.path()).with_context(|| format!("removing {}", entry.path().display()))?;
        }
    }
    match fs::remove_dir(&stores) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
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

    #[test]
    fn a_folder_that_is_no_clusters_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("Cargo.toml"), "").expect("written");
        assert_eq!(down(folder.path()).expect("nothing to do"), Ending::default());
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "not even a lock is written");
    }

    #[test]
    fn only_stores_are_removed_from_the_folder_of_the_stores() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, other) = (folder.path().join("nats/nats-1/store"), folder.path().join("nats/src"));
        for made in [&store, &other] {
            fs::create_dir_all(made).expect("made");
        }
        remove_stores(folder.path()).expect("removed");
        assert!(!store.exists() && other.exists());
        fs::remove_dir(&other).expect("removed");
        remove_stores(folder.path()).expect("removed");
        remove_stores(folder.path()).expect("nothing left");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
    }
}
