//! `cluster.json`: what runs, where it answers, and how to recognise it.
//!
//! It is replaced as a whole, never written in place, so a reader sees one state or the next. Changes go through
//! [`ClusterFile::change`], which keeps other commands out meanwhile.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::config::Profile;
use crate::process::Identity;

const NAME: &str = "cluster.json";

/// Held by whoever changes the cluster. It stays when the cluster ends, and so tells that the folder is a cluster's.
const LOCK: &str = "cluster.lock";

/// What to do about a folder that will not do.
const ANOTHER: &str = "choose another folder with --dir";

/// What one `cluster-up` started, minus what was removed and plus what was added since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFile {
    /// Where nodes and clients connect; empty for a cluster in memory.
    pub nats_urls: Vec<String>,
    /// Where single nodes connect instead, by id: through something that stands between them and a server.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub own_urls: BTreeMap<String, Vec<String>>,
    /// The name under which everything of this cluster is stored.
    pub namespace: String,
    /// How many copies of each stream NATS keeps: 1 or 3.
    pub replicas: usize,
    /// Which set of timings the nodes use.
    pub profile: Profile,
    /// Whether all nodes live in one process without NATS.
    pub in_memory: bool,
    /// Whether the stores stay when the cluster ends.
    pub keep: bool,
    /// Whether each node runs under a supervisor, which tells the others when it has died.
    #[serde(default)]
    pub supervised: bool,
    /// In how many zones the nodes are, by turns; in none if 0.
    #[serde(default)]
    pub zones: usize,
    /// The newest format that is read by what is started from now on; what its build reads, unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format_max: Option<u8>,
    /// The program the nodes run.
    pub program: PathBuf,
    /// The servers that were started; empty where a running one is used.
    pub nats: Vec<NatsRecord>,
    /// The nodes, by id.
    pub nodes: Vec<NodeRecord>,
    /// The load, if there is any.
    pub load: Option<LoadRecord>,
}

/// One nats-server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsRecord {
    /// Which process it is.
    #[serde(flatten)]
    pub process: Identity,
    /// Its name within the NATS cluster.
    pub name: String,
    /// Where clients connect.
    pub url: String,
    /// Its folder.
    pub store: PathBuf,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its id, for example `n1`.
    pub id: String,
    /// Which process it is, or last was: the node itself, whoever supervises it.
    #[serde(flatten)]
    pub process: Identity,
    /// The process that runs it, if one does.
    #[serde(flatten)]
    pub supervisor: Option<Supervisor>,
    /// Where it answers over HTTP.
    pub admin_url: String,
    /// What it writes.
    pub log: PathBuf,
    /// What it was started with.
    pub config: PathBuf,
}

/// The process of `aether supervise` that runs a node: an [`Identity`] under names of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervisor {
    /// The process id.
    #[serde(rename = "supervisor_pid")]
    pub pid: u32,
    /// The program it runs, as the system names it.
    #[serde(rename = "supervisor_exe")]
    pub exe: String,
    /// When it started, as the system counts it; only ever compared.
    #[serde(rename = "supervisor_started")]
    pub started: String,
}

impl From<Identity> for Supervisor {
    fn from(Identity { pid, exe, started }: Identity) -> Self {
        Self { pid, exe, started }
    }
}

impl Supervisor {
    /// Which process it is.
    pub fn process(&self) -> Identity {
        Identity { pid: self.pid, exe: self.exe.clone(), started: self.started.clone() }
    }
}

/// The process that keeps the cluster busy and checks its answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadRecord {
    /// Which process it is.
    #[serde(flatten)]
    pub process: Identity,
    /// Where it answers over HTTP.
    pub admin_url: String,
    /// What it writes.
    pub log: PathBuf,
}

impl NodeRecord {
    /// Its process, and the one that runs it if one does.
    pub fn processes(&self) -> Vec<Identity> {
        let supervisor = self.supervisor.as_ref().map(Supervisor::process);
        [self.process.clone()].into_iter().chain(supervisor).collect()
    }

