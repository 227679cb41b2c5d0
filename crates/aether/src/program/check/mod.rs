//! `aether check`: whether all is well, for monitoring. Facts are asked for here, [`rule`] judges them, [`form`] shows it.

mod form;
mod rule;

use aether_runtime::clock::{BootClock, Clock as _};
use aether_screen::Pages;
use aether_screen::model::Alert;

use super::args::{CheckArgs, Global, LimitArgs, Output, Subject};
use super::ask::Nodes;
use super::exit;
use super::out;
use super::pages::{Events, Health};
use crate::admin::{ClusterView, PlanView};
use form::Format;
use rule::{Facts, Judged, Level};

pub(super) async fn run(args: CheckArgs, global: &Global) -> anyhow::Result<u8> {
    let format = match global.output {
        Output::Table | Output::Wide => Format::Text,
        Output::Json => Format::Json,
        Output::Nagios => Format::Nagios,
        Output::Prometheus => Format::Prometheus,
    };
    let nodes = Nodes::of(global)?;
    match facts(&nodes).await {
        Ok(facts) => {
            let judged = Judged::of(args.what, facts, &args.limits);
            out::line(form::shown(&judged, format));
            Ok(code(judged.level, format))
        }
        Err(error) => {
            // Monitoring reads standard output, so it is said there too.
            if let Some(line) = form::unknown(args.what, &format!("{error:#}"), format) {
                out::line(line);
            }
            if format == Format::Nagios {
                return Ok(form::NAGIOS_UNKNOWN);
            }
            Err(error)
        }
    }
}

fn code(level: Level, format: Format) -> u8 {
    match (format, level) {
        (_, Level::Ok) => exit::OK,
        (Format::Nagios, Level::Warning) => form::NAGIOS_WARNING,
        (Format::Nagios, Level::Critical) => form::NAGIOS_CRITICAL,
        (_, Level::Warning) => exit::WARNING,
        (_, Level::Critical) => exit::CRITICAL,
    }
}

/// What a node says of the plan under way.
#[derive(serde::Deserialize)]
struct Moves {
    plan: Option<PlanView>,
}

/// What is wrong by the same rules, for the screen: with the limits that the command line has if nothing is said.
pub(super) fn alerts(pages: &Pages<'_>) -> Vec<Alert> {
    let Ok(facts) = read(pages) else { return aether_screen::health_alerts(pages) };
    let found = Judged::of(Subject::Cluster, facts, &LimitArgs::default()).findings;
    found.into_iter().map(|found| Alert { critical: found.level == Level::Critical, text: found.text.into() }).collect()
}

fn read(pages: &Pages<'_>) -> serde_json::Result<Facts> {
    let plan = serde_json::from_str::<Moves>(pages.moves)?.plan;
    Ok(Facts {
        asked: pages.asked.to_owned(),
        cluster: serde_json::from_str(pages.cluster)?,
        health: serde_json::from_str(pages.health)?,
        plan: plan.zip(pages.plan_seconds),
    })
}

/// What one node knows.
async fn facts(nodes: &Nodes) -> anyhow::Result<Facts> {
    let page = nodes.page("/v1/cluster").await?;
    let cluster: ClusterView = page.view()?;
    let health: Health = nodes.view("/v1/health").await?;
    let plan = nodes.view::<Moves>("/v1/moves").await?.plan;
    let planned_at = match &plan {
        // A plan's number is the epoch of the entry that announced it.
        Some(plan) => {
            let page: Events = nodes.view(&format!("/v1/events?since={}&limit=1", plan.id.saturating_sub(1))).await?;
            page.entries.first().map(|entry| entry.unix_millis)
        }
        None => None,
    };
    let age = planned_at.map(|at| BootClock.wall().unix_millis.saturating_sub(at) / 1000);
    Ok(Facts { asked: page.url, cluster, health, plan: plan.zip(age) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_has_its_exit_code_and_a_plugins_where_one_is_asked_for() {
        for (level, ours, plugins) in [(Level::Ok, 0, 0), (Level::Warning, 4, 1), (Level::Critical, 3, 2)] {
            for format in [Format::Text, Format::Json, Format::Prometheus] {
                assert_eq!(code(level, format), ours, "{level:?} {format:?}");
            }
            assert_eq!(code(level, Format::Nagios), plugins, "{level:?}");
        }
    }
}
