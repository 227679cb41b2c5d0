//! Processes that outlive the command that started them, and are still only ended by whoever can name them exactly.
//!
//! A process id alone names nothing: it is given to somebody else once its owner is gone. An [`Identity`] also holds
//! the program and the start time, and every signal is preceded by a comparison. Each process is started in a group
//! of its own, so an interrupt typed at the terminal reaches only the command that must then end the others.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use crate::clock::{Deadline, wait_for};

/// How long a killed process may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How much of a log an error shows.
pub const LOG_LINES_SHOWN: usize = 20;

/// Where a program path ends up in `/proc` once the file was replaced by a newer build.
const DELETED: &str = " (deleted)";

/// The processes this command started, by id, and how they have ended; `None` while they run. The id of one that runs
/// cannot be given to anybody else, because only we can reap it.
static STARTED: Mutex<BTreeMap<u32, Option<ExitStatus>>> = Mutex::new(BTreeMap::new());

/// One life of one process on this machine, and no later one that got its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The process id.
    pub pid: u32,
    /// The program it runs, as the system names it.
    pub exe: String,
    /// When it started, as the system counts it; only ever compared.
    pub started: String,
}

impl Identity {
    /// Whoever has `pid` now; `None` if nobody has, or only an ended process that waits to be reaped.
    pub fn of(pid: u32) -> Option<Self> {
        let (exe, started) = if Path::new("/proc/self/stat").exists() { from_proc(pid)? } else { from_ps(pid)? };
        Some(Self { pid, exe, started })
    }

    /// Whether this very process still exists, frozen or not. One that we started ourselves may meanwhile run another
    /// program, as scripts do that end in `exec`; of a stranger's child that cannot be told from a mistake.
    pub fn is_alive(&self) -> bool {
        let ours = || started().get(&self.pid).is_some_and(Option::is_none);
        Self::of(self.pid).is_some_and(|now| now.started == self.started && (now.exe == self.exe || ours()))
    }

    /// Whether it exists and is stopped (SIGSTOP), where the system says so in `/proc`.
    pub fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // The program's name is in brackets and may hold anything, brackets included.
        let state = stat.rsplit_once(')').and_then(|(_, after_name)| after_name.split_whitespace().next());
        self.is_alive() && state == Some("T")
    }

    /// The same process with the program it runs by now; unchanged if it is gone.
    #[must_use]
    pub fn refreshed(self) -> Self {
        if self.is_alive() { Self::of(self.pid).unwrap_or(self) } else { self }
    }

    /// Sends a signal to this very process; answers whether it was still there to get it.
    ///
    /// # Errors
    /// The system refuses, which for a process we started means that it runs as somebody else now.
    pub fn signal(&self, signal: Signal) -> Result<bool> {
        if !self.is_alive() {
            return Ok(false);
        }
        let pid = i32::try_from(self.pid).context("a process id beyond the system's range")?;
        match kill(Pid::from_raw(pid), signal) {
            Ok(()) => Ok(true),
            Err(Errno::ESRCH) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("sending {signal} to process {pid} ({})", self.exe)),
        }
    }

    /// Waits until this process is gone.
    ///
    /// # Errors
    /// It is still there after `limit`.
    pub fn wait_gone(&self, limit: Duration) -> Result<()> {
        wait_for(&format!("process {} ({}) to end", self.pid, self.exe), Deadline::after(limit), || {
            Ok((!self.is_alive()).then_some(()))
        })
    }

    /// Asks it to end (SIGTERM), and does not wait. It is no error if it was gone already.
    ///
    /// # Errors
    /// The system refuses.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::SIGTERM).map(drop)
    }

    /// Kills it (SIGKILL) and waits until it is gone. It is no error if it was gone already.
    ///
    /// # Errors
    /// The system refuses, or it does not go.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.wait_gone(KILL_LIMIT)
    }

    /// How it ended: `None` while it runs, and for ever if another command started it.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        started().get(&self.pid).copied().flatten()
    }
}

/// Asks all of them to end (SIGTERM), and kills those that have not within `grace`. Frozen ones are woken to hear it.
/// Answers how many had to be killed.
///
/// # Errors
/// One could not be signalled or does not go; the others are ended all the same.
pub fn end_all(processes: &[Identity], grace: Duration) -> Result<usize> {
    let mut failures = Vec::new();
    for process in processes {
        for signal in [Signal::SIGTERM, Signal::SIGCONT] {
            if let Err(error) = process.signal(signal) {
                failures.push(format!("{error:#}"));
            }
        }
    }
    let deadline = Deadline::after(grace);
    let mut killed = 0;
    for process in processes {
        if process.wait_gone(deadline.left()).is_err() {
            killed += 1;
            if let Err(error) = process.kill() {
                failures.push(format!("{error:#}"));
            }
        }
    }
    if failures.is_empty() { Ok(killed) } else { bail!("{}", failures.join("; ")) }
}

/// Lets no `AETHER_` variable of whoever started this command reach the program: there they would win over what it is
/// told in its file.
pub fn without_our_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"AETHER_")) {
        command.env_remove(name);
    }
}

/// Lets no variable reach cargo by which the cargo that has started this command describes xtask. Build scripts ask to be run
/// again when some of these change; with them, whoever calls cargo by turns with and without xtask builds half of everything anew.
pub fn without_cargos_variables(command: &mut Command) {
    let describes = |name: &[u8]| name.starts_with(b"CARGO_PKG_") || name.starts_with(b"CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| describes(name.as_encoded_bytes())) {
        command.env_remove(name);
    }
}

