//! `cluster-up`: nats-server, nodes, load; ready when every node says so.
//!
//! Each process is written to `cluster.json` before the next is started, so that whatever happens to this command,
//! `cluster-down` can end them. When the start fails everything started so far is ended here.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    config::{Profile, is_ours},
    down,
    file::{ClusterFile, LoadRecord, NatsRecord, NodeRecord},
    launch::{ANNOUNCE_LIMIT, Files, announced, ensure_alive, launch, node_config, supervised, wait_while_alive},
    view::ClusterView,
};
use crate::{
    clock::{Deadline, wait_for},
    interrupt,
    nats::{self, API_LEVEL_MIN, NatsCluster, NatsServer, ServerOptions, Sync},
    out,
    process::{Identity, end_all, last_words},
};

/// Where the nodes find NATS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatsChoice {
    /// Start this many servers, 1 or 3; streams have as many copies.
    Start {
        /// How many.
        servers: usize,
        /// This program instead of one found or fetched.
        program: Option<PathBuf>,
        /// When JetStream writes to disk.
        sync: Sync,
    },
    /// Use running servers and start none.
    Running {
        /// Where they listen.
        urls: Vec<String>,
        /// How many copies of each stream to ask for.
        replicas: usize,
    },
    /// All nodes in one process, without NATS.
    InMemory,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The folder for `cluster.json`, configurations, logs and stores.
    pub dir: PathBuf,
    /// The `aether` program.
    pub program: PathBuf,
    /// The name under which everything is stored.
    pub namespace: String,
    /// How many nodes: `n1`, `n2` and so on.
    pub nodes: usize,
    /// Where they find NATS.
    pub nats: NatsChoice,
    /// Where single nodes connect instead, by id.
    pub own_urls: BTreeMap<String, Vec<String>>,
    /// Which timings they use.
    pub profile: Profile,
    /// How many workers keep the cluster busy; no load without it.
    pub load: Option<usize>,
    /// Go on from the stores an earlier cluster in `dir` left, and leave them in the end.
    pub keep: bool,
    /// Whether each node runs under a supervisor, which tells the others when it has died.
    pub supervise: bool,
    /// In how many zones the nodes are, by turns; in none if 0.
    pub zones: usize,
    /// How long it may take until all is ready, once a nats-server is found.
    pub ready_limit: Duration,
}

/// How long a supervisor that has started no node may take to end.
const SUPERVISOR_GRACE: Duration = Duration::from_secs(4);

/// How long a whole cluster may take to share its shards out evenly. It serves meanwhile, so being late is no failure.
const BALANCE_LIMIT: Duration = Duration::from_secs(8);

/// What to do about nodes that run and do not become a cluster in time.
const NOT_WHOLE: &str = "on a machine that is busy, start fewer with --nodes or start again when it is not; if a log below \
    names a reason, remove that; to see them without NATS, start with --in-memory";

/// Starts a cluster and answers what runs once it is ready: every node Active, every shard owned, all agreeing.
///
/// # Errors
/// The folder is somebody else's, or a cluster is up in it already; nats-server cannot be had; or it was not ready in time, in which case the
/// error shows the ends of the logs. Nothing is left running.
pub fn up(options: &UpOptions) -> Result<ClusterFile> {
    ensure!(options.nodes > 0, "a cluster needs at least one node");
    let dir = std::path::absolute(&options.dir)?;
    let _lock = ClusterFile::lock(&dir)?;
    refuse_second(&dir)?;
    clear(&dir, &names(options), options.keep)?;
    let mut file = ClusterFile {
        nats_urls: Vec::new(),
        own_urls: options.own_urls.clone(),
        namespace: options.namespace.clone(),
        replicas: 1,
        profile: options.profile,
        in_memory: options.nats == NatsChoice::InMemory,
        keep: options.keep,
        supervised: options.supervise && options.nats != NatsChoice::InMemory,
        zones: options.zones,
        format_max: None,
        program: std::path::absolute(&options.program)?,
        nats: Vec::new(),
        nodes: Vec::new(),
        load: None,
    };
    let started = start_all(&mut file, &dir, options);
    if let Err(error) = started {
        let ended = down::end(&file, &dir);
        return Err(match ended {
            Ok(_) => error,
            Err(also) => error.context(format!("and ending what was started failed: {also:#}")),
        });
    }
    Ok(file)
}

