//! What is sent of a shard that leaves, how long its release waits for that, and what becomes of what arrives. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use aether_domain::ports::{Frame, WarmFrame, WarmTakenFrame, WarmVerdict};
use aether_domain::records::WarmActor;
use aether_domain::{Epoch, Monotonic, NodeRef, ShardId};

use super::book::{Book, HandoverStats, MovePhase, MoveRole, MoveStatus, Now};
use super::bounds::{
    ARRIVING_BYTES_MAX, ARRIVING_SHARD_BYTES_MAX, CHUNKS_MAX, HOLD, KEPT_FOR, LEAVING_BYTES_MAX,
    NOT_WAITED_FOR_BYTES_MAX, SEND_AGAIN, SENDS_MAX, UNACKNOWLEDGED_BYTES_MAX,
};
use crate::view::{Route, View};

/// What happens.
#[derive(Debug)]
pub(crate) enum Input {
    /// The topology as this node sees it now.
    View(Arc<View>),
    /// These actors of a shard that leaves are at rest, and are not served here any more.
    Captured { shard: ShardId, drain_epoch: Epoch, actors: Vec<WarmActor> },
    /// Nothing of the shard is served any more: everything has been captured.
    Released { shard: ShardId, drain_epoch: Epoch },
    /// Actors come from another life.
    Warm { from: NodeRef, frame: WarmFrame },
    /// What became of those that were sent.
    Taken { from: NodeRef, frame: WarmTakenFrame },
    /// Nobody seems to listen for that life.
    Unreachable { to: NodeRef },
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Send that.
    Send { to: NodeRef, frame: Frame },
    /// Report the shard as released.
    Release { shard: ShardId, drain_epoch: Epoch },
    /// Give the actors, in parts, to this node's own shard.
    Give { shard: ShardId, parts: Vec<Vec<WarmActor>> },
}

/// The actors that follow their shards, from here and to here.
pub(crate) struct Machine {
    view: Arc<View>,
    leaving: BTreeMap<ShardId, Leaving>,
    arriving: BTreeMap<ShardId, Arriving>,
    /// The last drain under which something of a shard was taken in. At most one a shard.
    taken_under: BTreeMap<ShardId, Epoch>,
    /// Whom something was sent to that is a member.
    peers: BTreeMap<NodeRef, Peer>,
    leaving_bytes: usize,
    arriving_bytes: usize,
    book: Book,
}

/// A shard that leaves.
struct Leaving {
    to: NodeRef,
    drain_epoch: Epoch,
    chunks: Vec<Chunk>,
    /// When something was captured last.
    captured: Monotonic,
    /// Whether there is nothing more to capture.
    released: bool,
    /// Whether that has been reported.
    reported: bool,
}

/// A part of its actors.
struct Chunk {
    actors: Arc<Vec<WarmActor>>,
    /// How many were captured before these.
    first: usize,
    bytes: usize,
    sent: Sent,
}

enum Sent {
    Not,
    /// So often, and last then.
    Times(u32, Monotonic),
    /// Whatever became of it, it is not waited for.
    Done,
}

/// A shard that is on its way here.
struct Arriving {
    from: NodeRef,
    drain_epoch: Epoch,
    /// As they came: actors are large, and a list of all of them would be new memory at each growth.
    chunks: BTreeMap<u32, Arc<Vec<WarmActor>>>,
    bytes: usize,
    since: Monotonic,
}

/// A life that actors are sent to.
#[derive(Default)]
struct Peer {
    unacknowledged: usize,
    /// It has not answered in time, or nobody seems to be there: nothing waits for it until it is heard of.
    silent: bool,
}

