//! `aether placement`: what an operator wants of where shards are, and what became of it.
//!
//! What is wanted is written into the control store and nowhere else: the leader sees it there and takes it into the log,
//! if the cluster can go by it. `show` asks a node.

use aether_domain::policy::{Pin, PlacementPolicy};
use aether_domain::ports::ControlStore;
use aether_domain::{NodeId, ShardId};
use anyhow::Context;

use super::args::{Global, PlacementCommand, StoreArgs};
use super::ask::{Form, show};
use super::out;
use super::store::Store;
use crate::admin::PlacementView;
use crate::operator;
use crate::placement::PolicyText;

pub(super) async fn run(command: PlacementCommand, global: &Global) -> anyhow::Result<()> {
    match command {
        PlacementCommand::Show => return show(global, "/v1/placement", |view, _, _| text(view)).await,
        PlacementCommand::Apply { file, store } => {
            let shown = file.display();
            let text = std::fs::read_to_string(&file).with_context(|| format!("{shown} cannot be read"))?;
            let policy = PolicyText::parse(&text).with_context(|| format!("{shown} is no placement policy"))?;
            change(global, &store, |_| policy.clone()).await?;
        }
        PlacementCommand::Pin { shard, node, store } => {
            let node = NodeId::new(node)?;
            change(global, &store, |wanted| pinned(wanted, shard, Some(&node))).await?;
        }
        PlacementCommand::Unpin { shard, store } => {
            change(global, &store, |wanted| pinned(wanted, shard, None)).await?;
        }
    }
    match global.form()? {
        Form::Json => out::line(serde_json::json!({ "written": true })),
        Form::Table | Form::Wide => {
            out::line("written; the leader adopts it if the cluster can go by it: see `aether placement show`");
        }
    }
    Ok(())
}

/// The policy with that shard on that node, or on none.
fn pinned(wanted: &PlacementPolicy, shard: u16, node: Option<&NodeId>) -> PlacementPolicy {
    let mut policy = wanted.clone();
    policy.pins.retain(|pin| pin.shard != ShardId(shard));
    policy.pins.extend(node.map(|node| Pin { shard: ShardId(shard), node: node.clone() }));
    policy.pins.sort_by_key(|pin| pin.shard);
    policy
}

/// Writes what is to be wanted instead of what is wanted now.
async fn change(
    global: &Global,
    StoreArgs { config }: &StoreArgs,
    to: impl Fn(&PlacementPolicy) -> PlacementPolicy,
) -> anyhow::Result<()> {
    let ports = Store::of(global, config.as_deref(), "placement")?.connect().await?;
    let written = write(&*ports.control, to).await;
    ports.session.close().await;
    written
}

async fn write(control: &dyn ControlStore, to: impl Fn(&PlacementPolicy) -> PlacementPolicy) -> anyhow::Result<()> {
    operator::place(control, to).await.context("the placement was not asked for")
}

/// What is adopted, as the file that would ask for it, with what else there is to know as comments.
fn text(view: &PlacementView) -> String {
    let mut lines = vec![format!("# adopted as of epoch {}\n{}", view.epoch, view.adopted)];
    match (&view.desired, &view.not_adopted) {
        (Some(_), Some(why)) => lines.push(format!("# another one is wanted and not adopted: {why}")),
        (Some(_), None) => lines.push("# another one is wanted and not adopted yet".to_owned()),
        (None, _) => {}
    }
    lines.extend(view.rejected.as_ref().map(|why| format!("# the strategy is not planned by: {why}")));
    if !view.unmet.is_empty() {
        lines.push(format!("# shards whose pins or rules nobody can obey now: {}", view.unmet));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use aether_domain::records::{ControlKey, ControlRecord};
    use aether_infra_memory::MemoryHub;

    use super::*;

    #[tokio::test]
    async fn a_change_is_made_to_what_is_wanted_now_and_somebody_elses_is_not_lost() {
        let node = NodeId::new("n1").expect("a name");
        let control = MemoryHub::new().ports(&node).control;
        for shard in [7, 3] {
            write(&*control, |wanted| pinned(wanted, shard, Some(&node))).await.expect("written");
        }
        write(&*control, |wanted| pinned(wanted, 7, None)).await.expect("written");
        let stored = control.read(&ControlKey::Placement).await.expect("read").expect("written before");
        let ControlRecord::Placement(desired) = stored.record else { panic!("another record") };
        assert_eq!(desired.policy.pins, [Pin { shard: ShardId(3), node }]);
        desired.policy.check(aether_domain::ShardCount::DEFAULT).expect("the leader could adopt it");
    }
}
