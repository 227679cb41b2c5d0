//! The browser's process, and the protocol on its pipe: JSON values, each ended by a NUL byte.
//!
//! Chromium reads commands from its descriptor 3 and writes to 4; a shell puts its own input and output there and becomes
//! the browser. When our end closes, the browser ends by itself.

use std::io::{BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use xtask::clock::{Deadline, wait_for};

/// How long a command may take.
const CALL_LIMIT: Duration = Duration::from_secs(60);
/// How long the browser may take to end once its pipe is closed.
const END_LIMIT: Duration = Duration::from_secs(20);
/// How many messages may wait for whoever calls; the browser waits then.
const MESSAGES_MAX: usize = 1_024;
/// How many events are kept until somebody takes them.
const EVENTS_MAX: usize = 65_536;

/// Puts input and output where Chromium looks for its pipe. What it logs is in its profile, with the rest of it.
const BECOME: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>"$AETHER_BROWSER_LOG""#;

/// What keeps it quiet and alone. Without a sandbox, because tests may run as root in a container, where there is none; it
/// opens nothing but our own pages.
const FLAGS: [&str; 13] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-proxy-server",
    "--remote-debugging-pipe",
];

/// A browser's process.
#[derive(Debug)]
pub(super) struct Pipe {
    child: Child,
    say: Option<ChildStdin>,
    hear: Receiver<Value>,
    events: Vec<Value>,
    calls: u64,
    /// Whom commands are for: nobody means the browser itself.
    pub(super) session: Option<String>,
}

impl Pipe {
    pub(super) fn start(program: &Path, profile: &Path) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", BECOME, "sh"]).arg(program).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.display())).arg("about:blank");
        command.env("AETHER_BROWSER_LOG", profile.join("browser.log")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        let (say, out) = (child.stdin.take(), child.stdout.take().context("its output is ours")?);
        let (heard, hear) = sync_channel(MESSAGES_MAX);
        std::thread::spawn(move || read(BufReader::new(out), &heard));
        Ok(Self { child, say, hear, events: Vec::new(), calls: 0, session: None })
    }

    /// Asks for one thing and waits for the answer. What happens meanwhile is kept.
    pub(super) fn call(&mut self, method: &str, asked: &Value) -> Result<Value> {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": asked});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        let say = self.say.as_mut().context("it is open until the end")?;
        say.write_all(&bytes).and_then(|()| say.flush()).with_context(|| format!("asking the browser for {method}"))?;
        let deadline = Deadline::after(CALL_LIMIT);
        loop {
            let heard = match self.hear.recv_timeout(deadline.left()) {
                Ok(heard) => heard,
                Err(RecvTimeoutError::Timeout) => bail!("the browser has not answered {method} within {CALL_LIMIT:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("the browser has ended before it answered {method}"),
            };
            if heard["id"] == json!(self.calls) {
                let refused = &heard["error"];
                ensure!(refused.is_null(), "the browser refuses {method}: {refused}");
                return Ok(heard["result"].clone());
            }
            self.keep(heard);
        }
    }

    /// Everything that has happened since the last time.
    pub(super) fn take_events(&mut self) -> Vec<Value> {
        while let Ok(heard) = self.hear.try_recv() {
            self.keep(heard);
        }
        std::mem::take(&mut self.events)
    }

    fn keep(&mut self, heard: Value) {
        if heard.get("method").is_some() && self.events.len() < EVENTS_MAX {
            self.events.push(heard);
        }
    }
}

fn read(mut from: impl std::io::BufRead, heard: &SyncSender<Value>) {
    loop {
        let mut bytes = Vec::new();
        match from.read_until(0, &mut bytes) {
            Ok(1..) => {}
            _ => return,
        }
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        let Ok(message) = serde_json::from_slice(&bytes) else { return };
        if heard.send(message).is_err() {
            return;
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.say = None;
        let ended = wait_for("the browser to end", Deadline::after(END_LIMIT), || Ok(self.child.try_wait()?));
        if ended.is_err() {
            // It has not ended by itself, so it is still ours to kill.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
