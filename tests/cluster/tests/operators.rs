//! What an operator asks of a running cluster, on the command line and over HTTP: what is said, with which exit code, and
//! what the cluster then does.

use std::fmt::Display;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use aether_cluster_tests::{Lone, alone, node_config};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use xtask::clock::{Deadline, wait_for};
use xtask::cluster::ClusterView;
use xtask::nats::{NatsServer, ServerOptions};
use xtask::{http, process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");
const NAMESPACE: &str = "operated";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const LIMIT: Duration = Duration::from_secs(60);
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// Three nodes, one after the other founded and joined, the last without a token.
struct Stage {
    nodes: Vec<(String, Lone, String)>,
    server: NatsServer,
    folder: TempDir,
    profile: &'static str,
}

impl Stage {
    fn set() -> Result<Self> {
        Self::with("fast")
    }

    /// The same with the timers of that profile.
    fn with(profile: &'static str) -> Result<Self> {
        let (server, folder) = (NatsServer::start(ServerOptions::default())?, tempfile::tempdir()?);
        let token = folder.path().join("token");
        std::fs::write(&token, TOKEN)?;
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600))?;
        let mut stage = Self { nodes: Vec::new(), server, folder, profile };
        for id in ["n1", "n2", "n3"] {
            stage.start(id, id != "n3")?;
        }
        stage.until_whole(3)?;
        Ok(stage)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn start(&mut self, id: &str, has_token: bool) -> Result<()> {
        let (pages, token) = (self.path(&format!("{id}.pages")), self.path("token"));
        let token = if has_token { format!("token_file = \"{token}\"\n") } else { String::new() };
        let more = format!("[admin]\nannounce = \"{pages}\"\n{token}");
        let config = node_config(NAMESPACE, id, &self.server.url(), &more);
        let config = config.replace("\"fast\"", &format!("{:?}", self.profile));
        let node = Lone::node(PROGRAM, self.folder.path(), id, &config)?;
        let url = wait_for("its pages", Deadline::after(LIMIT), || {
            let said = std::fs::read_to_string(&pages).unwrap_or_default();
            Ok(said.strip_suffix('\n').map(str::to_owned))
        })?;
        self.nodes.push((id.to_owned(), node, url));
        Ok(())
    }

    fn url(&self, id: &str) -> &str {
        let node = self.nodes.iter().find(|(name, ..)| name == id);
        node.map_or("", |(.., url)| url)
    }

    fn view(&self) -> Result<ClusterView> {
        ClusterView::ask(self.url("n1"))
    }

    fn page(&self, page: &str) -> Result<Value> {
        http::get_json(&format!("{}{page}", self.url("n1")), ASK_LIMIT)
    }

    /// What has been ordered, once the first node knows of that wish: whoever wrote it has a connection of its own.
    fn order(&self, wish: &str) -> Result<Value> {
        wait_for(&format!("the first node to know of {wish}"), Deadline::after(LIMIT), || {
            let order = self.page("/v1/cluster")?["order"].clone();
            Ok((order["wish"] == wish).then_some(order))
        })
    }

    fn until_whole(&self, active: usize) -> Result<ClusterView> {
        wait_for("the nodes to share everything", Deadline::after(LIMIT), || {
            Ok(self.view().ok().filter(|view| view.is_whole(active) && view.is_balanced()))
        })
    }

    /// What the program says to whoever asks something: NATS is where the first node's file says.
    fn asks(&self, arguments: &[&str]) -> Result<String> {
        let config = self.path("n1.toml");
        says(&[arguments, &["--config", &config]].concat())
    }

    /// What the program says of what the first node shows.
    fn shows(&self, arguments: &[&str]) -> Result<String> {
        says(&[arguments, &["--url", self.url("n1")]].concat())
    }

    /// The status and the body of a POST to that node.
    fn post(&self, id: &str, path: &str, token: Option<&str>, body: &str) -> Result<(u16, Value)> {
        let address = self.url(id).trim_start_matches("http://").to_owned();
        let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let length = body.len();
        let mut stream = TcpStream::connect(&address)?;
        stream.set_read_timeout(Some(ASK_LIMIT))?;
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n");
        stream.write_all(format!("{head}{token}\r\n{body}").as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").context("a head and a body")?;
        let status = head.split(' ').nth(1).context("a status")?.parse()?;
        Ok((status, serde_json::from_str(body).with_context(|| format!("JSON: {body}"))?))
    }
}

/// The program with these arguments.
fn run(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(PROGRAM);
    process::without_our_variables(&mut command);
    command.args(arguments).stdin(Stdio::null()).output().context("the program starts")
}

fn says(arguments: &[&str]) -> Result<String> {
    let Output { status, stdout, stderr } = run(arguments)?;
    let (said, complained) = (String::from_utf8(stdout)?, String::from_utf8_lossy(&stderr).into_owned());
    ensure!(status.code() == Some(0), "{arguments:?} ended with {status}: {said}{complained}");
    Ok(said.trim_end().to_owned())
}

/// It ends with that code, and says why on standard error only.
fn fails(code: i32, arguments: &[&str], why: &str) -> Result<()> {
    let Output { status, stdout, stderr } = run(arguments)?;
    let complained = String::from_utf8_lossy(&stderr).into_owned();
    ensure!(status.code() == Some(code), "{arguments:?} ended with {status}: {complained}");
    ensure!(stdout.is_empty() && complained.contains(why), "{arguments:?} says {complained}");
    Ok(())
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| format!("one JSON value: {text}"))
}

