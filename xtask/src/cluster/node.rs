//! `node kill|stop|cont|drain|restart|add`: what one does to a node to see the others cope.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use super::{
    file::{ClusterFile, NodeRecord},
    launch::{ANNOUNCE_LIMIT, Files, announced, wait_while_alive},
    up::start_node,
    view::{ClusterView, NodeView},
};
use crate::{
    clock::{Deadline, wait_for},
    http,
    process::{LOG_LINES_SHOWN, end_all, last_words, tail},
};

/// How long a node may take to hand everything over and end.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);

/// How long the others may take to have read that a node has left once it has ended.
const LEFT_LIMIT: Duration = Duration::from_secs(10);

/// What a node says last that was let go.
const LEFT_WORDS: &str = "has left the cluster";

/// How long a node that is started again may be waited for when it must first be ended.
const END_GRACE: Duration = Duration::from_secs(20);

/// How long a started node may take to be ready: a minute to find its place at most, and what comes before.
const READY_LIMIT: Duration = Duration::from_secs(90);

/// How long one question after its readiness may take.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// Kills the node (SIGKILL): it can tell nobody.
///
/// # Errors
/// There is no such node, or it does not run.
pub fn kill(dir: &Path, id: &str) -> Result<()> {
    let node = running(dir, id)?;
    node.process.kill()
}

/// Freezes the node (SIGSTOP): its connections stay open and it does nothing.
///
/// # Errors
/// There is no such node, or it does not run.
pub fn stop(dir: &Path, id: &str) -> Result<()> {
    running(dir, id)?.process.signal(Signal::SIGSTOP).map(drop)
}

/// Lets a frozen node go on (SIGCONT).
///
/// # Errors
/// There is no such node, or it does not run.
pub fn resume(dir: &Path, id: &str) -> Result<()> {
    running(dir, id)?.process.signal(Signal::SIGCONT).map(drop)
}

/// Asks the node to hand over and leave (SIGTERM), and waits until it has: until another node says so, or until it says
/// so itself where there is no other.
///
/// # Errors
/// There is no such node, it does not run, it does not end within a minute, or it ended without being let go.
pub fn drain(dir: &Path, id: &str) -> Result<()> {
    let node = running(dir, id)?;
    node.process.signal(Signal::SIGTERM)?;
    node.process.wait_gone(DRAIN_LIMIT)?;
    let others = ClusterFile::load(dir)?.nodes;
    let others: Vec<_> = others.iter().filter(|other| other.id != id && other.process.is_alive()).collect();
    let let_go = wait_for(&format!("the others to say that {id} has left"), Deadline::after(LEFT_LIMIT), || {
        if let Some(status) = node.exit_status() {
            ensure!(status.success(), "it ended with {status}");
        }
        if others.is_empty() {
            let said = tail(&node.log, LOG_LINES_SHOWN);
            return Ok(said.contains(LEFT_WORDS).then_some(()));
        }
        let views: Vec<_> = others.iter().filter_map(|other| ClusterView::ask(&other.admin_url).ok()).collect();
        Ok(has_left(&views, id)?.then_some(()))
    });
    let_go.with_context(|| {
        format!(
            "{id} ended but may not have handed over everything; nothing acknowledged is lost, and the others take over \
             what it had: look at cargo xtask cluster-status, and start it again with cargo xtask node restart {id}; {}",
            last_words(id, &node.log)
        )
    })
}

/// Whether somebody knows that the node has left, or has never heard of it: then it had nothing to hand over.
fn has_left(views: &[ClusterView], id: &str) -> Result<bool> {
    let Some(furthest) = views.iter().max_by_key(|view| view.epoch) else { return Ok(false) };
    let Some(node) = furthest.node(id) else { return Ok(true) };
    ensure!(!node.status.eq_ignore_ascii_case("failed"), "the others take {id} for failed");
    Ok(node.status.eq_ignore_ascii_case("left"))
}

/// Starts the node again with the configuration it had, ending it first if it runs, and waits until it is ready.
///
/// # Errors
/// There is no such node, or it does not become ready.
pub fn restart(dir: &Path, id: &str) -> Result<()> {
    restart_until(Until::Ready, dir, id)
}

