//! A shard's facts as log lines: fields, never payloads or state.

use aether_domain::ShardId;
use tracing::{error, info, warn};

use super::input::Fact;

pub(super) fn log(shard: ShardId, fact: &Fact) {
    let shard = shard.0;
    match fact {
        Fact::Stale { actor, epoch } => {
            warn!(shard, actor = %actor.key, topology = epoch.0, "a stored record shows a later owner: shard dropped");
        }
        Fact::Conflict { actor } => {
            info!(shard, actor = %actor.key, "somebody else appended first: actor reloaded");
        }
        Fact::Unresolved { actor, tries } => {
            warn!(shard, actor = %actor.key, tries, "append has no clear outcome yet: actor waits");
        }
        Fact::NotLoaded { actor, reason } => warn!(shard, actor = %actor.key, reason, "actor not loaded"),
        Fact::NotSaved { actor, reason } => warn!(shard, actor = %actor.key, reason, "snapshot not saved"),
        Fact::SnapshotLeftOut { actor, reason } => {
            warn!(shard, actor = %actor.key, reason, "snapshot left out: loading without it");
        }
        Fact::WarmLeftOut { actor, reason } => {
            warn!(shard, actor = %actor.key, reason, "warm state left out: the actor is loaded");
        }
        Fact::Panicked { actor, reason } => {
            warn!(shard, actor = %actor.key, reason, "actor panicked: instance dropped");
        }
        Fact::Poisoned { actor, command, reason } => {
            error!(shard, actor = %actor.key, command_id = %command, reason, "command given up: see the dead letters");
        }
        Fact::TimerGivenUp { actor, timer, reason } => {
            error!(shard, actor = %actor.key, timer, reason, "a reminder's command cannot be run: given up");
        }
        Fact::TimerUnknown { actor, timer, command } => {
            warn!(shard, actor = %actor.key, timer, command, "a reminder waits for a build that knows its command");
        }
        Fact::NoWake { actor, reason } => {
            warn!(shard, actor = %actor.key, reason, "no wake could be written: record with reminders not sent");
        }
        Fact::Quarantined { actor, reason } => error!(shard, actor = %actor.key, reason, "actor set aside"),
    }
}
