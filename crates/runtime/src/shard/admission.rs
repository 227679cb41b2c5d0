//! Lets histories be read, so many at once, and only while there is room in memory for what they make.
//!
//! A read begins on the spot if nobody waits for one; otherwise by one of the readers, which go on until nobody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aether_domain::ShardId;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::bounds::{EVICTIONS_MAX, ROOM_AGAIN, ROOM_WITHIN};
use super::cell::lock;
use super::inner::Inner;
use super::input::{Input, NotRead};
use super::loads::Load;
use super::memory::KindPlace;
use super::snapshots;
use crate::message::Responder;

impl Inner {
    /// Reads a history, now or when it is its turn. The answer comes back as an input: left in the shard's inbox if this
    /// is done at once, so whoever calls this pumps next.
    pub(super) fn load(self: &Arc<Self>, shard: ShardId, load: Load, wait: Duration) {
        self.memory.unread(load.kind, true);
        if !wait.is_zero() {
            let inner = self.clone();
            let later = async move {
                tokio::select! {
                    biased;
                    () = inner.closing.cancelled() => inner.memory.unread(load.kind, false),
                    () = sleep(wait) => {
                        if let Some(refused) = inner.queue(shard, load) {
                            inner.offer(shard, refused);
                        }
                    }
                }
            };
            return drop(self.tasks.spawn_on(later, &self.runtime));
        }
        if lock(&self.loads).begin() {
            if self.make_room(load.kind) {
                return self.begin_read(shard, load);
            }
            lock(&self.loads).end();
        }
        if let Some(refused) = self.queue(shard, load) {
            self.leave(shard, refused);
        }
    }

    /// Lets a load wait for its turn, and sees that somebody takes it; or says why not.
    fn queue(self: &Arc<Self>, shard: ShardId, load: Load) -> Option<Input<Responder>> {
        let waits = lock(&self.loads).wait(shard, load);
        if let Err(load) = waits {
            return Some(self.not_read(load, NotRead::Busy));
        }
        self.read_on();
        None
    }

    /// Begins a reader if something waits and more may be under way.
    fn read_on(self: &Arc<Self>) {
        if lock(&self.loads).begin_waiting() {
            self.tasks.spawn_on(self.clone().read_waiting(), &self.runtime);
        }
    }

    /// Reads a history here, and leaves that to a task unless the store answers at once.
    fn begin_read(self: &Arc<Self>, shard: ShardId, load: Load) {
        let inner = self.clone();
        let mut read = Box::pin(async move { inner.read_history(load).await });
        let _on_runtime = self.runtime.enter();
        if let Poll::Ready(input) = read.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            lock(&self.loads).end();
            self.read_on();
            return self.leave(shard, input);
        }
        let inner = self.clone();
        let rest = async move {
            let input = read.await;
            // Whoever the store has woken last runs first: it would wait for a handler that does not end, and nobody else could
            // take it over from this thread. It may be the connection itself.
            yield_now().await;
            inner.offer(shard, input);
            inner.read_waiting().await;
        };
        self.tasks.spawn_on(rest, &self.runtime);
    }

    /// Reads what waits until nothing does, and ends a read that had begun.
    async fn read_waiting(self: Arc<Self>) {
        loop {
            let next = {
                let mut loads = lock(&self.loads);
                let next = loads.next();
                if next.is_none() {
                    loads.end();
                }
                next
            };
            let Some((shard, load)) = next else { return };
            let input = match self.admit(&load).await {
                Ok(()) => {
                    let input = self.read_history(load).await;
                    yield_now().await;
                    input
                }
                Err(why) => self.not_read(load, why),
            };
            self.offer(shard, input);
            // A store that answers at once must not keep this thread from whoever asks actors in memory.
            yield_now().await;
        }
    }

    /// Waits for room, but not for long.
    async fn admit(self: &Arc<Self>, load: &Load) -> Result<(), NotRead> {
        let began = self.clocks.now().at;
        loop {
            let now = self.clocks.now().at;
            if load.until <= now {
                return Err(NotRead::Late);
            }
            if self.make_room(load.kind) {
                return Ok(());
            }
            if now.since(began) >= ROOM_WITHIN || self.closing.is_cancelled() {
                return Err(NotRead::Busy);
            }
            sleep(ROOM_AGAIN).await;
        }
    }

    /// Reads the part of a history that `load` asks for.
    async fn read_history(&self, load: Load) -> Input<Responder> {
        self.memory.unread(load.kind, false);
        let Load { actor, ticket, part, .. } = load;
        let found = snapshots::read(&*self.events, &*self.snapshots, &actor, part).await;
        Input::Loaded { actor, ticket, found }
    }

    fn not_read(&self, load: Load, why: NotRead) -> Input<Responder> {
        self.memory.unread(load.kind, false);
        Input::NotRead { actor: load.actor, ticket: load.ticket, why }
    }

    /// Sees that there is room for one more actor of that kind; false if nobody can leave.
    fn make_room(self: &Arc<Self>, kind: KindPlace) -> bool {
        while !self.memory.has_room(kind) {
            if !self.evict(self.memory.tight(kind)) {
                return false;
            }
        }
        true
    }

    /// Lets actors leave whose number or size has grown beyond what there may be.
    pub(super) fn keep_limits(self: &Arc<Self>) {
        loop {
            let kind = self.memory.kind_over();
            if !(kind.is_some() || self.memory.is_over()) || !self.evict(kind) {
                return;
            }
        }
    }

    /// Lets a few idle actors leave memory, of that kind or of any, and of the next shard that has some and is not at work.
    fn evict(self: &Arc<Self>, kind: Option<KindPlace>) -> bool {
        let now = self.clocks.recently();
        for _ in 0..self.cells.len() {
            let next = self.evict_from.fetch_add(1, Ordering::Relaxed) % self.cells.len();
            let (shard, cell) = (ShardId(next as u16), &self.cells[next]);
            if cell.meters.resident() == 0 {
                continue;
            }
            let Some(mut machine) = cell.try_hold() else { continue };
            let evicted = machine.evict(kind, EVICTIONS_MAX, now);
            let effects = cell.give_back(machine, Duration::ZERO);
            // Snapshots to be saved and facts about them, nothing that would need room in turn.
            self.carry_out(shard, effects);
            if cell.has_left() {
                // Not here: what is left may want room for others.
                let inner = self.clone();
                self.tasks.spawn_on(async move { inner.pump(shard) }, &self.runtime);
            }
            if evicted > 0 {
                return true;
            }
        }
        false
    }
}

/// Which shard is next to be asked for room.
pub(super) type NextShard = AtomicUsize;
