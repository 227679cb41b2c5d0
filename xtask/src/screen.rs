//! The live screen of `cluster-up`: the one that `aether top` shows, with keys to break a node and watch the others cope.
//!
//! Everything it does is a command of [`cluster`], or of the nodes' own program, that could as well be typed elsewhere.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use aether_screen::{Deed, Host, Text, Verb, model};
use anyhow::{Context, Result, bail};

use crate::{
    cluster::{self, ClusterFile, LoadStatus, NodeRecord},
    http, interrupt, out,
};

/// How long the load may take to say how it stands.
const ASK_LIMIT: Duration = Duration::from_millis(500);

/// Shows the cluster in `dir` until `q`, an interrupt, or the end of the cluster.
///
/// # Errors
/// The terminal cannot be drawn on.
pub fn run(dir: &Path) -> Result<()> {
    let colour = std::env::var_os("NO_COLOR").is_none_or(|said| said.is_empty());
    let notes = out::mute();
    let shown = aether_screen::run(Arc::new(ClusterUp { dir: dir.to_owned() }), colour, false);
    drop(notes);
    shown.context("the terminal cannot be used; --plain does without")
}

struct ClusterUp {
    dir: PathBuf,
}

impl Host for ClusterUp {
    fn urls(&self) -> Vec<String> {
        let nodes = ClusterFile::load(&self.dir).map(|file| file.nodes).unwrap_or_default();
        nodes.into_iter().map(|node| node.admin_url).filter(|url| !url.is_empty()).collect()
    }

    fn is_over(&self) -> bool {
        interrupt::requested() || !matches!(ClusterFile::find(&self.dir), Ok(Some(_)))
    }

    fn complete(&self, view: &mut model::View) {
        let Ok(file) = ClusterFile::load(&self.dir) else { return };
        if !file.in_memory {
            for node in &mut view.cluster.nodes {
                node.process = file.node(&node.id).ok().map(process);
            }
        }
        view.load = file.load.map(|load| {
            let said = http::get_json::<LoadStatus>(&format!("{}/v1/load", load.admin_url), ASK_LIMIT);
            said.map_or_else(|_| Text::new("the load does not answer"), |load| load_line(&load))
        });
    }

    fn verbs(&self) -> Vec<Verb> {
        match ClusterFile::load(&self.dir) {
            // Its nodes share one process, and there is nothing to be asked of from outside.
            Ok(file) if file.in_memory => Vec::new(),
            _ => vec![
                Verb::Kill,
                Verb::Freeze,
                Verb::Continue,
                Verb::Restart,
                Verb::Drain,
                Verb::Add,
                Verb::StepDown,
                Verb::Pause,
            ],
        }
    }

    fn act(&self, deed: &Deed) -> Result<String, String> {
        self.done(deed).map_err(|error| format!("{error:#}"))
    }
}

impl ClusterUp {
    fn done(&self, deed: &Deed) -> Result<String> {
        let (dir, id) = (&*self.dir, deed.node.as_deref().unwrap_or_default());
        match deed.verb {
            Verb::Kill => cluster::kill(dir, id).map(|()| "done".to_owned()),
            Verb::Freeze => cluster::stop(dir, id).map(|()| "done".to_owned()),
            Verb::Continue => cluster::resume(dir, id).map(|()| "done".to_owned()),
            Verb::Restart => cluster::restart(dir, id).map(|()| "it is ready".to_owned()),
            Verb::Drain => cluster::drain(dir, id).map(|()| "it has left".to_owned()),
            Verb::Add => {
                let id = free_id(&ClusterFile::load(dir)?.nodes);
                cluster::add(dir, &id).map(|()| format!("{id} is ready"))
            }
            Verb::StepDown => self.program(&["leader", "step-down"]),
            Verb::Pause => self.program(&["rebalance", "--pause"]),
            Verb::Resume => self.program(&["rebalance", "--resume"]),
        }
    }

    /// What the nodes' own program says to that, asked of this cluster.
    fn program(&self, arguments: &[&str]) -> Result<String> {
        let file = ClusterFile::load(&self.dir)?;
        let mut command = Command::new(&file.program);
        command.args(arguments).args(["--nats-url", &file.nats_urls.join(","), "--namespace", &file.namespace]);
        let done = command.output().with_context(|| format!("{} cannot be started", file.program.display()))?;
        if !done.status.success() {
            bail!("{}", String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }
}

fn process(node: &NodeRecord) -> model::Process {
    let state = match (node.process.is_alive(), node.process.is_stopped()) {
        (false, _) => model::ProcessState::Ended,
        (true, true) => model::ProcessState::Frozen,
        (true, false) => model::ProcessState::Running,
    };
    model::Process { pid: node.process.pid, state }
}

fn load_line(load: &LoadStatus) -> Text {
    let LoadStatus { acknowledged, lost, applied_twice, in_flight, .. } = load;
    Text::new(&format!(
        "{acknowledged} acknowledged, {lost} lost, {applied_twice} applied twice, {in_flight} in flight"
    ))
}

/// The first of `n1`, `n2` and so on that no node has.
fn free_id(nodes: &[NodeRecord]) -> String {
    let ids = (1..=nodes.len() + 1).map(|number| format!("n{number}"));
    ids.into_iter().find(|id| nodes.iter().all(|node| node.id != *id)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::sample;

    #[test]
    fn the_screen_knows_the_processes_and_ends_with_the_cluster() {
        let folder = tempfile::tempdir().expect("a folder");
        let host = ClusterUp { dir: folder.path().to_owned() };
        assert!(host.is_over() && host.urls().is_empty());
        let mut file = sample();
        file.nodes[0].process = crate::process::Identity::of(std::process::id()).expect("this very process");
        file.save(folder.path()).expect("saved");
        assert!(!host.is_over());
        assert_eq!(host.urls(), [file.nodes[0].admin_url.clone()]);
        let alive = process(&file.nodes[0]);
        assert_eq!(alive, model::Process { pid: std::process::id(), state: model::ProcessState::Running });
        assert_eq!(process(&sample().nodes[0]).state, model::ProcessState::Ended);
    }

    #[test]
    fn a_node_that_is_added_has_the_first_id_that_is_free() {
        let node = |id: &str| NodeRecord { id: id.to_owned(), ..sample().nodes.remove(0) };
        assert_eq!(free_id(&[]), "n1");
        assert_eq!(free_id(&[node("n1"), node("n3")]), "n2");
        assert_eq!(free_id(&[node("n1"), node("blue")]), "n2");
    }

    #[test]
    fn nodes_that_share_a_process_have_no_keys() {
        let folder = tempfile::tempdir().expect("a folder");
        let host = ClusterUp { dir: folder.path().to_owned() };
        ClusterFile { in_memory: true, ..sample() }.save(folder.path()).expect("saved");
        assert_eq!(host.verbs(), []);
        sample().save(folder.path()).expect("saved");
        let keys: String = host.verbs().into_iter().map(Verb::key).collect();
        assert_eq!(keys, "kzcrdalp");
    }
}
