//! Alerts on a real cluster: the condition is caused, the pages are scraped as Prometheus does, and promtool says which
//! expressions of docs/deploy/prometheus/aether-alerts.yml hold. How long each must hold is for their own unit tests.
//!
//! Read next: `stage.rs`; then what is done to processes and their server (`processes.rs`), by actors and feeds (`actors.rs`), by a server that takes rights away
//! (`rights.rs`), and by networks and somebody hostile (`outside.rs`).

mod actors;
mod forger;
mod outside;
mod processes;
mod rights;
mod stage;
mod together;
mod watch;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

#[test]
fn every_alert_is_caused_where_the_page_on_tests_says() -> anyhow::Result<()> {
    const SOURCES: [(&str, &str); 4] = [
        ("actors.rs", include_str!("actors.rs")),
        ("outside.rs", include_str!("outside.rs")),
        ("processes.rs", include_str!("processes.rs")),
        ("rights.rs", include_str!("rights.rs")),
    ];
    let page = include_str!("../../../../docs/TESTING.md");
    let alerts = watch::alerts()?;
    anyhow::ensure!(alerts.len() >= 20, "{}", alerts.len());
    for (alert, _) in alerts {
        let row = page.lines().find(|line| line.starts_with(&format!("| {alert} |")));
        let row = row.ok_or_else(|| anyhow::anyhow!("docs/TESTING.md does not say how {alert} is caused"))?;
        let causes = |(name, source): &(&str, &str)| row.contains(name) && source.contains(&format!("{alert:?}"));
        anyhow::ensure!(SOURCES.iter().any(causes), "no test does what is said: {row}");
    }
    Ok(())
}
