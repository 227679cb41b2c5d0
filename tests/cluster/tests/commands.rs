//! What `cargo xtask` promises to scripts: `cluster-up --detach --json`, `cluster-status --json`, `cluster-down`.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use aether_cluster_tests::{SHARDS, alone};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask::{
    clock::{Deadline, Stopwatch, wait_for},
    cluster::{ClusterFile, ClusterView, down, owners, workspace_root},
    out,
    process::{self, Identity},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

/// How long `cluster-up` may take once everything is built.
const UP_LIMIT: Duration = Duration::from_secs(30);

/// How long nodes may take to have read the same log.
const AGREE_LIMIT: Duration = Duration::from_secs(45);

/// What somebody may have exported for a node of their own: none of it may reach a node that `cluster-up` starts.
const EXPORTED: [(&str, &str); 4] = [
    ("AETHER_NAMESPACE", "elsewhere"),
    ("AETHER_NODE__ID", "somebody"),
    ("AETHER_NATS__URLS", "nats://127.0.0.1:1"),
    ("AETHER_ADMIN__LISTEN", "nowhere"),
];

/// How long a status may take to be as it should; each look is an audit of the load.
const STATUS_LIMIT: Duration = Duration::from_secs(60);

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace_root()).args(["run", "--quiet", "--package", "xtask", "--"]).args(arguments);
    command.arg("--dir").arg(dir).envs(EXPORTED).env_remove("AETHER_NATS_URL").stdin(Stdio::null());
    command
}

fn xtask(dir: &Path, arguments: &[&str]) -> Result<Output> {
    command(dir, arguments).output().context("starting cargo")
}

fn succeed(dir: &Path, arguments: &[&str]) -> Result<String> {
    succeeded(arguments, &xtask(dir, arguments)?)
}

fn succeeded(arguments: &[&str], output: &Output) -> Result<String> {
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{arguments:?} ended with {}: {said}{complained}", output.status);
    Ok(said.into_owned())
}

/// Waits until `cluster-status` says all of that at once. Nodes may differ for a moment, and one may be slow to answer.
fn status_comes_to(dir: &Path, expected: &[(&str, Value)]) -> Result<()> {
    let mut said = Value::Null;
    wait_for(&format!("the status to be {expected:?}"), Deadline::after(STATUS_LIMIT), || {
        said = serde_json::from_str(&succeed(dir, &["cluster-status", "--json"])?)?;
        // What is lost or applied twice does not come right by waiting.
        for wrong in ["/load/lost", "/load/applied_twice", "/load/wrong_answers"] {
            ensure!(said.pointer(wrong).is_none_or(|count| *count == 0), "{wrong} is not 0: {said}");
        }
        Ok(expected.iter().all(|(pointer, value)| said.pointer(pointer) == Some(value)).then_some(()))
    })
    .with_context(|| format!("last said: {said}"))
}

/// Ends whatever a failed test has left.
struct Cleanup<'a>(&'a Path);

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        for process in ClusterFile::find(self.0).ok().flatten().iter().flat_map(ClusterFile::processes).flatten() {
            // What cannot be killed is not ours any more.
            let _ = process.kill();
        }
    }
}

fn bystander(folder: &Path) -> Result<Identity> {
    let mut command = Command::new("sleep");
    command.arg("600");
    process::spawn(command, &folder.join("bystander.out"))
}

