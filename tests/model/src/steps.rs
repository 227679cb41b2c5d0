//! What may happen next: every step that is possible in a state, and the state after it.

use crate::bounded::Row;
use crate::rules::{Bounds, Rule, Rules};
use crate::state::{Append, Beat, BeatAnswer, Entry, Instance, Node, Record, State, Write};

/// Something that happens. Leaders are numbered from 0; a place is one among those under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Time passes.
    Tick,
    /// A dies without a word.
    ADies,
    /// The first leader dies.
    LeaderDies,
    /// A's supervisor writes that it is dead.
    WrittenDead,
    /// A sends a heartbeat.
    BeatSent,
    /// It is lost on its way.
    BeatLost,
    /// It reaches the store.
    BeatArrives,
    /// The store's answer to it is lost.
    BeatAnswerLost,
    /// The store's answer to it reaches A.
    BeatAnswered,
    /// A node sees one more entry of the log.
    Sees(&'static str),
    /// A gives the shard up, as the log asks.
    Releases,
    /// A node loads the actor from its first so many records: a read may be stale.
    Loads(&'static str, u8),
    /// The actor leaves memory.
    Passivates(&'static str),
    /// A node runs a command and appends what it came to.
    Runs(&'static str, u8),
    /// A node finds a command in the history it knows and answers that it is done.
    Repeats(&'static str, u8),
    /// A node appends a record that only confirms.
    Confirms(&'static str),
    /// A node that has waited for long enough appends the same record again.
    AppendsAgain(&'static str),
    /// A node that has waited for long enough tells the caller that nothing was done.
    GivesUp(&'static str),
    /// An append is lost on its way.
    AppendLost(u8),
    /// An append reaches the store.
    AppendArrives(u8),
    /// An answer to an append is lost.
    AnswerLost(u8),
    /// An answer reaches its writer.
    Answered(u8),
    /// The same, and the writer tells the caller of a record that is not there that nothing was done.
    AnsweredAndDenied(u8),
    /// A leader starts its term.
    Elected(u8),
    /// A leader reads the log on.
    LeaderReads(u8),
    /// A leader sees A's record as it is now.
    Watches(u8),
    /// A leader fences A.
    Fences(u8),
    /// A leader gives A's shard to B after A's end.
    AssignsAfterFence(u8),
    /// A leader asks A to release the shard for B.
    Drains(u8),
    /// A leader gives the shard that A has released to B.
    AssignsAfterRelease(u8),
    /// A leader leaves the shard where it is after all.
    Cancels(u8),
    /// An operator says the next word on redistribution.
    SaysAWord,
    /// A is asked to leave.
    AskedToLeave,
    /// A leader takes the last word on redistribution into the log.
    TakesUp(u8),
    /// A leader writes that A is about to leave.
    WritesThatALeaves(u8),
    /// A leader lets A go.
    LetsGo(u8),
}

fn name(node: Node) -> &'static str {
    match node {
        Node::A => "A",
        Node::B => "B",
    }
}

/// Collects successors of one state.
struct From<'a> {
    state: &'a State,
    rules: Rules,
    bounds: Bounds,
    out: &'a mut Vec<(Step, State)>,
}

impl From<'_> {
    fn may(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        let mut after = *self.state;
        change(&mut after);
        self.out.push((step, after));
    }
}

/// Every step that is possible in `state`, each with the state after it.
pub(crate) fn steps(state: &State, rules: Rules, bounds: Bounds, out: &mut Vec<(Step, State)>) {
    let mut from = From { state, rules, bounds, out };
    from.outside();
    from.heartbeat();
    for node in Node::BOTH {
        from.node(node);
    }
    from.store();
    for leader in 0..=u8::from(bounds.second_leader) {
        from.leader(leader);
    }
}

impl From<'_> {
    fn outside(&mut self) {
        let state = self.state;
        if state.now < self.bounds.ticks {
            self.may(Step::Tick, |after| after.now += 1);
        }
        if self.bounds.deaths && state.a_lives {
            self.may(Step::ADies, |after| {
                after.a_lives = false;
                after.instances[Node::A as usize] = None;
            });
        }
        let seen_to_die = !state.a_lives || !self.rules.hold(Rule::DeadOnlyAfterDeath);
        if self.bounds.supervised && !state.is_dead && seen_to_die {
            // Over whatever is there, a fence included; what A has sent does not land behind it.
            self.may(Step::WrittenDead, |after| {
                (after.is_dead, after.is_fenced, after.revision) = (true, true, after.revision + 1);
            });
        }
        if state.words < self.bounds.words {
            self.may(Step::SaysAWord, |after| after.words += 1);
        }
        if self.bounds.leaves && !state.a_leaves {
            self.may(Step::AskedToLeave, |after| after.a_leaves = true);
        }
        if self.bounds.deaths && !state.leaders[0].over {
            self.may(Step::LeaderDies, |after| after.leaders[0].over = true);
        }
    }

    // --- A's serve lease ---

    fn heartbeat(&mut self) {
        let state = self.state;
        let idle = state.beat.is_none() && state.beat_answer.is_none();
        if idle && state.a_lives && !state.a_knows_fence && state.beats < self.bounds.heartbeats {
            self.may(Step::BeatSent, |after| {
                after.beat = Some(Beat { sent: after.now, over: after.a_revision });
                after.beats += 1;
            });
        }
        if let Some(beat) = state.beat {
            self.may(Step::BeatLost, |after| after.beat = None);
            let fenced = state.is_fenced && self.rules.hold(Rule::FenceByCompareAndSet);
            self.may(Step::BeatArrives, |after| {
                after.beat = None;
                after.beat_answer = Some(if !fenced && after.revision == beat.over {
                    after.revision += 1;
                    BeatAnswer::Stored { sent: beat.sent, revision: after.revision }
                } else {
                    BeatAnswer::Fenced
                });
            });
        }
        if let Some(answer) = state.beat_answer {
            self.may(Step::BeatAnswerLost, |after| after.beat_answer = None);
            let from_sending = self.rules.hold(Rule::LeaseFromSending);
            self.may(Step::BeatAnswered, |after| {
                after.beat_answer = None;
                match answer {
                    BeatAnswer::Stored { sent, revision } => {
                        after.a_serves_until = Bounds::LEASE + if from_sending { sent } else { after.now };
                        after.a_revision = revision;
                    }
                    BeatAnswer::Fenced => {
                        after.a_knows_fence = true;
                        after.instances[Node::A as usize] = None;
                    }
                }
            });
        }
    }

    // --- A node and the actor on it ---

    fn node(&mut self, node: Node) {
        let (state, place) = (self.state, node as usize);
        if state.views[place] < state.log.len() {
            self.may(Step::Sees(name(node)), |after| {
                after.views[place] += 1;
                if after.shard(after.views[place]).owner != node {
                    after.instances[place] = None;
                }
            });
        }
        let Some(shard) = state.serves(node) else { return };
        let leaving = node == Node::A && shard.draining;
        let Some(instance) = state.instances[place] else { return self.load(node) };
        if leaving && instance.writing.is_none() {
            self.may(Step::Releases, |after| {
                after.released = Some(shard.epoch);
                after.instances[place] = None;
            });
        }
        match instance.writing {
            Some(write) => self.wait(node, instance, write),
            None if leaving => {}
            None => self.run(node, instance),
        }
    }

    fn load(&mut self, node: Node) {
        let state = self.state;
        let whole = state.history.len();
        for records in whole.saturating_sub(1)..=whole {
            if self.rules.hold(Rule::LaterOwnerStops) && state.has_later_owner(node, records) {
                continue;
            }
            // Without the amendment, a last record of one's own is taken for a confirmation.
            let own = records > 0 && state.history.get(records - 1).is_some_and(|last| last.by == node);
            let confirmed = own && !self.rules.hold(Rule::ConfirmSinceLoad);
            self.may(Step::Loads(name(node), records), |after| {
                after.instances[node as usize] = Some(Instance { sees: records, confirmed, writing: None });
            });
        }
    }

    fn run(&mut self, node: Node, instance: Instance) {
        let state = self.state;
        if state.passivations < self.bounds.passivations {
            self.may(Step::Passivates(name(node)), |after| {
                after.instances[node as usize] = None;
                after.passivations += 1;
            });
        }
        let applied = state.applied(instance.sees);
        let room = state.history.len() < self.bounds.records && state.appends.has_room();
        for command in 0..self.bounds.commands {
            let bit = 1 << command;
            if state.denied & bit != 0 {
                continue;
            }
            if applied & bit != 0 && self.rules.hold(Rule::Dedupe) {
                if state.acknowledged & bit == 0 {
                    self.may(Step::Repeats(name(node), command), |after| after.acknowledged |= bit);
                }
            } else if room {
                self.may(Step::Runs(name(node), command), |after| {
                    append(after, node, instance, Write::Command(command));
                });
            }
        }
        if room && !instance.confirmed {
            self.may(Step::Confirms(name(node)), |after| append(after, node, instance, Write::Confirm));
        }
    }

    fn wait(&mut self, node: Node, instance: Instance, write: Write) {
        let (state, record) = (self.state, Record { by: node, write });
        let under_way = |append: &Append| append.record.by == node;
        if state.appends.iter().any(|append| under_way(&append)) {
            // It may be long on its way: whoever takes that for a failure says so.
            return self.give_up(node, write);
        }
        if state.answers.iter().any(|answer| under_way(&answer)) {
            return;
        }
        if state.appends.has_room() && state.history.len() < self.bounds.records {
            self.may(Step::AppendsAgain(name(node)), |after| {
                after.appends.push(Append { record, behind: instance.sees, stored: false });
            });
        }
        self.give_up(node, write);
    }

    fn give_up(&mut self, node: Node, write: Write) {
        if let (Write::Command(command), false) = (write, self.rules.hold(Rule::UnknownIsNoFailure)) {
            self.may(Step::GivesUp(name(node)), |after| {
                after.denied |= 1 << command;
                after.instances[node as usize] = None;
            });
        }
    }

    // --- The store of histories ---

    fn store(&mut self) {
        let state = self.state;
        for (place, append) in (0..).zip(state.appends.iter()) {
            self.may(Step::AppendLost(place), |after| forget(&mut after.appends, place));
            let fits = append.behind == state.history.len() || !self.rules.hold(Rule::CommitBehindTheLast);
            self.may(Step::AppendArrives(place), |after| {
                after.appends.take(place);
                if fits {
                    after.history.push(append.record);
                }
                after.answers.push(Append { stored: fits, ..append });
            });
        }
        for (place, answer) in (0..).zip(state.answers.iter()) {
            self.may(Step::AnswerLost(place), |after| forget(&mut after.answers, place));
            self.answer(place, answer);
        }
    }

    fn answer(&mut self, place: u8, answer: Append) {
        let (state, node) = (self.state, answer.record.by as usize);
        let waiting = state.instances[node]
            .filter(|instance| instance.writing == Some(answer.record.write) && instance.sees == answer.behind);
        let bit = match answer.record.write {
            Write::Command(command) => 1 << command,
            Write::Confirm => 0,
        };
        let Some(instance) = waiting else {
            return self.may(Step::Answered(place), |after| forget(&mut after.answers, place));
        };
        if answer.stored {
            let behind_the_last = self.rules.hold(Rule::CommitBehindTheLast);
            return self.may(Step::Answered(place), |after| {
                after.answers.take(place);
                after.acknowledged |= bit;
                let sees = if behind_the_last { instance.sees + 1 } else { after.history.len() };
                after.instances[node] = Some(Instance { sees, confirmed: true, writing: None });
            });
        }
        // A conflict. It may be our own earlier attempt that is there, below somebody else's record.
        let behind = state.history.iter().skip(instance.sees.into());
        let found = if self.rules.hold(Rule::LookThroughHistory) {
            behind.into_iter().any(|record| record == answer.record)
        } else {
            behind.last() == Some(answer.record)
        };
        self.may(Step::Answered(place), |after| {
            after.answers.take(place);
            after.instances[node] = None;
            if found {
                after.acknowledged |= bit;
            }
        });
        let elsewhere = |record: Record| record.write == answer.record.write && record.by != answer.record.by;
        let tried_elsewhere = state.appends.iter().any(|append| elsewhere(append.record))
            || Node::BOTH.iter().any(|other| {
                *other != answer.record.by
                    && state.instances[*other as usize].is_some_and(|it| it.writing == Some(answer.record.write))
            });
        // Told so by this node, the caller asks nobody any more.
        if !found && bit != 0 && !tried_elsewhere {
            let known = state.history.iter().any(elsewhere);
            if !known {
                self.may(Step::AnsweredAndDenied(place), |after| {
                    after.answers.take(place);
                    after.instances[node] = None;
                    after.denied |= bit;
                });
            }
        }
    }

    // --- Leaders ---

    fn leader(&mut self, number: u8) {
        let (state, place) = (self.state, usize::from(number));
        let leader = state.leaders[place];
        if leader.over {
            return;
        }
        let room = usize::from(state.log.len()) < usize::from(self.bounds.entries);
        if leader.term.is_none() {
            if room && (number == 0 || state.leaders[0].term.is_some()) {
                self.may(Step::Elected(number), |after| {
                    let term = after.term() + 1;
                    after.log.push(Entry::TermStarted(term));
                    let leader = &mut after.leaders[place];
                    (leader.term, leader.knows) = (Some(term), after.log.len());
                });
            }
            return;
        }
        let behind = leader.knows < state.log.len();
        if behind {
            self.may(Step::LeaderReads(number), |after| {
                let (entries, term) = (after.log.len(), after.term());
                let leader = &mut after.leaders[place];
                leader.knows = entries;
                leader.over = leader.term != Some(term);
            });
        }
        self.watch(number, leader);
        let may_write = room && (!behind || !self.rules.hold(Rule::LogBehindTheLast));
        let (shard, rules, bounds) = (state.shard(leader.knows), self.rules, self.bounds);
        if !may_write {
            return;
        }
        let (paused, leaves) = (state.is_paused(leader.knows), state.has(leader.knows, Entry::Leaves));
        let mut writes = |step, entry| {
            self.may(step, |after| {
                after.log.push(entry);
                after.leaders[place].knows = after.log.len();
                after.moves += u8::from(entry == Entry::Drain);
            });
        };
        let asked = state.words % 2 == 1;
        if asked != paused {
            writes(Step::TakesUp(number), if asked { Entry::Paused } else { Entry::Resumed });
        }
        if state.a_leaves && !leaves {
            writes(Step::WritesThatALeaves(number), Entry::Leaves);
        }
        let has_nothing = shard.owner != Node::A || !rules.hold(Rule::LetGoWithNothing);
        if leaves && has_nothing && !state.has(leader.knows, Entry::Left) {
            writes(Step::LetsGo(number), Entry::Left);
        }
        if shard.owner != Node::A {
            return;
        }
        if shard.draining {
            if state.released == Some(shard.epoch) || !rules.hold(Rule::WaitForRelease) {
                writes(Step::AssignsAfterRelease(number), Entry::Owned(Node::B));
            }
            if bounds.cancels {
                writes(Step::Cancels(number), Entry::Owned(Node::A));
            }
        } else if bounds.moves
            && state.moves <= u8::from(leaves)
            && (!paused || leaves || !rules.hold(Rule::PauseHolds))
        {
            writes(Step::Drains(number), Entry::Drain);
        }
        let over = leader.watches.is_some_and(|(_, since)| state.now >= since + Bounds::LEASE);
        if leader.fenced && (over || leader.dead || !rules.hold(Rule::WaitForLease)) {
            writes(Step::AssignsAfterFence(number), Entry::Owned(Node::B));
        }
    }

    fn watch(&mut self, number: u8, leader: crate::state::Leader) {
        let (state, place) = (self.state, usize::from(number));
        if leader.watches.is_none_or(|(revision, _)| revision != state.revision) {
            self.may(Step::Watches(number), |after| {
                let leader = &mut after.leaders[place];
                leader.watches = Some((after.revision, after.now));
                leader.fenced |= after.is_fenced;
                leader.dead |= after.is_dead;
            });
        }
        let Some((revision, since)) = leader.watches.filter(|_| !leader.fenced) else { return };
        if !self.rules.hold(Rule::FenceByCompareAndSet) {
            // Silence alone is taken for death, and nothing keeps the next heartbeat out.
            if state.now >= since + Bounds::LEASE {
                self.may(Step::Fences(number), |after| after.leaders[place].fenced = true);
            }
        } else if revision == state.revision && !state.is_fenced {
            // Fencing early is always safe.
            self.may(Step::Fences(number), |after| {
                (after.is_fenced, after.revision) = (true, after.revision + 1);
                let leader = &mut after.leaders[place];
                // What was watched is what was fenced: its age counts.
                (leader.fenced, leader.watches) = (true, Some((after.revision, since)));
            });
        }
    }
}

fn forget(under_way: &mut Row<Append, { Bounds::UNDER_WAY_MAX }>, place: u8) {
    let _ = under_way.take(place);
}

fn append(after: &mut State, node: Node, instance: Instance, write: Write) {
    after.instances[node as usize] = Some(Instance { writing: Some(write), ..instance });
    after.appends.push(Append { record: Record { by: node, write }, behind: instance.sees, stored: false });
}
