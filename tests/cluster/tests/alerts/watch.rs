//! What was scraped, as Prometheus keeps it, and which alerts' expressions hold over it, as promtool says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xtask::http;

/// How long a node may take to answer a scrape; one that is frozen never does.
const SCRAPE_LIMIT: Duration = Duration::from_secs(1);

/// Each alert's name and expression.
pub(crate) fn alerts() -> Result<Vec<(String, String)>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/deploy/prometheus/aether-alerts.yml");
    let text = std::fs::read_to_string(file)?;
    let after = |line: &str, key: &str| line.trim().strip_prefix(key).map(|rest| rest.trim().to_owned());
    let names = text.lines().filter_map(|line| after(line, "- alert:"));
    let expressions = text.lines().filter_map(|line| after(line, "expr:"));
    let unquoted = |text: String| text.trim_matches('\'').to_owned();
    Ok(names.zip(expressions.map(unquoted)).collect())
}

/// What was scraped of what alerts ask for, one value for each scrape.
pub(crate) struct Watch {
    alerts: Vec<(String, String)>,
    series: BTreeMap<String, Vec<String>>,
    scrapes: usize,
}

impl Watch {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { alerts: alerts()?, series: BTreeMap::new(), scrapes: 0 })
    }

    /// Asks every node as Prometheus does: one that does not answer is down, and what it said before is no more.
    pub(crate) fn scrape(&mut self, nodes: &[(String, String)]) -> Result<()> {
        let asked: BTreeSet<_> = self.alerts.iter().flat_map(|(_, expression)| words(expression)).collect();
        let mut said = BTreeMap::new();
        for (id, url) in nodes {
            let labels = format!("job=\"aether\",instance=\"{id}\"");
            let answer = http::get(&format!("{url}/metrics"), SCRAPE_LIMIT);
            let answer = answer.ok().filter(|answer| answer.status == 200);
            said.insert(format!("up{{{labels}}}"), u8::from(answer.is_some()).to_string());
            let body = answer.map(|answer| answer.body).unwrap_or_default();
            for line in body.lines().filter(|line| !line.starts_with('#')) {
                let (name, value) = line.rsplit_once(' ').context("a sample")?;
                let (name, own) = name.split_once('{').unwrap_or((name, "}"));
                if asked.contains(name) {
                    said.insert(format!("{name}{{{labels},{own}"), value.to_owned());
                }
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

    /// As if all had stayed as it was scraped last for so long that no growth before is looked at any more.
    pub(crate) fn once_time_has_passed(&self) -> Self {
        let last = |(name, values): (&String, &Vec<String>)| {
            let value = values.last().filter(|value| *value != "stale")?;
            Some((name.clone(), vec![value.clone()]))
        };
        Self { alerts: self.alerts.clone(), series: self.series.iter().filter_map(last).collect(), scrapes: 1 }
    }

    /// The alerts whose expressions give something now.
    pub(crate) fn hold(&self, folder: &Path) -> Result<BTreeSet<String>> {
        let mut test =
            "rule_files: []\nevaluation_interval: 5s\ntests:\n  - interval: 5s\n    input_series:\n".to_owned();
        for (name, values) in &self.series {
            writeln!(test, "      - {{ series: '{name}', values: '{}' }}", values.join(" "))?;
        }
        writeln!(test, "    promql_expr_test:")?;
        for (alert, expression) in &self.alerts {
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
