//! Who is unwell: nodes that beat and do not do what they are there for.
//!
//! A node that is silent is not judged here: it is fenced and fails. A slow one is found by what it says of itself and by
//! what others say of it, each heartbeat anew. Two must agree, and for half a minute; until then nothing happens, because
//! whoever takes shards from every node that is slow for a moment makes a slow cluster out of a slow node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aether_domain::cluster::{ClusterCommand, ClusterRefusal, Member, NodeStatus, Trust};
use aether_domain::records::{Health, MemberRecord};
use aether_domain::topology::{Draft, Topology};
use aether_domain::{Incarnation, Monotonic, NodeId};

use super::Facts;
use crate::control::Timers;

/// So late an executor does nobody's work in time.
const LOOP_LAG_BAD: Duration = Duration::from_millis(500);
/// A command that has waited so long for its turn waits behind something that does not end.
const MAILBOX_AGE_BAD: Duration = Duration::from_secs(5);
/// Commits that take longer than this are slow, if they are [`COMMITS_APART`] times as slow as half of the nodes' are: if
/// they are slow everywhere, it is the log that is.
const COMMIT_P99_BAD: Duration = Duration::from_secs(1);
const COMMITS_APART: u32 = 4;
/// So many must find a node unwell, itself among them perhaps.
const ACCUSERS_MIN: usize = 2;
/// How many of them an entry names.
const ACCUSERS_NAMED_MAX: usize = 8;
/// How long a node must be unwell to be suspected.
const SUSPECT_AFTER: Duration = Duration::from_secs(30);
/// How long a node must be unwell to be relieved of its shards.
const RELIEVE_AFTER: Duration = Duration::from_secs(60);
/// How long a suspected node must be well to be trusted again.
const TRUST_AFTER: Duration = Duration::from_secs(30);
/// Being well for less than this in between does not count.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What a leader remembers of its members' health: since when, by its own clock. Lost with it, and harmless to lose.
#[derive(Debug, Default)]
pub(super) struct Unwell {
    stories: BTreeMap<Incarnation, Story>,
}

#[derive(Clone, Copy, Debug)]
struct Story {
    /// Since when it is unwell, if it is.
    since: Option<Monotonic>,
    /// When it was last found unwell, or first looked at.
    last: Monotonic,
}

/// Suspects, relieves and trusts again whomever that is due for.
pub(super) fn judge(
    draft: &mut Draft,
    facts: &Facts<'_>,
    unwell: &mut Unwell,
    timers: &mut Timers,
    causes: &mut super::Causes,
) -> Result<(), String> {
    let now = timers.now();
    let accusers = accusers(draft.topology(), facts);
    let active: Vec<Member> = draft.topology().cluster().active().cloned().collect();
    unwell.stories.retain(|life, _| active.iter().any(|member| member.node.incarnation == *life));
    for Member { node, trust, .. } in active {
        let by = accusers.get(&node.node).filter(|by| by.len() >= ACCUSERS_MIN);
        let story = unwell.stories.entry(node.incarnation).or_insert(Story { since: None, last: now });
        if by.is_some() {
            story.since.get_or_insert(now);
            story.last = now;
        } else if story.since.is_some() && timers.reached(story.last + PAUSE_MAX) {
            story.since = None;
        }
        let mut unwell_for = |time| story.since.is_some_and(|since| timers.reached(since + time));
        let (word, command) = match trust {
            Trust::Full if unwell_for(SUSPECT_AFTER) => {
                let by = by.into_iter().flatten().take(ACCUSERS_NAMED_MAX).cloned().collect();
                ("is unwell", ClusterCommand::SuspectNode { node: node.clone(), by })
            }
            Trust::Suspected if unwell_for(RELIEVE_AFTER) => {
                ("is relieved", ClusterCommand::RelieveNode { node: node.clone() })
            }
            Trust::Suspected | Trust::Relieved if story.since.is_none() && timers.reached(story.last + TRUST_AFTER) => {
                ("is well again", ClusterCommand::TrustNode { node: node.clone() })
            }
            _ => continue,
        };
        match draft.cluster(&command) {
            Ok(()) => causes.push(format!("{} {word}", node.node)),
            // Its turn comes when another is well again, or gone.
            Err(ClusterRefusal::TooManyRelieved { .. }) => {}
            Err(refusal) => return Err(refusal.to_string()),
        }
    }
    Ok(())
}

/// Who finds each node unwell now. Whoever finds more than half of the others unwell says more of itself than of them.
fn accusers(topology: &Topology, facts: &Facts<'_>) -> BTreeMap<NodeId, BTreeSet<NodeId>> {
    let records: Vec<_> = topology.cluster().active().filter_map(|member| record_of(member, facts)).collect();
    let mut commits: Vec<_> = records.iter().map(|record| record.health.commit_p99).collect();
    commits.sort_unstable();
    let usual = commits.get(commits.len().saturating_sub(1) / 2).copied().unwrap_or_default();
    let mut found: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
    for record in &records {
        let me = &record.node.node;
        let others: BTreeSet<&NodeId> = record.health.accuses.iter().filter(|node| *node != me).collect();
        // With one other there is nobody to tell the two apart.
        let everybody = others.len() * 2 > records.len() - 1;
        if everybody || says_so_itself(&record.health, usual) {
            found.entry(me.clone()).or_default().insert(me.clone());
        }
        if !everybody {
            for node in others {
                found.entry(node.clone()).or_default().insert(me.clone());
            }
        }
    }
    found
}

/// The present record of that member's life, unless it may be dying.
fn record_of<'a>(member: &Member, facts: &Facts<'a>) -> Option<&'a MemberRecord> {
    let seen = facts.sightings.member(&member.node.node)?;
    let present = seen.record.node == member.node && !seen.record.state.is_over();
    (present && member.status == NodeStatus::Active && !facts.doubtful.contains(&member.node.incarnation))
        .then_some(&seen.record)
}

fn says_so_itself(health: &Health, usual_commit: Duration) -> bool {
    health.loop_lag >= LOOP_LAG_BAD
        || health.mailbox_age >= MAILBOX_AGE_BAD
        || health.commit_p99 >= COMMIT_P99_BAD && health.commit_p99 >= usual_commit.saturating_mul(COMMITS_APART)
}
