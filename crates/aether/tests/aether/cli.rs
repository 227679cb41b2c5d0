//! What operators see with the `aether` program: every command against real nodes, in every form.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use aether::NatsConfig;
use aether_infra_nats::GatewayClient;
use aether_runtime::clock::{BootClock, Clock as _};
use nix::sys::signal::Signal;
use serde_json::Value;
use xtask::clock::{Deadline, wait_for};
use xtask::nats::{NatsServer, ServerOptions};

use crate::program::{LIMIT, Started, config, log, nobody, program, refused, run};

/// What a command may take on a machine that is busy with other tests; docs/CLI.md says what it takes on one that is not.
const ANSWER_MAX: Duration = Duration::from_secs(20);

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let (said, beside) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}{beside}");
    said.trim_end().to_owned()
}

#[track_caller]
fn json(output: &Output, code: i32) -> Value {
    let text = said(output, code);
    serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

/// A cluster in one process.
fn demo(folder: &std::path::Path) -> Started {
    let announce = folder.join("demo.url").display().to_string();
    let demo = Started::new(&["demo", "--nodes", "3", "--announce", &announce], folder, "demo");
    wait_for("shards to be dealt", Deadline::after(LIMIT), || {
        let page = |page: &str| serde_json::from_str::<Value>(&demo.ask(page)?.body).ok();
        let rested = page("/v1/moves").is_some_and(|moves| moves["plan"].is_null());
        let shared =
            page("/v1/shards").is_some_and(|shards| shards["owners"].as_object().map(serde_json::Map::len) == Some(3));
        Ok((rested && shared).then_some(()))
    })
    .expect("they are");
    demo
}

#[test]
fn what_a_node_shows_can_be_seen_in_every_form_and_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = demo(folder.path());
    let mut slowest = (Duration::ZERO, "");
    for command in [
        "status",
        "nodes",
        "leader",
        "shards",
        "shards --grid",
        "shards --node n2",
        "shards --orphaned",
        "shards show 417",
        "where account 7",
        "why shard 417",
        "why actor account 7",
        "moves",
        "feeds",
        "rebalance",
        "placement show",
        "events --since 1h",
        "events --limit 3",
        "check",
        "check leader",
        "check shards",
        "check moves",
        "actor quarantined",
    ] {
        for form in ["table", "wide", "json"] {
            let arguments: Vec<_> = command.split(' ').chain(["--url", &demo.url, "-o", form]).collect();
            let began = BootClock.now();
            let output = run(&arguments);
            let took = BootClock.now().since(began);
            slowest = slowest.max((took, command));
            assert!(took <= ANSWER_MAX, "{command} -o {form} takes {took:?}");
            // On a busy machine a heartbeat may be late for a moment, which is a warning.
            let late = command.starts_with("check") && output.status.code() == Some(4);
            let text = said(&output, if late { 4 } else { 0 });
            assert!(!text.is_empty(), "{command} -o {form}");
            if form == "json" {
                text.lines().for_each(|line| drop(serde_json::from_str::<Value>(line).expect("JSON")));
            } else {
                assert!(!text.contains('\x1b'), "no colours where no terminal is: {text}");
                assert!(
                    form == "wide"
                        || !command.starts_with("shards")
                        || text.lines().all(|line| line.chars().count() <= 200)
                );
            }
        }
    }
    println!("the slowest: {slowest:?}");

    // The same, asked for before the command, and by a variable; the first URL leads nowhere.
    let dead = nobody().replace("nats://", "http://");
    let urls = format!("{dead},{}", demo.url);
    let output = program().args(["-o", "json", "status"]).env("AETHER_ADMIN_URL", &urls).output().expect("it runs");
    assert_eq!(json(&output, 0)["nodes"].as_array().map(Vec::len), Some(3));

    // And without a word, below the folder of a cluster that was started there.
    let place = folder.path().join("target/aether");
    fs::create_dir_all(&place).expect("a folder");
    let file = serde_json::json!({ "nats_urls": [], "namespace": "aether", "nodes": [{ "admin_url": demo.url }] });
    fs::write(place.join("cluster.json"), file.to_string()).expect("written");
    let here = |arguments: &[&str]| program().args(arguments).current_dir(folder.path()).output().expect("it runs");
    assert!(said(&here(&["status"]), 0).starts_with("cluster aether: leader n"));
    refused(&here(&["verify"]), 1, &["in memory", "cluster.json"]);
}

