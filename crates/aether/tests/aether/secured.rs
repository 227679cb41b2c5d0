//! A cluster as it is run where others are: encrypted, each process with the rights of its role and no more, and with secrets
//! that are looked for afterwards in everything that anybody can read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output};
use std::time::Duration;

use aether::client::Client;
use aether::demo::bank::{Account, Balance, Deposit, Open};
use aether::prelude::*;
use aether::{Credentials, Tls};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use xtask::clock::{Deadline, wait_for};
use xtask::http;
use xtask::nats::{NatsServer, ServerOptions};

use crate::program::program;

const LIMIT: Duration = Duration::from_secs(60);

/// A secret that nobody writes by chance, and so one that can be looked for.
fn canary(of: &str) -> String {
    format!("canary-{of}-3f1c9a7e5b2d8460a1c3e5f7")
}

/// What an actor is told and nobody else is to hear, as a number because accounts know no other.
const AMOUNT: u64 = 731_604_825;

/// A server with roles, the files to reach it, and everything that was said so far.
struct Scene {
    folder: tempfile::TempDir,
    server: NatsServer,
    said: Vec<String>,
}

/// A process under `aether supervise` that does not outlive the test. What it and its node say is in one file.
struct Supervised {
    child: Child,
    log: PathBuf,
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // The node leaves by itself once its supervisor is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
            path.display().to_string()
        };
        let certificate = write("server.pem", &made.cert.pem());
        let key = write("server.key", &made.signing_key.serialize_pem());
        write("token", &canary("token"));
        let user = |role: &str| {
            let printed = program().args(["acl", "--ns", "bank", "--role", role]).output().expect("it runs");
            assert!(printed.status.success(), "{printed:?}");
            format!("{{ user: {role}, password: {}\n{} }}\n", canary(role), String::from_utf8_lossy(&printed.stdout))
        };
        let extra = format!(
            "tls {{ cert_file: {certificate:?}, key_file: {key:?} }}\nauthorization {{ users: [\n{}{}{}] }}\n",
            user("node"),
            user("client"),
            user("operator"),
        );
        let server = NatsServer::start(ServerOptions { extra, ..ServerOptions::default() }).expect("a server");
        Self { folder, server, said: Vec::new() }
    }
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
    fn url(&self) -> String {
        self.server.url().replace("127.0.0.1", "localhost")
    }
    /// A file of settings for that role.
    fn settings(&self, name: &str, role: &str, password: &str) -> String {
        let text = format!(
            "namespace = \"bank\"\nprofile = \"fast\"\n[node]\nid = \"{name}\"\n[nats]\nurls = [\"{}\"]\nuser = \"{role}\"\n\
             password = \"{password}\"\ntls_ca = {:?}\n[admin]\nannounce = {:?}\ntoken_file = {:?}\n[log]\nlevel = \"trace\"\n",
            self.url(),
            self.path("server.pem"),
            self.path(&format!("{name}.url")),
            self.path("token"),
        );
        fs::write(self.path(&format!("{name}.toml")), text).expect("written");
        self.path(&format!("{name}.toml"))
    }
    /// Runs the program to its end; what it said is kept.
    fn run(&mut self, arguments: &[&str]) -> Output {
        let output = program().args(arguments).output().expect("it runs");
        self.said.extend([&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned()));
        output
    }
    #[track_caller]
    fn done(&mut self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    fn start(&self, name: &str) -> Supervised {
        let settings = self.settings(name, "node", &canary("node"));
        let log = self.folder.path().join(format!("{name}.log"));
        let out = fs::File::create(&log).expect("a log");
        let mut command = program();
        command.args(["supervise", "--config", &settings]);
        let child = command.stdout(out.try_clone().expect("a log")).stderr(out).spawn().expect("it starts");
        Supervised { child, log }
    }
    fn admin(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.url"))).unwrap_or_default().trim().to_owned()
    }
    fn wait_ready(&self, name: &str, node: &Supervised) {
        wait_for("the node to be ready", Deadline::after(LIMIT), || {
            let reply = http::get(&format!("{}/readyz", self.admin(name)), Duration::from_secs(5)).ok();
            Ok(reply.filter(|reply| reply.status == 200))
        })
        .unwrap_or_else(|fault| panic!("{fault}: {}", last_words(&node.log)));
    }
    async fn client(&self) -> Client {
        let password = canary("client");
        let config = NatsConfig {
            credentials: Credentials::Password { user: "client".to_owned(), password },
            tls: Tls { authorities: Some(self.path("server.pem").into()), ..Tls::default() },
            inbox_prefix: Some("_INBOX_CLIENT_bank".to_owned()),
            ..NatsConfig::new([self.url()])
        };
        Client::connect(&config, "bank").await.expect("a client may connect")
    }
}

fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().filter(|line| !line.contains("TRACE")).collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Whether a line has that secret, not as a part of a longer word: among millions of digits the amount is somewhere.
fn tells(line: &str, secret: &str) -> bool {
    let bounded = |text: &str, edge: fn(&str) -> Option<char>| edge(text).is_none_or(|c| !c.is_ascii_alphanumeric());
    line.match_indices(secret).any(|(at, _)| {
        let (before, behind) = (&line[..at], &line[at + secret.len()..]);
        bounded(before, |text| text.chars().next_back()) && bounded(behind, |text| text.chars().next())
    })
}

