//! Alerts on a real cluster: the condition is caused, the pages are scraped as Prometheus does, and promtool says which
//! expressions of docs/deploy/prometheus/aether-alerts.yml hold. How long each must hold is for their own unit tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use aether_cluster_tests::{Cluster, Spec, alone};
use anyhow::{Context, Result, ensure};
use xtask::clock::{Deadline, wait_for};
use xtask::cluster::{self, NatsChoice};
use xtask::nats::{NatsServer, ServerOptions};
use xtask::{http, out};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

/// How long a condition may take to be seen, or to be over.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a node may take to answer a scrape; one that is frozen never does.
const SCRAPE_LIMIT: Duration = Duration::from_secs(1);

/// What a counter's growth is looked for in, at most, as scrapes of five seconds: ten minutes and a little.
const FORGOTTEN_AFTER: usize = 130;

/// Each alert's name and expression.
fn alerts() -> Result<Vec<(String, String)>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/deploy/prometheus/aether-alerts.yml");
    let text = std::fs::read_to_string(file)?;
    let after = |line: &str, key: &str| line.trim().strip_prefix(key).map(|rest| rest.trim().to_owned());
    let names = text.lines().filter_map(|line| after(line, "- alert:"));
    let expressions = text.lines().filter_map(|line| after(line, "expr:"));
    let unquoted = |text: String| text.trim_matches('\'').to_owned();
    Ok(names.zip(expressions.map(unquoted)).collect())
}

/// What was scraped, one value for each scrape.
#[derive(Default)]
struct Watch {
    series: BTreeMap<String, Vec<String>>,
    scrapes: usize,
}

impl Watch {
    /// Asks every node as Prometheus does: one that does not answer is down, and what it said before is no more.
    fn scrape(&mut self, cluster: &Cluster) -> Result<()> {
        let mut said = BTreeMap::new();
        for node in cluster.file()?.nodes {
            let labels = format!("job=\"aether\",instance=\"{}\"", node.id);
            let answer = http::get(&format!("{}/metrics", node.admin_url), SCRAPE_LIMIT);
            let answer = answer.ok().filter(|answer| answer.status == 200);
            said.insert(format!("up{{{labels}}}"), u8::from(answer.is_some()).to_string());
            let body = answer.map(|answer| answer.body).unwrap_or_default();
            for line in body.lines().filter(|line| !line.starts_with('#')) {
                let (name, value) = line.rsplit_once(' ').context("a sample")?;
                let name = match name.split_once('{') {
                    Some((name, own)) => format!("{name}{{{labels},{own}"),
                    None => format!("{name}{{{labels}}}"),
                };
                said.insert(name, value.to_owned());
            }
        }
        let known: BTreeSet<_> = self.series.keys().chain(said.keys()).cloned().collect();
        for name in known {
            let values = self.series.entry(name.clone()).or_insert_with(|| vec!["_".to_owned(); self.scrapes]);
            values.push(said.remove(&name).unwrap_or_else(|| "stale".to_owned()));
        }
        self.scrapes += 1;
        Ok(())
    }

    /// As if the last scrape had been the same for so long that no growth before it is looked at any more.
    fn let_time_pass(&mut self) {
        for values in self.series.values_mut() {
            let last = values.last().cloned().unwrap_or_default();
            values.extend(std::iter::repeat_n(last, FORGOTTEN_AFTER));
        }
        self.scrapes += FORGOTTEN_AFTER;
    }

    /// The alerts whose expressions give something now.
    fn hold(&self, folder: &Path) -> Result<BTreeSet<String>> {
        let alerts = alerts()?;
        let asked: Vec<_> = alerts.iter().flat_map(|(_, expression)| words(expression)).collect();
        let mut test =
            "rule_files: []\nevaluation_interval: 5s\ntests:\n  - interval: 5s\n    input_series:\n".to_owned();
        for (name, values) in &self.series {
            if asked.contains(&name.split('{').next().unwrap_or_default()) {
                writeln!(test, "      - {{ series: '{name}', values: '{}' }}", values.join(" "))?;
            }
        }
        writeln!(test, "    promql_expr_test:")?;
        for (alert, expression) in &alerts {
            let held = format!("clamp_max(count({expression}), 1) or vector(0)");
            writeln!(test, "      - expr: 'label_replace({held}, \"alert\", \"{alert}\", \"\", \"\")'")?;
            writeln!(test, "        eval_time: {}s", (self.scrapes - 1) * 5)?;
            writeln!(test, "        exp_samples: [ {{ labels: '{{alert=\"{alert}\"}}', value: 0 }} ]")?;
        }
        let file = folder.join("scraped.test.yml");
        std::fs::write(&file, test)?;
        let ran = Command::new("promtool").args(["test", "rules"]).arg(&file).output();
        let ran = ran.context("promtool cannot be started; install it: apt-get install prometheus")?;
        let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        // What was expected of none is told of each that holds.
        let got = said.lines().filter_map(|line| line.trim().strip_prefix("got: {alert=\""));
        let held: BTreeSet<_> = got.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect();
        ensure!(ran.status.success() == held.is_empty(), "promtool says neither yes nor no: {said}");
        Ok(held)
    }
}