#[test]
fn a_shard_and_an_actor_are_where_their_node_says_and_why_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = demo(folder.path());
    let ask = |command: &str| {
        let arguments: Vec<_> = command.split(' ').chain(["--url", &demo.url]).collect();
        run(&arguments)
    };
    let found = json(&ask("where account 7 -o json"), 0);
    let (shard, owner) = (found["shard"].as_u64().expect("a shard"), found["owner"].as_str().expect("an owner"));
    assert_eq!(found["slot"].as_u64().map(|slot| slot >> 6), Some(shard), "the top ten bits of sixteen");
    assert!(found["admin_url"].as_str().is_some_and(|url| url.starts_with("http://")), "{found}");
    assert!(found["subject"].as_str().is_some_and(|subject| subject.starts_with("aether.aether.ev.")), "{found}");
    let shown = json(&ask(&format!("shards show {shard} -o json")), 0);
    assert_eq!(shown["owner"], owner);
    assert!(shown["history"][0]["events"][0]["shards"].is_string(), "{shown}");

    let why = json(&ask(&format!("why shard {shard} -o json")), 0);
    assert_eq!((&why["owner"], &why["whole"]), (&found["owner"], &Value::Bool(true)));
    let last = why["entries"].as_array().and_then(|entries| entries.last()).expect("entries");
    assert_eq!(last["epoch"], found["shard_epoch"], "the last entry is the one that gave it: {why}");
    let text = said(&ask("why actor account 7"), 0);
    assert!(
        text.starts_with(&format!("account/7 is in shard {shard}; shard {shard} is {owner}'s since epoch")),
        "{text}"
    );
    assert!(text.contains("ShardAssigned") && text.contains(" in term 1)"), "{text}");

    // The grid has a letter for every shard, and as many of each as the owner has shards.
    let grid = said(&ask("shards --grid"), 0);
    let letters: String = grid.lines().skip(1).map(|line| line.split_whitespace().nth(1).expect("letters")).collect();
    assert_eq!(letters.len(), 1024, "{grid}");
    assert!(grid.lines().skip(1).all(|line| line.len() <= 80), "{grid}");
    let view = json(&ask("status -o json"), 0);
    for (node, letter) in view["nodes"].as_array().expect("nodes").iter().zip('a'..) {
        let shown = letters.chars().filter(|shown| shown.to_ascii_lowercase() == letter).count();
        assert_eq!(node["shards"], shown, "{node} {grid}");
    }
    let mine = json(&ask("shards --node n2 -o json"), 0);
    assert_eq!(mine["owners"].as_object().map(serde_json::Map::len), Some(1));

    refused(&ask("shards --node n9"), 1, &["the log has not heard of that node"]);
    refused(&ask("shards show 1024"), 1, &["there is no shard of that number"]);
    refused(&ask("where Account 7"), 1, &["actor kind"]);
    refused(&ask("events --type NodeDied"), 2, &["NodeDied", "NodeFailed"]);
    refused(&ask("events --since yesterday"), 2, &["yesterday", "1h"]);
    refused(&ask("status -o nagios"), 2, &["aether check"]);
    refused(&run(&["shards"]), 2, &["--url", "AETHER_ADMIN_URL"]);
}

/// A command that goes on, and the lines it says.
struct Following {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Following {
    fn start(arguments: &[&str]) -> Self {
        let mut child =
            program().args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let (tell, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, lines }
    }

