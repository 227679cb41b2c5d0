//! The end of the log: its latest entries, as many as there is room for.

use std::collections::VecDeque;

use crate::model::{Entry, Event};
use crate::text::Text;

/// How many entries are kept for the tail and the filter.
const ENTRIES_MAX: usize = 512;
/// How much memory they may take: an entry about each of 65,536 shards takes 400 KB, and hardly any is like that.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// The latest entries, in order. The last one is kept however large it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Kept {
    /// Keeps that entry if it is behind all others; answers whether it is.
    pub(super) fn add(&mut self, entry: Entry) -> bool {
        if self.entries.back().is_some_and(|last| last.epoch >= entry.epoch) {
            return false;
        }
        self.bytes += bytes(&entry);
        self.entries.push_back(entry);
        while self.entries.len() > ENTRIES_MAX || (self.bytes > BYTES_MAX && self.entries.len() > 1) {
            self.bytes -= self.entries.pop_front().as_ref().map_or(0, bytes);
        }
        true
    }

    /// Those that are kept, the latest first.
    pub(super) fn latest(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev()
    }
}

/// How much memory an entry takes, nearly.
fn bytes(entry: &Entry) -> usize {
    let text = |text: &Text| size_of::<Text>() + text.len();
    let event = |event: &Event| {
        let texts = event.name.len() + event.reason.as_ref().map_or(0, |reason| reason.len());
        let nodes: usize = event.nodes.iter().map(text).sum();
        size_of::<Event>() + texts + nodes + event.shards.as_ref().map_or(0, String::len)
    };
    size_of::<Entry>() + text(&entry.leader) + text(&entry.cause) + entry.events.iter().map(event).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(epoch: u64, event: serde_json::Value) -> Entry {
        serde_json::from_value(serde_json::json!({ "epoch": epoch, "events": [event] })).expect("an entry")
    }

    #[test]
    fn the_latest_entries_are_kept_each_once_and_in_order() {
        let mut kept = Kept::default();
        for epoch in [1, 2, 2, 1].into_iter().chain(3..=600) {
            kept.add(entry(epoch, serde_json::json!({ "name": "NodeJoined" })));
        }
        let epochs: Vec<_> = kept.latest().map(|entry| entry.epoch).collect();
        assert_eq!(epochs, (89..=600).rev().collect::<Vec<_>>());
        assert_eq!(kept.bytes, kept.latest().map(bytes).sum::<usize>());
    }

    #[test]
    fn entries_that_take_much_room_take_no_more_than_there_is_and_the_last_is_kept_however_large() {
        let large = "7,".repeat(8 * 1024 * 1024);
        for event in [
            serde_json::json!({ "name": "x", "shards": large }),
            serde_json::json!({ "name": "x", "nodes": vec![""; 700_000] }),
        ] {
            let mut kept = Kept::default();
            let alone = bytes(&entry(1, event.clone()));
            assert!(alone >= 16 * 1024 * 1024, "{alone}");
            for epoch in 1..=6 {
                assert!(kept.add(entry(epoch, event.clone())));
                assert!(kept.bytes <= BYTES_MAX);
            }
            let epochs: Vec<_> = kept.latest().map(|entry| entry.epoch).collect();
            assert!(epochs.starts_with(&[6, 5]) && epochs.len() < 6, "{epochs:?}");
        }
        let mut kept = Kept::default();
        for epoch in 1..=2 {
            kept.add(entry(epoch, serde_json::json!({ "name": "x", "shards": large.repeat(5) })));
        }
        assert_eq!(kept.latest().map(|entry| entry.epoch).collect::<Vec<_>>(), [2]);
    }
}