fn words(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// A cluster that is watched.
struct Stage<'a> {
    cluster: &'a Cluster,
    watch: Watch,
    /// Every alert that held at some time.
    seen: BTreeSet<String>,
}

impl Stage<'_> {
    /// Scrapes until all of these alerts hold at once.
    fn until_hold(&mut self, what: &str, expected: &[&str]) -> Result<()> {
        let mut last = BTreeSet::new();
        let waited = wait_for(what, Deadline::after(LIMIT), || {
            self.watch.scrape(self.cluster)?;
            last = self.watch.hold(self.cluster.dir())?;
            self.seen.extend(last.iter().cloned());
            Ok(expected.iter().all(|alert| last.contains(*alert)).then_some(()))
        });
        out::note(format!("{what}: {last:?}"));
        waited.with_context(|| format!("{expected:?} did not hold; last {last:?}"))
    }

    /// Scrapes until no alert holds.
    fn until_quiet(&mut self, what: &str) -> Result<()> {
        let mut last = BTreeSet::new();
        let waited = wait_for(what, Deadline::after(LIMIT), || {
            self.watch.scrape(self.cluster)?;
            let mut later = Watch { series: self.watch.series.clone(), scrapes: self.watch.scrapes };
            later.let_time_pass();
            last = later.hold(self.cluster.dir())?;
            Ok(last.is_empty().then_some(later))
        });
        self.watch = waited.with_context(|| format!("{last:?} still hold"))?;
        Ok(())
    }

    /// What an operator asks.
    fn ask(&self, arguments: &[&str]) -> Result<()> {
        let file = self.cluster.file()?;
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .env("AETHER_NATS__URLS", file.nats_urls.join(","))
            .env("AETHER_NAMESPACE", &file.namespace);
        let output = command.output()?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

#[test]
fn what_really_happens_to_a_cluster_makes_its_alerts_hold_and_they_are_over_when_it_is() -> Result<()> {
    let mut server = NatsServer::start(ServerOptions::default())?;
    let nats = NatsChoice::Running { urls: vec![server.url()], replicas: 1 };
    let spec = Spec { load: None, ..Spec::of(PROGRAM).unsupervised() };
    let cluster = Cluster::up_on(&spec, alone(), nats, BTreeMap::new())?;
    let mut stage = Stage { cluster: &cluster, watch: Watch::default(), seen: BTreeSet::new() };
    stage.until_quiet("a cluster in good order")?;

    stage.ask(&["rebalance", "--pause"])?;
    stage.until_hold("paused", &["AetherRebalancingPaused"])?;
    stage.ask(&["rebalance", "--resume"])?;
    stage.until_quiet("resumed")?;

    let leader = cluster.leader()?;
    let others: Vec<_> = cluster.file()?.nodes.into_iter().map(|node| node.id).filter(|id| *id != leader).collect();
    cluster::kill(cluster.dir(), &others[0])?;
    stage.until_hold("one node killed", &["AetherNodeFailed", "AetherNodeUnreachable"])?;
    cluster::kill(cluster.dir(), &others[1])?;
    stage.until_hold(
        "two nodes killed",
        &["AetherNodeFailed", "AetherMajorityOfNodesFailed", "AetherNodeUnreachable"],
    )?;
    for id in &others {
        cluster::restart(cluster.dir(), id)?;
    }
    stage.until_quiet("both back")?;

    let frozen = cluster.follower()?;
    cluster::stop(cluster.dir(), &frozen)?;
    stage.until_hold("one node frozen", &["AetherNodeFailed", "AetherNodeUnreachable"])?;
    cluster::resume(cluster.dir(), &frozen)?;
    stage.until_hold("it goes on and hears that its life is over", &["AetherNodeFenced"])?;
    stage.until_quiet("it is back")?;

    server.kill()?;
    stage.until_hold("NATS gone", &["AetherNatsDisconnected"])?;
    stage.until_hold("NATS gone for longer than a lease", &["AetherNatsDisconnected", "AetherNoLeader"])?;
    server.restart()?;
    stage.until_quiet("NATS back")?;
    ensure!(stage.seen.contains("AetherLeaderNotRenewing"), "the lease was not renewed for a while: {:?}", stage.seen);
    let never =
        ["AetherTwoLeadersInOneTerm", "AetherSplitBrainSuspected", "AetherShardMapsDiffer", "AetherShardsUnreconciled"];
    ensure!(never.iter().all(|alert| !stage.seen.contains(*alert)), "{:?}", stage.seen);
    Ok(())
}
