//! The `aether` program as a process: what it refuses, what it says then, and with which code it ends.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use xtask::clock::{Deadline, wait_for};
use xtask::http;
use xtask::nats::{NatsServer, ServerOptions};

pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aether"));
    // What this machine's environment says must not decide a test.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AETHER_")) {
        command.env_remove(name);
    }
    command
}

/// Runs to the end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("the program can be started")
}

#[track_caller]
pub(crate) fn refused(output: &Output, code: i32, parts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    let paragraph = said.lines().filter(|line| line.starts_with("aether: ")).collect::<Vec<_>>();
    assert_eq!(paragraph.len(), 1, "not one paragraph: {said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is missing: {said}");
    }
}

pub(crate) fn config(folder: &Path, id: &str, url: &str, more: &str) -> String {
    let file = folder.join(format!("{id}.toml"));
    let announce = folder.join(format!("{id}.url")).display().to_string();
    let text = format!(
        "namespace = \"program\"\nprofile = \"fast\"\n[node]\nid = \"{id}\"\n[nats]\nurls = [\"{url}\"]\n[admin]\n\
         announce = {announce:?}\n{more}"
    );
    fs::write(&file, text).expect("written");
    file.display().to_string()
}

/// A port where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("nats://{}", listener.local_addr().expect("bound"))
}

#[test]
fn a_wrong_command_line_is_usage() {
    for arguments in [
        &["nodes"][..],
        &["leader"],
        &["rebalance"],
        &["rebalance", "--pause", "--resume"],
        &["node"],
        &["node", "--conf", "x"],
        &["demo", "--nodes", "0"],
        &[],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    // As many as cluster-up allows, and a number that no multiplication may overflow.
    for (flag, number) in [("--nodes", "65"), ("--load", "0"), ("--load", "1025"), ("--load", "18446744073709551615")] {
        let output = run(&["demo", flag, number]);
        assert_eq!(output.status.code(), Some(2), "{flag} {number}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("invalid value"), "{output:?}");
    }
    assert_eq!(run(&["--help"]).status.code(), Some(0));
    assert_eq!(run(&["--version"]).status.code(), Some(0));
}

#[test]
fn a_configuration_that_cannot_be_used_is_one_paragraph_and_code_1() {
    let folder = tempfile::tempdir().expect("a folder");
    refused(&run(&["node", "--config", "/no/such/node.toml"]), 1, &["/no/such/node.toml", "cannot be read"]);
    let file = config(folder.path(), "n1", "nats://127.0.0.1:1", "listn = \"x\"\n");
    refused(&run(&["node", "--config", &file]), 1, &["admin.listn", "n1.toml", "listen, announce"]);
    refused(&run(&["load", "--config", &file]), 1, &["admin.listn"]);
}

#[test]
fn a_taken_port_and_an_unwritable_folder_are_code_1() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = listener.local_addr().expect("bound").to_string();
    let file = config(folder.path(), "n1", &nobody(), &format!("listen = \"{taken}\"\n"));
    refused(&run(&["node", "--config", &file]), 1, &[&taken, "admin.listen"]);

    let file = config(&folder.path().join(".").canonicalize().expect("there"), "n2", &nobody(), "");
    let output =
        program().args(["node", "--config", &file]).env("AETHER_ADMIN__ANNOUNCE", "/no/such/folder/url").output();
    refused(&output.expect("started"), 1, &["/no/such/folder/url", "admin.announce"]);
}

#[test]
fn without_nats_it_says_where_it_looked() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = nobody();
    // Each looks for some seconds.
    std::thread::scope(|scope| {
        for command in ["node", "load"] {
            let file = config(folder.path(), command, &url, "");
            let url = url.as_str();
            scope.spawn(move || {
                refused(&run(&[command, "--config", &file]), 1, &[url, "check that nats-server runs there"]);
            });
        }
    });
}

#[test]
fn a_status_of_nobody_is_code_1() {
    let url = nobody().replace("nats://", "http://");
    refused(&run(&["status", "--url", &url]), 1, &[&url, "is the node running"]);
}

/// What a started process has logged.
pub(crate) fn log(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default()
}

