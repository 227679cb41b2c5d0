//! Entries of the topology log, read page by page from a node: the latest, those since some time, those about something.

use std::time::Duration;

use aether_domain::topology::TopologyEvent;
use aether_domain::{ShardId, ShardSet};

use super::Usage;
use super::ask::Nodes;
use super::ink::{Ink, Tone};
use super::pages::{Entry, Event, Events};
use super::when::utc;
use crate::admin::EVENTS_MAX;

/// The most characters of runs of shards in a line.
const RUNS_MAX: usize = 40;

/// Which events are wanted; by default all.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    types: Vec<String>,
    node: Option<String>,
    shard: Option<u16>,
}

impl Filter {
    /// Those of one of these names, about that node and that shard, as far as something is said.
    ///
    /// # Errors
    /// [`Usage`]: no event has that name.
    pub(super) fn new(types: &[String], node: Option<String>, shard: Option<u16>) -> Result<Self, Usage> {
        let known = |asked: &String| {
            let named = TopologyEvent::NAMES.iter().find(|name| name.eq_ignore_ascii_case(asked.trim()));
            named.map(ToString::to_string).ok_or_else(|| {
                Usage(format!("no event is called {asked:?}; there are {}", TopologyEvent::NAMES.join(", ")))
            })
        };
        Ok(Self { types: types.iter().map(known).collect::<Result<_, _>>()?, node, shard })
    }

    /// Those about one shard.
    pub(super) fn of_shard(shard: u16) -> Self {
        Self { shard: Some(shard), ..Self::default() }
    }

    /// Whether everything is wanted.
    fn is_open(&self) -> bool {
        self.types.is_empty() && self.node.is_none() && self.shard.is_none()
    }

    /// What of the entry is wanted.
    pub(super) fn take(&self, mut entry: Entry) -> Option<Entry> {
        entry.events.retain(|event| self.wants(event));
        (!entry.events.is_empty() || self.is_open()).then_some(entry)
    }

    fn wants(&self, event: &Event) -> bool {
        (self.types.is_empty() || self.types.contains(&event.name))
            && self.node.as_ref().is_none_or(|node| event.nodes.contains(node))
            && self.shard.is_none_or(|shard| event.names(shard))
    }
}

impl Event {
    /// Whether it is about that shard.
    pub(super) fn names(&self, shard: u16) -> bool {
        let shards = self.shards.as_ref().and_then(|runs| runs.parse::<ShardSet>().ok());
        shards.is_some_and(|shards| shards.contains(ShardId(shard)))
    }
}

/// The log, as one node reads it.
pub(super) struct Log<'a>(pub(super) &'a Nodes);

impl Log<'_> {
    async fn page(&self, since: u64, limit: u64) -> anyhow::Result<Events> {
        self.0.view(&format!("/v1/events?since={since}&limit={limit}")).await
    }

    /// The last entry that the node has applied.
    pub(super) async fn end(&self) -> anyhow::Result<u64> {
        Ok(self.page(0, 0).await?.epoch)
    }

    /// The latest entries up to `end` of which something is wanted, at most `limit`, in order.
    pub(super) async fn latest(&self, end: u64, filter: &Filter, limit: usize) -> anyhow::Result<Vec<Entry>> {
        let (mut found, mut end) = (Vec::new(), end);
        let size = if filter.is_open() { EVENTS_MAX.min(limit as u64) } else { EVENTS_MAX };
        while end > 0 && found.len() < limit {
            let since = end.saturating_sub(size);
            let page = self.page(since, end - since).await?;
            let wanted = page.entries.into_iter().rev().filter(|entry| entry.epoch <= end);
            found.extend(wanted.filter_map(|entry| filter.take(entry)));
            end = since;
        }
        found.truncate(limit);
        found.reverse();
        Ok(found)
    }

    /// Tells every entry behind `since` of which something is wanted, at most `limit`; answers the last one that was read.
    pub(super) async fn behind(
        &self,
        since: u64,
        filter: &Filter,
        limit: usize,
        mut tell: impl FnMut(Entry),
    ) -> anyhow::Result<u64> {
        let (mut next, mut told) = (since, 0);
        loop {
            let page = self.page(next, EVENTS_MAX).await?;
            for entry in page.entries {
                if let Some(entry) = filter.take(entry).filter(|_| told < limit) {
                    told += 1;
                    tell(entry);
                }
            }
            if page.next >= page.epoch || page.next == next || told >= limit {
                return Ok(page.next.max(next));
            }
            next = page.next;
        }
    }

    /// The last epoch before that time, found in as many pages as the log's length has bits.
    pub(super) async fn epoch_before(&self, unix_millis: u64) -> anyhow::Result<u64> {
        let mut search = Search::of(self.end().await?);
        while let Some(epoch) = search.next() {
            let page = self.page(epoch - 1, 1).await?;
            search.learn(page.entries.first().is_some_and(|entry| entry.unix_millis < unix_millis));
        }
        Ok(search.before)
    }
}

