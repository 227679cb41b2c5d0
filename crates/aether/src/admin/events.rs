//! What happened to the cluster, as pages: entries of the topology log in JSON, once or as they come.
//!
//! They are read from the log each time, so any entry can be had, and a reader that is slow or gone costs one batch.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::assignment::AssignmentEvent;
use aether_domain::cluster::{ClusterEvent, FailureReason};
use aether_domain::topology::TopologyEvent;
use aether_domain::{Epoch, NodeRef};
use aether_runtime::projection::Line;
use aether_runtime::projection::audit::{nodes_of, shards_of};
use aether_runtime::subscription::{Since, TopologyEvents, TopologyRecord};
use axum::http::{HeaderMap, header::ACCEPT};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::picture::Source;

/// The most entries on one page.
pub const EVENTS_MAX: u64 = 256;
/// The most readers that follow at once: half of all connections stay for pages.
pub const FOLLOWERS_MAX: usize = super::places::CONNECTIONS_MAX / 2;
/// How often a reader that follows is shown that the connection is alive; far below what ends a silent one.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// How long a reader waits before it comes back.
const BACK_AFTER: Duration = Duration::from_secs(1);

/// `GET /v1/events`: the entries behind an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventsView {
    /// The last entry this node has applied.
    pub epoch: u64,
    /// At most [`EVENTS_MAX`] entries, in order.
    pub entries: Vec<EntryView>,
    /// What to ask for next: `?since=` this.
    pub next: u64,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryView {
    /// Its number.
    pub epoch: u64,
    /// The term it was written in.
    pub term: u64,
    /// The id of the leader that wrote it.
    pub leader: String,
    /// Why, in words.
    pub cause: String,
    /// When, by the leader's wall clock, in milliseconds since 1970.
    pub unix_millis: u64,
    /// What happened, in order.
    pub events: Vec<EventView>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventView {
    /// Its name.
    pub name: &'static str,
    /// The nodes it is about: of a move, where from and where to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// The shards it is about, as runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<String>,
    /// How it is known, why it was given up, or what made it necessary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

impl EntryView {
    /// The entry as it is shown.
    pub fn of(record: &TopologyRecord) -> Self {
        Self {
            epoch: record.epoch.0,
            term: record.term.0,
            leader: record.leader.node.to_string(),
            cause: record.cause.clone(),
            unix_millis: record.stamped.unix_millis,
            events: record.events.iter().map(EventView::of).collect(),
        }
    }

    /// One event of an entry, as it is shown.
    pub fn of_line(line: &Line) -> Self {
        Self {
            epoch: line.epoch.0,
            term: line.term.0,
            leader: line.leader.node.to_string(),
            cause: line.cause.clone(),
            unix_millis: line.stamped.unix_millis,
            events: vec![EventView::of(&line.event)],
        }
    }
}

impl EventView {
    fn of(event: &TopologyEvent) -> Self {
        let nodes = nodes_of(event).into_iter().map(|NodeRef { node, .. }| node.to_string()).collect();
        let reason = match event {
            TopologyEvent::Cluster(ClusterEvent::NodeFailed { reason, .. }) => {
                FailureReason::NAMES.iter().find(|(named, _)| named == reason).map(|(_, name)| *name)
            }
            TopologyEvent::Cluster(ClusterEvent::RebalancingTriggered { cause, .. }) => Some(cause.name()),
            TopologyEvent::Assignment(AssignmentEvent::ShardMigrationFailed { reason, .. }) => {
                let names = aether_domain::assignment::CancelReason::NAMES;
                names.iter().find(|(named, _)| named == reason).map(|(_, name)| *name)
            }
            _ => None,
        };
        Self { name: event.name(), nodes, shards: shards_of(event).map(ToString::to_string), reason }
    }
}

/// The places of those who follow.
#[derive(Clone)]
pub(super) struct Followers(Arc<Semaphore>);

impl Default for Followers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(FOLLOWERS_MAX)))
    }
}

impl Followers {
    /// A place, unless all are taken.
    pub(super) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// What is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    since: Option<u64>,
    limit: Option<u64>,
}

/// Whether the entries are wanted as they come.
pub(super) fn follows(headers: &HeaderMap) -> bool {
    let accepts = headers.get(ACCEPT).and_then(|accepts| accepts.to_str().ok()).unwrap_or_default();
    accepts.contains("text/event-stream")
}

/// One page of entries, of those that the node has applied.
pub(super) async fn page(
    source: &Arc<dyn Source>,
    applied: Epoch,
    asked: &Asked,
) -> Result<Option<EventsView>, String> {
    let since = asked.since.unwrap_or_default();
    let limit = asked.limit.unwrap_or(EVENTS_MAX).min(EVENTS_MAX);
    let Some(mut events) = source.topology_events(Since::Epoch(Epoch(since))) else { return Ok(None) };
    let (mut entries, mut next) = (Vec::new(), since);
    // What the node has applied is there: it is not waited for.
    while next < applied.0 && (entries.len() as u64) < limit {
        let Some(told) = events.next().await else { break };
        let record = told.map_err(|error| error.to_string())?;
        next = record.epoch.0;
        entries.push(EntryView::of(&record));
    }
    Ok(Some(EventsView { epoch: applied.0, entries, next }))
}

/// The entries as they come, each with its epoch as its id, so that a reader that comes back goes on where it was. `place` is
/// given back when the reader has gone.
pub(super) fn followed(
    place: OwnedSemaphorePermit,
    source: &Arc<dyn Source>,
    asked: &Asked,
    headers: &HeaderMap,
) -> Option<Sse<impl futures_util::Stream<Item = Result<Event, Infallible>> + use<>>> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let since = last.or(asked.since).map_or(Since::Now, |epoch| Since::Epoch(Epoch(epoch)));
    let events = source.topology_events(since)?;
    let shown = stream::unfold(Some((events, place)), |reader: Option<(TopologyEvents, _)>| async {
        let (mut events, place) = reader?;
        let (event, goes_on) = match events.next().await? {
            Ok(record) => {
                let event = Event::default().id(record.epoch.0.to_string()).event("topology").retry(BACK_AFTER);
                (event.json_data(EntryView::of(&record)), true)
            }
            Err(error) => (Ok(Event::default().event("error").data(error.to_string())), false),
        };
        // Views of plain values can always be written as JSON.
        Some((Ok(event.unwrap_or_default()), goes_on.then_some((events, place))))
    });
    Some(Sse::new(shown).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)))
}
