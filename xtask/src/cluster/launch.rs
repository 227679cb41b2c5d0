//! Starting one process of the `aether` program and learning where it answers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};

use super::file::ClusterFile;
use crate::{
    clock::{Deadline, wait_for},
    cluster::config::NodeConfig,
    interrupt,
    process::{self, Identity, last_words},
};

/// How long a process may take until it answers over HTTP.
pub(super) const ANNOUNCE_LIMIT: Duration = Duration::from_secs(30);

/// How long a supervisor may take until it has started its node.
const SUPERVISED_LIMIT: Duration = Duration::from_secs(10);

/// Where the files of the process called `name` lie.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) config: PathBuf,
    pub(super) log: PathBuf,
    pub(super) announce: PathBuf,
    /// Where a supervisor says which process its node is.
    pub(super) pid: PathBuf,
}

impl Files {
    pub(super) fn of(dir: &Path, name: &str) -> Self {
        let file = |extension| dir.join(format!("{name}.{extension}"));
        Self { config: file("toml"), log: file("log"), announce: file("url"), pid: file("pid") }
    }
}

/// What the node called `id` of this cluster is told.
pub(super) fn node_config(file: &ClusterFile, id: &str, files: &Files) -> NodeConfig {
    NodeConfig {
        namespace: file.namespace.clone(),
        profile: file.profile,
        id: id.to_owned(),
        zone: zone_of(id, file.zones),
        format_max: file.format_max,
        nats_urls: file.own_urls.get(id).unwrap_or(&file.nats_urls).clone(),
        replicas: file.replicas,
        announce: files.announce.clone(),
    }
}

/// Of nodes by their numbers, `n1`, `n2` and so on, each is in the next of so many zones.
fn zone_of(id: &str, zones: usize) -> Option<String> {
    let number: usize = id.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().ok()?;
    (zones > 0).then(|| format!("z{}", number.saturating_sub(1) % zones + 1))
}

/// Starts `program` with `arguments` and, before that, forgets where an earlier life of it answered.
pub(super) fn launch(
    program: &Path,
    arguments: &[&str],
    environment: &[(&str, String)],
    files: &Files,
) -> Result<Identity> {
    for file in [&files.announce, &files.pid] {
        match fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", file.display()));
            }
            _ => {}
        }
    }
    let mut command = Command::new(program);
    process::without_our_variables(&mut command);
    command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value)));
    process::spawn(command, &files.log)
}

/// Waits until the supervisor has said which process its node is.
pub(super) fn supervised(name: &str, supervisor: &Identity, files: &Files) -> Result<Identity> {
    let deadline = Deadline::after(SUPERVISED_LIMIT);
    wait_while_alive("to be started by its supervisor", name, supervisor, &files.log, deadline, || {
        let pid = fs::read_to_string(&files.pid).ok().and_then(|text| text.trim().parse().ok());
        Ok(pid.and_then(Identity::of))
    })
}

/// Waits until the process has written where it answers; every line is one URL.
pub(super) fn announced(name: &str, process: &Identity, files: &Files, deadline: Deadline) -> Result<Vec<String>> {
    wait_while_alive("to announce its admin URL", name, process, &files.log, deadline, || {
        Ok(read_announced(&files.announce))
    })
}

/// Waits for something a process is to do; its end, or the deadline, is an error with its last words.
pub(super) fn wait_while_alive<T>(
    what: &str,
    name: &str,
    process: &Identity,
    log: &Path,
    deadline: Deadline,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    wait_for(&format!("{name} {what}"), deadline, || {
        interrupt::check()?;
        ensure_alive(name, process)?;
        look()
    })
    .map_err(|error| anyhow!("{error:#}; {}", last_words(name, log)))
}

/// The URLs announced so far.
fn read_announced(path: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(path).ok()?;
    let urls: Vec<_> = text.lines().map(|line| line.trim().trim_end_matches('/').to_owned()).collect();
    let urls: Vec<_> = urls.into_iter().filter(|url| !url.is_empty()).collect();
    (!urls.is_empty()).then_some(urls)
}

/// An error if the process is gone.
pub(super) fn ensure_alive(name: &str, process: &Identity) -> Result<()> {
    if process.is_alive() {
        return Ok(());
    }
    let how = process.exit_status().map_or_else(|| "it is gone".to_owned(), |status| status.to_string());
    bail!("{name} ended ({how})")
}
