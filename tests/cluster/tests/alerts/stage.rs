//! A cluster that is watched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aether_cluster_tests::Cluster;
use anyhow::{Context, Result, ensure};
use xtask::clock::{Deadline, Stopwatch, wait_for};
use xtask::{http, out, process};

use crate::PROGRAM;
use crate::watch::Watch;

/// How long a condition may take to be seen, or to be over.
const LIMIT: Duration = Duration::from_secs(60);

/// What can be scraped.
pub(crate) trait Scraped {
    /// Each node's name, and the address of its pages.
    fn pages(&self) -> Result<Vec<(String, String)>>;
}

impl Scraped for Cluster {
    fn pages(&self) -> Result<Vec<(String, String)>> {
        Ok(self.file()?.nodes.into_iter().map(|node| (node.id, node.admin_url)).collect())
    }
}

/// Nodes that are watched.
pub(crate) struct Stage<'a> {
    nodes: &'a dyn Scraped,
    folder: PathBuf,
    watch: Watch,
    /// Every alert that held at some time.
    pub(crate) seen: BTreeSet<String>,
}

impl<'a> Stage<'a> {
    /// Nobody has looked yet. `folder` is where promtool is given what it is to judge.
    pub(crate) fn new(nodes: &'a dyn Scraped, folder: &Path) -> Result<Self> {
        Ok(Self { nodes, folder: folder.to_owned(), watch: Watch::new()?, seen: BTreeSet::new() })
    }

    /// Scrapes until all of these alerts hold at once.
    pub(crate) fn until_hold(&mut self, what: &str, expected: &[&str]) -> Result<()> {
        let mut last = BTreeSet::new();
        let since = Stopwatch::start();
        let waited = wait_for(what, Deadline::after(LIMIT), || {
            self.watch.scrape(&self.nodes.pages()?)?;
            last = self.watch.hold(&self.folder)?;
            self.seen.extend(last.iter().cloned());
            Ok(expected.iter().all(|alert| last.contains(*alert)).then_some(()))
        });
        out::note(format!("{what}: {last:?} after {:.1} s", since.elapsed().as_secs_f64()));
        waited.with_context(|| format!("{expected:?} did not hold; last {last:?}; {}", self.said()))
    }

    /// What every node says of the cluster's health.
    fn said(&self) -> String {
        let said = self.nodes.pages().unwrap_or_default().into_iter().map(|(id, url)| {
            let answer = http::get(&format!("{url}/v1/health"), LIMIT).map(|answer| answer.body);
            let ready =
                http::get(&format!("{url}/readyz?verbose"), LIMIT).map(|answer| answer.body).unwrap_or_default();
            format!("{id}: {}{ready}", answer.unwrap_or_else(|error| error.to_string()))
        });
        said.collect::<Vec<_>>().join("\n")
    }

    /// Scrapes until no alert would hold if all stayed as it is.
    pub(crate) fn until_quiet(&mut self, what: &str) -> Result<()> {
        self.until_quiet_but(what, &[])
    }

    /// As [`Stage::until_quiet`], whatever becomes of these.
    pub(crate) fn until_quiet_but(&mut self, what: &str, ignored: &[&str]) -> Result<()> {
        let mut last = BTreeSet::new();
        let since = Stopwatch::start();
        let waited = wait_for(what, Deadline::after(LIMIT), || {
            self.watch.scrape(&self.nodes.pages()?)?;
            let later = self.watch.once_time_has_passed();
            last = later.hold(&self.folder)?;
            Ok(last.iter().all(|alert| ignored.contains(&alert.as_str())).then_some(later))
        });
        out::note(format!("{what}: quiet after {:.1} s", since.elapsed().as_secs_f64()));
        self.watch = waited.with_context(|| format!("{last:?} still hold; {}", self.said()))?;
        Ok(())
    }
}

/// What an operator asks of the cluster of that name.
pub(crate) fn ask(urls: &str, namespace: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(PROGRAM);
    process::without_our_variables(&mut command);
    command.args(arguments).env("AETHER_NATS__URLS", urls).env("AETHER_NAMESPACE", namespace);
    let output = command.output()?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
