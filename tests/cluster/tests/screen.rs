//! The live screen on a real terminal, of a real cluster: what it shows when nodes die and NATS goes, what keys do, and
//! that it leaves the terminal as it was.

#[path = "dashboard/served.rs"]
mod served;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aether_cluster_tests::{Cluster, Spec, Terminal, alone};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use served::{SHARDS, Served, Wide};
use xtask::clock::Stopwatch;
use xtask::cluster::{self, NatsChoice};
use xtask::nats::{NatsServer, ServerOptions};
use xtask::out;

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");
const FAULTY: &str = env!("CARGO_BIN_EXE_screen-that-panics");
const OF_CLUSTER: &str = env!("CARGO_BIN_EXE_screen-of-cluster");

/// How long something may take to be shown.
const LIMIT: Duration = Duration::from_secs(45);
/// How long a death may take, from the kill: its supervisor tells of it at once, but the machine may be slow.
const DEATH_MAX: Duration = Duration::from_secs(20);
/// How long a third of 65,536 shards may take to be shown that move at once, by programs that are not optimised.
const WIDE_MAX: Duration = Duration::from_secs(20);
/// How long a key may take at 65,536 shards.
const KEY_MAX: Duration = Duration::from_secs(2);
/// How long a command may take at 65,536 shards, of a program that is not optimised, on a machine that is busy.
const COMMAND_MAX: Duration = Duration::from_secs(20);
/// How long the program may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(20);

/// `aether top` on that cluster, beginning with the pages of those nodes.
fn top(cluster: &Cluster, nodes: &[&str]) -> Result<Command> {
    let (file, mut command) = (cluster.file()?, Command::new(PROGRAM));
    let urls = nodes.iter().map(|id| Ok(file.node(id)?.admin_url.clone())).collect::<Result<Vec<_>>>()?;
    command.args(["top", "--url", &urls.join(","), "--nats-url", &file.nats_urls.join(",")]);
    command.args(["--namespace", &file.namespace, "--by", "ann"]);
    Ok(command)
}

/// The row of that node.
fn row<'a>(shown: &'a str, node: &str) -> Option<&'a str> {
    let is_state = |word: &str| ["active", "leads", "failed", "silent", "paused"].contains(&word);
    shown.lines().find(|line| line.split_whitespace().any(|word| word == node) && line.split_whitespace().any(is_state))
}

/// Whether that is asked, and can be answered.
fn is_asked(shown: &str, what: &str) -> bool {
    shown.contains(what) && shown.contains("y yes    any other key: no")
}

fn spec() -> Spec {
    Spec { load: None, ..Spec::of(PROGRAM) }
}

#[test]
fn a_death_is_shown_and_the_screen_outlives_the_node_that_it_asks() -> Result<()> {
    Cluster::run(&spec(), |cluster| {
        cluster.wait_balanced(3, LIMIT)?;
        let (leader, victim) = (cluster.leader()?, cluster.follower()?);
        let nodes = cluster.file()?.nodes;
        let third = nodes.iter().find(|node| node.id != leader && node.id != victim).context("one is left")?.id.clone();
        // It is told of one node only, and learns of the others.
        let mut screen = Terminal::start(top(cluster, &[&third])?, 120, 40)?;
        screen.until("three nodes", LIMIT, |shown| {
            shown.contains("3 nodes serve all 1,024 shards")
                && shown.contains(&format!("{leader} leads"))
                && shown.contains("lease ")
                && [&leader, &victim, &third].iter().all(|node| row(shown, node).is_some())
        })?;
        ensure!(screen.has_colours());

        let since = Stopwatch::start();
        cluster::kill(cluster.dir(), &victim)?;
        screen.until("the death", LIMIT, |shown| {
            row(shown, &victim).is_some_and(|row| row.contains("failed"))
                && shown.contains("2 nodes serve all 1,024 shards")
                && shown.contains("NodeFailed")
                && shown.contains(&format!("failed: {victim} ("))
        })?;
        let took = since.elapsed();
        out::note(format!("the death is shown {} ms after the kill", took.as_millis()));
        ensure!(took <= DEATH_MAX, "shown {took:?} after the kill");

        // The only node that it was told of goes.
        cluster::kill(cluster.dir(), &third)?;
        screen.until("the last node's view", LIMIT, |shown| {
            shown.contains("1 node serves all 1,024 shards") && shown.contains(&format!("as {leader} sees it"))
        })?;

        screen.resize(80, 24)?;
        screen.until("a smaller screen", LIMIT, |shown| {
            shown.contains("1 node serves") && shown.lines().count() <= 24 && shown.contains("q quit")
        })?;
        screen.resize(30, 8)?;
        screen.until("that it is too small", LIMIT, |shown| shown.contains("too small"))?;
        screen.resize(120, 40)?;
        screen.until("it again", LIMIT, |shown| shown.contains("1 node serves"))?;

        cluster::kill(cluster.dir(), &leader)?;
        screen.until("that nobody answers", LIMIT, |shown| {
            shown.contains("no node answers") && shown.contains(" old: ") && row(shown, &victim).is_some()
        })?;
        screen.press("q")?;
        ensure!(screen.ended(END_MAX)?.success());
        screen.ensure_as_before()
    })
}

