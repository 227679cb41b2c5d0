//! `aether shards`: whose they are, in numbers or as a grid, and one shard with its history.

mod grid;

use aether_domain::ShardSet;
use serde_json::json;

use super::args::{Global, ShardsArgs, ShardsCommand};
use super::ask::{Form, Nodes};
use super::history::{Filter, Log, lines as entry_lines, short};
use super::ink::{Ink, Tone};
use super::pages::{ShardPage, Shards};
use super::table::{Cell, Table};
use super::{Usage, out};

pub(super) async fn run(args: ShardsArgs, global: &Global) -> anyhow::Result<()> {
    let (form, ink, nodes) = (global.form()?, global.ink(), Nodes::of(global)?);
    if let Some(ShardsCommand::Show { shard, limit }) = args.command {
        if args.grid || args.orphaned || args.node.is_some() {
            return Err(
                Usage("`shards show` is of one shard: leave --grid, --node and --orphaned out".to_owned()).into()
            );
        }
        return one(&nodes, shard, limit, form, ink).await;
    }
    let mut shards: Shards = nodes.view("/v1/shards").await?;
    if let Some(node) = &args.node {
        if !shards.owners.contains_key(node) {
            // It may own nothing; if there is no such node, this says so.
            nodes.page(&format!("/v1/nodes/{node}")).await?;
        }
        shards = of_node(shards, node);
    }
    if args.orphaned {
        shards = orphaned(shards);
    }
    match form {
        Form::Json => out::line(serde_json::to_string(&shards)?),
        Form::Table | Form::Wide if args.grid => out::line(grid::lines(&shards, form == Form::Wide, ink)?),
        Form::Table | Form::Wide => out::line(lines(&shards, &args, form, ink)?),
    }
    Ok(())
}

/// What that node owns, and nothing else.
fn of_node(mut shards: Shards, node: &str) -> Shards {
    shards.owners.retain(|owner, _| owner == node);
    let mine = shards.owners.entry(node.to_owned()).or_default();
    shards.moving = common(&shards.moving, mine);
    shards.orphaned.clear();
    shards
}

/// What nobody owns, and nothing else.
fn orphaned(mut shards: Shards) -> Shards {
    shards.owners.clear();
    shards.moving.clear();
    shards
}

/// What is in both, as runs; runs that are none have nothing in common with any.
fn common(one: &str, other: &str) -> String {
    let (one, other): (ShardSet, ShardSet) = (one.parse().unwrap_or_default(), other.parse().unwrap_or_default());
    one.iter().filter(|shard| other.contains(*shard)).collect::<ShardSet>().to_string()
}

/// How many there are.
fn count(runs: &str) -> anyhow::Result<usize> {
    Ok(runs.parse::<ShardSet>()?.len())
}

fn lines(shards: &Shards, args: &ShardsArgs, form: Form, ink: Ink) -> anyhow::Result<String> {
    let (orphaned, moving) = (count(&shards.orphaned)?, count(&shards.moving)?);
    let what = match (&args.node, args.orphaned) {
        (Some(node), _) => format!("of {} shards, those of {node}: {moving} moving", shards.total),
        (None, true) => format!("{orphaned} of {} shards have no owner", shards.total),
        (None, false) => format!("{} shards: {orphaned} without an owner, {moving} moving", shards.total),
    };
    let runs = |runs: &str| if form == Form::Wide { runs.to_owned() } else { short(runs) };
    let mut table = Table::new(["OWNER", ">SHARDS", "WHICH"]);
    for (owner, owned) in &shards.owners {
        table.row([owner.as_str().into(), count(owned)?.to_string().into(), runs(owned).into()]);
    }
    if orphaned > 0 {
        let nobody = Cell::toned(Tone::Bad, "nobody");
        table.row([nobody, orphaned.to_string().into(), runs(&shards.orphaned).into()]);
    }
    let mut lines = vec![format!("epoch {}: {what}", shards.epoch)];
    if orphaned > 0 || !shards.owners.is_empty() {
        lines.push(table.shown(ink));
    }
    if moving > 0 {
        lines.push(format!("moving: {}", runs(&shards.moving)));
    }
    Ok(lines.join("\n"))
}

