//! One nats-server process: started, frozen, killed, started again on the same port and store.
//!
//! The value owns the process. Dropping it kills the process at once and removes its folder, unless it was told to
//! keep the folder or to leave the process running.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Deserialize;
use tempfile::TempDir;

use super::{
    config::{Place, ServerOptions, render},
    locate::{Options, locate},
    ports,
};
use crate::{
    clock::{Deadline, wait_for},
    http,
};

/// How long a server may take from its start until it listens; 13 to 60 ms is usual.
const LISTEN_LIMIT: Duration = Duration::from_secs(20);

/// How long a server may take to say that it is healthy; a store has to be read first.
const HEALTHY_LIMIT: Duration = Duration::from_secs(30);

/// How long a server may take to end once asked to.
const END_LIMIT: Duration = Duration::from_secs(20);

/// How long one question to the monitoring port may take.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// How many ports are tried when somebody else is faster.
const PORTS_MAX: usize = 8;

/// How much of a server's log an error shows.
const LOG_LINES_SHOWN: usize = 12;

/// A running, frozen or dead nats-server on loopback.
#[derive(Debug)]
pub struct NatsServer {
    program: PathBuf,
    options: ServerOptions,
    place: Place,
    folder: Folder,
    process: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    monitor: String,
}

#[derive(Debug)]
enum Folder {
    Given(PathBuf),
    Temporary(TempDir),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// Why a start failed: only the first kind is worth another port.
enum StartError {
    PortTaken,
    Other(anyhow::Error),
}

impl NatsServer {
    /// Starts one server on a free port and waits until it is healthy.
    ///
    /// # Errors
    /// No nats-server can be found or fetched; its folder cannot be made; or it did not become healthy, in which case
    /// the error ends with the last lines of its log and nothing is left running.
    pub fn start(options: ServerOptions) -> Result<Self> {
        for _ in 0..PORTS_MAX {
            let place = Place { name: "nats-1".to_owned(), client_port: ports::free()?, routes: None };
            match Self::start_at(options.clone(), place) {
                Ok(mut server) => {
                    server.wait_healthy(Deadline::after(HEALTHY_LIMIT))?;
                    return Ok(server);
                }
                Err(error) => Self::only_port_taken(error)?,
            }
        }
        bail!("{PORTS_MAX} ports in a row were taken by somebody else between choosing and using them")
    }

    /// Starts a server at `place` and waits until it listens, healthy or not; `None` when the port was taken.
    pub(super) fn start_member(options: ServerOptions, place: Place) -> Result<Option<Self>> {
        match Self::start_at(options, place) {
            Ok(server) => Ok(Some(server)),
            Err(error) => Self::only_port_taken(error).map(|()| None),
        }
    }

    fn only_port_taken(error: StartError) -> Result<()> {
        match error {
            StartError::PortTaken => Ok(()),
            StartError::Other(error) => Err(error),
        }
    }

    fn start_at(options: ServerOptions, place: Place) -> Result<Self, StartError> {
        let prepare = || -> Result<(PathBuf, Folder)> {
            let program = options.program.clone().map_or_else(|| locate(&Options::default()), Ok)?;
            let folder = if let Some(dir) = &options.dir {
                let dir = std::path::absolute(dir)?;
                fs::create_dir_all(&dir).with_context(|| format!("making the folder {}", dir.display()))?;
                Folder::Given(dir)
            } else {
                let folder = tempfile::Builder::new().prefix("aether-nats-").tempdir();
                let mut folder = folder.context("making a temporary folder for nats-server")?;
                folder.disable_cleanup(options.keep);
                Folder::Temporary(folder)
            };
            Ok((program, folder))
        };
        let (program, folder) = prepare().map_err(StartError::Other)?;
        let mut server = Self { program, options, place, folder, process: None };
        server.spawn()?;
        Ok(server)
    }

    fn spawn(&mut self) -> Result<(), StartError> {
        let child = self.launch().map_err(StartError::Other)?;
        let mut running = Running { child, monitor: String::new() };
        let ports = self.dir().join(ports_file(&self.program, running.child.id()));
        let listening = wait_for("nats-server to listen", Deadline::after(LISTEN_LIMIT), || {
            if let Some(status) = running.child.try_wait()? {
                bail!("nats-server ended at once ({status})");
            }
            // The file is absent, then perhaps half written, then whole.
            Ok(fs::read_to_string(&ports).ok().and_then(|text| serde_json::from_str::<Ports>(&text).ok()))
        });
        match listening {
            Ok(Ports { monitoring }) => {
                running.monitor = monitoring.into_iter().next().unwrap_or_default();
                self.process = Some(running);
                Ok(())
            }
            Err(error) => {
                end(&mut running.child);
                if self.log_tail().contains("address already in use") {
                    return Err(StartError::PortTaken);
                }
                Err(StartError::Other(self.with_log(error)))
            }
        }
    }

    fn launch(&self) -> Result<Child> {
        let dir = self.dir();
        for entry in fs::read_dir(dir)?.filter_map(Result::ok) {
            // What a killed server left behind must not be taken for the new one's ports.
            if entry.path().extension().is_some_and(|e| e == "ports") {
                fs::remove_file(entry.path())?;
            }
        }
        let config = dir.join("nats.conf");
        fs::write(&config, render(&self.options, &self.place, dir))
            .with_context(|| format!("writing {}", config.display()))?;
        let log = File::options().create(true).append(true).open(self.log_path()).context("opening its log")?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&config).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if self.options.own_group {
            command.process_group(0);
        }
        command.spawn().with_context(|| format!("starting {}", self.program.display()))
    }

