//! `aether supervise`: runs a node's process, says so in the cluster when it has died, and starts it again.
//!
//! Everything about the child happens on one task: only it reaps the child, so no signal ever meets a process that has
//! got the child's number since. Death certificates are written beside it, so that a store that is away holds no restart
//! back. What is started again and when is in `restart`, how the cluster is told in `registrar`.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aether_domain::Nonce;
use aether_runtime::clock::{BootClock, Clock as _};
use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::args::{Global, SuperviseArgs};
use super::exit;
use super::registrar::Registrar;
use super::restart::{End, Pauses};
use super::store::Over;
use crate::supervised::{Supervisor, VARIABLE};
use crate::{entropy, telemetry};

/// How long certificates that are not written yet may hold back a supervisor that was asked to end.
const ENDING_WITHIN: Duration = Duration::from_secs(2);
/// What is added to the number of the signal that killed the child for the exit code, as a shell does.
const KILLED_BY: i32 = 128;

/// Runs until the child has ended for good; answers its exit code.
pub(super) async fn run(args: SuperviseArgs, global: &Global) -> anyhow::Result<u8> {
    let over = Over::of(global)?;
    let settings = over.node_settings(args.config.as_deref(), args.id.as_deref())?;
    telemetry::start(&settings.log)?;
    let mut signals = Signals::new().context("this process cannot listen for signals")?;
    let name = format!("supervisor of {}", settings.node.id);
    let registrar = Arc::new(Registrar::open(over.store(&settings, &name)?.config, settings.namespace.clone()));
    // Each ends within its bound, and pauses keep ends apart: there are few at a time.
    let mut certificates = JoinSet::new();
    let (mut pauses, mut asked) = (Pauses::default(), false);
    let status = loop {
        let (token, began) = (Nonce(entropy::seed()), BootClock.now());
        let mut child = start(&args, &over, token)?;
        let status = watch_over(&mut child, &mut signals, &mut asked).await?;
        let lived = BootClock.now().since(began);
        tracing::info!(pid = child.id(), %status, lived_ms = lived.as_millis(), "the process has ended");
        let registrar = Arc::clone(&registrar);
        while certificates.try_join_next().is_some() {}
        certificates.spawn(async move { registrar.certify(token).await });
        if !args.restart.again(End { code: status.code(), asked }) {
            break status;
        }
        let pause = pauses.after(lived);
        tracing::info!(pause_ms = pause.as_millis(), "it is started again after a pause");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = signals.requests.next() => {
                asked = true;
                break status;
            }
        }
    };
    let written = async { while certificates.join_next().await.is_some() {} };
    let patience = async { if asked { tokio::time::sleep(ENDING_WITHIN).await } else { std::future::pending().await } };
    tokio::select! {
        () = written => {}
        () = patience => tracing::warn!("ending before the cluster could be told; the others will notice by the silence"),
        _ = signals.requests.next() => tracing::warn!("asked to end before the cluster could be told; the others will notice"),
    }
    registrar.close().await;
    Ok(code_of(status))
}

/// Starts the child in a process group of its own: what is typed at a terminal reaches it through this process only.
fn start(args: &SuperviseArgs, over: &Over, token: Nonce) -> anyhow::Result<Child> {
    let line = command_line(args, over)?;
    let (program, arguments) = line.split_first().context("there is nothing to run")?;
    let supervisor = Supervisor { pid: std::process::id(), token };
    let mut command = Command::new(program);
    command.args(arguments).env(VARIABLE, supervisor.as_variable()).stdin(Stdio::null()).process_group(0);
    let child = command.spawn().with_context(|| format!("{} cannot be started", program.to_string_lossy()))?;
    tracing::info!(pid = child.id(), program = %program.to_string_lossy(), "the process runs");
    if let Some(file) = &args.pid_file {
        announce(file, child.id())?;
    }
    Ok(child)
}

/// What to run: what was said, or `aether node` with the same file.
fn command_line(args: &SuperviseArgs, over: &Over) -> anyhow::Result<Vec<OsString>> {
    if !args.command.is_empty() {
        return Ok(args.command.clone());
    }
    let this = std::env::current_exe().context("this program cannot find its own file")?;
    let config = args.config.as_ref().context("say what to run: --config FILE for a node of it, or -- COMMAND")?;
    let mut line = vec![this.into_os_string(), "node".into(), "--config".into(), config.into()];
    if let Some(id) = &args.id {
        line.extend(["--id".into(), id.into()]);
    }
    line.extend(over.arguments().into_iter().map(OsString::from));
    Ok(line)
}

/// Replaces the file as a whole, so that a reader sees one number or the next.
fn announce(file: &Path, pid: u32) -> anyhow::Result<()> {
    let fresh = file.with_extension("pid.new");
    let written = std::fs::write(&fresh, format!("{pid}\n")).and_then(|()| std::fs::rename(&fresh, file));
    written.with_context(|| format!("{} cannot be written; name a file that can", file.display()))
}

/// Passes every request on to the child until it has ended and been reaped.
async fn watch_over(child: &mut Child, signals: &mut Signals, asked: &mut bool) -> anyhow::Result<ExitStatus> {
    let mut hung_up = false;
    loop {
        if let Some(status) = child.try_wait().context("the child cannot be waited for")? {
            // Some programs read their configuration again when the terminal is gone, others end.
            *asked |= hung_up && status.signal() == Some(Signal::SIGHUP as i32);
            return Ok(status);
        }
        tokio::select! {
            () = signals.child.ended() => {}
            request = signals.requests.next() => {
                hung_up |= request == Signal::SIGHUP;
                *asked |= request != Signal::SIGHUP;
                let pid = i32::try_from(child.id()).context("a process id beyond the system's range")?;
                // Not reaped yet, so the number is still its own; it may have ended all the same.
                if let Err(error) = kill(Pid::from_raw(pid), request) {
                    tracing::warn!(%error, signal = %request, "the signal could not be passed on");
                }
            }
        }
    }
}

fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| KILLED_BY + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::ERROR)
}

/// What this process is told by the system.
struct Signals {
    child: Children,
    requests: Requests,
}

/// News of children.
struct Children(tokio::signal::unix::Signal);

/// Signals that ask for something.
struct Requests {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let requests = Requests {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        };
        Ok(Self { child: Children(signal(SignalKind::child())?), requests })
    }
}

impl Children {
    /// Waits until one may have ended.
    async fn ended(&mut self) {
        self.0.recv().await;
    }
}

impl Requests {
    /// The next one.
    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.hangup.recv() => Signal::SIGHUP,
        }
    }
}