#[test]
fn keys_do_what_the_commands_do_after_a_yes_and_any_way_to_end_leaves_the_terminal_as_it_was() -> Result<()> {
    Cluster::run(&spec(), |cluster| {
        cluster.wait_balanced(3, LIMIT)?;
        let (leader, ids) = (cluster.leader()?, ["n1", "n2", "n3"]);
        let mut command = top(cluster, &ids)?;
        command.arg("--no-color");
        let mut screen = Terminal::start(command, 120, 40)?;
        screen.until("three nodes", LIMIT, |shown| shown.contains("3 nodes serve all 1,024 shards"))?;
        ensure!(!screen.has_colours(), "it was told to have none");

        // Text that is pasted by mistake asks a question, and does not answer it.
        screen.press("already")?;
        screen.until("the question", LIMIT, |shown| is_asked(shown, "make the leader step down?"))?;
        screen.press("x")?;
        let shown = screen.until("no question", LIMIT, |shown| !shown.contains("step down?"))?;
        ensure!(!shown.contains("under way ") && shown.contains(&format!("{leader} leads")), "{shown}");

        screen.press("p")?;
        screen.until("the question", LIMIT, |shown| is_asked(shown, "pause redistribution?"))?;
        screen.press("x")?;
        screen.until("no question", LIMIT, |shown| !shown.contains("pause redistribution?"))?;
        screen.press("p")?;
        screen.until("the question", LIMIT, |shown| is_asked(shown, "pause redistribution?"))?;
        screen.press("y")?;
        screen.until("the pause", LIMIT, |shown| shown.contains("redistribution is paused by ann"))?;
        screen.press("p")?;
        screen.until("the question", LIMIT, |shown| is_asked(shown, "resume redistribution?"))?;
        screen.press("y")?;
        screen.until("no pause", LIMIT, |shown| !shown.contains("redistribution is paused"))?;

        screen.press("l")?;
        screen.until("the question", LIMIT, |shown| is_asked(shown, "make the leader step down?"))?;
        screen.press("y")?;
        screen.until("another leader", LIMIT, |shown| {
            ids.iter().any(|id| *id != leader && shown.contains(&format!("{id} leads")))
        })?;

        // The last node is marked and asked to leave; its row says so, and the others have what it had.
        screen.press("\x1b[F")?;
        screen.press("d")?;
        screen.until("the question", LIMIT, |shown| is_asked(shown, "drain n3 of "))?;
        screen.press("y")?;
        screen.until("that it has left", Duration::from_secs(40), |shown| {
            shown.contains("2 nodes serve all 1,024 shards") && shown.contains("NodeLeft")
        })?;

        screen.press("/NodeLeft\r")?;
        screen.until("only those events", LIMIT, |shown| {
            shown.contains("events with \"NodeLeft\"") && !shown.contains("NodeJoined")
        })?;
        screen.press("g417\r")?;
        screen.until("why a shard is where it is", LIMIT, |shown| {
            shown.contains(" shard 417 ") && shown.contains("since entry") && shown.contains("ShardAssigned")
        })?;
        // An interrupt ends it whatever is open, as a key here and as a signal there.
        screen.press("\x03")?;
        ensure!(screen.ended(END_MAX)?.success());
        screen.ensure_as_before()?;
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let mut screen = Terminal::start(top(cluster, &ids)?, 80, 24)?;
            screen.until("two nodes", LIMIT, |shown| shown.contains("2 nodes serve all 1,024 shards"))?;
            kill(Pid::from_raw(screen.pid().try_into()?), signal)?;
            ensure!(screen.ended(END_MAX)?.success(), "{signal}");
            screen.ensure_as_before()?;
        }

        let mut once = top(cluster, &ids)?;
        once.arg("--once").env("COLUMNS", "100").env("LINES", "30");
        let once = once.stdin(Stdio::null()).output()?;
        let text = String::from_utf8(once.stdout)?;
        ensure!(once.status.success() && text.lines().count() == 30 && !text.contains('\x1b'), "{text}");
        ensure!(text.contains("2 nodes serve all 1,024 shards") && text.contains("NodeLeft"), "{text}");
        let refused = top(cluster, &ids)?.stdin(Stdio::null()).output()?;
        ensure!(refused.status.code() == Some(2) && refused.stdout.is_empty());
        ensure!(String::from_utf8(refused.stderr)?.contains("aether top --once"));
        Ok(())
    })
}

