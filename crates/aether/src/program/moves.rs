//! `aether moves`: the plan under way, and how far each move is that one node has a part in.

use std::time::Duration;

use serde::Deserialize;

use super::args::{Global, MovesArgs};
use super::ask::{Form, Nodes};
use super::ink::Ink;
use super::out;
use super::table::Table;
use crate::admin::ShardMoveView;

/// How often a watched page is shown anew.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// The most moves of a table: the latest.
const LINES_MAX: usize = 40;

/// What is shown of `/v1/moves`.
#[derive(Deserialize)]
struct Page {
    epoch: u64,
    plan: Option<Plan>,
    draining: Vec<Runs>,
    pending: Vec<Runs>,
    here: Vec<ShardMoveView>,
}

#[derive(Deserialize)]
struct Plan {
    id: u64,
    cause: String,
    planned: u32,
    moved: u32,
}

#[derive(Deserialize)]
struct Runs {
    shards: String,
    from: String,
    to: String,
}

pub(super) async fn run(args: MovesArgs, global: &Global) -> anyhow::Result<()> {
    let path = args.shard.map_or_else(|| "/v1/moves".to_owned(), |shard| format!("/v1/moves/{shard}"));
    let (form, nodes) = (global.form()?, Nodes::of(global)?);
    loop {
        let page = nodes.page(&path).await?;
        let read = match form {
            // One shard's moves are for machines and the curious: they are shown as they are.
            Form::Table | Form::Wide if args.shard.is_none() => out::told(text(&page.view()?, form, global.ink())),
            Form::Table | Form::Wide | Form::Json => out::told(page.body.trim_end()),
        };
        if !args.watch || !read {
            return Ok(());
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

fn text(page: &Page, form: Form, ink: Ink) -> String {
    let mut lines = vec![match &page.plan {
        Some(plan) => {
            format!("epoch {}: plan {} ({}), {} of {} moved", page.epoch, plan.id, plan.cause, plan.moved, plan.planned)
        }
        None => format!("epoch {}: no plan under way", page.epoch),
    }];
    for (what, runs) in [("draining", &page.draining), ("pending", &page.pending)] {
        lines.extend(
            runs.iter().map(|runs| format!("{what}: shards {} from {} to {}", runs.shards, runs.from, runs.to)),
        );
    }
    if !page.here.is_empty() {
        lines.push(table(&page.here, form, ink));
    }
    lines.join("\n")
}

fn table(moves: &[ShardMoveView], form: Form, ink: Ink) -> String {
    let mut table = Table::new([">SHARD", "FROM", "TO", "PHASE", ">TOOK", ">ACTORS", ">BYTES", ">RETRIES"]);
    let most = if form == Form::Wide { usize::MAX } else { LINES_MAX };
    for moved in moves.iter().take(most) {
        let took = moved.reached.last().map_or(0, |reached| reached.after_us);
        table.row([
            moved.shard.to_string().into(),
            moved.from.as_str().into(),
            moved.to.as_str().into(),
            moved.phase.as_str().into(),
            format!("{:.1} ms", Duration::from_micros(took).as_secs_f64() * 1000.0).into(),
            moved.actors.to_string().into(),
            moved.bytes.to_string().into(),
            moved.retries.to_string().into(),
        ]);
    }
    let mut shown = table.shown(ink);
    if moves.len() > most {
        shown = format!("{shown}\nand {} more: see -o wide", moves.len() - most);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_shown_as_a_plan_its_runs_and_a_table() {
        let page = serde_json::json!({
            "epoch": 31, "plan": { "id": 4, "cause": "joined", "planned": 9, "moved": 2 },
            "draining": [{ "shards": "3-5", "from": "n1", "to": "n2" }], "pending": [],
            "here": [{
                "shard": 3, "drain_epoch": 30, "from": "n1/1", "to": "n2/2", "role": "source", "phase": "sent",
                "reached": [{ "phase": "paused", "at_ms": 1, "after_us": 0 }, { "phase": "sent", "at_ms": 2, "after_us": 1500 }],
                "actors": 7, "bytes": 900, "retries": 1,
            }],
        });
        let text = text(&serde_json::from_value(page).expect("a page"), Form::Table, Ink::NONE);
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        assert_eq!(lines[0], "epoch 31: plan 4 (joined), 2 of 9 moved");
        assert_eq!(lines[1], "draining: shards 3-5 from n1 to n2");
        let cells: Vec<_> = lines[3].split_whitespace().collect();
        assert_eq!(cells, ["3", "n1/1", "n2/2", "sent", "1.5", "ms", "7", "900", "1"]);
    }
}