fn start_all(file: &mut ClusterFile, dir: &Path, options: &UpOptions) -> Result<()> {
    let (nats_server, deadline) = located(options)?;
    match &options.nats {
        NatsChoice::Start { servers, sync, .. } => start_nats(file, dir, *servers, nats_server, *sync)?,
        NatsChoice::Running { urls, replicas } => {
            file.nats_urls.clone_from(urls);
            file.replicas = *replicas;
        }
        NatsChoice::InMemory => return start_in_memory(file, dir, options, deadline),
    }
    file.save(dir)?;
    for number in 1..=options.nodes {
        interrupt::check()?;
        let node = start_node(file, dir, &format!("n{number}"))?;
        file.nodes.push(node);
        file.save(dir)?;
    }
    for index in 0..file.nodes.len() {
        let node = &mut file.nodes[index];
        let urls = announced(&node.id, &node.process, &Files::of(dir, &node.id), deadline)?;
        node.answers_at(&urls[0]);
    }
    file.save(dir)?;
    wait_whole(file, dir, deadline)?;
    wait_balanced(file)?;
    if let Some(workers) = options.load {
        start_load(file, dir, workers)?;
    }
    file.save(dir)
}

fn refuse_second(dir: &Path) -> Result<()> {
    if let Some(earlier) = ClusterFile::find(dir)? {
        let alive = earlier.processes().iter().flatten().filter(|process| process.is_alive()).count();
        ensure!(
            alive == 0,
            "a cluster is up already ({alive} processes, see {}); end it first: cargo xtask cluster-down",
            dir.join("cluster.json").display()
        );
    }
    Ok(())
}

/// Removes what an earlier cluster left in `dir`: the files of the processes whose configuration we wrote, and of those
/// that are started now. Whatever else lies there is not ours.
fn clear(dir: &Path, names: &[String], keep: bool) -> Result<()> {
    ClusterFile::remove(dir)?;
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_stem().and_then(OsStr::to_str) else { continue };
        if path.extension().is_some_and(|extension| extension == "toml") && is_ours(&path) {
            let files = Files::of(dir, name);
            // The configuration last: what it stands for is gone by then.
            [&files.announce, &files.log, &files.pid, &files.config].into_iter().try_for_each(|path| remove(path))?;
        }
    }
    for name in names {
        let files = Files::of(dir, name);
        [&files.announce, &files.log, &files.pid].into_iter().try_for_each(|path| remove(path))?;
    }
    if keep { Ok(()) } else { down::remove_stores(dir) }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// What the processes to start are called.
fn names(options: &UpOptions) -> Vec<String> {
    if options.nats == NatsChoice::InMemory {
        return vec!["demo".to_owned()];
    }
    let load = options.load.map(|_| "load".to_owned());
    (1..=options.nodes).map(|number| format!("n{number}")).chain(load).collect()
}

/// The nats-server to start, if one is to be started, and the moment by which all must be ready. The search comes
/// first: where a server must be fetched, how long that takes says nothing about the cluster.
fn located(options: &UpOptions) -> Result<(Option<PathBuf>, Deadline)> {
    let found = match &options.nats {
        NatsChoice::Start { program, .. } => {
            let default = nats::Options::default();
            Some(nats::locate(&nats::Options { program: program.clone().or(default.program.clone()), ..default })?)
        }
        NatsChoice::Running { .. } | NatsChoice::InMemory => None,
    };
    Ok((found, Deadline::after(options.ready_limit)))
}

fn start_nats(file: &mut ClusterFile, dir: &Path, servers: usize, program: Option<PathBuf>, sync: Sync) -> Result<()> {
    ensure!(servers == 1 || servers == 3, "either 1 or 3 nats-servers, not {servers}: streams have 1 or 3 copies");
    let base = down::stores(dir);
    let options = ServerOptions { program, sync, own_group: true, ..ServerOptions::default() };
    let started = if servers == 1 {
        vec![NatsServer::start(ServerOptions { dir: Some(base.join("nats-1")), ..options })?]
    } else {
        NatsCluster::start_with(servers, &ServerOptions { dir: Some(base), ..options })?.into_servers()
    };
    let level = started[0].api_level().context("asking nats-server for its JetStream API level")?;
    ensure!(
        level >= API_LEVEL_MIN,
        "this nats-server is too old: its JetStream API level is {level}, {API_LEVEL_MIN} (nats-server 2.12) is needed"
    );
    file.replicas = servers;
    for server in started {
        let (name, url, store) = (server.name().to_owned(), server.url(), server.dir().to_owned());
        let process = Identity::of(server.leave_running()?).context("nats-server ended just after it was ready")?;
        out::note(format!("{name} is ready on {url} (pid {})", process.pid));
        file.nats_urls.push(url.clone());
        file.nats.push(NatsRecord { process, name, url, store });
        file.save(dir)?;
    }
    Ok(())
}