#[test]
fn without_nats_the_last_picture_stays_with_its_age_and_with_it_the_screen_goes_on() -> Result<()> {
    let alone = alone();
    let mut server = NatsServer::start(ServerOptions { own_group: true, ..ServerOptions::default() })?;
    let nats = NatsChoice::Running { urls: vec![server.url()], replicas: 1 };
    let cluster = Cluster::up_on(&spec(), alone, nats, BTreeMap::new())?;
    cluster.wait_balanced(3, LIMIT)?;
    let mut screen = Terminal::start(top(&cluster, &["n1"])?, 120, 40)?;
    screen.until("three nodes", LIMIT, |shown| shown.contains("3 nodes serve all 1,024 shards"))?;
    server.kill()?;
    screen.until("that NATS is gone", LIMIT, |shown| {
        shown.contains(" old: ") && shown.contains("has no connection to NATS") && row(shown, "n2").is_some()
    })?;
    server.restart()?;
    screen.until("that it is back", Duration::from_secs(40), |shown| {
        shown.contains("3 nodes serve all 1,024 shards") && shown.contains("sees it") && !shown.contains(" old: ")
    })?;
    screen.press("q")?;
    ensure!(screen.ended(END_MAX)?.success());
    screen.ensure_as_before()
}

#[test]
fn the_screen_of_cluster_up_kills_freezes_and_starts_nodes_by_a_key() -> Result<()> {
    Cluster::run(&Spec::of(PROGRAM), |cluster| {
        cluster.wait_balanced(3, LIMIT)?;
        let mut command = Command::new(OF_CLUSTER);
        command.arg(cluster.dir());
        let mut screen = Terminal::start(command, 120, 40)?;
        screen.until("three nodes and the load", LIMIT, |shown| {
            shown.contains("3 nodes serve all 1,024 shards") && shown.contains("acknowledged, 0 lost")
        })?;
        screen.press("\x1b[Bz")?;
        screen
            .until("that it is frozen", LIMIT, |shown| shown.contains("frozen") && shown.contains("freeze n2: done"))?;
        screen.press("c")?;
        screen.until("that it goes on", LIMIT, |shown| !shown.contains("frozen"))?;
        screen.press("k")?;
        screen.until("that it has ended", LIMIT, |shown| {
            row(shown, "n2").is_some_and(|row| row.contains("failed"))
                && shown.contains("2 nodes serve all 1,024 shards")
        })?;
        screen.press("r")?;
        screen.until("that it is back", Duration::from_secs(40), |shown| {
            row(shown, "n2").is_some_and(|row| row.contains("active"))
                && shown.contains("3 nodes serve all 1,024 shards")
        })?;
        screen.press("q")?;
        ensure!(screen.ended(END_MAX)?.success());
        screen.ensure_as_before()
    })
}

#[test]
fn a_fault_of_the_program_leaves_the_terminal_as_it_was_and_is_told() -> Result<()> {
    let _alone = alone();
    for where_to in ["screen", "feed"] {
        let mut command = Command::new(FAULTY);
        command.arg(where_to);
        let mut screen = Terminal::start(command, 80, 24)?;
        ensure!(!screen.ended(END_MAX)?.success(), "{where_to}");
        screen.ensure_as_before()?;
        screen.until("what was wrong", LIMIT, |shown| shown.contains("this fault is on purpose"))?;
    }
    Ok(())
}