/// A started process that does not outlive the test.
pub(crate) struct Started {
    child: Child,
    pub(crate) url: String,
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended already, which is what most tests are about.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Started {
    pub(crate) fn new(arguments: &[&str], folder: &Path, name: &str) -> Self {
        let stderr = fs::File::create(folder.join(format!("{name}.log"))).expect("a log");
        let started = program().args(arguments).stdout(Stdio::null()).stderr(stderr).spawn().expect("started");
        Self::of(started, folder, name)
    }
    /// A process that was started, once it has said where its pages are.
    pub(crate) fn of(child: Child, folder: &Path, name: &str) -> Self {
        let mut started = Self { child, url: String::new() };
        let announced = wait_for("the admin URL", Deadline::after(LIMIT), || {
            Ok(fs::read_to_string(folder.join(format!("{name}.url"))).ok().filter(|text| text.ends_with('\n')))
        });
        let announced = announced.unwrap_or_else(|fault| panic!("{fault}: {}", log(folder, name)));
        announced.lines().next().expect("a line").clone_into(&mut started.url);
        started
    }
    pub(crate) fn ask(&self, page: &str) -> Option<http::Reply> {
        http::get(&format!("{}{page}", self.url), Duration::from_secs(60)).ok()
    }
    pub(crate) fn wait_ready(&self) {
        wait_for("the node to be ready", Deadline::after(LIMIT), || {
            Ok(self.ask("/readyz").filter(|reply| reply.status == 200).map(drop))
        })
        .expect("it becomes ready");
    }
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")), signal).expect("it runs");
    }
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let child = &mut self.child;
        wait_for("the process to end", Deadline::after(LIMIT), || Ok(child.try_wait()?)).expect("it ends").code()
    }
}

