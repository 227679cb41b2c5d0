//! What the tests of the doctor share: a folder with settings, JetStream's API as an administrator has it, and reports.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use async_nats::Client;
use serde_json::{Value, json};
use xtask::nats::NatsServer;

use crate::program::program;

/// What the doctor says.
#[derive(Debug)]
pub(super) struct Report(pub(super) Value);

impl Report {
    /// Runs it to its end; its exit code must be the one of what it says.
    #[track_caller]
    pub(super) fn of(command: &mut Command) -> Self {
        let output = command.output().expect("it runs");
        let report = Self(json_of(&output));
        let expected = match report.0["verdict"].as_str() {
            Some("ok") => 0,
            Some("fault") => 3,
            Some("warning") => 4,
            other => panic!("{other:?}: {output:?}"),
        };
        assert_eq!(output.status.code(), Some(expected), "{output:?}");
        report
    }

    pub(super) fn codes(&self) -> Vec<&str> {
        self.findings().iter().map(|finding| finding["code"].as_str().expect("a code")).collect()
    }

    fn findings(&self) -> &[Value] {
        self.0["findings"].as_array().expect("findings")
    }

    /// It has that finding, with those words in what was found or in the cure.
    #[track_caller]
    pub(super) fn names(&self, code: &str, words: &str) -> &Self {
        let of_code = self.findings().iter().filter(|finding| finding["code"] == code);
        let said: Vec<_> = of_code
            .map(|finding| ["found", "cure"].map(|part| finding[part].as_str().expect("text")).join("\n"))
            .collect();
        assert!(!said.is_empty(), "{code} is not named: {}", self.0);
        assert!(said.iter().any(|said| said.contains(words)), "{code}, {words}: {said:?}");
        self
    }

    /// The cure of its first finding of that kind.
    #[track_caller]
    pub(super) fn cure(&self, code: &str) -> &str {
        let finding = self.findings().iter().find(|finding| finding["code"] == code);
        finding.and_then(|finding| finding["cure"].as_str()).expect("it is named")
    }

    #[track_caller]
    pub(super) fn does_not_name(&self, code: &str) {
        assert!(!self.codes().contains(&code), "{code}: {}", self.0);
    }

    #[track_caller]
    pub(super) fn is_healthy(&self) {
        assert_eq!(self.codes(), Vec::<&str>::new(), "{}", self.0);
    }

    pub(super) fn notes(&self) -> String {
        self.0["notes"].to_string()
    }
}

fn json_of(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&said).unwrap_or_else(|fault| panic!("{fault}: {output:?}"))
}

/// `aether doctor` with those arguments.
pub(super) fn doctor(arguments: &[&str]) -> Command {
    let mut command = program();
    command.args(["doctor", "-o", "json"]).args(arguments);
    command
}

/// A folder with files that settings name.
pub(super) struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    /// Writes a file with that mode; its path, as settings name it.
    pub(super) fn write(&self, name: &str, text: &str, mode: u32) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("written");
        set_mode(&path, mode);
        path.display().to_string()
    }
    /// A node's settings: `top` stands at the top, `node`, `nats` and `rest` in and behind their sections.
    pub(super) fn node(&self, name: &str, urls: &[String], [top, node, nats, rest]: [&str; 4]) -> String {
        let urls: Vec<_> = urls.iter().map(|url| format!("{url:?}")).collect();
        let namespace = if top.contains("namespace") { "" } else { "namespace = \"bank\"\n" };
        let text = format!(
            "{namespace}{top}\n[node]\nid = \"{name}\"\n{node}\n[nats]\nurls = [{}]\n{nats}\n{rest}\n",
            urls.join(", ")
        );
        self.write(&format!("{name}.toml"), &text, 0o600)
    }
    /// A node's settings with nothing but where NATS is.
    pub(super) fn plain(&self, name: &str, url: &str) -> String {
        self.node(name, &[url.to_owned()], [""; 4])
    }
}

pub(super) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}

/// Makes the streams of the namespace in those settings.
#[track_caller]
pub(super) fn provision(config: &str) {
    let output = program().args(["provision", "--config", config]).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
}

/// A request of JetStream's API, and its answer.
pub(super) async fn ask(client: &Client, request: &str, body: Value) -> Value {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let answer = client.request(format!("$JS.API.{request}"), body.into()).await.expect("an answer");
    serde_json::from_slice(&answer.payload).expect("JSON")
}

/// As [`ask`], and it must be done.
#[track_caller]
pub(super) fn done(answer: Value) -> Value {
    assert!(answer.get("error").is_none(), "{answer}");
    answer
}

/// A stream's settings, as they are.
pub(super) async fn settings_of(client: &Client, stream: &str) -> Value {
    done(ask(client, &format!("STREAM.INFO.{stream}"), Value::Null).await)["config"].take()
}

/// Everything that a server has stored, and who reads it, but for what changes by itself.
pub(super) fn stored(server: &NatsServer) -> Value {
    let page: Value = server.ask("/jsz?accounts=true&streams=true&consumers=true&config=true").expect("a page");
    let streams = page["account_details"]
        .as_array()
        .expect("accounts")
        .iter()
        .flat_map(|account| account["stream_detail"].as_array().cloned().unwrap_or_default());
    let mut streams: Vec<_> = streams
        .map(|stream| json!({ "name": stream["name"], "config": stream["config"], "state": stream["state"], "consumers": stream["consumer_detail"] }))
        .collect();
    streams.sort_by_key(|stream| stream["name"].to_string());
    Value::Array(streams)
}