/// One shard, and the last of what happened to it.
async fn one(nodes: &Nodes, shard: u16, limit: usize, form: Form, ink: Ink) -> anyhow::Result<()> {
    let now: ShardPage = nodes.view(&format!("/v1/shards/{shard}")).await?;
    let history = Log(nodes).latest(now.epoch, &Filter::of_shard(shard), limit).await?;
    match form {
        Form::Json => {
            let mut shown = serde_json::to_value(&now)?;
            shown["history"] = json!(history);
            out::line(shown);
        }
        Form::Table | Form::Wide => {
            out::line(state(&now));
            for entry in &history {
                out::line(entry_lines(entry, form == Form::Wide, ink));
            }
        }
    }
    Ok(())
}

/// Where one shard is, in a sentence.
pub(super) fn state(now: &ShardPage) -> String {
    let ShardPage { shard, owner, to, .. } = now;
    let epoch = |epoch: Option<u64>| epoch.map(|epoch| format!(" since epoch {epoch}")).unwrap_or_default();
    let on_its_way = match to {
        Some(to) => format!(", and on its way to {to}{}", epoch(now.drain_epoch)),
        None => String::new(),
    };
    match owner {
        Some(owner) => format!("shard {shard} is {owner}'s{}{on_its_way}", epoch(now.shard_epoch)),
        None => format!("shard {shard} has no owner"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(moving: &str, orphaned: &str) -> Shards {
        let owners = [("n1", "0-2,6"), ("n2", "3-5")];
        Shards {
            epoch: 31,
            total: 8,
            owners: owners.iter().map(|(owner, runs)| ((*owner).to_owned(), (*runs).to_owned())).collect(),
            orphaned: orphaned.to_owned(),
            moving: moving.to_owned(),
        }
    }

    fn args(node: Option<&str>, orphaned: bool) -> ShardsArgs {
        ShardsArgs { grid: false, node: node.map(str::to_owned), orphaned, command: None }
    }

    #[test]
    fn owners_are_shown_with_how_many_shards_they_have_and_which() {
        let shown = lines(&shards("2-3", "7"), &args(None, false), Form::Table, Ink::NONE).expect("runs");
        let expected = "\
epoch 31: 8 shards: 1 without an owner, 2 moving
OWNER   SHARDS  WHICH
n1           4  0-2,6
n2           3  3-5
nobody       1  7
moving: 2-3";
        assert_eq!(shown, expected);
    }

    #[test]
    fn only_one_nodes_or_only_those_of_nobody_are_shown_if_that_is_asked() {
        let shown = |shards, args| lines(&shards, &args, Form::Table, Ink::NONE).expect("runs");
        let mine = shown(of_node(shards("2-3", "7"), "n2"), args(Some("n2"), false));
        let expected =
            "epoch 31: of 8 shards, those of n2: 1 moving\nOWNER  SHARDS  WHICH\nn2          3  3-5\nmoving: 3";
        assert_eq!(mine, expected);
        let none = shown(of_node(shards("2-3", "7"), "n3"), args(Some("n3"), false));
        assert_eq!(none, "epoch 31: of 8 shards, those of n3: 0 moving\nOWNER  SHARDS  WHICH\nn3          0");
        let nobodys = shown(orphaned(shards("2-3", "7")), args(None, true));
        assert_eq!(nobodys, "epoch 31: 1 of 8 shards have no owner\nOWNER   SHARDS  WHICH\nnobody       1  7");
        let all_owned = shown(orphaned(shards("2-3", "")), args(None, true));
        assert_eq!(all_owned, "epoch 31: 0 of 8 shards have no owner");
    }

    #[test]
    fn where_a_shard_is_is_a_sentence() {
        let mut shard: ShardPage = serde_json::from_value(json!({
            "epoch": 31, "shard": 7, "state": "draining", "owner": "n1", "incarnation": "1", "shard_epoch": 12, "to": "n2",
            "drain_epoch": 30,
        }))
        .expect("a shard");
        assert_eq!(state(&shard), "shard 7 is n1's since epoch 12, and on its way to n2 since epoch 30");
        (shard.to, shard.drain_epoch) = (None, None);
        assert_eq!(state(&shard), "shard 7 is n1's since epoch 12");
        shard.owner = None;
        assert_eq!(state(&shard), "shard 7 has no owner");
    }
}
