//! What `cluster-up` says without a screen: a line whenever something has changed, until it is told to end.

use std::{path::Path, time::Duration};

use anyhow::Result;

use super::{file::ClusterFile, status::status};
use crate::{
    clock::{Deadline, wait_for},
    interrupt,
};

/// How often everybody is asked.
const EVERY: Duration = Duration::from_secs(1);

/// Says each change with `say` until this command is interrupted or another one has ended the cluster.
///
/// # Errors
/// The cluster's file can no longer be read.
pub fn watch(dir: &Path, say: impl Fn(String)) -> Result<()> {
    let mut last = String::new();
    while !interrupt::requested() && ClusterFile::find(dir)?.is_some() {
        if let Ok(now) = status(dir, false) {
            let nodes: Vec<_> = now
                .nodes
                .iter()
                .map(|node| {
                    let status = if node.reachable { node.status.as_deref().unwrap_or("unknown") } else { "no answer" };
                    format!("{} {status} {}", node.id, node.shards.unwrap_or_default())
                })
                .collect();
            let line = format!(
                "leader {} term {} epoch {} shards {}/{} | {}",
                now.leader.as_deref().unwrap_or("none"),
                now.term.unwrap_or_default(),
                now.epoch.unwrap_or_default(),
                now.shards.assigned,
                now.shards.total,
                nodes.join(" | ")
            );
            if line != last {
                let load = now.load.map(|load| format!(" | {} acknowledged", load.acknowledged)).unwrap_or_default();
                say(format!("{line}{load}"));
                last = line;
            }
        }
        let pause = Deadline::after(EVERY);
        // The end of the pause is the usual outcome, not a failure.
        let _ = wait_for("an interrupt", pause, || Ok(interrupt::requested().then_some(())));
    }
    Ok(())
}
