//! `aether verify`: everything that a namespace has stored, read and judged.

use aether_domain::verification::Counts;
use serde_json::json;

use super::args::{Global, StoreArgs, VerifyArgs};
use super::ask::Form;
use super::ink::Ink;
use super::store::Store;
use super::table::Table;
use super::{exit, out};
use crate::verify::{Verified, verify};

pub(super) async fn run(VerifyArgs { store: StoreArgs { config } }: VerifyArgs, global: &Global) -> anyhow::Result<u8> {
    let (form, store) = (global.form()?, Store::of(global, config.as_deref(), "verify")?);
    let nats = store.to_look().connect().await?;
    let verified = verify(&nats.ports, |finding| match form {
        Form::Table | Form::Wide => out::line(finding),
        Form::Json => out::line(json!({ "finding": finding.to_string() })),
    });
    let verified = verified.await;
    nats.session.close().await;
    let verified = verified?;
    let namespace = store.namespace.as_str();
    match form {
        Form::Table | Form::Wide => out::line(table(namespace, &verified, global.ink())),
        Form::Json => out::line(as_json(namespace, &verified)),
    }
    Ok(if verified.findings == 0 { exit::OK } else { exit::CRITICAL })
}

fn table(namespace: &str, Verified { counts, epoch, findings, busy }: &Verified, ink: Ink) -> String {
    let Counts { entries, actors, commits, events, commands, snapshots, timed } = *counts;
    let mut table = Table::new([">", ""]);
    for (figure, what) in [
        (entries, format!("entries of the topology log, up to epoch {epoch}: each follows, and breaks no invariant")),
        (actors, "histories: chained, versions contiguous, shard epochs never falling".to_owned()),
        (commits, format!("commits with {events} events, each by the owner of its shard")),
        (commands, "commands, none of them twice".to_owned()),
        (snapshots, "snapshots that their histories bear out".to_owned()),
        (timed, "actors with open timers that are woken in time".to_owned()),
    ] {
        table.row([figure.to_string().into(), what.into()]);
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
    format!("{end}\n{}", table.shown(ink))
}

fn as_json(namespace: &str, Verified { counts, epoch, findings, busy }: &Verified) -> serde_json::Value {
    let Counts { entries, actors, commits, events, commands, snapshots, timed } = *counts;
    json!({
        "namespace": namespace, "epoch": epoch.0, "findings": findings, "entries": entries, "actors": actors,
        "commits": commits, "events": events, "commands": commands, "snapshots": snapshots, "timed_actors": timed,
        "busy_actors": busy,
    })
}