impl Leaving {
    fn is_sent(&self) -> bool {
        self.released && self.chunks.iter().all(|chunk| !matches!(chunk.sent, Sent::Not))
    }
    fn is_over(&self) -> bool {
        self.released && self.chunks.iter().all(|chunk| matches!(chunk.sent, Sent::Done))
    }
    /// Whether whatever is still on its way is little.
    fn is_nearly_over(&self) -> bool {
        self.is_sent() && self.unacknowledged() <= NOT_WAITED_FOR_BYTES_MAX
    }
    fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }
    /// When its release is reported whatever has been acknowledged.
    fn hold_until(&self) -> Monotonic {
        self.captured + HOLD
    }
    /// When what was captured is kept no longer, if anything is.
    fn forget_at(&self) -> Option<Monotonic> {
        (!self.chunks.is_empty()).then(|| self.captured + KEPT_FOR)
    }
    fn unacknowledged(&self) -> usize {
        self.chunks.iter().filter(|chunk| matches!(chunk.sent, Sent::Times(..))).map(|chunk| chunk.bytes).sum()
    }
    fn into_actors(self) -> Vec<WarmActor> {
        self.chunks.into_iter().flat_map(|chunk| Arc::unwrap_or_clone(chunk.actors)).collect()
    }
}

impl Arriving {
    fn actors(&self) -> u64 {
        self.chunks.values().map(|chunk| chunk.len() as u64).sum()
    }
}

impl Chunk {
    /// Which of all that were captured they are.
    fn places(&self) -> Range<usize> {
        self.first..self.first + self.actors.len()
    }
    fn send_again_at(&self) -> Option<Monotonic> {
        match self.sent {
            Sent::Times(times, at) => Some(at + SEND_AGAIN * (1 << (times - 1))),
            Sent::Not | Sent::Done => None,
        }
    }
}

impl Machine {
    pub(crate) fn new(view: Arc<View>) -> Self {
        Self {
            view,
            leaving: BTreeMap::new(),
            arriving: BTreeMap::new(),
            taken_under: BTreeMap::new(),
            peers: BTreeMap::new(),
            leaving_bytes: 0,
            arriving_bytes: 0,
            book: Book::default(),
        }
    }

    /// Whose life it is.
    pub(crate) fn me(&self) -> &NodeRef {
        &self.view.me
    }