#[test]
fn a_cluster_comes_up_detached_describes_itself_and_goes_down_without_a_trace() -> Result<()> {
    let _alone = alone();
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("cluster");
    let _cleanup = Cleanup(&dir);
    let bystander = bystander(folder.path())?;
    // What is not built yet is built here, and not counted.
    ensure!(succeed(&dir, &["cluster-down"])?.contains("nothing was running"), "no cluster is up yet");

    let since = Stopwatch::start();
    let up = ["cluster-up", "--detach", "--json", "--load", "4", "--program", PROGRAM];
    let printed: Value = serde_json::from_str(&succeed(&dir, &up)?).context("one JSON value on standard output")?;
    let took = since.elapsed();
    out::note(format!("cluster-up took {:.2} s", took.as_secs_f64()));
    ensure!(took < UP_LIMIT, "it took {took:?}");

    let written: Value = serde_json::from_slice(&std::fs::read(dir.join("cluster.json"))?)?;
    ensure!(printed == written, "what it prints is what it writes");
    ensure!(written["nats_urls"][0].as_str().is_some_and(|url| url.starts_with("nats://127.0.0.1:")), "{written}");
    ensure!(written["namespace"] == "demo", "{written}");
    let nodes = written["nodes"].as_array().context("nodes")?;
    let ids: Vec<_> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    ensure!(ids == ["n1", "n2", "n3"], "{written}");
    for node in nodes {
        let pid = node["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).context("a pid")?;
        ensure!(Identity::of(pid).is_some(), "{} runs as {pid}", node["id"]);
    }

    let file = ClusterFile::load(&dir)?;
    let views = wait_for("every node to say the same", Deadline::after(AGREE_LIMIT), || {
        // A node that is slow to answer has not answered yet.
        let views: Vec<_> = file.nodes.iter().filter_map(|node| ClusterView::ask(&node.admin_url).ok()).collect();
        let settled = |view: &ClusterView| view.is_whole(3) && view.agrees_with(&views[0]);
        Ok((views.len() == 3 && views.iter().all(settled)).then_some(views))
    })?;
    for view in &views {
        ensure!(view.shards.assigned == SHARDS as u64, "{view:?}");
        ensure!(view.leader.as_deref().is_some_and(|leader| ids.contains(&leader)), "a leader is a node id: {view:?}");
    }
    wait_for("all to name the same owners", Deadline::after(AGREE_LIMIT), || {
        let said: Vec<_> = file.nodes.iter().filter_map(|node| owners(&node.admin_url).ok()).collect();
        let alike = |owners: &Vec<String>| owners.len() == SHARDS && *owners == said[0];
        Ok((said.len() == 3 && said.iter().all(alike)).then_some(()))
    })?;
    status_comes_to(
        &dir,
        &[
            ("/whole", true.into()),
            ("/agreement", true.into()),
            ("/load/verified", true.into()),
            ("/load/lost", 0.into()),
            ("/load/applied_twice", 0.into()),
            ("/load/sums_exact", true.into()),
        ],
    )?;

    let second = xtask(&dir, &["cluster-up", "--detach", "--program", PROGRAM])?;
    let complaint = String::from_utf8_lossy(&second.stderr).into_owned();
    ensure!(!second.status.success() && complaint.contains("cargo xtask cluster-down"), "{complaint}");

    succeed(&dir, &["node", "kill", "n2"])?;
    let processes: Vec<_> = file.processes().into_iter().flatten().collect();
    let since = Stopwatch::start();
    let said = succeed(&dir, &["cluster-down"])?;
    out::note(format!("cluster-down took {:.2} s: {}", since.elapsed().as_secs_f64(), said.trim()));
    for process in &processes {
        ensure!(!process.is_alive(), "{process:?} is still there");
    }
    ensure!(bystander.is_alive(), "a process that cluster-up did not start is none of its business");
    ensure!(!dir.join("cluster.json").exists(), "no cluster is up any more");
    ensure!(succeed(&dir, &["cluster-down"])?.contains("nothing was running"), "once more does nothing");
    bystander.kill()
}

#[test]
fn a_cluster_that_cannot_start_leaves_nothing_and_says_why() -> Result<()> {
    let _alone = alone();
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("cluster");
    let _cleanup = Cleanup(&dir);
    let nowhere = "nats://127.0.0.1:1";
    let failed = xtask(&dir, &["cluster-up", "--detach", "--json", "--program", PROGRAM, "--nats-url", nowhere])?;
    let complaint = String::from_utf8_lossy(&failed.stderr).into_owned();
    ensure!(!failed.status.success(), "there is no NATS: {complaint}");
    ensure!(complaint.contains("no NATS server answered at nats://127.0.0.1:1"), "{complaint}");
    ensure!(!dir.join("cluster.json").exists(), "nothing is left");

    // A folder that cannot be made: a file is in its place.
    let file = folder.path().join("file");
    std::fs::write(&file, "")?;
    let failed = xtask(&file.join("cluster"), &["cluster-up", "--detach", "--program", PROGRAM])?;
    let complaint = String::from_utf8_lossy(&failed.stderr).into_owned();
    ensure!(!failed.status.success() && complaint.contains("making the folder"), "{complaint}");
    Ok(())
}

#[test]
fn a_cluster_in_memory_comes_up_and_goes_down_the_same_way() -> Result<()> {
    let _alone = alone();
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("cluster");
    let _cleanup = Cleanup(&dir);
    let up = ["cluster-up", "--detach", "--json", "--in-memory", "--load", "4", "--program", PROGRAM];
    // What is exported for other clusters does not contradict the flag.
    let mut command = command(&dir, &up);
    command.env("AETHER_NATS_URL", "nats://127.0.0.1:1").env("AETHER_NATS_SERVER", "/no/such/nats-server");
    let output = command.output().context("starting cargo")?;
    let printed: Value = serde_json::from_str(&succeeded(&up, &output)?)?;
    ensure!(printed["nodes"].as_array().is_some_and(|nodes| nodes.len() == 3), "{printed}");
    status_comes_to(&dir, &[("/whole", true.into()), ("/load/sums_exact", true.into())])?;
    let processes: Vec<_> = ClusterFile::load(&dir)?.processes().into_iter().flatten().collect();
    let ended = down(&dir)?;
    ensure!(ended.killed == 0, "it ends when asked to: {ended:?}");
    ensure!(processes.iter().all(|process| !process.is_alive()), "nothing is left");
    Ok(())
}

#[test]
fn with_json_a_running_cluster_up_prints_one_value_and_nothing_else() -> Result<()> {
    let _alone = alone();
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("cluster");
    let _cleanup = Cleanup(&dir);
    let printed = folder.path().join("printed");
    let mut command = command(&dir, &["cluster-up", "--json", "--in-memory", "--load", "2", "--program", PROGRAM]);
    let mut up = command.stdout(std::fs::File::create(&printed)?).stderr(Stdio::piped()).spawn()?;
    let said = BufReader::new(up.stderr.take().context("a pipe")?);
    // The first line about the cluster's state comes after the JSON.
    let told = said.lines().map_while(Result::ok).find(|line| line.starts_with("leader n"));
    let ended = down(&dir);
    let status = up.wait()?;
    ensure!(told.is_some() && ended?.ended == 1 && status.success(), "{told:?}, {status}");
    let printed = std::fs::read_to_string(&printed)?;
    let value: Value = serde_json::from_str(&printed).with_context(|| format!("one JSON value: {printed}"))?;
    ensure!(value["in_memory"] == true, "{value}");
    Ok(())
}
