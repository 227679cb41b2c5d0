//! Playing the commands of one document, one after the other, in the workspace, as a reader would.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command as Process, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use nix::{sys::signal::Signal, sys::signal::killpg, unistd::Pid};

use super::{
    compare::{ANY, matches},
    page::Command,
};
use crate::{
    clock::{Deadline, Stopwatch, wait_for},
    interrupt, out,
    process::without_cargos_variables,
};

/// How long one command may take. The first one builds what it runs.
const COMMAND_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How long what may still run may take to end once its document has.
const END_LIMIT: Duration = Duration::from_secs(60);

/// A command under way. Whatever is left of it ends with this value.
struct Played<'a> {
    command: &'a Command,
    place: String,
    child: Child,
    said: tempfile::NamedTempFile,
    watch: Stopwatch,
    ended: Option<ExitStatus>,
}

/// Plays `commands`, which are those of the document called `name`.
///
/// # Errors
/// One does not end well or in time, or says something else than is printed: both are shown. Whatever still runs is ended.
pub fn document(root: &Path, name: &str, commands: &[Command]) -> Result<()> {
    let mut still: Vec<Played<'_>> = Vec::new();
    for command in commands {
        let mut played = Played::begin(root, name, command)?;
        if command.shown.last().is_some_and(|last| last == ANY) {
            played.wait("what it is to say first", COMMAND_LIMIT, |played, said| {
                Ok(played.ended.is_some() || matches(&played.command.shown, said))
            })?;
            still.push(played);
        } else {
            played.finish(COMMAND_LIMIT)?;
        }
    }
    still.iter_mut().try_for_each(|played| played.finish(END_LIMIT))
}

impl<'a> Played<'a> {
    fn begin(root: &Path, name: &str, command: &'a Command) -> Result<Self> {
        let place = format!("{name}:{}: `{}`", command.line, command.text);
        let said = tempfile::NamedTempFile::new().context("making a file for what a command says")?;
        let mut process = Process::new("sh");
        process.current_dir(root).args(["-c", &command.text]).stdin(Stdio::null()).process_group(0);
        without_cargos_variables(&mut process);
        process.stdout(File::create(said.path()).context("opening a file for what a command says")?);
        let child = process.spawn().with_context(|| format!("starting {place}"))?;
        Ok(Self { command, place, child, said, watch: Stopwatch::start(), ended: None })
    }

    fn said(&self) -> Result<Vec<String>> {
        let bytes = fs::read(self.said.path()).with_context(|| format!("reading what {} said", self.place))?;
        Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
    }

    fn wait(&mut self, what: &str, limit: Duration, done: impl Fn(&Self, &[String]) -> Result<bool>) -> Result<()> {
        let what = format!("{}: {what}", self.place);
        let waited = wait_for(&what, Deadline::after(limit), || {
            interrupt::check()?;
            self.ended = self.child.try_wait()?;
            let said = self.said()?;
            Ok(done(self, &said)?.then_some(()))
        });
        waited.with_context(|| format!("so far it has said:\n{}", self.said().unwrap_or_default().join("\n")))
    }

    fn finish(&mut self, limit: Duration) -> Result<()> {
        self.wait("its end", limit, |played, _| Ok(played.ended.is_some()))?;
        let (place, said) = (&self.place, self.said()?);
        let Some(status) = self.ended else { bail!("{place} has not ended") };
        ensure!(status.success(), "{place} ended with {status}; it said:\n{}", said.join("\n"));
        let shown = &self.command.shown;
        let same = shown.is_empty() || matches(shown, &said);
        ensure!(same, "{place} says\n{}\nand what is printed is\n{}", said.join("\n"), shown.join("\n"));
        out::note(format!("{place}: as printed, {:.1} s", self.watch.elapsed().as_secs_f64()));
        Ok(())
    }
}

impl Drop for Played<'_> {
    fn drop(&mut self) {
        if self.ended.is_none() && self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            // Its group is its own. There is nobody left to tell if it cannot be ended.
            let _ = i32::try_from(self.child.id()).map(|group| killpg(Pid::from_raw(group), Signal::SIGTERM));
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::page::commands;

    fn play(block: &str) -> Result<()> {
        document(Path::new("."), "page", &commands(&format!("```console\n{block}\n```\n"))?)
    }

    #[test]
    fn what_is_said_as_printed_passes_and_may_go_on_while_the_next_one_runs() {
        play("$ echo a && echo b\na\nb\n$ true").expect("as printed");
        let folder = tempfile::tempdir().expect("a folder");
        let stop = folder.path().join("stop").display().to_string();
        play(&format!(
            "$ echo ready; until [ -e {stop} ]; do sleep 0.02; done; echo over\nready\n…\n$ echo now\nnow\n$ touch {stop}"
        ))
        .expect("the first one ends when the last one has asked it to");
    }

    #[test]
    fn what_is_said_otherwise_or_ends_badly_is_shown_with_its_place() {
        for (block, parts) in [
            ("$ echo a\nb", &["page:2: `echo a` says\na\n", "is printed is\nb"][..]),
            ("$ true\n$ echo a; exit 3", &["page:3:", "exit status: 3", "it said:\na"]),
            ("$ echo a; exit 1\na\n…", &["page:2:", "exit status: 1"]),
        ] {
            let error = format!("{:#}", play(block).expect_err("it is not as printed"));
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}