/// Every page that there is, and what is said to whoever asks for too much or in a wrong way.
const PAGES: [&str; 22] = [
    "/",
    "/livez",
    "/readyz?verbose",
    "/metrics",
    "/v1/cluster",
    "/v1/nodes",
    "/v1/nodes/n2",
    "/v1/nodes/nobody",
    "/v1/shards",
    "/v1/shards?full=1",
    "/v1/shards/7",
    "/v1/shards/7/why",
    "/v1/shards/x",
    "/v1/health",
    "/v1/events?since=0&limit=256",
    "/v1/moves",
    "/v1/moves/7",
    "/v1/placement",
    "/v1/rebalance",
    "/v1/feeds",
    "/v1/quarantined",
    "/v1/dead-letters",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_processes_have_only_their_roles_rights_works_and_tells_no_secret() {
    let mut scene = Scene::new();
    // Nodes make no stream where they may not, and say who does.
    let node = scene.settings("early", "node", &canary("node"));
    let early = scene.run(&["node", "--config", &node]);
    assert_eq!(early.status.code(), Some(1));
    let operator = scene.settings("operator", "operator", &canary("operator"));
    assert!(scene.said.concat().contains("aether provision"), "{}", scene.said.concat());
    scene.done(&["provision", "--config", &operator]);

    let nodes = ["n1", "n2"].map(|name| scene.start(name));
    for (name, node) in ["n1", "n2"].iter().zip(&nodes) {
        scene.wait_ready(name, node);
    }
    let client = scene.client().await;
    let account = client.actor::<Account>(42).timeout(LIMIT);
    account.ask(Open { operation: 1 }).await.expect("it was not open");
    assert_eq!(account.ask(Deposit { operation: 2, amount: AMOUNT }).await, Ok(AMOUNT));
    // What operators do: a pause over HTTP and an end of it, a drain, a letter, a look at everything.
    let paused = post(&scene.admin("n2"), "/v1/rebalance", &canary("token"), "{\"wish\":\"pause\",\"by\":\"me\"}");
    assert!(paused.contains("\"taken_up\":true") || paused.starts_with("HTTP/1.1 20"), "{paused}");
    let unknown = post(&scene.admin("n2"), "/v1/rebalance", &canary("wrong"), "{}");
    assert!(unknown.starts_with("HTTP/1.1 401"), "{unknown}");
    scene.done(&["rebalance", "--resume", "--config", &operator]);
    scene.done(&["nodes", "drain", "n1", "--wait", "--config", &operator]);
    assert_eq!(account.ask(Balance {}).await, Ok(AMOUNT), "its shard has moved, or stayed");
    scene.done(&["dead-letters", "list", "--config", &operator]);
    scene.done(&["verify", "--config", &operator]);
    // The rights of either role suffice to look at everything.
    for (file, role) in [(&operator, "operator"), (&scene.settings("n3", "node", &canary("node")), "node")] {
        let output = scene.run(&["doctor", "--config", file, "--role", role, "-o", "json"]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        // The file that these tests write may be read by others.
        let codes = report["findings"].as_array().expect("findings").iter().map(|finding| finding["code"].clone());
        assert!(codes.into_iter().all(|code| code == "settings-file-exposed"), "{report}");
        assert!(!report["notes"].to_string().contains("may not"), "{report}");
    }
    // Who is not known is told so, without what they said.
    let stranger = scene.settings("stranger", "node", &canary("wrong"));
    assert_eq!(scene.run(&["node", "--config", &stranger]).status.code(), Some(1));
    // A node may not do what only operators do, though it has the same program.
    let as_node = scene.settings("as-node", "node", &canary("node"));
    assert!(!scene.run(&["dead-letters", "forget", "1", "--config", &as_node]).status.success());

    for page in PAGES {
        scene.said.push(http::get(&format!("{}{page}", scene.admin("n2")), LIMIT).expect("an answer").body);
    }
    scene.said.extend([paused, unknown]);
    let n2 = &nodes[1];
    kill(Pid::from_raw(i32::try_from(n2.child.id()).expect("a pid")), Signal::SIGTERM).expect("it runs");
    let left = || fs::read_to_string(&n2.log).unwrap_or_default().contains("has left");
    wait_for("n2 to leave", Deadline::after(LIMIT), || Ok(left().then_some(())))
        .unwrap_or_else(|fault| panic!("{fault}: {}", last_words(&n2.log)));

    let logs: Vec<_> = nodes.iter().map(|node| fs::read_to_string(&node.log).expect("a log")).collect();
    assert!(logs.iter().all(|log| log.contains("TRACE")), "everything that can be logged was");
    let seed = ["node", "client", "operator", "token", "wrong"].map(canary);
    let secrets = seed.into_iter().chain([AMOUNT.to_string()]);
    for secret in secrets {
        for text in scene.said.iter().chain(&logs) {
            let found = text.lines().find(|line| tells(line, &secret));
            assert_eq!(found, None, "{secret} is told");
        }
    }
    // They are where they belong, so looking for them does find them.
    assert!(fs::read_to_string(&operator).expect("ours").contains(&canary("operator")));
}

/// One POST with a token, and all that comes back.
fn post(url: &str, path: &str, token: &str, body: &str) -> String {
    use std::io::{Read, Write};
    let address = url.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {token}\r\ncontent-type: \
         application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