/// Starts a node that is not running; its admin URL is not known yet.
pub(super) fn start_node(file: &ClusterFile, dir: &Path, id: &str) -> Result<NodeRecord> {
    let files = Files::of(dir, id);
    node_config(file, id, &files).write(&files.config, None)?;
    let config = files.config.display().to_string();
    let (process, supervisor) = if file.supervised {
        let pid = files.pid.display().to_string();
        // What was killed on purpose stays dead, so that one can see the others cope.
        let arguments = ["supervise", "--restart", "never", "--config", &config, "--pid-file", &pid];
        let supervisor = launch(&file.program, &arguments, &[], &files)?;
        let node = supervised(id, &supervisor, &files).inspect_err(|_| {
            // The error that is told is why it is ended.
            let _ = end_all(std::slice::from_ref(&supervisor), SUPERVISOR_GRACE);
        });
        (node?, Some(supervisor.refreshed().into()))
    } else {
        (launch(&file.program, &["node", "--config", &config], &[], &files)?, None)
    };
    out::note(format!("{id} started (pid {})", process.pid));
    let (log, config) = (files.log, files.config);
    Ok(NodeRecord { id: id.to_owned(), process, supervisor, admin_url: String::new(), log, config })
}

fn start_load(file: &mut ClusterFile, dir: &Path, workers: usize) -> Result<()> {
    let files = Files::of(dir, "load");
    node_config(file, "load", &files).write(&files.config, Some(workers))?;
    let config = files.config.display().to_string();
    let process = launch(&file.program, &["load", "--config", &config], &[], &files)?;
    file.load = Some(LoadRecord { process: process.clone(), admin_url: String::new(), log: files.log.clone() });
    file.save(dir)?;
    let urls = announced("load", &process, &files, Deadline::after(ANNOUNCE_LIMIT))?;
    out::note(format!("the load started with {workers} workers (pid {})", process.pid));
    file.load = Some(LoadRecord { process: process.refreshed(), admin_url: urls[0].clone(), log: files.log });
    Ok(())
}

