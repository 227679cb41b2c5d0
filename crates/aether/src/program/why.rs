//! `aether why`: the entries of the log that led to where a shard is.

use super::args::{Global, WhyCommand};
use super::ask::{Form, Nodes};
use super::history::{Filter, Log, lines as entry_lines};
use super::ink::Ink;
use super::out;
use super::pages::{Entry, ShardPage, Why};
use super::shards::state;
use super::whereabouts::address;
use crate::admin::ClusterView;

pub(super) async fn run(command: WhyCommand, global: &Global) -> anyhow::Result<()> {
    let (form, nodes) = (global.form()?, Nodes::of(global)?);
    let (shard, actor) = match command {
        WhyCommand::Shard { shard } => (shard, None),
        WhyCommand::Actor(args) => {
            let cluster: ClusterView = nodes.view("/v1/cluster").await?;
            let (address, shard) = address(&cluster, &args)?;
            (shard.0, Some(address.key.to_string()))
        }
    };
    let now: ShardPage = nodes.view(&format!("/v1/shards/{shard}")).await?;
    let mut why: Why = nodes.view(&format!("/v1/shards/{shard}/why")).await?;
    if !why.whole {
        // The node keeps the last entries in memory only; the log has all of them.
        why = from_the_log(&Log(&nodes), why).await?;
    }
    match form {
        Form::Json => out::line(serde_json::to_string(&why)?),
        Form::Table | Form::Wide => out::line(lines(actor.as_deref(), &now, &why, form == Form::Wide, global.ink())),
    }
    Ok(())
}

/// How many of a shard's entries are read at once, from the last one on.
const READ_AT_ONCE: usize = 64;

async fn from_the_log(log: &Log<'_>, why: Why) -> anyhow::Result<Why> {
    let (mut entries, mut end): (Vec<Entry>, _) = (Vec::new(), why.epoch);
    loop {
        let mut older = log.latest(end, &Filter::of_shard(why.shard), READ_AT_ONCE).await?;
        let Some(first) = older.first() else { break };
        end = first.epoch - 1;
        let begins = older.iter().rposition(|entry| begins(entry, why.shard));
        older.drain(..begins.unwrap_or_default());
        older.append(&mut entries);
        entries = older;
        if begins.is_some() {
            break;
        }
    }
    Ok(Why { entries, whole: true, ..why })
}

/// Whether what leads to where the shard is begins with that entry: it was given to somebody, or had no owner any more.
fn begins(entry: &Entry, shard: u16) -> bool {
    let begins = |name: &str| matches!(name, "ShardAssigned" | "ShardsOrphaned");
    entry.events.iter().any(|event| begins(&event.name) && event.names(shard))
}

fn lines(actor: Option<&str>, now: &ShardPage, why: &Why, wide: bool, ink: Ink) -> String {
    let actor = actor.map(|actor| format!("{actor} is in shard {}; ", why.shard)).unwrap_or_default();
    let because = if why.entries.is_empty() { "; nothing has led to that yet" } else { ", because" };
    let mut lines = vec![format!("{actor}{}{because}", state(now))];
    lines.extend(why.entries.iter().map(|entry| entry_lines(entry, wide, ink)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::entry;
    use super::*;

    #[test]
    fn why_is_told_from_the_entry_that_began_it_on() {
        let now: ShardPage = serde_json::from_value(serde_json::json!({
            "epoch": 31, "shard": 417, "state": "owned", "owner": "n2", "incarnation": "2", "shard_epoch": 31, "to": null,
            "drain_epoch": null,
        }))
        .expect("a shard");
        let entries = vec![
            entry(1, "the first node", &[("ShardAssigned", &["n1"], Some("0-1023"))]),
            entry(31, "join of n2", &[("ShardMigrated", &["n1", "n2"], Some("417"))]),
        ];
        let why = Why { epoch: 31, shard: 417, owner: Some("n2".into()), entries, whole: true };
        let expected = "\
shard 417 is n2's since epoch 31, because
     1  2026-11-28T11:44:24.123Z  ShardAssigned          n1, shards 0-1023  (the first node; n1 in term 3)
    31  2026-11-28T11:44:24.123Z  ShardMigrated          n1 -> n2, shards 417  (join of n2; n1 in term 3)";
        assert_eq!(lines(None, &now, &why, false, Ink::NONE), expected);
        assert!(lines(Some("account/7"), &now, &why, false, Ink::NONE).starts_with("account/7 is in shard 417; shard"));
    }

    #[test]
    fn it_begins_where_the_shard_was_given_to_somebody_or_lost() {
        for (name, shards, is_so) in [
            ("ShardAssigned", "0-9", true),
            ("ShardsOrphaned", "7", true),
            ("ShardAssigned", "8-9", false),
            ("ShardMigrated", "7", false),
        ] {
            assert_eq!(begins(&entry(1, "x", &[(name, &["n1"], Some(shards))]), 7), is_so, "{name} {shards}");
        }
    }
}