    /// How it ended, as far as this command can know: a supervisor ends as its node does.
    pub(super) fn exit_status(&self) -> Option<std::process::ExitStatus> {
        let started = self.supervisor.as_ref().map_or_else(|| self.process.clone(), Supervisor::process);
        started.exit_status()
    }

    /// Notes that the process has come so far as to answer at `url`.
    pub(super) fn answers_at(&mut self, url: &str) {
        url.clone_into(&mut self.admin_url);
        self.process = self.process.clone().refreshed();
    }
}

impl ClusterFile {
    /// Reads the file in `dir`; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read or is not what `cluster-up` writes.
    pub fn find(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let file = serde_json::from_str(&text).with_context(|| {
            format!("{} is not a cluster file; if no cluster runs, remove it, or {ANOTHER}", path.display())
        })?;
        Ok(Some(file))
    }

    /// Reads the file in `dir`.
    ///
    /// # Errors
    /// As [`ClusterFile::find`]; also if there is none.
    pub fn load(dir: &Path) -> Result<Self> {
        Self::find(dir)?.with_context(|| {
            format!("no cluster is up ({} does not exist); start one: cargo xtask cluster-up", dir.join(NAME).display())
        })
    }

    /// Replaces the file in `dir`.
    ///
    /// # Errors
    /// The folder cannot be written; the file is as before.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join(NAME);
        let fresh = dir.join(format!("{NAME}.new"));
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(&fresh, text).with_context(|| format!("writing {}", fresh.display()))?;
        fs::rename(&fresh, &path).with_context(|| format!("writing {}", path.display()))
    }

    /// Removes the file in `dir`: no cluster is up any more.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn remove(dir: &Path) -> Result<()> {
        match fs::remove_file(dir.join(NAME)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", dir.join(NAME).display()))
            }
            _ => Ok(()),
        }
    }

    /// Whether `dir` is or was the folder of a cluster. In any other folder nothing is written or removed.
    pub fn marks(dir: &Path) -> bool {
        dir.join(LOCK).is_file() || matches!(Self::find(dir), Ok(Some(_)))
    }

    /// Keeps every other command that changes the cluster in `dir` out, until the answer is dropped.
    ///
    /// # Errors
    /// The folder holds something and no cluster has ever been there, or it cannot be written; nothing was.
    pub fn lock(dir: &Path) -> Result<File> {
        fs::create_dir_all(dir).with_context(|| format!("making the folder {}; {ANOTHER}", dir.display()))?;
        let mut found = fs::read_dir(dir).with_context(|| format!("reading {}; {ANOTHER}", dir.display()))?;
        ensure!(
            Self::marks(dir) || found.next().is_none(),
            "{} holds files and has never been the folder of a cluster, so nothing is written there; \
             {ANOTHER}: a new or an empty one",
            dir.display()
        );
        let path = dir.join(LOCK);
        let file = File::create(&path).with_context(|| format!("writing {}; {ANOTHER}", path.display()))?;
        file.lock().with_context(|| format!("locking {}; {ANOTHER}", path.display()))?;
        Ok(file)
    }

    /// The node called `id`.
    ///
    /// # Errors
    /// There is none; the error names those there are.
    pub fn node(&self, id: &str) -> Result<&NodeRecord> {
        let Some(node) = self.nodes.iter().find(|node| node.id == id) else {
            let known: Vec<_> = self.nodes.iter().map(|node| node.id.as_str()).collect();
            bail!("there is no node {id} in this cluster; there are {}", known.join(", "));
        };
        Ok(node)
    }

    /// Every process written down, in the order in which to end them: load, nodes, servers; each once.
    pub fn processes(&self) -> [Vec<Identity>; 3] {
        let load = self.load.iter().map(|load| load.process.clone()).collect();
        let mut nodes: Vec<_> = self.nodes.iter().flat_map(NodeRecord::processes).collect();
        nodes.dedup();
        let nats = self.nats.iter().map(|server| server.process.clone()).collect();
        [load, nodes, nats]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn sample() -> ClusterFile {
        let process = Identity { pid: 4711, exe: "/bin/aether".to_owned(), started: "99".to_owned() };
        ClusterFile {
            nats_urls: vec!["nats://127.0.0.1:15000".to_owned()],
            own_urls: BTreeMap::new(),
            namespace: "demo".to_owned(),
            replicas: 1,
            profile: Profile::Default,
            in_memory: false,
            keep: false,
            supervised: false,
            zones: 0,
            format_max: None,
            program: "/bin/aether".into(),
            nats: Vec::new(),
            nodes: vec![NodeRecord {
                id: "n1".to_owned(),
                process: process.clone(),
                supervisor: None,
                admin_url: "http://127.0.0.1:1".to_owned(),
                log: "n1.log".into(),
                config: "n1.toml".into(),
            }],
            load: Some(LoadRecord { process, admin_url: "http://127.0.0.1:2".to_owned(), log: "load.log".into() }),
        }
    }

    #[test]
    fn the_file_names_what_others_look_for() {
        let json = serde_json::to_value(sample()).expect("it serialises");
        for pointer in ["/nats_urls/0", "/namespace", "/nodes/0/id", "/nodes/0/pid", "/nodes/0/admin_url", "/load/pid"]
        {
            assert!(json.pointer(pointer).is_some(), "{pointer} in {json}");
        }
    }

    #[test]
    fn a_node_and_the_process_that_runs_it_are_told_apart() {
        let mut file = sample();
        let supervisor = Identity { pid: 4710, exe: "/bin/aether".to_owned(), started: "98".to_owned() };
        file.nodes[0].supervisor = Some(supervisor.clone().into());
        let json = serde_json::to_value(&file).expect("it serialises");
        assert_eq!((&json["nodes"][0]["pid"], &json["nodes"][0]["supervisor_pid"]), (&4711.into(), &4710.into()));
        let read: ClusterFile = serde_json::from_value(json).expect("it reads back");
        assert_eq!(read, file);
        let [_, nodes, _] = read.processes();
        assert_eq!(nodes, [read.nodes[0].process.clone(), supervisor]);
        let alone = serde_json::to_value(sample()).expect("it serialises");
        assert!(alone["nodes"][0].get("supervisor_pid").is_none(), "{alone}");
    }

    #[test]
    fn a_file_reads_back_as_it_was_saved() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(ClusterFile::find(folder.path()).expect("readable"), None);
        sample().save(folder.path()).expect("saved");
        assert_eq!(ClusterFile::load(folder.path()).expect("there"), sample());
        ClusterFile::remove(folder.path()).expect("removed");
        ClusterFile::remove(folder.path()).expect("removing nothing is fine");
        let error = ClusterFile::load(folder.path()).expect_err("gone").to_string();
        assert!(error.contains("cargo xtask cluster-up"), "{error}");
    }

    #[test]
    fn a_folder_of_somebody_elses_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("Cargo.toml"), "[workspace]").expect("written");
        let error = ClusterFile::lock(folder.path()).expect_err("not a cluster's").to_string();
        assert!(error.contains("--dir"), "{error}");
        // A file that only happens to have the name is no mark of ours.
        fs::write(folder.path().join(NAME), "{}").expect("written");
        ClusterFile::lock(folder.path()).expect_err("still not a cluster's");
        let left: Vec<_> = fs::read_dir(folder.path()).expect("readable").filter_map(Result::ok).collect();
        assert_eq!(left.len(), 2, "{left:?}");

        let fresh = folder.path().join("fresh");
        drop(ClusterFile::lock(&fresh).expect("made"));
        fs::write(fresh.join("n1.log"), "").expect("written");
        drop(ClusterFile::lock(&fresh).expect("its own folder again"));
        for place in ["Cargo.toml", "Cargo.toml/below"] {
            let error = ClusterFile::lock(&folder.path().join(place)).expect_err("a file is in its place").to_string();
            assert!(error.contains("making the folder") && error.contains("--dir"), "{error}");
        }
    }

    #[test]
    fn a_node_that_is_not_there_is_refused_with_those_that_are() {
        let error = sample().node("n7").expect_err("no such node").to_string();
        assert!(error.contains("n7") && error.contains("n1"), "{error}");
    }
}