#[test]
fn the_demo_is_shown_live_without_nats_and_its_nodes_end_and_begin_by_a_key() -> Result<()> {
    let _alone = alone();
    let mut command = Command::new(PROGRAM);
    command.args(["demo", "--nodes", "3", "--load", "4"]).env("AETHER_PROFILE", "fast");
    let mut screen = Terminal::start(command, 120, 40)?;
    let all = |nodes: &str| format!("{nodes} all 1,024 shards");
    screen.until("three nodes and the load", LIMIT, |shown| {
        shown.contains(&all("3 nodes serve")) && shown.contains("acknowledged, 0 lost")
    })?;
    screen.press("\x1b[Bk")?;
    screen.until("the others to have it all", LIMIT, |shown| {
        shown.contains(&all("2 nodes serve")) && row(shown, "n2").is_some_and(|row| row.contains("failed"))
    })?;
    screen.press("r")?;
    screen.until("that it is back", LIMIT, |shown| {
        shown.contains(&all("3 nodes serve")) && shown.contains("restart n2: it is ready")
    })?;
    screen.press("a")?;
    screen.until("another", LIMIT, |shown| shown.contains(&all("4 nodes serve")) && row(shown, "n4").is_some())?;
    screen.press("\x1b[Fd")?;
    screen.until("that it has left", LIMIT, |shown| {
        shown.contains("drain n4: it has left") && shown.contains(&all("3 nodes serve"))
    })?;
    screen.press("q")?;
    ensure!(screen.ended(END_MAX)?.success());
    screen.ensure_as_before()
}

#[test]
fn a_screen_waits_for_a_node_that_starts_and_65_536_shards_are_no_burden() -> Result<()> {
    let _alone = alone();
    let wide = Wide::starting()?;
    let mut served = Served::start(Arc::clone(&wide) as _)?;
    let mut command = Command::new(PROGRAM);
    command.args(["top", "--url", &served.url()]);
    let mut screen = Terminal::start(command, 120, 40)?;
    screen.until("that the node is starting", LIMIT, |shown| shown.contains("the node is starting"))?;
    wide.found()?;
    let watch = Stopwatch::start();
    screen.until("all shards", LIMIT, |shown| shown.contains("3 nodes serve all 65,536 shards"))?;
    out::note(format!("{SHARDS} shards are shown {} ms after their cluster", watch.elapsed().as_millis()));

    screen.press("\t")?;
    screen.until("the cursor", LIMIT, |shown| shown.contains("shards 0-31: n1"))?;
    // The quickest of them: what else this machine does meanwhile is not the screen's.
    let mut quickest = LIMIT;
    for (key, shown) in
        [("\x1b[C", "shards 32-63: "), ("\x1b[B", "shards 2080-2111: "), ("\x1b[D", "shards 2048-2079: ")]
    {
        let watch = Stopwatch::start();
        screen.press(key)?;
        screen.until("the next place", LIMIT, |text| text.contains(shown))?;
        quickest = quickest.min(watch.elapsed());
    }
    out::note(format!("a key takes {} ms at {SHARDS} shards", quickest.as_millis()));
    ensure!(quickest <= KEY_MAX, "a key takes {quickest:?}");
    screen.press("g2559\r")?;
    screen.until("that shard", LIMIT, |shown| shown.contains(" shard 2,559 ") && shown.contains("owner       n1"))?;
    screen.press("q")?;

    wide.empty_n1()?;
    let watch = Stopwatch::start();
    screen.until("the moves", LIMIT, |shown| {
        shown.contains("21,848 are on their way") && shown.contains("n1 -> n2: 21,848 leaving")
    })?;
    let took = watch.elapsed();
    out::note(format!("21,848 moves of {SHARDS} shards are shown after {} ms", took.as_millis()));
    ensure!(took <= WIDE_MAX, "shown after {took:?}");

    served.gone();
    screen.until("that nobody answers", LIMIT, |shown| shown.contains(" old: no node answers"))?;
    served.back()?;
    screen.until("it again", LIMIT, |shown| shown.contains("as n1 sees it"))?;
    screen.press("q")?;
    ensure!(screen.ended(END_MAX)?.success());
    screen.ensure_as_before()
}

#[test]
fn commands_answer_of_65_536_shards_as_they_do_of_few() -> Result<()> {
    let _alone = alone();
    let wide = Wide::starting()?;
    let served = Served::start(Arc::clone(&wide) as _)?;
    wide.found()?;
    for (command, said) in [
        ("status", "65536"),
        ("nodes", "n3"),
        ("shards", "n1"),
        ("shards --grid", "32 shards"),
        ("shards show 2559", "n1"),
        ("why shard 2559", "n1"),
        ("moves", ""),
        ("events", "ShardAssigned"),
        ("check", ""),
    ] {
        let watch = Stopwatch::start();
        let output = Command::new(PROGRAM).args(command.split(' ')).args(["--url", &served.url()]).output()?;
        let (took, text) = (watch.elapsed(), String::from_utf8_lossy(&output.stdout).into_owned());
        out::note(format!("{command}: {} ms, {} bytes", took.as_millis(), text.len()));
        ensure!(text.contains(said), "{command}: {text} {}", String::from_utf8_lossy(&output.stderr));
        ensure!(took <= COMMAND_MAX, "{command} took {took:?}");
    }
    Ok(())
}