#[test]
fn a_node_lives_from_its_first_page_to_a_polite_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = NatsServer::start(ServerOptions::default()).expect("a nats-server");
    let file = config(folder.path(), "n1", &server.url(), "");
    let mut first = Started::new(&["node", "--config", &file], folder.path(), "n1");
    assert_eq!(first.ask("/livez").map(|reply| reply.status), Some(200), "alive before it is ready");
    first.wait_ready();

    let shown = run(&["status", "--url", &first.url]);
    let table = String::from_utf8_lossy(&shown.stdout);
    assert!(table.contains("leader n1") && table.contains("1024 of 1024 owned"), "{table}");
    let json = run(&["status", "--url", &first.url, "-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["nodes"][0]["admin_url"], first.url.as_str());

    let metrics = first.ask("/metrics").expect("metrics").body;
    assert!(metrics.contains("aether_nats_connected 1"), "{metrics}");

    // A second process under the same id is refused, and the first never notices.
    let output =
        program().args(["node", "--config", &file]).env("AETHER_ADMIN__ANNOUNCE", folder.path().join("x")).output();
    refused(&output.expect("started"), 78, &["node id n1", "node.id"]);
    first.wait_ready();

    // The load asks through the gateway and finds every sum right.
    let file = config(folder.path(), "load", &server.url(), "[load]\nworkers = 4\naccounts = 16\n");
    let mut load = Started::new(&["load", "--config", &file], folder.path(), "load");
    let view = || -> serde_json::Value {
        serde_json::from_str(&load.ask("/v1/load").expect("the load answers").body).expect("JSON")
    };
    wait_for("the load to work", Deadline::after(LIMIT), || {
        Ok((view()["acknowledged"].as_u64() > Some(200)).then_some(()))
    })
    .unwrap_or_else(|fault| panic!("{fault}: {} {}", view(), log(folder.path(), "load")));
    let audit: serde_json::Value =
        serde_json::from_str(&load.ask("/v1/load?verify=1").expect("an audit").body).expect("JSON");
    for (key, expected) in [("lost", 0), ("applied_twice", 0), ("wrong_answers", 0), ("in_flight", 0)] {
        assert_eq!(audit[key], expected, "{audit}");
    }
    assert!(audit["sums_exact"] == true && audit["verified"] == true, "{audit}");
    load.signal(Signal::SIGTERM);
    assert_eq!(load.exit_code(), Some(0));

    first.signal(Signal::SIGTERM);
    assert_eq!(first.exit_code(), Some(0), "{}", log(folder.path(), "n1"));
}

#[test]
fn what_an_operator_asks_for_is_where_it_is_asked_for_or_the_page_says_why_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = NatsServer::start(ServerOptions::default()).expect("a nats-server");
    let nodes = ["n1", "n2"].map(|id| {
        let file = config(folder.path(), id, &server.url(), "");
        let node = Started::new(&["node", "--config", &file], folder.path(), id);
        node.wait_ready();
        (node, file)
    });
    let (first, file) = &nodes[0];
    let page = |page: &str| -> serde_json::Value {
        serde_json::from_str(&first.ask(page).expect("it answers").body).expect("JSON")
    };
    let soon = |what: &str, done: &dyn Fn() -> bool| {
        wait_for(what, Deadline::after(LIMIT), || Ok(done().then_some(()))).unwrap_or_else(|fault| {
            panic!("{fault}: {} {}", page("/v1/placement"), log(folder.path(), "n1"));
        });
    };
    let done = |arguments: &[&str]| {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let rested = || page("/v1/moves")["plan"].is_null() && page("/v1/shards")["orphaned"] == "";
    soon("two halves", &|| rested() && page("/v1/nodes/n2")["shards"] == 512);
    let owner = page("/v1/shards/7")["owner"].as_str().expect("an owner").to_owned();
    let other = if owner == "n1" { "n2" } else { "n1" };

    done(&["placement", "pin", "7", other, "--config", file]);
    soon("the shard elsewhere", &|| page("/v1/shards/7")["owner"] == other && rested());
    let shown = done(&["placement", "show", "--url", &first.url]);
    assert!(shown.contains("[pins]") && shown.contains(&format!("{other} = \"7\"")), "{shown}");

    // What show says can be applied again, and a change of it too.
    let policy = folder.path().join("policy.toml");
    fs::write(&policy, shown.replace("[pins]", "[pins]\nn9 = \"9\"")).expect("written");
    done(&["placement", "apply", &policy.display().to_string(), "--config", file]);
    soon("a pin that nobody can obey", &|| page("/v1/placement")["unmet"] == "9");
    let reasons = page("/v1/health").to_string();
    assert!(reasons.contains("1 shards cannot be where the placement policy wants them"), "{reasons}");

    done(&["placement", "unpin", "9", "--config", file]);
    done(&["placement", "pin", "1024", "n1", "--config", file]);
    soon("a refusal", &|| page("/v1/placement")["not_adopted"].as_str().is_some_and(|why| why.contains("1024")));
    let shown = done(&["placement", "show", "--url", &first.url]);
    assert!(shown.contains("# another one is wanted and not adopted: shard 1024"), "{shown}");
    assert!(page("/v1/health").to_string().contains("shard 1024"), "{}", page("/v1/health"));

    fs::write(&policy, "zonse = \"equal\"").expect("written");
    let refusal = run(&["placement", "apply", &policy.display().to_string(), "--config", file]);
    refused(&refusal, 1, &["policy.toml", "zonse"]);
}

#[test]
fn a_second_signal_ends_what_the_first_cannot() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = NatsServer::start(ServerOptions::default()).expect("a nats-server");
    let file = config(folder.path(), "n1", &server.url(), "");
    let mut node = Started::new(&["node", "--config", &file], folder.path(), "n1");
    node.wait_ready();
    server.stop().expect("it stops answering");
    node.signal(Signal::SIGTERM);
    wait_for("the first signal to be heard", Deadline::after(LIMIT), || {
        Ok(log(folder.path(), "n1").contains("asked to end").then_some(()))
    })
    .expect("it says so");
    assert_eq!(node.child.try_wait().expect("our child"), None, "it cannot hand over, so it still tries");
    node.signal(Signal::SIGTERM);
    assert_eq!(node.exit_code(), Some(1));
}

#[test]
fn a_demo_shows_its_nodes_and_checks_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let announce = folder.path().join("demo.url").display().to_string();
    let arguments = ["demo", "--nodes", "3", "--load", "4", "--announce", &announce];
    let mut demo = Started::new(&arguments, folder.path(), "demo");
    assert_eq!(fs::read_to_string(&announce).expect("announced").lines().count(), 3);
    wait_for("work", Deadline::after(LIMIT), || {
        let view: serde_json::Value = serde_json::from_str(&demo.ask("/v1/load").expect("it answers").body)?;
        Ok((view["acknowledged"].as_u64() > Some(100)).then_some(()))
    })
    .expect("the load works");
    let audit: serde_json::Value =
        serde_json::from_str(&demo.ask("/v1/load?verify=1").expect("an audit").body).expect("JSON");
    assert!(audit["sums_exact"] == true && audit["verified"] == true && audit["lost"] == 0, "{audit}");
    demo.signal(Signal::SIGINT);
    assert_eq!(demo.exit_code(), Some(0));
}