    /// The entries up to one behind that epoch with an event of that name.
    fn until(&self, name: &str, behind: u64) -> Vec<Value> {
        let mut entries = Vec::new();
        loop {
            let line = self.lines.recv_timeout(LIMIT).unwrap_or_else(|fault| panic!("{fault}: {entries:?}"));
            let entry: Value = serde_json::from_str(&line).expect("JSON");
            let found =
                entry["events"].as_array().is_some_and(|events| events.iter().any(|event| event["name"] == name));
            let found = found && entry["epoch"].as_u64() > Some(behind);
            entries.push(entry);
            if found {
                return entries;
            }
        }
    }
}

#[test]
fn a_death_is_followed_through_a_lost_connection_and_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = NatsServer::start(ServerOptions::default()).expect("a nats-server");
    let [mut first, second] = ["n1", "n2"].map(|id| {
        let file = config(folder.path(), id, &server.url(), "");
        let stderr = fs::File::create(folder.path().join(format!("{id}.log"))).expect("a log");
        // On a busy machine the fast timers find a node silent that lives.
        let mut node = program();
        node.args(["node", "--config", &file]).env("AETHER_PROFILE", "default").stdout(Stdio::null()).stderr(stderr);
        let node = Started::of(node.spawn().expect("it starts"), folder.path(), id);
        node.wait_ready();
        node
    });
    let urls = format!("{},{}", first.url, second.url);
    let check = |arguments: &[&str]| run(&[&["check", "--url", &urls], arguments].concat());
    wait_for("all to be well", Deadline::after(LIMIT), || Ok((check(&[]).status.code() == Some(0)).then_some(())))
        .unwrap_or_else(|fault| panic!("{fault}: {}", String::from_utf8_lossy(&check(&[]).stdout)));
    // On a busy machine a heartbeat may be late for a moment, which is a warning.
    let soon = |arguments: &[&str], code: i32| {
        let ended = || check(arguments).status.code() == Some(code);
        wait_for(&format!("{arguments:?} to end with {code}"), Deadline::after(LIMIT), || Ok(ended().then_some(())))
            .unwrap_or_else(|fault| panic!("{fault}: {}", String::from_utf8_lossy(&check(arguments).stdout)));
    };
    soon(&["-o", "nagios"], 0);
    soon(&["--nodes-warning", "3"], 4);
    soon(&["--nodes-warning", "3", "-o", "nagios"], 1);
    soon(&["--nodes-critical", "3", "-o", "json"], 3);
    soon(&["--nodes-critical", "3", "-o", "nagios"], 2);
    assert!(
        said(&check(&["--nodes-critical", "3", "-o", "nagios"]), 2).starts_with("AETHER CLUSTER CRITICAL - 2 nodes")
    );

    let followed = Following::start(&["events", "--follow", "--since", "0", "-o", "json", "--url", &urls]);
    let before = followed.until("ShardMigrated", 0);
    assert_eq!(before[0]["epoch"], 1);
    let epoch = |node: &Started| json(&run(&["leader", "--url", &node.url, "-o", "json"]), 0)["epoch"].as_u64();
    let lived = epoch(&second).expect("an epoch");
    first.signal(Signal::SIGKILL);
    assert_eq!(first.exit_code(), None);
    let after = followed.until("NodeFailed", lived);
    let epochs: Vec<_> = before.iter().chain(&after).map(|entry| entry["epoch"].as_u64().expect("an epoch")).collect();
    assert_eq!(epochs, (1..=epochs.len() as u64).collect::<Vec<_>>(), "each once, none missed");

    soon(&[], 4);
    let failed = json(&check(&["-o", "json"]), 4);
    assert_eq!(failed["figures"]["nodes_failed"], 1, "{failed}");
    assert_eq!(failed["asked"], second.url.as_str(), "the first node is passed over");
    let metrics = said(&check(&["-o", "prometheus"]), 4);
    assert!(metrics.contains("aether_check_verdict{check=\"cluster\",namespace=\"program\"} 1"), "{metrics}");
    soon(&["shards"], 0);

    let ask = |arguments: &[&str]| run(&[arguments, &["--url", &second.url]].concat());
    let died = said(&ask(&["events", "--type", "nodefailed,NodeLeft"]), 0);
    assert!(died.lines().all(|line| line.contains("NodeFailed             n")), "{died}");
    assert!(died.lines().last().is_some_and(|line| line.contains("NodeFailed             n1")), "{died}");
    let why = said(&ask(&["why", "shard", "0"]), 0);
    assert!(why.starts_with("shard 0 is n2's"), "{why}");
    // A span before now ends where the log begins.
    let all = said(&ask(&["events", "--since", "1h", "-o", "json"]), 0);
    let latest: Value = serde_json::from_str(all.lines().last().expect("there are some")).expect("JSON");
    assert_eq!(latest["epoch"].as_u64(), Some(all.lines().count() as u64), "one of each epoch");
    let last = epoch(&second).expect("an epoch").to_string();
    let behind = said(&ask(&["events", "--since", &last, "-o", "json"]), 0);
    assert!(!behind.contains(&format!("\"epoch\":{last},")), "{behind}");
}