/// The search for the last entry that is old enough, in a log whose entries grow younger.
#[derive(Debug)]
struct Search {
    /// It is old enough; 0 if none is known to be.
    before: u64,
    /// It is not, or there is none.
    after: u64,
}

impl Search {
    fn of(end: u64) -> Self {
        Self { before: 0, after: end.saturating_add(1) }
    }

    /// The entry to look at.
    fn next(&self) -> Option<u64> {
        (self.after - self.before > 1).then(|| self.before + (self.after - self.before) / 2)
    }

    /// Whether that one is old enough.
    fn learn(&mut self, old: bool) {
        let looked_at = self.before + (self.after - self.before) / 2;
        if old { self.before = looked_at } else { self.after = looked_at }
    }
}

/// When that was that long ago.
pub(super) fn ago(now_millis: u64, span: Duration) -> u64 {
    now_millis.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// An entry as lines: one an event, so that they can be searched.
pub(super) fn lines(entry: &Entry, wide: bool, ink: Ink) -> String {
    let Entry { epoch, term, leader, cause, unix_millis, events, more: _ } = entry;
    let time = ink.paint(Tone::Faint, &utc(*unix_millis));
    let by = format!("({cause}; {leader} in term {term})");
    let by = ink.paint(Tone::Faint, &by);
    let line = |event: &Event| {
        let name = ink.paint(tone(&event.name), &format!("{:<21}", event.name));
        let about = about(event, wide);
        let gap = if about.is_empty() { "" } else { "  " };
        format!("{epoch:>6}  {time}  {name}{gap}{about}  {by}")
    };
    if events.is_empty() {
        return format!("{epoch:>6}  {time}  {:<21}  {by}", "-");
    }
    events.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What an event is about.
fn about(event: &Event, wide: bool) -> String {
    let nodes = event.nodes.join(" -> ");
    let shards = event.shards.as_ref().map(|runs| format!("shards {}", if wide { runs.clone() } else { short(runs) }));
    let parts = [Some(nodes).filter(|nodes| !nodes.is_empty()), shards, event.reason.clone()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Runs of shards that fit on a line, with how many there are if some are left out.
pub(super) fn short(runs: &str) -> String {
    if runs.len() <= RUNS_MAX {
        return runs.to_owned();
    }
    let end = runs[..RUNS_MAX].rfind(',').unwrap_or(RUNS_MAX);
    let all = runs.parse::<ShardSet>().map_or_else(|_| "more".to_owned(), |shards| format!("{} in all", shards.len()));
    format!("{},… ({all})", &runs[..end])
}

fn tone(name: &str) -> Tone {
    match name {
        "NodeFailed" | "ShardsOrphaned" | "LeadershipLost" | "ShardMigrationFailed" | "PlacementRejected" => Tone::Bad,
        "NodeSuspected" | "NodeRelieved" | "NodeDraining" | "RebalancingOrdered" => Tone::Warning,
        "NodeJoined" | "NodeTrusted" | "TermStarted" => Tone::Good,
        _ => Tone::Plain,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An entry with these events: name, nodes, shards.
    pub(in super::super) fn entry(epoch: u64, cause: &str, events: &[(&str, &[&str], Option<&str>)]) -> Entry {
        let event = |(name, nodes, shards): &(&str, &[&str], Option<&str>)| Event {
            name: (*name).to_owned(),
            nodes: nodes.iter().map(ToString::to_string).collect(),
            shards: shards.map(str::to_owned),
            reason: None,
            more: serde_json::Map::new(),
        };
        Entry {
            epoch,
            term: 3,
            leader: "n1".to_owned(),
            cause: cause.to_owned(),
            unix_millis: 1_795_866_264_123,
            events: events.iter().map(event).collect(),
            more: serde_json::Map::new(),
        }
    }

    #[test]
    fn an_entry_is_a_line_for_each_of_its_events() {
        let moved: &[_] = &[("NodeJoined", &["n2"][..], None), ("ShardMigrated", &["n1", "n2"], Some("3-5"))];
        let expected = "    31  2026-11-28T11:44:24.123Z  NodeJoined             n2  (join of n2; n1 in term 3)\n    \
                        31  2026-11-28T11:44:24.123Z  ShardMigrated          n1 -> n2, shards 3-5  (join of n2; n1 in term 3)";
        assert_eq!(lines(&entry(31, "join of n2", moved), false, Ink::NONE), expected);
        let bare = lines(&entry(7, "x", &[("ClusterCreated", &[], None)]), false, Ink::NONE);
        assert_eq!(bare, "     7  2026-11-28T11:44:24.123Z  ClusterCreated         (x; n1 in term 3)");
    }

    #[test]
    fn many_runs_are_cut_between_two_of_them_with_how_many_shards_there_are() {
        assert_eq!(short("0-340,512"), "0-340,512");
        let runs: Vec<_> = (0..30).map(|nth| (nth * 10).to_string()).collect();
        assert_eq!(short(&runs.join(",")), "0,10,20,30,40,50,60,70,80,90,100,110,… (30 in all)");
    }

    #[test]
    fn of_an_entry_only_what_is_wanted_is_taken() {
        let whole = entry(
            9,
            "x",
            &[
                ("NodeFailed", &["n2"], None),
                ("ShardAssigned", &["n1"], Some("0-3")),
                ("ShardAssigned", &["n3"], Some("4-7")),
            ],
        );
        for (types, node, shard, left) in [
            (&[][..], None, None, &[0, 1, 2][..]),
            (&["nodefailed"], None, None, &[0]),
            (&["NodeFailed", "ShardAssigned"], Some("n1"), None, &[1]),
            (&[], None, Some(5), &[2]),
            (&[], Some("n1"), Some(5), &[]),
        ] {
            let types: Vec<_> = types.iter().map(ToString::to_string).collect();
            let filter = Filter::new(&types, node.map(str::to_owned), shard).expect("known");
            let events = filter.take(whole.clone()).map(|entry| entry.events).unwrap_or_default();
            let expected: Vec<_> = left.iter().map(|nth: &usize| whole.events[*nth].clone()).collect();
            assert_eq!(events, expected, "{types:?} {node:?} {shard:?}");
        }
        let error = Filter::new(&["NodeDied".to_owned()], None, None).expect_err("no such event").to_string();
        assert!(error.contains("NodeDied") && error.contains("NodeFailed"), "{error}");
    }

    #[test]
    fn the_last_entry_before_a_time_is_found_wherever_it_is() {
        for end in 0..40 {
            for last in 0..=end {
                let (mut search, mut looks) = (Search::of(end), 0);
                while let Some(epoch) = search.next() {
                    assert!((1..=end).contains(&epoch), "{epoch} of {end}");
                    search.learn(epoch <= last);
                    looks += 1;
                }
                assert_eq!(search.before, last, "of {end}");
                assert!(looks <= 6, "{looks} looks of {end}");
            }
        }
    }
}