fn start_in_memory(file: &mut ClusterFile, dir: &Path, options: &UpOptions, deadline: Deadline) -> Result<()> {
    let files = Files::of(dir, "demo");
    let nodes = options.nodes.to_string();
    let mut arguments = vec!["demo", "--nodes", &nodes];
    let workers = options.load.map(|workers| workers.to_string());
    if let Some(workers) = &workers {
        arguments.extend(["--load", workers]);
    }
    let profile = toml::Value::try_from(options.profile).ok().and_then(|v| v.as_str().map(str::to_owned));
    let environment = [
        ("AETHER_NAMESPACE", options.namespace.clone()),
        ("AETHER_PROFILE", profile.unwrap_or_default()),
        ("AETHER_ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
        ("AETHER_ADMIN__ANNOUNCE", files.announce.display().to_string()),
    ];
    let process = launch(&file.program, &arguments, &environment, &files)?;
    out::note(format!("{} nodes started in one process (pid {})", options.nodes, process.pid));
    let record = |process: &Identity, id: String, admin_url: String| NodeRecord {
        id,
        process: process.clone(),
        supervisor: None,
        admin_url,
        log: files.log.clone(),
        config: PathBuf::new(),
    };
    file.nodes = vec![record(&process, "demo".to_owned(), String::new())];
    file.save(dir)?;
    let urls = announced("the demo", &process, &files, deadline)?;
    let process = process.refreshed();
    let view = wait_while_alive("to be ready", "the demo", &process, &files.log, deadline, || {
        Ok(ClusterView::ask(&urls[0]).ok().filter(|view| view.is_whole(options.nodes)))
    })?;
    let active = view.nodes.into_iter().filter(super::view::NodeView::is_active);
    file.nodes = active
        .enumerate()
        .map(|(index, node)| {
            // One line for each node, or one for all of them.
            let announced = urls.get(index).unwrap_or(&urls[0]).clone();
            record(&process, node.id, node.admin_url.unwrap_or(announced))
        })
        .collect();
    wait_balanced(file)?;
    if options.load.is_some() {
        file.load = Some(LoadRecord { process, admin_url: urls[0].clone(), log: files.log });
    }
    file.save(dir)
}

/// Waits until every node sees a whole cluster and all see the same.
fn wait_whole(file: &ClusterFile, dir: &Path, deadline: Deadline) -> Result<()> {
    let expected = file.nodes.len();
    let mut seen = String::new();
    let ready = wait_for("every node to be Active and every shard to be owned", deadline, || {
        interrupt::check()?;
        let mut views = Vec::with_capacity(expected);
        for node in &file.nodes {
            ensure_alive(&node.id, &node.process)?;
            match ClusterView::ask(&node.admin_url) {
                Ok(view) => views.push(view),
                Err(error) => seen = format!("{}: {error:#}", node.id),
            }
        }
        let whole =
            views.len() == expected && views.iter().all(|view| view.is_whole(expected) && view.agrees_with(&views[0]));
        if let Some(view) = views.first().filter(|_| views.len() == expected) {
            seen = serde_json::to_string(view)?;
        }
        Ok(whole.then_some(()))
    });
    if let Err(error) = ready {
        let logs: Vec<_> = file.nodes.iter().map(|node| last_words(&node.id, &node.log)).collect();
        bail!(
            "{error:#}\n{NOT_WHOLE}; the configurations and logs stay in {}\nlast seen: {seen}\n{}",
            dir.display(),
            logs.join("\n")
        );
    }
    Ok(())
}

/// Waits until the first nodes have shared with the later ones, so that whoever looks next sees a cluster at rest.
fn wait_balanced(file: &ClusterFile) -> Result<()> {
    let balanced = wait_for("the shards to be shared out evenly", Deadline::after(BALANCE_LIMIT), || {
        interrupt::check()?;
        let views: Vec<_> = file.nodes.iter().filter_map(|node| ClusterView::ask(&node.admin_url).ok()).collect();
        let settled =
            |view: &ClusterView| view.is_whole(file.nodes.len()) && view.is_balanced() && view.agrees_with(&views[0]);
        Ok((views.len() == file.nodes.len() && views.iter().all(settled)).then_some(()))
    });
    if let Err(error) = balanced {
        interrupt::check()?;
        out::note(format!("{error:#}; it goes on meanwhile"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{clock::Stopwatch, cluster::file::tests::sample};

    fn options(dir: &Path) -> UpOptions {
        UpOptions {
            dir: dir.to_owned(),
            program: "/no/such/aether".into(),
            namespace: "demo".to_owned(),
            nodes: 2,
            nats: NatsChoice::Running { urls: vec!["nats://127.0.0.1:1".to_owned()], replicas: 1 },
            own_urls: BTreeMap::new(),
            profile: Profile::Fast,
            load: None,
            keep: false,
            supervise: true,
            zones: 0,
            ready_limit: Duration::from_secs(5),
        }
    }

    fn left(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("readable").filter_map(Result::ok);
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_with_files_of_somebody_elses_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["Cargo.toml", "server.log", "n1.toml"] {
            fs::write(folder.path().join(name), "precious").expect("written");
        }
        fs::create_dir_all(folder.path().join("nats/nats-1")).expect("made");
        let before = left(folder.path());
        let error = up(&options(folder.path())).expect_err("not a cluster's folder").to_string();
        assert!(error.contains("--dir"), "{error}");
        assert_eq!(left(folder.path()), before);
    }

    #[test]
    fn a_cluster_that_does_not_become_whole_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = sample();
        file.nodes[0].process = Identity::of(std::process::id()).expect("this very process");
        let error = wait_whole(&file, folder.path(), Deadline::after(Duration::ZERO)).expect_err("nobody answers");
        let said = error.to_string();
        for part in ["--nodes", "--in-memory", "last seen: n1", "n1.log"] {
            assert!(said.contains(part), "{part} is missing: {said}");
        }
    }

    #[test]
    fn the_search_for_a_nats_server_is_not_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("nats-server");
        fs::write(&program, "#!/bin/sh\nsleep 1\necho 'nats-server: v2.12.2'\n").expect("a script");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
        let nats = NatsChoice::Start { servers: 1, program: Some(program.clone()), sync: Sync::ServerDefault };
        let options = UpOptions { nats, ready_limit: Duration::from_secs(5), ..options(folder.path()) };
        let watch = Stopwatch::start();
        let (found, deadline) = located(&options).expect("it says a version");
        assert_eq!(found, Some(program));
        assert!(watch.elapsed() >= Duration::from_secs(1) && deadline.left() > Duration::from_millis(4_500));
    }

    #[test]
    fn of_an_earlier_cluster_only_what_it_wrote_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        // Two nodes of ours, one that was added under a name of its own; and things a person has put beside them.
        for id in ["n7", "blue"] {
            let files = Files::of(dir, id);
            node_config(&sample(), id, &files).write(&files.config, None).expect("written");
            fs::write(&files.log, "").expect("written");
            fs::write(&files.announce, "").expect("written");
        }
        for name in ["n1.log", "n1.url", "Cargo.toml", "notes.log", "seen.url", "cluster.lock"] {
            fs::write(dir.join(name), "").expect("written");
        }
        clear(dir, &names(&options(dir)), false).expect("cleared");
        assert_eq!(left(dir), ["Cargo.toml", "cluster.lock", "notes.log", "seen.url"]);
    }
}
