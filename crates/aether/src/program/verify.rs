//! `aether verify`: everything that a namespace has stored, read and judged.

use aether_domain::verification::Counts;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use super::args::{Output, StoreArgs, VerifyArgs};
use super::{exit, nats_config, out, settings};
use crate::verify::{Verified, verify};

pub(super) async fn run(VerifyArgs { store: StoreArgs { config }, output }: VerifyArgs) -> anyhow::Result<u8> {
    let settings = settings(config.as_deref(), None)?;
    let mut config = nats_config(&settings, "verify");
    config.create_streams = false;
    let nats = aether_infra_nats::connect(&config, &settings.namespace).await?;
    let verified = verify(&nats.ports, |finding| match output {
        Output::Table => out::line(finding),
        Output::Json => out::line(json!({ "finding": finding.to_string() })),
    });
    let verified = verified.await;
    nats.session.close().await;
    let verified = verified?;
    match output {
        Output::Table => out::line(table(settings.namespace.as_str(), &verified)),
        Output::Json => out::line(as_json(settings.namespace.as_str(), &verified)),
    }
    Ok(if verified.findings == 0 { exit::OK } else { exit::CRITICAL })
}

fn table(namespace: &str, Verified { counts, epoch, findings, busy }: &Verified) -> String {
    let Counts { entries, actors, commits, events, commands, snapshots, timed } = *counts;
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    for (figure, what) in [
        (entries, format!("entries of the topology log, up to epoch {epoch}: each follows, and breaks no invariant")),
        (actors, "histories: chained, versions contiguous, shard epochs never falling".to_owned()),
        (commits, format!("commits with {events} events, each by the owner of its shard")),
        (commands, "commands, none of them twice".to_owned()),
        (snapshots, "snapshots that their histories bear out".to_owned()),
        (timed, "actors with open timers that are woken in time".to_owned()),
    ] {
        table.add_row([figure.to_string(), what]);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let busy = match busy {
        0 => String::new(),
        busy => format!("; {busy} actors with timers were too busy to be judged, look again"),
    };
    let end = match findings {
        0 => format!("namespace {namespace}: nothing is wrong{busy}"),
        1 => {
            format!("namespace {namespace}: 1 thing is wrong, told above: what is said below does not hold of it{busy}")
        }
        n => format!(
            "namespace {namespace}: {n} things are wrong, told above: what is said below does not hold of them{busy}"
        ),
    };
    format!("{end}\n{table}")
}

fn as_json(namespace: &str, Verified { counts, epoch, findings, busy }: &Verified) -> serde_json::Value {
    let Counts { entries, actors, commits, events, commands, snapshots, timed } = *counts;
    json!({
        "namespace": namespace, "epoch": epoch.0, "findings": findings, "entries": entries, "actors": actors,
        "commits": commits, "events": events, "commands": commands, "snapshots": snapshots, "timed_actors": timed,
        "busy_actors": busy,
    })
}