#[test]
fn nobody_to_ask_is_unknown_to_monitoring() {
    let url = nobody().replace("nats://", "http://");
    let check = |form: &str| run(&["check", "--url", &url, "-o", form]);
    refused(&check("table"), 1, &[&url, "is the node running"]);
    assert_eq!(json(&check("json"), 1)["verdict"], "unknown");
    assert!(said(&check("nagios"), 3).starts_with("AETHER CLUSTER UNKNOWN - no answer from http://"));
    assert!(said(&check("prometheus"), 1).ends_with("aether_check_answered{check=\"cluster\"} 0"));
}

#[test]
fn a_shell_is_told_what_there_is() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(said(&run(&["completions", shell]), 0).contains("dead-letters"), "{shell}");
    }
    assert_eq!(run(&["completions", "cmd"]).status.code(), Some(2));
}

#[test]
fn a_context_of_the_nats_program_says_where_nats_is_and_who_asks() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = NatsServer::start(ServerOptions::default()).expect("a nats-server");
    let contexts = folder.path().join("nats/context");
    fs::create_dir_all(&contexts).expect("a folder");
    let context = |name: &str, more: &str| {
        let text = format!("{{\"url\": {:?}, \"description\": \"a test's\"{more}}}", server.url());
        fs::write(contexts.join(format!("{name}.json")), text).expect("written");
    };
    context("local", "");
    context("odd", ", \"jetstream_domain\": \"hub\"");
    fs::write(folder.path().join("nats/context.txt"), "local").expect("written");
    let run =
        |arguments: &[&str]| program().args(arguments).env("XDG_CONFIG_HOME", folder.path()).output().expect("it runs");
    // The file leads nowhere; the context is believed.
    let file = config(folder.path(), "n1", &nobody(), "");
    let stderr = fs::File::create(folder.path().join("n1.log")).expect("a log");
    let node = program()
        .args(["node", "--config", &file, "--context", "local"])
        .env("XDG_CONFIG_HOME", folder.path())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .expect("it starts");
    let node = Started::of(node, folder.path(), "n1");
    node.wait_ready();
    for asked in [&["--context", "local"][..], &["--context", "-"], &["--nats-url", &server.url()]] {
        let arguments = [&["verify", "-o", "json", "--namespace", "program"], asked].concat();
        let output = run(&arguments);
        let text = said(&output, 0);
        assert!(text.contains("\"findings\":0"), "{asked:?}: {text} {}", log(folder.path(), "n1"));
    }
    // What an account was asked is read from the store, and its state at each version.
    let asks = async {
        let namespace = aether_domain::Namespace::new("program").expect("a name");
        let client = GatewayClient::connect(&NatsConfig::new([server.url()]), &namespace).await.expect("connected");
        for (command, payload) in [
            ("open", serde_json::json!({ "operation": 1 })),
            ("deposit", serde_json::json!({ "operation": 2, "amount": 50 })),
        ] {
            client.ask_json("account", "7", command, &payload, None, LIMIT).await.expect("answered");
        }
        client.close().await;
    };
    tokio::runtime::Runtime::new().expect("threads").block_on(asks);
    let context = ["--context", "local", "--namespace", "program"];
    let ask = |arguments: &[&str]| run(&[&["actor", "history", "account", "7"], arguments, &context].concat());
    let first = said(&ask(&["-o", "json"]), 0);
    let first: Value = serde_json::from_str(first.lines().next().expect("a commit")).expect("JSON");
    assert_eq!(first["events"][0]["version"], 1, "{first}");
    assert_eq!(first["events"][0]["event"]["Opened"]["operation"], 1, "{first}");
    let lines = said(&ask(&[]), 0);
    assert!(lines.contains("(command ") && lines.contains("shard epoch "), "{lines}");
    for (at, open, balance) in [("0", false, 0), ("1", true, 0), ("2", true, 50)] {
        let state = json(&ask(&["--at", at, "-o", "json"]), 0)["state"].clone();
        assert_eq!((&state["open"], &state["balance"]), (&open.into(), &balance.into()), "{at}: {state}");
    }
    refused(&ask(&["--at", "3"]), 1, &["account/7 is at version 2, not yet at 3"]);
    let nobody = run(&[&["actor", "history", "account", "no-such"][..], &context].concat());
    refused(&nobody, 1, &["account/no-such has no history in namespace program"]);

    refused(&run(&["verify", "--context", "prod"]), 1, &["prod", "nats context ls"]);
    refused(&run(&["verify", "--context", "odd"]), 1, &["odd", "jetstream_domain"]);
}