    /// Where clients connect, for example `nats://127.0.0.1:15042`. It survives [`NatsServer::restart`].
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.place.client_port)
    }

    /// Its process id; `None` once it was killed or ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|p| p.child.id())
    }

    /// Whether its process exists, frozen or not.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|running| matches!(running.child.try_wait(), Ok(None)))
    }

    /// Its name within a cluster.
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// The folder with `nats.conf`, `nats.log` and `store/`.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Its log, which grows over restarts.
    pub fn log_path(&self) -> PathBuf {
        self.dir().join("nats.log")
    }

    /// Where it answers `/healthz`, `/jsz` and the other monitoring questions; it changes with each start.
    ///
    /// # Errors
    /// It is not running.
    pub fn monitor_url(&self) -> Result<&str> {
        Ok(&self.running()?.monitor)
    }

    /// Asks its monitoring port, for example for `/varz`, and reads JSON.
    ///
    /// # Errors
    /// It is not running, is frozen, or answers something else.
    pub fn ask<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        http::get_json(&format!("{}{path}", self.monitor_url()?), ASK_LIMIT)
    }

    /// The JetStream API level it reports; [`super::API_LEVEL_MIN`] is the least that will do.
    ///
    /// # Errors
    /// As [`NatsServer::ask`].
    pub fn api_level(&self) -> Result<u64> {
        #[derive(Deserialize)]
        struct Jsz {
            api: Api,
        }
        #[derive(Deserialize)]
        struct Api {
            #[serde(default)]
            level: u64,
        }
        Ok(self.ask::<Jsz>("/jsz")?.api.level)
    }

    /// Whether it says that it and its JetStream are in order. A frozen or dead server is not.
    pub fn is_healthy(&self) -> bool {
        self.monitor_url()
            .and_then(|url| http::get(&format!("{url}/healthz"), ASK_LIMIT))
            .is_ok_and(|reply| reply.status == 200)
    }

    pub(super) fn wait_healthy(&mut self, deadline: Deadline) -> Result<()> {
        let healthy = wait_for("nats-server to be healthy", deadline, || {
            if let Some(status) = self.running_mut()?.child.try_wait()? {
                bail!("nats-server ended ({status})");
            }
            Ok(self.is_healthy().then_some(()))
        });
        healthy.map_err(|error| self.with_log(error))
    }

    /// Ends it without warning (SIGKILL) and waits until it is gone. The store stays for [`NatsServer::restart`].
    ///
    /// # Errors
    /// It is not running.
    pub fn kill(&mut self) -> Result<()> {
        let mut running = self.process.take().ok_or_else(not_running)?;
        end(&mut running.child);
        Ok(())
    }

    /// Freezes it (SIGSTOP): connections stay open and nothing answers.
    ///
    /// # Errors
    /// It is not running.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on after [`NatsServer::stop`] (SIGCONT).
    ///
    /// # Errors
    /// It is not running.
    pub fn cont(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Has it read its configuration file again (SIGHUP), and the files that names.
    ///
    /// # Errors
    /// It is not running.
    pub fn reload(&self) -> Result<()> {
        self.signal(Signal::SIGHUP)
    }

    /// Asks it to end (SIGTERM) and waits until it has. The store stays for [`NatsServer::restart`].
    ///
    /// # Errors
    /// It is not running, or it did not end in time and was killed.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let mut running = self.process.take().ok_or_else(not_running)?;
        let ended = wait_for("nats-server to end", Deadline::after(END_LIMIT), || Ok(running.child.try_wait()?));
        if ended.is_err() {
            end(&mut running.child);
        }
        ended.map(drop)
    }

    /// Kills it if it runs, and starts it again on the same port and store. A server on its own is healthy when this
    /// returns; a member of a cluster listens, and is healthy once enough of the others are.
    ///
    /// # Errors
    /// It does not come back; in particular when somebody else took its port meanwhile.
    pub fn restart(&mut self) -> Result<()> {
        if self.process.is_some() {
            self.kill()?;
        }
        self.spawn().map_err(|error| match error {
            StartError::PortTaken => anyhow!("port {} was taken while the server was down", self.place.client_port),
            StartError::Other(error) => error,
        })?;
        if self.place.routes.is_none() {
            self.wait_healthy(Deadline::after(HEALTHY_LIMIT))?;
        }
        Ok(())
    }

    /// Gives the process up: it runs on, and the folder stays. Answers its id.
    ///
    /// # Errors
    /// It is not running.
    pub fn leave_running(mut self) -> Result<u32> {
        let running = self.process.take().ok_or_else(not_running)?;
        if let Folder::Temporary(folder) = &mut self.folder {
            folder.disable_cleanup(true);
        }
        Ok(running.child.id())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.running()?.child.id()).context("a process id beyond the system's range")?;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("sending {signal} to nats-server {pid}"))
    }

    fn running(&self) -> Result<&Running> {
        self.process.as_ref().ok_or_else(not_running)
    }

    fn running_mut(&mut self) -> Result<&mut Running> {
        self.process.as_mut().ok_or_else(not_running)
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    fn with_log(&self, error: anyhow::Error) -> anyhow::Error {
        let tail = self.log_tail();
        error.context(format!("{} did not start as it should; its last words:\n{tail}", self.program.display()))
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if let Some(running) = &mut self.process {
            end(&mut running.child);
        }
    }
}

/// What nats-server writes to its ports file once it listens.
#[derive(Deserialize)]
struct Ports {
    #[serde(default)]
    monitoring: Vec<String>,
}

fn ports_file(program: &Path, pid: u32) -> String {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}_{pid}.ports")
}

/// Kills and reaps. A process that is gone already is what we want.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn not_running() -> anyhow::Error {
    anyhow!("this nats-server is not running: it was killed or ended")
}