fn restart_until(until: Until, dir: &Path, id: &str) -> Result<()> {
    let dir = std::path::absolute(dir)?;
    // Where no cluster is, nothing is written.
    separate(&dir)?;
    let _lock = ClusterFile::lock(&dir)?;
    let mut file = separate(&dir)?;
    end_all(&file.node(id)?.processes(), END_GRACE)?;
    let node = start_node(&file, &dir, id)?;
    if let Some(place) = file.nodes.iter_mut().find(|node| node.id == id) {
        *place = node;
    }
    settle(file, &dir, id, until)
}

/// Starts all these nodes again at once, with the configurations they had, ending first those that run, and waits until
/// each is ready.
///
/// # Errors
/// There is no such node, or one does not become ready.
pub fn restart_all(dir: &Path, ids: &[String]) -> Result<()> {
    let dir = std::path::absolute(dir)?;
    // Where no cluster is, nothing is written.
    separate(&dir)?;
    let _lock = ClusterFile::lock(&dir)?;
    let mut file = separate(&dir)?;
    let known = ids.iter().map(|id| Ok(file.node(id)?.processes())).collect::<Result<Vec<_>>>()?.concat();
    end_all(&known, END_GRACE)?;
    for id in ids {
        let node = start_node(&file, &dir, id)?;
        if let Some(place) = file.nodes.iter_mut().find(|node| node.id == *id) {
            *place = node;
        }
        file.save(&dir)?;
    }
    ids.iter().try_for_each(|id| settle(ClusterFile::load(&dir)?, &dir, id, Until::Ready))
}

/// Adds a node to the cluster and waits until it is ready.
///
/// # Errors
/// There is a node of that id already, or it does not become ready.
pub fn add(dir: &Path, id: &str) -> Result<()> {
    add_until(Until::Ready, dir, id)
}

/// Adds a node, or starts it again if there is one of that id, and waits only until it is Active: shards that it is to be
/// given are still on their way, or not even planned.
///
/// # Errors
/// It does not become Active.
pub fn begin(dir: &Path, id: &str) -> Result<()> {
    if ClusterFile::load(dir)?.node(id).is_ok() {
        restart_until(Until::Active, dir, id)
    } else {
        add_until(Until::Active, dir, id)
    }
}

fn add_until(until: Until, dir: &Path, id: &str) -> Result<()> {
    let dir = std::path::absolute(dir)?;
    // Where no cluster is, nothing is written.
    separate(&dir)?;
    let _lock = ClusterFile::lock(&dir)?;
    let mut file = separate(&dir)?;
    ensure!(file.node(id).is_err(), "there is a node {id} already; start it again with: cargo xtask node restart {id}");
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    ensure!(plain && !id.is_empty(), "a node's id is made of letters, digits, - and _, which `{id}` is not");
    ensure!(id != "load" && id != "demo", "`{id}` is the name of another process of this cluster; choose another id");
    let node = start_node(&file, &dir, id)?;
    file.nodes.push(node);
    settle(file, &dir, id, until)
}

/// What a started node is waited for.
#[derive(Clone, Copy)]
enum Until {
    /// That it counts itself Active.
    Active,
    /// That it is ready: it has found its place.
    Ready,
}

/// Records a started node, learns where it answers and waits for it.
fn settle(mut file: ClusterFile, dir: &Path, id: &str, until: Until) -> Result<()> {
    file.save(dir)?;
    let node = file.node(id)?.clone();
    let urls = announced(id, &node.process, &Files::of(dir, id), Deadline::after(ANNOUNCE_LIMIT))?;
    if let Some(place) = file.nodes.iter_mut().find(|node| node.id == id) {
        place.answers_at(&urls[0]);
    }
    file.save(dir)?;
    let ready = format!("{}/readyz", urls[0].trim_end_matches('/'));
    let what = match until {
        Until::Active => "to be Active",
        Until::Ready => "to be ready",
    };
    wait_while_alive(what, id, &node.process, &node.log, Deadline::after(READY_LIMIT), || match until {
        Until::Active => {
            let view = ClusterView::ask(&urls[0]).ok();
            Ok(view.and_then(|view| view.node(id).is_some_and(NodeView::is_active).then_some(())))
        }
        Until::Ready => Ok(http::get(&ready, ASK_LIMIT).ok().filter(|reply| reply.status == 200).map(drop)),
    })
}