/// The names of an object's fields, in order.
fn fields(value: &Value) -> Vec<&str> {
    value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

fn is<T: PartialEq + Display>(what: &str, found: T, expected: T) -> Result<()> {
    ensure!(found == expected, "{what} is {found}, not {expected}");
    Ok(())
}

#[test]
fn on_the_command_line_redistribution_is_shown_paused_cancelled_and_gone_on_with() -> Result<()> {
    let _alone = alone();
    let mut stage = Stage::set()?;
    is("a plan", stage.shows(&["rebalance"])?.as_str(), "nothing to move")?;
    ensure!(stage.shows(&["moves"])?.contains("no plan under way"));

    let said = stage.asks(&["rebalance", "--pause", "--by", "ann", "--why", "the sale"])?;
    ensure!(said.starts_with("pause: the log says so since epoch "), "{said}");
    let order = stage.order("pause")?;
    ensure!(order["by"] == "ann" && order["why"] == "the sale", "{order}");
    stage.start("n4", true)?;
    let with_newcomer = |view: &ClusterView| view.node("n4").is_some_and(|node| node.status == "active");
    wait_for("the newcomer", Deadline::after(LIMIT), || Ok(stage.view().ok().filter(with_newcomer)))?;
    // Longer than anything would wait that is not paused.
    std::thread::sleep(Duration::from_secs(3));
    is("the newcomer's share", stage.view()?.node("n4").map_or(0, |node| node.shards), 0)?;
    let dry = stage.shows(&["rebalance", "--plan"])?;
    ensure!(dry.starts_with("pause by ann (the sale) since epoch ") && dry.contains("-> n4"), "{dry}");
    let dry = json(&stage.shows(&["rebalance", "-o", "json"])?)?;
    ensure!(fields(&dry) == ["epoch", "next", "obstacle", "order", "plan"], "{dry}");
    ensure!(fields(&dry["next"][0]) == ["class", "from", "shards", "to"] && dry["next"][0]["to"] == "n4", "{dry}");
    is("what a dry run moves", stage.view()?.node("n4").map_or(0, |node| node.shards), 0)?;

    let said = json(&stage.asks(&["rebalance", "--cancel", "-o", "json"])?)?;
    ensure!(fields(&said) == ["epoch", "wish"] && said["wish"] == "cancel" && said["epoch"].is_u64(), "{said}");
    let said = json(&stage.asks(&["rebalance", "--resume", "-o", "json"])?)?;
    ensure!(said["wish"] == "resume", "{said}");
    stage.until_whole(4)?;
    is("a plan", stage.shows(&["rebalance"])?.as_str(), "nothing to move")?;
    let moves = json(&stage.shows(&["moves", "-o", "json"])?)?;
    ensure!(fields(&moves) == ["draining", "epoch", "here", "pending", "plan"] && moves["plan"].is_null(), "{moves}");
    let here = &moves["here"][0];
    let named = ["actors", "bytes", "drain_epoch", "from", "phase", "reached", "retries", "role", "shard", "to"];
    ensure!(fields(here) == named && here["role"] == "source" && here["phase"] == "completed", "{here}");
    let one = json(&stage.shows(&["moves", &here["shard"].to_string()])?)?;
    ensure!(fields(&one) == ["epoch", "moves"] && one["moves"][0]["shard"] == here["shard"], "{one}");

    fails(2, &["rebalance", "--pause", "--resume"], "cannot be used with")?;
    fails(2, &["rebalance"], "--url")?;
    fails(2, &["rebalance", "--plan"], "--url")?;
    let nowhere = stage.path("nowhere.toml");
    std::fs::write(&nowhere, node_config(NAMESPACE, "n1", "nats://127.0.0.1:1", ""))?;
    fails(1, &["rebalance", "--pause", "--config", &nowhere], "127.0.0.1:1")?;
    fails(1, &["moves", "--url", "http://127.0.0.1:1"], "127.0.0.1:1")
}

#[test]
fn on_the_command_line_a_node_is_drained_and_a_leader_steps_down() -> Result<()> {
    let _alone = alone();
    let mut stage = Stage::set()?;
    let nodes = json(&stage.shows(&["nodes", "-o", "json"])?)?;
    is("how many nodes are shown", nodes["nodes"].as_array().map_or(0, Vec::len), 3)?;
    ensure!(stage.shows(&["nodes"])?.contains("n3"));
    let before = json(&stage.shows(&["leader", "-o", "json"])?)?;
    ensure!(fields(&before) == ["epoch", "leader", "term"], "{before}");
    let said = stage.asks(&["leader", "step-down", "--by", "ann"])?;
    ensure!(said.ends_with(" leads now"), "{said}");
    let after = wait_for("the new leader to be known", Deadline::after(LIMIT), || {
        let after = json(&stage.shows(&["leader", "-o", "json"])?)?;
        Ok((after["term"].as_u64() > before["term"].as_u64()).then_some(after))
    })?;
    ensure!(after["leader"] != before["leader"], "{before} {after}");
    ensure!(said.starts_with(&format!("{}/", after["leader"].as_str().unwrap_or_default())), "{said}");

    let said = stage.asks(&["nodes", "drain", "n3", "--wait"])?;
    ensure!(said.starts_with("n3/") && said.ends_with(" has left"), "{said}");
    let (_, mut left, _) = stage.nodes.remove(2);
    let ended = left.end(LIMIT)?;
    ensure!(ended.code == Some(0), "{ended:?}");
    stage.until_whole(2)?;
    let config = stage.path("n1.toml");
    fails(1, &["nodes", "drain", "n9", "--config", &config], "n9")?;
    // Whoever asks again, not knowing that it was done, is told so.
    ensure!(stage.asks(&["nodes", "drain", "n3", "--wait"])? == said);
    fails(1, &["nodes", "drain", "no such name", "--config", &config], "")?;
    fails(2, &["nodes"], "--url")?;
    fails(2, &["leader"], "--url")?;

    let said = stage.asks(&["nodes", "drain", "n2"])?;
    ensure!(said.starts_with("n2/") && said.ends_with(" is asked to leave"), "{said}");
    let (_, mut left, _) = stage.nodes.remove(1);
    ensure!(left.end(LIMIT)?.code == Some(0));
    stage.until_whole(1)?;
    fails(1, &["leader", "step-down", "--config", &config], "is there another Active node to lead?")
}

#[test]
fn over_http_only_who_has_the_token_is_obeyed() -> Result<()> {
    let _alone = alone();
    // With shorter timers a machine under load may itself be why there is another entry.
    let mut stage = Stage::with("default")?;
    let before = stage.view()?.epoch;
    for path in ["/v1/rebalance", "/v1/nodes/n3/drain", "/v1/leader/step-down"] {
        for wrong in [None, Some(""), Some("0123456789abcdef0123456789abcdeg")] {
            let (status, said) = stage.post("n1", path, wrong, "{}")?;
            ensure!(status == 401 && fields(&said) == ["cure", "error"], "{path} {wrong:?}: {status} {said}");
        }
        let (status, said) = stage.post("n3", path, Some(TOKEN), "{}")?;
        ensure!(status == 404 && said["error"] == "nothing can be asked here", "{path}: {status} {said}");
    }
    for (path, body, expected) in [
        ("/v1/rebalance", r#"{"wish": "stop"}"#, 400),
        ("/v1/rebalance", r#"{"how": 1}"#, 400),
        ("/v1/nodes/n9/drain", "", 404),
    ] {
        let (status, said) = stage.post("n1", path, Some(TOKEN), body)?;
        ensure!(status == expected && fields(&said) == ["cure", "error"], "{path} {body}: {status} {said}");
    }
    is("the log after all that", stage.view()?.epoch, before)?;

    for wish in ["pause", "cancel", "resume"] {
        let body = format!(r#"{{"wish": "{wish}", "by": "ann", "why": "the sale"}}"#);
        let (status, said) = stage.post("n1", "/v1/rebalance", Some(TOKEN), &body)?;
        ensure!(status == 200 && fields(&said) == ["epoch", "taken_up", "wish"] && said["wish"] == wish, "{said}");
        let order = stage.order(wish)?;
        ensure!(order["by"] == "ann", "{order}");
    }
    let leader = stage.view()?.leader;
    let (status, said) = stage.post("n2", "/v1/leader/step-down", Some(TOKEN), "")?;
    ensure!(status == 200 && said["taken_up"] == true, "{status} {said}");
    ensure!(fields(&said) == ["epoch", "leader", "taken_up", "term"], "{said}");
    ensure!(said["leader"].as_str() != leader.as_deref(), "{leader:?} {said}");
    let (status, said) = stage.post("n1", "/v1/nodes/n3/drain", Some(TOKEN), r#"{"by": "ann"}"#)?;
    ensure!(status == 200 && said["taken_up"] == true && said["node"] == "n3", "{status} {said}");
    ensure!(fields(&said) == ["epoch", "incarnation", "node", "taken_up"], "{said}");
    let (_, mut left, _) = stage.nodes.remove(2);
    ensure!(left.end(LIMIT)?.code == Some(0), "who is drained ends in good order");
    stage.until_whole(2)?;
    let (status, said) = stage.post("n1", "/v1/nodes/n3/drain", Some(TOKEN), "")?;
    ensure!(status == 409, "{status} {said}");
    Ok(())
}
