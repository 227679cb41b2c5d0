//! `aether supervise` as a process: what it passes on, what it starts again, and what the cluster hears of a death.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use xtask::clock::{Deadline, Stopwatch, wait_for};
use xtask::http;
use xtask::nats::{NatsServer, ServerOptions};
use xtask::process::Identity;

const LIMIT: Duration = Duration::from_secs(60);

/// A supervisor that does not outlive the test. What it and its child say is in one file.
struct Supervised {
    child: Child,
    said: std::path::PathBuf,
    pid: std::path::PathBuf,
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // Both may have ended already, which is what the tests are about.
        if let Some(node) = self.node_pid().and_then(Identity::of) {
            let _ = node.kill();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Supervised {
    fn new(folder: &Path, name: &str, url: &str, arguments: &[&str]) -> Self {
        let (said, pid) = (folder.join(format!("{name}.log")), folder.join(format!("{name}.pid")));
        let out = fs::File::create(&said).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_aether"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AETHER_")) {
            command.env_remove(name);
        }
        command.env("AETHER_NATS__URLS", url).env("AETHER_NAMESPACE", "supervised").arg("supervise");
        command.arg("--pid-file").arg(&pid).args(arguments);
        let child = command.stdout(out.try_clone().expect("a log")).stderr(out).spawn().expect("it starts");
        Self { child, said, pid }
    }
    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }
    fn node_pid(&self) -> Option<u32> {
        fs::read_to_string(&self.pid).ok().and_then(|text| text.trim().parse().ok())
    }
    /// Waits until it or its child has said that so often.
    fn says(&self, words: &str, times: usize) {
        wait_for(&format!("it to say `{words}`"), Deadline::after(LIMIT), || {
            Ok((self.said().matches(words).count() >= times).then_some(()))
        })
        .unwrap_or_else(|fault| panic!("{fault}: {}", self.said()));
    }
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")), signal).expect("it runs");
    }
    fn end(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the supervisor to end", Deadline::after(LIMIT), || Ok(child.try_wait()?)).expect("it ends")
    }
}

/// What a shell does that waits for something to happen to it.
const WAITS: &str = "echo waiting; while :; do sleep 0.05; done";

#[test]
fn a_supervisor_ends_as_its_child_does_and_starts_again_what_may_do_better() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = NatsServer::start(ServerOptions::default()).expect("a nats-server");
    let third =
        format!("echo run >> {0}; test $(wc -l < {0}) -lt 3 && exit 9; exit 0", folder.path().join("runs").display());
    let killed = "kill -KILL $$";
    let cases = [
        ("never", "exit 7", 7, 1),
        ("never", killed, 137, 1),
        ("on-failure", "exit 0", 0, 1),
        ("on-failure", "exit 78", 78, 1),
        ("on-failure", third.as_str(), 0, 3),
    ];
    let mut names = 0;
    let started = cases.map(|case| {
        names += 1;
        let name = format!("case-{names}");
        let arguments = ["--restart", case.0, "--", "sh", "-c", case.1];
        (case, Supervised::new(folder.path(), &name, &server.url(), &arguments))
    });
    for ((policy, script, code, starts), mut supervised) in started {
        assert_eq!(supervised.end().code(), Some(code), "{policy} {script}: {}", supervised.said());
        let said = supervised.said();
        assert_eq!(said.matches("the process runs").count(), starts, "{policy} {script}: {said}");
        assert!(said.contains("nobody needs to know"), "no such process was a member: {said}");
    }
}

#[test]
fn signals_reach_the_child_and_what_was_asked_to_end_is_not_started_again() {
    let folder = tempfile::tempdir().expect("a folder");
    // Nobody listens there: the child is started all the same, and does not wait for a certificate when it was asked.
    let nobody = "nats://127.0.0.1:1";
    for (signal, trap, code) in [
        (Signal::SIGTERM, "trap 'echo asked; exit 3' TERM;", 3),
        (Signal::SIGINT, "trap 'echo asked; exit 4' INT;", 4),
        (Signal::SIGHUP, "", 129),
    ] {
        let script = format!("{trap} {WAITS}");
        let name = signal.as_str();
        let mut supervised =
            Supervised::new(folder.path(), name, nobody, &["--restart", "always", "--", "bash", "-c", &script]);
        supervised.says("waiting", 1);
        supervised.signal(signal);
        let watch = Stopwatch::start();
        assert_eq!(supervised.end().code(), Some(code), "{}", supervised.said());
        assert!(watch.elapsed() < Duration::from_secs(10), "{:?}", watch.elapsed());
        assert_eq!(supervised.said().matches("the process runs").count(), 1, "{}", supervised.said());
    }
    // A program that goes on after its terminal is gone is left to it.
    let script = format!("trap 'echo reloaded' HUP; {WAITS}");
    let mut supervised =
        Supervised::new(folder.path(), "reload", nobody, &["--restart", "never", "--", "bash", "-c", &script]);
    supervised.says("waiting", 1);
    supervised.signal(Signal::SIGHUP);
    supervised.says("reloaded", 1);
    supervised.signal(Signal::SIGTERM);
    assert_eq!(supervised.end().code(), Some(143), "{}", supervised.said());
}

#[test]
fn a_killed_node_is_certified_and_started_again_and_leaves_when_its_supervisor_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = NatsServer::start(ServerOptions::default()).expect("a nats-server");
    let announce = folder.path().join("n1.url");
    let config = folder.path().join("n1.toml");
    let text =
        format!("profile = \"fast\"\n[node]\nid = \"n1\"\n[admin]\nannounce = {:?}\n", announce.display().to_string());
    fs::write(&config, text).expect("written");
    let config = config.display().to_string();
    let supervised = Supervised::new(folder.path(), "n1", &server.url(), &["--config", &config]);
    let ready = |other_than: Option<u32>| {
        wait_for("the node to be ready", Deadline::after(LIMIT), || {
            let pid = supervised.node_pid().filter(|pid| Some(*pid) != other_than);
            let url = fs::read_to_string(&announce).unwrap_or_default();
            let reply = http::get(&format!("{}/readyz", url.trim()), Duration::from_secs(5)).ok();
            Ok(pid.filter(|_| reply.is_some_and(|reply| reply.status == 200)))
        })
        .unwrap_or_else(|fault| panic!("{fault}: {}", supervised.said()))
    };
    let first = ready(None);
    Identity::of(first).expect("it runs").kill().expect("it goes");
    supervised.says("the cluster knows that it is dead", 1);
    let second = ready(Some(first));
    let node = Identity::of(second).expect("it runs");
    supervised.signal(Signal::SIGKILL);
    node.wait_gone(LIMIT).expect("it makes room for another");
    assert!(supervised.said().contains("node n1 has left the cluster"), "{}", supervised.said());
}

#[test]
fn a_supervisor_without_anything_to_run_is_usage() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut supervised = Supervised::new(folder.path(), "none", "nats://127.0.0.1:1", &[]);
    assert_eq!(supervised.end().code(), Some(2), "{}", supervised.said());
}