fn running(dir: &Path, id: &str) -> Result<NodeRecord> {
    let file = separate(dir)?;
    let node = file.node(id)?;
    ensure!(node.process.is_alive(), "{id} does not run; start it again with: cargo xtask node restart {id}");
    Ok(node.clone())
}

/// The cluster, if its nodes are processes of their own.
fn separate(dir: &Path) -> Result<ClusterFile> {
    let file = ClusterFile::load(dir)?;
    if file.in_memory {
        bail!("the nodes of this cluster share one process; start it without --in-memory to end or freeze one alone");
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::cluster::{file::tests::sample, view::tests::whole};
    use crate::process;

    /// A cluster whose only node is this shell script.
    fn alone(dir: &Path, script: &str) -> NodeRecord {
        let log = dir.join("n1.log");
        let mut command = Command::new("bash");
        command.args(["-c", &format!("{script}; echo started; while :; do sleep 0.05; done")]);
        let process = process::spawn(command, &log).expect("it starts");
        wait_for("the script to be under way", Deadline::after(Duration::from_secs(5)), || {
            Ok(tail(&log, 3).contains("started").then_some(()))
        })
        .expect("it says so");
        let node = NodeRecord { process, log, ..sample().nodes.remove(0) };
        ClusterFile { nodes: vec![node.clone()], load: None, ..sample() }.save(dir).expect("saved");
        node
    }

    #[test]
    fn a_node_is_drained_only_if_it_was_let_go() {
        for (script, drained) in [
            ("trap 'echo node n1 has left the cluster; exit 0' TERM", true),
            ("trap 'echo aether: node n1 ended without having handed over everything; exit 1' TERM", false),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let node = alone(folder.path(), script);
            let outcome = drain(folder.path(), "n1");
            node.process.kill().expect("gone");
            assert_eq!(outcome.is_ok(), drained, "{outcome:?}");
            if let Err(error) = outcome {
                let said = format!("{error:#}");
                assert!(said.contains("node restart n1") && said.contains("without having handed over"), "{said}");
            }
        }
    }

    #[test]
    fn that_a_node_has_left_is_what_the_node_furthest_ahead_says() {
        let status = |status: &str, epoch| {
            let mut view = whole();
            view.epoch = epoch;
            status.clone_into(&mut view.nodes[1].status);
            view
        };
        let left = |views: &[ClusterView]| has_left(views, &whole().nodes[1].id);
        assert!(!left(&[]).expect("nobody knows"));
        assert!(!left(&[status("active", 9)]).expect("not yet"));
        assert!(!left(&[status("draining", 9)]).expect("not yet"));
        assert!(left(&[status("failed", 3), status("left", 9)]).expect("it has left"));
        assert!(left(&[status("left", 3), status("failed", 9)]).is_err());
        assert!(has_left(&[whole()], "n99").expect("it was never a member"));
    }

    #[test]
    fn a_node_that_does_not_run_is_told_apart_from_one_that_never_was() {
        let folder = tempfile::tempdir().expect("a folder");
        sample().save(folder.path()).expect("saved");
        let gone = kill(folder.path(), "n1").expect_err("it does not run").to_string();
        assert!(gone.contains("node restart n1"), "{gone}");
        let unknown = kill(folder.path(), "n9").expect_err("it never was").to_string();
        assert!(unknown.contains("there is no node n9"), "{unknown}");
    }

    #[test]
    fn nodes_in_memory_cannot_be_killed_one_by_one() {
        let folder = tempfile::tempdir().expect("a folder");
        ClusterFile { in_memory: true, ..sample() }.save(folder.path()).expect("saved");
        assert!(stop(folder.path(), "n1").expect_err("one process").to_string().contains("share one process"));
    }

    #[test]
    fn an_id_that_could_leave_the_folder_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        sample().save(folder.path()).expect("saved");
        for id in ["../n4", "", "a b", "load"] {
            assert!(add(folder.path(), id).is_err(), "`{id}`");
        }
        assert!(add(folder.path(), "n1").expect_err("taken").to_string().contains("already"));
    }
}
