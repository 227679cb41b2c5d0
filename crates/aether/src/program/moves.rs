//! `aether moves`: the plan under way, and how far each move is that one node has a part in.

use std::time::Duration;

use comfy_table::{Table, presets};
use serde::Deserialize;

use super::args::{MovesArgs, Output};
use super::{out, status};
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

pub(super) async fn run(args: MovesArgs) -> anyhow::Result<()> {
    let path = args.shard.map_or_else(|| "/v1/moves".to_owned(), |shard| format!("/v1/moves/{shard}"));
    loop {
        let body = status::page(&args.status.url, &path).await?;
        match args.status.output {
            // One shard's moves are for machines and the curious: they are shown as they are.
            Output::Table if args.shard.is_none() => out::line(text(&status::view(&args.status.url, &body)?)),
            Output::Table | Output::Json => out::line(body.trim_end()),
        }
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

fn text(page: &Page) -> String {
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
        lines.push(table(&page.here));
    }
    lines.join("\n")
}

fn table(moves: &[ShardMoveView]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["SHARD", "FROM", "TO", "PHASE", "TOOK", "ACTORS", "BYTES", "RETRIES"]);
    for moved in moves.iter().take(LINES_MAX) {
        let took = moved.reached.last().map_or(0, |reached| reached.after_us);
        table.add_row([
            moved.shard.to_string(),
            moved.from.clone(),
            moved.to.clone(),
            moved.phase.clone(),
            format!("{:.1} ms", Duration::from_micros(took).as_secs_f64() * 1000.0),
            moved.actors.to_string(),
            moved.bytes.to_string(),
            moved.retries.to_string(),
        ]);
    }
    table.to_string()
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
        let text = text(&serde_json::from_value(page).expect("a page"));
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        assert_eq!(lines[0], "epoch 31: plan 4 (joined), 2 of 9 moved");
        assert_eq!(lines[1], "draining: shards 3-5 from n1 to n2");
        let cells: Vec<_> = lines[3].split_whitespace().collect();
        assert_eq!(cells, ["3", "n1/1", "n2/2", "sent", "1.5", "ms", "7", "900", "1"]);
    }
}
