//! Records on their way to the store, and what became of them on its way back.
//!
//! A store that tells by itself what became of an append is not waited for by anybody: what it tells is left here, and a
//! task brings what has gathered to the shards. So a burst of acknowledgements wakes one task instead of one each.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aether_domain::ports::{OnAppended, Traced};
use aether_domain::records::CommitRecord;
use aether_domain::{ActorAddress, Monotonic, Sequence, ShardId};

use super::cell::lock;
use super::inner::Inner;
use super::input::Input;
use crate::message::Responder;
use crate::traces::Step;

/// How many outcomes one task brings to their shards before others have a turn.
const BRINGS_MAX: usize = 32;

/// A record that is to be stored.
pub(super) struct Append {
    pub(super) actor: ActorAddress,
    pub(super) record: Arc<CommitRecord>,
    pub(super) after: Sequence,
    pub(super) trace: Traced,
}

/// Outcomes that nobody has brought to their shards yet: at most one an append under way.
#[derive(Default)]
pub(super) struct Appended(Mutex<Told>);

#[derive(Default)]
struct Told {
    outcomes: VecDeque<(ShardId, Input<Responder>)>,
    /// Whether a task is about to look here.
    called: bool,
}

impl Appended {
    /// Leaves an outcome, and says whether a task has to be called.
    fn leave(&self, shard: ShardId, outcome: Input<Responder>) -> bool {
        let mut told = lock(&self.0);
        told.outcomes.push_back((shard, outcome));
        !std::mem::replace(&mut told.called, true)
    }

    /// An outcome, if there is one, and whether another task has to be called: one always is while there are more, so that
    /// none waits for a shard whose handler takes long.
    fn next(&self, begins: bool) -> (Option<(ShardId, Input<Responder>)>, bool) {
        let mut told = lock(&self.0);
        if begins {
            told.called = false;
        }
        let next = told.outcomes.pop_front();
        let more = !told.outcomes.is_empty() && !told.called;
        told.called |= more;
        (next, more)
    }
}

impl Inner {
    /// Has the record stored, after that pause; what became of it comes back as an input.
    pub(super) fn append(self: &Arc<Self>, shard: ShardId, append: Append, wait: Duration) {
        let Append { actor, record, after, trace } = append;
        let step = Step::append(&trace, &actor.key.kind, record.commands.len());
        if wait.is_zero()
            && !step.is_seen()
            && let Some(store) = self.events.begins()
            && let Ok(permit) = self.appends.try_acquire()
        {
            // It is given back by whoever is told.
            permit.forget();
            let told = self.when_appended(shard, actor.clone(), &record);
            let _on_runtime = self.runtime.enter();
            return store.begin(actor, record, after, told);
        }
        let inner = self.clone();
        let append = async move {
            let permit = inner.appends.acquire().await;
            let began = inner.clocks.now().at;
            let outcome = step.around(inner.events.append(&actor, &record, after)).await;
            inner.note_append(began);
            drop(permit);
            Input::Appended { actor, nonce: record.nonce, outcome }
        };
        self.begin(shard, wait, Box::pin(append));
    }

    fn when_appended(self: &Arc<Self>, shard: ShardId, actor: ActorAddress, record: &CommitRecord) -> OnAppended {
        let (this, nonce, began) = (self.this.clone(), record.nonce, self.clocks.now().at);
        // Whoever closes the host waits for it.
        let under_way = self.tasks.token();
        OnAppended::new(move |outcome| {
            let Some(inner) = this.upgrade() else { return };
            inner.appends.add_permits(1);
            inner.note_append(began);
            if inner.appended.leave(shard, Input::Appended { actor, nonce, outcome }) {
                inner.call();
            }
            drop(under_way);
        })
    }

    fn note_append(&self, began: Monotonic) {
        let took = self.clocks.now().at.since(began);
        self.append_times.note(took);
        self.append_spread.note(took);
    }

    /// Calls a task that brings outcomes to their shards.
    fn call(self: &Arc<Self>) {
        let inner = self.clone();
        self.tasks.spawn_on(async move { inner.bring_appended() }, &self.runtime);
    }

    fn bring_appended(self: &Arc<Self>) {
        for brought in 0..BRINGS_MAX {
            let (next, more) = self.appended.next(brought == 0);
            if more {
                self.call();
            }
            let Some((shard, outcome)) = next else { return };
            self.offer(shard, outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use aether_domain::{ActorKey, Nonce, Slot};

    use super::*;

    fn outcome() -> Input<Responder> {
        let kind = aether_domain::ActorKind::new("counter").expect("a kind");
        let id = aether_domain::ActorId::new("1").expect("an id");
        let cause = "lost".into();
        let outcome = Err(aether_domain::ports::AppendError::Unknown { cause });
        Input::Appended { actor: ActorAddress { key: ActorKey { kind, id }, slot: Slot(0) }, nonce: Nonce(1), outcome }
    }

    #[test]
    fn while_outcomes_wait_a_task_is_always_called_that_has_not_begun_yet() {
        let appended = Appended::default();
        let next = |begins| {
            let (next, more) = appended.next(begins);
            (next.map(|(shard, _)| shard.0), more)
        };
        assert!(appended.leave(ShardId(1), outcome()), "the first one calls");
        for shard in 2..=4 {
            assert!(!appended.leave(ShardId(shard), outcome()), "one is called already");
        }
        assert_eq!(next(true), (Some(1), true), "the first may take long, so a second is called");
        assert_eq!(next(false), (Some(2), false), "which has not begun");
        assert_eq!(next(true), (Some(3), true), "now it has");
        assert_eq!(next(false), (Some(4), false));
        assert_eq!(next(false), (None, false));
        assert!(!appended.leave(ShardId(5), outcome()), "the third is still to begin");
        assert_eq!(next(true), (Some(5), false));
        assert!(appended.leave(ShardId(6), outcome()), "nobody was called any more");
    }
}
