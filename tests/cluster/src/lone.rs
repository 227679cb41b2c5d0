//! One process of the program, started by itself to see how it ends.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use xtask::{
    clock::{Deadline, Stopwatch, wait_for},
    process,
};

/// How a process ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Everything it said on standard output and standard error.
    pub said: String,
    /// How long it lived.
    pub lived: Duration,
}

impl Ended {
    /// The paragraph that begins with the program's name: why it ended. Empty if there is none.
    pub fn paragraph(&self) -> &str {
        // A library may still have a word for the log after it.
        self.said.lines().rev().find_map(|line| line.strip_prefix("aether: ")).unwrap_or_default()
    }
}

/// A process that ends with the test.
#[derive(Debug)]
pub struct Lone {
    child: Child,
    log: PathBuf,
    watch: Stopwatch,
}

impl Lone {
    /// Starts the program with `arguments`; it writes to `<name>.out` in `folder`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(program: &str, folder: &Path, name: &str, arguments: &[&str]) -> Result<Self> {
        let log = folder.join(format!("{name}.out"));
        let out = File::create(&log).with_context(|| format!("writing {}", log.display()))?;
        let mut command = Command::new(program);
        process::without_our_variables(&mut command);
        command.args(arguments).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let watch = Stopwatch::start();
        let child = command.spawn().with_context(|| format!("starting {program}"))?;
        Ok(Self { child, log, watch })
    }

    /// Writes a configuration and starts a node with it.
    ///
    /// # Errors
    /// As [`Lone::start`].
    pub fn node(program: &str, folder: &Path, name: &str, config: &str) -> Result<Self> {
        let path = folder.join(format!("{name}.toml"));
        std::fs::write(&path, config).with_context(|| format!("writing {}", path.display()))?;
        Self::start(program, folder, name, &["node", "--config", &path.display().to_string()])
    }

    /// Waits until it has said `words`, and answers a watch that counts from then. How long the system takes to start
    /// the process is not what a test measures.
    ///
    /// # Errors
    /// Not within `limit`; the error quotes what it said.
    pub fn once_said(&self, words: &str, limit: Duration) -> Result<Stopwatch> {
        wait_for(&format!("the process to say `{words}`"), Deadline::after(limit), || {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            Ok(said.contains(words).then(Stopwatch::start))
        })
        .with_context(|| process::tail(&self.log, 20))
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Not within `limit`; the error quotes what it said.
    pub fn end(&mut self, limit: Duration) -> Result<Ended> {
        let status = wait_for("the process to end", Deadline::after(limit), || Ok(self.child.try_wait()?))
            .with_context(|| process::tail(&self.log, 20))?;
        let lived = self.watch.elapsed();
        let said = std::fs::read_to_string(&self.log).context("reading what it said")?;
        Ok(Ended { code: status.code(), said, lived })
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        // Usually it has ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A node's configuration, whole but for what `more` adds; `more` begins within the section `[nats]`.
pub fn node_config(namespace: &str, id: &str, url: &str, more: &str) -> String {
    format!(
        "namespace = \"{namespace}\"\nprofile = \"fast\"\n[node]\nid = \"{id}\"\n[nats]\nurls = [\"{url}\"]\n{more}\n"
    )
}
