//! Heartbeats as everybody else hears them: how long each node was silent between two.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aether_domain::NodeId;
use aether_domain::ports::{ControlStore, ControlUpdate};
use aether_domain::records::ControlRecord;
use futures_util::StreamExt as _;

/// What one node's heartbeats were like since it was asked for last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulse {
    /// How many were heard.
    pub(crate) beats: u64,
    /// The longest time without one.
    pub(crate) silence: Duration,
    /// How often there is to be one.
    pub(crate) every: Duration,
    last: Duration,
}

/// Every node's heartbeats. Cheap to clone; all clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Pulses {
    heard: Arc<Mutex<BTreeMap<NodeId, Pulse>>>,
}

impl Pulses {
    /// Listens for as long as the store lives. `now` is a time that goes on while it listens.
    pub(crate) async fn listen(&self, control: &dyn ControlStore, now: impl Fn() -> Duration) {
        let mut updates = control.watch().await.expect("the store is there");
        while let Some(update) = updates.next().await {
            let ControlUpdate::Record(stored) = update else { continue };
            let ControlRecord::Member(member) = stored.record else { continue };
            let (now, every) = (now(), member.heartbeat_every);
            let mut heard = self.heard();
            let first = Pulse { beats: 0, silence: Duration::ZERO, every, last: now };
            let pulse = heard.entry(member.node.node).or_insert(first);
            pulse.beats += 1;
            pulse.silence = pulse.silence.max(now.saturating_sub(pulse.last));
            pulse.last = now;
        }
    }

    /// What was heard since it was asked for last; a silence that lasts counts up to `now`.
    pub(crate) fn take(&self, now: Duration) -> BTreeMap<NodeId, Pulse> {
        let mut heard = self.heard();
        let mut taken = heard.clone();
        for pulse in heard.values_mut() {
            (pulse.beats, pulse.silence) = (0, Duration::ZERO);
        }
        for pulse in taken.values_mut() {
            pulse.silence = pulse.silence.max(now.saturating_sub(pulse.last));
        }
        taken
    }

    fn heard(&self) -> MutexGuard<'_, BTreeMap<NodeId, Pulse>> {
        self.heard.lock().expect("nobody panics under it")
    }
}