    /// One step.
    pub(crate) fn step(&mut self, now: Now, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::View(view) => self.view_changed(now, view, &mut out),
            Input::Captured { shard, drain_epoch, actors } => self.captured(now, shard, drain_epoch, actors, &mut out),
            Input::Released { shard, drain_epoch } => self.released(now, shard, drain_epoch, &mut out),
            Input::Warm { from, frame } => self.warm(now, from, frame, &mut out),
            Input::Taken { from, frame } => self.taken(now, &from, frame, &mut out),
            Input::Unreachable { to } => {
                if let Some(peer) = self.peers.get_mut(&to) {
                    peer.silent = true;
                }
            }
            Input::Tick => self.tick(now, &mut out),
        }
        self.report(now, &mut out);
        out
    }

    /// When time must be told to have passed.
    pub(crate) fn wakes_at(&self) -> Option<Monotonic> {
        let leaving = self.leaving.values().flat_map(|leaving| {
            let again = leaving.chunks.iter().filter_map(Chunk::send_again_at).min();
            let held = (leaving.released && !leaving.reported).then(|| leaving.hold_until());
            [again, held, leaving.forget_at()].into_iter().flatten()
        });
        leaving.chain(self.arriving.values().map(|arriving| arriving.since + KEPT_FOR)).min()
    }

    /// What has been handed over, and what is kept.
    pub(crate) fn stats(&self) -> HandoverStats {
        HandoverStats { held_bytes: self.leaving_bytes + self.arriving_bytes, ..self.book.stats }
    }

    /// The moves that this node knows of, the latest first.
    pub(crate) fn moves(&self) -> Vec<MoveStatus> {
        self.book.moves()
    }

    fn view_changed(&mut self, now: Now, view: Arc<View>, out: &mut Vec<Effect>) {
        let same_life = view.me == self.view.me;
        self.view = view;
        let view = Arc::clone(&self.view);
        for (shard, leaving) in std::mem::take(&mut self.leaving) {
            match view.route(shard) {
                Route::Leaving { drain_epoch, .. } if same_life && *drain_epoch == leaving.drain_epoch => {
                    self.leaving.insert(shard, leaving);
                }
                route => self.ended(now, shard, leaving, route, same_life, out),
            }
        }
        for shard in view.shards.all() {
            if let Route::Leaving { drain_epoch, to, .. } = view.route(shard) {
                self.begin(now, shard, *drain_epoch, to, Vec::new(), out);
            }
        }
        for shard in self.arriving.keys().copied().collect::<Vec<_>>() {
            self.look_at_arriving(now, shard, same_life, out);
        }
        let gone = |to: &NodeRef| !view.lives.contains(&to.incarnation);
        self.peers.retain(|to, _| !gone(to));
    }

    /// A shard leaves; what was captured of it under an earlier entry goes with it.
    fn begin(
        &mut self,
        now: Now,
        shard: ShardId,
        drain_epoch: Epoch,
        to: &NodeRef,
        actors: Vec<WarmActor>,
        out: &mut Vec<Effect>,
    ) {
        if !self.leaving.contains_key(&shard) {
            self.book.begin(now, shard, drain_epoch, MoveRole::Source, to.clone());
            let (chunks, released, reported) = (Vec::new(), false, false);
            let leaving = Leaving { to: to.clone(), drain_epoch, chunks, captured: now.at, released, reported };
            self.leaving.insert(shard, leaving);
            self.peers.entry(to.clone()).or_default();
        }
        if !actors.is_empty() {
            self.captured(now, shard, drain_epoch, actors, out);
        }
    }

    /// The move is over, one way or the other, and so is what was kept for it.
    fn ended(
        &mut self,
        now: Now,
        shard: ShardId,
        leaving: Leaving,
        route: &Route,
        same_life: bool,
        out: &mut Vec<Effect>,
    ) {
        let Leaving { drain_epoch, .. } = leaving;
        self.leaving_bytes -= leaving.bytes();
        if let Some(peer) = self.peers.get_mut(&leaving.to) {
            peer.unacknowledged -= leaving.unacknowledged();
        }
        let arrived = matches!(route, Route::Remote { owner } if *owner == leaving.to);
        let end = if arrived { MovePhase::Completed } else { MovePhase::Failed };
        self.book.reach(now, shard, drain_epoch, end);
        match route {
            Route::Mine { epoch } if same_life && *epoch > drain_epoch => {
                let actors = leaving.into_actors();
                self.give_back(shard, actors, out);
            }
            Route::Leaving { drain_epoch, to, .. } if same_life => {
                self.begin(now, shard, *drain_epoch, to, leaving.into_actors(), out);
            }
            _ => {}
        }
        self.send_more(now, out);
    }

    fn give_back(&mut self, shard: ShardId, actors: Vec<WarmActor>, out: &mut Vec<Effect>) {
        if !actors.is_empty() {
            self.book.stats.given_back += actors.len() as u64;
            out.push(Effect::Give { shard, parts: vec![actors] });
        }
    }

    fn captured(
        &mut self,
        now: Now,
        shard: ShardId,
        drain_epoch: Epoch,
        actors: Vec<WarmActor>,
        out: &mut Vec<Effect>,
    ) {
        // Asked for again meanwhile, under a later entry: they go with that one.
        let Some(leaving) = self.leaving.get_mut(&shard).filter(|leaving| leaving.drain_epoch >= drain_epoch) else {
            // The shard has run behind: meanwhile it stays.
            if matches!(self.view.route(shard), Route::Mine { epoch } if *epoch > drain_epoch) {
                self.give_back(shard, actors, out);
            }
            return;
        };
        let drain_epoch = leaving.drain_epoch;
        leaving.captured = now.at;
        let mut parts: Vec<(usize, Vec<WarmActor>)> = Vec::new();
        for warm in actors {
            let bytes = warm.bytes();
            if bytes > WarmFrame::BYTES_MAX || self.leaving_bytes + bytes > LEAVING_BYTES_MAX {
                self.book.stats.left_out += 1;
                continue;
            }
            self.leaving_bytes += bytes;
            match parts.last_mut().filter(|(held, _)| held + bytes <= WarmFrame::BYTES_MAX) {
                Some((held, part)) => {
                    *held += bytes;
                    part.push(warm);
                }
                None => parts.push((bytes, vec![warm])),
            }
        }
        for (bytes, actors) in parts {
            let first = self.book.list(shard, drain_epoch, &actors, bytes, MovePhase::Captured);
            leaving.chunks.push(Chunk { actors: Arc::new(actors), first, bytes, sent: Sent::Not });
        }
        self.send_more(now, out);
    }

    fn released(&mut self, now: Now, shard: ShardId, drain_epoch: Epoch, out: &mut Vec<Effect>) {
        let known = self.leaving.get_mut(&shard).filter(|leaving| leaving.drain_epoch == drain_epoch);
        // Whatever is known of it here, the shard is served no more, and the leader waits to hear that.
        let Some(leaving) = known.filter(|leaving| !leaving.reported) else {
            return out.push(Effect::Release { shard, drain_epoch });
        };
        leaving.released = true;
        self.book.reach(now, shard, drain_epoch, MovePhase::Captured);
    }

    /// Sends what was not sent, as much as may be on its way.
    fn send_more(&mut self, now: Now, out: &mut Vec<Effect>) {
        for (shard, Leaving { to, drain_epoch, chunks, .. }) in &mut self.leaving {
            let Some(peer) = self.peers.get_mut(to) else { continue };
            for (nth, chunk) in (0..).zip(chunks).filter(|(_, chunk)| matches!(chunk.sent, Sent::Not)) {
                let fits = peer.unacknowledged + chunk.bytes <= UNACKNOWLEDGED_BYTES_MAX;
                if !fits && peer.unacknowledged > 0 {
                    break;
                }
                peer.unacknowledged += chunk.bytes;
                chunk.sent = Sent::Times(1, now.at);
                self.book.mark(*shard, *drain_epoch, chunk.places(), MovePhase::Sent);
                out.push(send((*shard, *drain_epoch), to, nth, chunk));
            }
        }
    }

    fn taken(&mut self, now: Now, from: &NodeRef, frame: WarmTakenFrame, out: &mut Vec<Effect>) {
        let WarmTakenFrame { shard, drain_epoch, chunk, verdict } = frame;
        let Some(peer) = self.peers.get_mut(from) else { return };
        peer.silent = false;
        let leaving = self.leaving.get_mut(&shard);
        let Some(leaving) = leaving.filter(|leaving| leaving.drain_epoch == drain_epoch && leaving.to == *from) else {
            return;
        };
        let known = leaving.chunks.get_mut(chunk as usize);
        let Some(known) = known.filter(|known| matches!(known.sent, Sent::Times(..))) else { return };
        known.sent = Sent::Done;
        peer.unacknowledged -= known.bytes;
        let many = known.actors.len() as u64;
        if verdict == WarmVerdict::Taken {
            self.book.stats.acknowledged += many;
            self.book.mark(shard, drain_epoch, known.places(), MovePhase::Acknowledged);
        } else {
            self.book.stats.left_out += many;
            self.book.mark(shard, drain_epoch, known.places(), MovePhase::Failed);
            // Nor will it have the rest.
            for chunk in leaving.chunks.iter_mut().filter(|chunk| matches!(chunk.sent, Sent::Not)) {
                chunk.sent = Sent::Done;
                self.book.stats.left_out += chunk.actors.len() as u64;
            }
        }
        self.send_more(now, out);
    }

    fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        for (shard, leaving) in &mut self.leaving {
            let Leaving { to, drain_epoch, chunks, .. } = leaving;
            let (shard, drain_epoch) = (*shard, *drain_epoch);
            let Some(peer) = self.peers.get_mut(to) else { continue };
            let due = |chunk: &Chunk| chunk.send_again_at().is_some_and(|again| again <= now.at);
            for (nth, chunk) in (0..).zip(&mut *chunks).filter(|(_, chunk)| due(chunk)) {
                let Sent::Times(times, _) = chunk.sent else { continue };
                if times < SENDS_MAX {
                    chunk.sent = Sent::Times(times + 1, now.at);
                    self.book.retry(shard, drain_epoch);
                    out.push(send((shard, drain_epoch), to, nth, chunk));
                } else {
                    chunk.sent = Sent::Done;
                    peer.unacknowledged -= chunk.bytes;
                    peer.silent = true;
                    self.book.stats.left_out += chunk.actors.len() as u64;
                    self.book.mark(shard, drain_epoch, chunk.places(), MovePhase::Failed);
                }
            }
            if leaving.forget_at().is_some_and(|forget| forget <= now.at) {
                // It takes too long: from now on the history has everything.
                peer.unacknowledged -= leaving.unacknowledged();
                self.leaving_bytes -= leaving.bytes();
                leaving.chunks.clear();
            }
        }
        let expired = |arriving: &Arriving| arriving.since + KEPT_FOR <= now.at;
        for shard in self.arriving.keys().copied().collect::<Vec<_>>() {
            if self.arriving.get(&shard).is_some_and(expired) {
                self.refuse(now, shard);
            }
        }
        self.send_more(now, out);
    }

    /// Reports whatever is served no more, once the destination has what was captured, or that need not be waited for.
    fn report(&mut self, now: Now, out: &mut Vec<Effect>) {
        for (shard, leaving) in self.leaving.iter_mut().filter(|(_, leaving)| leaving.released) {
            let (shard, drain_epoch) = (*shard, leaving.drain_epoch);
            if leaving.is_sent() {
                self.book.reach(now, shard, drain_epoch, MovePhase::Sent);
            }
            if leaving.reported {
                continue;
            }
            let Some(peer) = self.peers.get_mut(&leaving.to) else {
                leaving.reported = true;
                out.push(Effect::Release { shard, drain_epoch });
                continue;
            };
            let late = leaving.hold_until() <= now.at;
            if leaving.is_nearly_over() || peer.silent || late {
                peer.silent |= late && !leaving.is_over();
                leaving.reported = true;
                self.book.reach(now, shard, drain_epoch, MovePhase::Acknowledged);
                out.push(Effect::Release { shard, drain_epoch });
            }
        }
    }

    fn warm(&mut self, now: Now, from: NodeRef, frame: WarmFrame, out: &mut Vec<Effect>) {
        let (shard, drain_epoch, chunk, bytes) = (frame.shard, frame.drain_epoch, frame.chunk, frame.bytes());
        let verdict = self.judge(&from, &frame, bytes);
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.silent = false;
        }
        let many = frame.actors.len() as u64;
        match verdict {
            WarmVerdict::Taken => self.take(now, &from, frame, bytes, out),
            WarmVerdict::NoRoom | WarmVerdict::Unwanted => self.book.stats.refused += many,
        }
        let taken = WarmTakenFrame { shard, drain_epoch, chunk, verdict };
        out.push(Effect::Send { to: from, frame: Frame::WarmTaken(taken) });
    }

    fn judge(&self, from: &NodeRef, frame: &WarmFrame, bytes: usize) -> WarmVerdict {
        let WarmFrame { shard, drain_epoch, chunk, ref actors } = *frame;
        let count = self.view.shards;
        let theirs = shard.index() < count.get() && actors.iter().all(|warm| warm.actor.slot.shard(count) == shard);
        let older = self.taken_under.get(&shard).is_some_and(|newest| *newest > drain_epoch);
        let known = self.view.lives.contains(&from.incarnation) && chunk < CHUNKS_MAX;
        let awaited = match self.view.route(shard) {
            Route::Mine { epoch } => *epoch > drain_epoch || self.view.epoch < drain_epoch,
            _ => self.view.epoch < drain_epoch || self.view.arriving.get(&shard) == Some(&drain_epoch),
        };
        if !theirs || older || !known || !awaited {
            return WarmVerdict::Unwanted;
        }
        let of_shard = self.arriving.get(&shard).filter(|arriving| arriving.drain_epoch == drain_epoch);
        if of_shard.is_some_and(|arriving| arriving.chunks.contains_key(&chunk)) {
            return WarmVerdict::Taken;
        }
        let held = of_shard.map_or(0, |arriving| arriving.bytes);
        let fits = held + bytes <= ARRIVING_SHARD_BYTES_MAX && self.arriving_bytes + bytes <= ARRIVING_BYTES_MAX;
        if fits { WarmVerdict::Taken } else { WarmVerdict::NoRoom }
    }

    /// Keeps what came until its shard is taken; gives it to the shard at once if that has been.
    fn take(&mut self, now: Now, from: &NodeRef, frame: WarmFrame, bytes: usize, out: &mut Vec<Effect>) {
        let WarmFrame { shard, drain_epoch, chunk, actors } = frame;
        if self.arriving.get(&shard).is_some_and(|arriving| arriving.drain_epoch < drain_epoch) {
            self.refuse(now, shard);
        }
        let newest = self.taken_under.insert(shard, drain_epoch);
        if newest != Some(drain_epoch) {
            self.book.begin(now, shard, drain_epoch, MoveRole::Destination, from.clone());
        }
        let arriving = self.arriving.entry(shard).or_insert_with(|| Arriving {
            from: from.clone(),
            drain_epoch,
            chunks: BTreeMap::new(),
            bytes: 0,
            since: now.at,
        });
        if let Entry::Vacant(place) = arriving.chunks.entry(chunk) {
            self.book.list(shard, drain_epoch, &actors, bytes, MovePhase::Acknowledged);
            place.insert(actors);
            arriving.bytes += bytes;
            self.arriving_bytes += bytes;
        }
        self.look_at_arriving(now, shard, true, out);
    }

    /// What has arrived of a shard: whether it is given to it now, waits, or is not wanted any more.
    fn look_at_arriving(&mut self, now: Now, shard: ShardId, same_life: bool, out: &mut Vec<Effect>) {
        let Some(Arriving { drain_epoch, .. }) = self.arriving.get(&shard) else { return };
        let drain_epoch = *drain_epoch;
        match self.view.route(shard) {
            Route::Mine { epoch } if same_life && *epoch > drain_epoch => {
                if let Some(arriving) = self.arriving.remove(&shard) {
                    self.arriving_bytes -= arriving.bytes;
                    self.book.stats.arrived += arriving.actors();
                    self.book.reach(now, shard, drain_epoch, MovePhase::Completed);
                    let parts = arriving.chunks.into_values().map(Arc::unwrap_or_clone).collect();
                    out.push(Effect::Give { shard, parts });
                }
            }
            _ if same_life
                && (self.view.epoch < drain_epoch || self.view.arriving.get(&shard) == Some(&drain_epoch)) => {}
            _ => self.refuse(now, shard),
        }
    }

    /// Forgets what has arrived of a shard.
    fn refuse(&mut self, now: Now, shard: ShardId) {
        if let Some(arriving) = self.arriving.remove(&shard) {
            self.arriving_bytes -= arriving.bytes;
            self.book.stats.refused += arriving.actors();
            tracing::debug!(shard = shard.0, from = %arriving.from, "warm actors forgotten: their shard did not come");
            self.book.reach(now, shard, arriving.drain_epoch, MovePhase::Failed);
        }
    }
}

fn send((shard, drain_epoch): (ShardId, Epoch), to: &NodeRef, nth: u32, chunk: &Chunk) -> Effect {
    let frame = WarmFrame { shard, drain_epoch, chunk: nth, actors: Arc::clone(&chunk.actors) };
    Effect::Send { to: to.clone(), frame: Frame::Warm(frame) }
}