/// Starts a process that writes to `log` and runs on when this command ends.
///
/// # Errors
/// The log cannot be opened, the program does not start, or it ended before it could be named.
pub fn spawn(mut command: Command, log: &Path) -> Result<Identity> {
    let file = File::options().create(true).append(true).open(log);
    let file = file.with_context(|| format!("opening the log {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| format!("starting {program}"))?;
    let pid = child.id();
    started().insert(pid, None);
    let identity = Identity::of(pid);
    std::thread::spawn(move || {
        // Reaped here, so that an ended process does not look alive to anybody.
        if let Ok(status) = child.wait() {
            started().insert(pid, Some(status));
        }
    });
    identity.with_context(|| format!("{program} ended at once; its last words:\n{}", tail(log, 12)))
}

fn started() -> MutexGuard<'static, BTreeMap<u32, Option<ExitStatus>>> {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end of the log of the process called `name`, introduced: the last part of an error.
pub fn last_words(name: &str, log: &Path) -> String {
    format!("the end of {name}'s log {}:\n{}", log.display(), tail(log, LOG_LINES_SHOWN))
}

/// The last `lines` lines of a log, or nothing if there is none.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn from_proc(pid: u32) -> Option<(String, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let started = parse_stat(&stat)?;
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let exe = exe.to_string_lossy();
    Some((exe.strip_suffix(DELETED).unwrap_or(&exe).to_owned(), started))
}

/// The start time in clock ticks since boot, unless the process has ended and waits to be reaped.
fn parse_stat(stat: &str) -> Option<String> {
    // The program's name is in brackets and may hold anything, brackets included.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<_> = after_name.split_whitespace().collect();
    let state = fields.first()?;
    (!matches!(*state, "Z" | "X")).then(|| fields.get(19).map(|&ticks| ticks.to_owned()))?
}

fn from_ps(pid: u32) -> Option<(String, String)> {
    let ask = |column: &str| {
        let output = Command::new("ps").args(["-o", column, "-p", &pid.to_string()]).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let state = ask("stat=")?;
    (!state.starts_with('Z')).then(|| Some((ask("comm=")?, ask("lstart=")?)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(log: &Path) -> Identity {
        let mut command = Command::new("sleep");
        command.arg("600");
        spawn(command, log).expect("it starts")
    }

    #[test]
    fn a_process_is_ended_only_if_it_is_the_very_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let process = sleeper(&folder.path().join("log"));
        let parent = Identity::of(std::os::unix::process::parent_id()).expect("somebody started this test");
        for stranger in [
            Identity { started: "1".to_owned(), ..process.clone() },
            Identity { exe: "/bin/other".to_owned(), ..parent.clone() },
            Identity { started: "1".to_owned(), ..parent },
        ] {
            assert!(!stranger.is_alive());
            assert!(!stranger.signal(Signal::SIGKILL).expect("nothing to refuse"));
        }
        assert!(process.is_alive());
        process.kill().expect("it goes");
        assert!(!process.is_alive());
    }

    #[test]
    fn a_script_that_becomes_another_program_is_still_the_one_that_was_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("sh");
        command.args(["-c", "exec sleep 600"]);
        let script = spawn(command, &folder.path().join("log")).expect("it starts");
        let sleeps = |exe: &str| exe.ends_with("sleep") || exe.ends_with("busybox") || exe.ends_with("coreutils");
        let settled = wait_for("the other program", Deadline::after(Duration::from_secs(5)), || {
            Ok(Some(script.clone().refreshed()).filter(|now| sleeps(&now.exe)))
        });
        assert!(script.is_alive());
        assert_eq!(settled.expect("the other program").started, script.started);
        script.kill().expect("it goes");
    }

    #[test]
    fn a_frozen_process_is_woken_to_hear_that_it_should_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let process = sleeper(&folder.path().join("log"));
        assert!(!process.is_stopped());
        assert!(process.signal(Signal::SIGSTOP).expect("ours"));
        let stopped = Deadline::after(Duration::from_secs(5));
        wait_for("it to be stopped", stopped, || Ok(process.is_stopped().then_some(()))).expect("it is");
        assert_eq!(end_all(std::slice::from_ref(&process), Duration::from_secs(10)).expect("ended"), 0);
        let status = wait_for("its end", Deadline::after(Duration::from_secs(5)), || Ok(process.exit_status()));
        assert!(!status.expect("reaped").success());
    }

    #[test]
    fn one_that_ignores_the_request_is_killed() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; echo deaf; while :; do sleep 0.05; done"]);
        let process = spawn(command, &log).expect("it starts");
        wait_for("deafness", Deadline::after(Duration::from_secs(5)), || Ok((tail(&log, 1) == "deaf").then_some(())))
            .expect("it says so");
        assert_eq!(end_all(&[process], Duration::from_millis(200)).expect("ended"), 1);
    }

    #[test]
    fn what_describes_xtask_does_not_reach_another_cargo() {
        // Cargo has started this test, so it has described it.
        let mut command = Command::new("sh");
        command.args(["-c", "env | grep -c -e ^CARGO_PKG_NAME= -e ^CARGO_MANIFEST_DIR="]);
        let counted =
            |command: &mut Command| String::from_utf8(command.output().expect("it runs").stdout).expect("text");
        assert_eq!(counted(&mut command).trim(), "2");
        without_cargos_variables(&mut command);
        assert_eq!(counted(&mut command).trim(), "0");
    }

    #[test]
    fn an_ended_process_is_not_taken_for_a_living_one() {
        assert_eq!(parse_stat("7 (a) b) S 1 7 7 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 4711 9 9"), Some("4711".to_owned()));
        assert_eq!(parse_stat("7 (a) Z 1 7 7 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 4711 9 9"), None);
        assert_eq!(parse_stat("nonsense"), None);
    }
}
