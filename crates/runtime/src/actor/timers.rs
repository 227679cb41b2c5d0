//! The timers of one actor: what its handlers wish, what its history holds, and which of them is due.
//!
//! Open timers are a fold of the changes in an actor's records, as its state is one of its events. Whether a timer fires is
//! decided by that fold alone; the time decides only when it is tried. Who tries is the shard's trade (`shard/timers.rs`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::records::{MissedTicks, PayloadCodec, Timer, TimerChange};
use aether_domain::{Incarnation, WallTime};
use bytes::Bytes;

use super::codec::{self, CodecError};
use super::model::Command;

/// What a handler wants to become of one timer.
pub(crate) struct Wish {
    name: Cow<'static, str>,
    /// Nothing: it is cancelled.
    set: Option<Set>,
}

struct Set {
    after: Duration,
    every: Option<Duration>,
    missed: MissedTicks,
    command: &'static str,
    encode: Encode,
}

type Encode = Box<dyn FnOnce(PayloadCodec) -> Result<Bytes, CodecError> + Send>;

impl Wish {
    pub(crate) fn remind<C: Command>(name: Cow<'static, str>, after: Duration, command: &C) -> Self {
        let (missed, own) = (MissedTicks::default(), command.clone());
        let encode = Box::new(move |codec| codec::encode(codec, &own));
        Self { name, set: Some(Set { after, every: None, missed, command: C::NAME, encode }) }
    }

    pub(crate) fn every(mut self, missed: MissedTicks) -> Self {
        if let Some(set) = &mut self.set {
            (set.every, set.missed) = (Some(set.after), missed);
        }
        self
    }

    pub(crate) fn named(self, name: Cow<'static, str>) -> Self {
        Self { name, ..self }
    }

    pub(crate) fn cancel(name: Cow<'static, str>) -> Self {
        Self { name, set: None }
    }

    /// As it is stored; or what is wrong with it.
    pub(crate) fn change(self, now: WallTime, codec: PayloadCodec) -> Result<TimerChange, String> {
        let name = self.name.into_owned();
        if name.is_empty() || name.len() > Timer::NAME_BYTES_MAX {
            let bytes_max = Timer::NAME_BYTES_MAX;
            return Err(format!("a reminder's name has 1 to {bytes_max} bytes, {name:?} has {}", name.len()));
        }
        let Some(Set { after, every, missed, command, encode }) = self.set else {
            return Ok(TimerChange::Cancelled { name });
        };
        if every.is_some_and(|every| every < Duration::from_millis(1)) {
            return Err(format!("the period of the reminder {name:?} is below a millisecond"));
        }
        let payload = encode(codec).map_err(|fault| format!("the command of the reminder {name:?} {fault}"))?;
        if payload.len() > Timer::COMMAND_BYTES_MAX {
            let (bytes, bytes_max) = (payload.len(), Timer::COMMAND_BYTES_MAX);
            return Err(format!("the command of the reminder {name:?} has {bytes} bytes, the bound is {bytes_max}"));
        }
        // Up to the next millisecond: never early.
        let due = later(now, after.saturating_add(Duration::from_nanos(999_999)));
        let every = every.map(|every| Duration::from_millis(millis(every)));
        Ok(TimerChange::Set(Timer { name, due, every, missed, command: command.to_owned(), payload }))
    }
}

/// The open timers of one actor. Empty, it is as small as a pointer: most actors have none.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenTimers {
    #[expect(clippy::box_collection, reason = "every actor in memory has one of these")]
    by_name: Option<Box<BTreeMap<String, Open>>>,
}

#[derive(Clone, Debug)]
struct Open {
    timer: Timer,
    /// Of its command.
    codec: PayloadCodec,
    /// The command's place in the kind's list. A command that this build does not know keeps its timer open: another build
    /// may know it.
    command: Option<u8>,
    /// The lives that have begun it and not fired it, as far as the history says.
    begun_by: Vec<Incarnation>,
}

/// A timer whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) name: String,
    /// Since when.
    pub(crate) since: WallTime,
    /// Whether its command is run; else its ticks were missed, and that is all that is stored.
    pub(crate) runs: bool,
    /// When it is due again.
    pub(crate) next: Option<WallTime>,
    /// The command's place in the kind's list, and its name.
    pub(crate) command: u8,
    pub(crate) command_name: String,
    pub(crate) codec: PayloadCodec,
    pub(crate) payload: Bytes,
    /// The lives that have begun it and not fired it, as far as the history says.
    pub(crate) begun_by: Vec<Incarnation>,
}

impl Due {
    /// What the history says of it before it is run where it may have ended lives: it is due as before, and who tries.
    pub(crate) fn begun(&self) -> TimerChange {
        TimerChange::Fired { name: self.name.clone(), next: Some(self.since) }
    }

    /// What the history says of it.
    pub(crate) fn fired(&self) -> TimerChange {
        TimerChange::Fired { name: self.name.clone(), next: self.next }
    }
}

impl OpenTimers {
    /// Takes over a change of a record that `by` wrote (nobody yet, if it is still to be stored), whose command is in
    /// `codec`; `place` finds a command's place in the kind's list.
    pub(crate) fn apply(
        &mut self,
        change: &TimerChange,
        by: Option<Incarnation>,
        codec: PayloadCodec,
        place: impl FnOnce(&str) -> Option<u8>,
    ) {
        let open = self.by_name.get_or_insert_default();
        match change {
            TimerChange::Set(timer) => {
                // A copy, because the payload may be a slice of a large message that would be kept alive whole.
                let timer = Timer { payload: Bytes::copy_from_slice(&timer.payload), ..timer.clone() };
                let command = place(&timer.command);
                open.insert(timer.name.clone(), Open { timer, codec, command, begun_by: Vec::new() });
            }
            TimerChange::Fired { name, next: Some(next) } => {
                if let Some(open) = open.get_mut(name) {
                    match by {
                        // A firing moves it on: this one is begun.
                        _ if open.timer.due == *next => open.begun_by.extend(by),
                        // Who has fired it need not begin it again for its next tick.
                        Some(by) => open.begun_by.retain(|life| *life == by),
                        None => drop(open.begun_by.drain(..open.begun_by.len().saturating_sub(1))),
                    }
                    open.timer.due = *next;
                }
            }
            TimerChange::Cancelled { name } | TimerChange::Fired { name, next: None } => drop(open.remove(name)),
        }
        if open.is_empty() {
            self.by_name = None;
        }
    }

    fn all(&self) -> impl Iterator<Item = &Open> {
        self.by_name.iter().flat_map(|open| open.values())
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.as_ref().map_or(0, |open| open.len())
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.by_name.as_ref().is_some_and(|open| open.contains_key(name))
    }

    /// When the first of them is due that can be run here.
    pub(crate) fn next_due(&self) -> Option<WallTime> {
        self.all().filter(|open| open.command.is_some()).map(|open| open.timer.due).min()
    }

    /// The timer that fires next, if its time has come: the earliest first, of those the first by name.
    pub(crate) fn due(&self, now: WallTime) -> Option<Due> {
        let runnable = self.all().filter_map(|open| Some((open, open.command?)));
        let due = runnable.filter(|(open, _)| open.timer.due <= now);
        let (Open { timer, codec, begun_by, .. }, command) =
            due.min_by_key(|(open, _)| (open.timer.due, &open.timer.name))?;
        let (runs, next) = tick(timer, now);
        let (name, command_name, payload) = (timer.name.clone(), timer.command.clone(), timer.payload.clone());
        let (codec, begun_by) = (*codec, begun_by.clone());
        Some(Due { name, since: timer.due, runs, next, command, command_name, codec, payload, begun_by })
    }

    /// Those that this build has no command for, by name, each with its command.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = (&str, &str)> {
        let unknown = self.all().filter(|open| open.command.is_none());
        unknown.map(|open| (open.timer.name.as_str(), open.timer.command.as_str()))
    }

    /// All of them, by name, each with its command's codec: what a snapshot keeps.
    pub(crate) fn timers(&self) -> impl Iterator<Item = (&Timer, PayloadCodec)> {
        self.all().map(|open| (&open.timer, open.codec))
    }
}

/// Whether a due timer's command is run, and when it is due again.
fn tick(timer: &Timer, now: WallTime) -> (bool, Option<WallTime>) {
    let Some(every) = timer.every else { return (true, None) };
    let following = later(timer.due, every);
    let to_come = || {
        let every = millis(every).max(1);
        let passed = now.unix_millis.saturating_sub(timer.due.unix_millis) / every;
        WallTime { unix_millis: timer.due.unix_millis.saturating_add(every.saturating_mul(passed.saturating_add(1))) }
    };
    match timer.missed {
        MissedTicks::All => (true, Some(following)),
        MissedTicks::Once => (true, Some(to_come())),
        MissedTicks::Skip if following > now => (true, Some(following)),
        MissedTicks::Skip => (false, Some(to_come())),
    }
}

fn later(than: WallTime, by: Duration) -> WallTime {
    WallTime { unix_millis: than.unix_millis.saturating_add(millis(by)) }
}

fn millis(of: Duration) -> u64 {
    u64::try_from(of.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(unix_millis: u64) -> WallTime {
        WallTime { unix_millis }
    }

    fn set(name: &str, due: u64, command: &str) -> TimerChange {
        let (name, command) = (name.to_owned(), command.to_owned());
        let (every, missed, payload) = (None, MissedTicks::Once, Bytes::from_static(b"{}"));
        TimerChange::Set(Timer { name, due: at(due), every, missed, command, payload })
    }

    /// This build knows one command.
    fn place(command: &str) -> Option<u8> {
        (command == "known").then_some(3)
    }

    fn changes() -> impl Strategy<Value = Vec<TimerChange>> {
        let name = || prop_oneof![Just("a"), Just("b"), Just("c"), Just("d")];
        let command = prop_oneof![3 => Just("known"), 1 => Just("unknown")];
        let one = prop_oneof![
            3 => (name(), 0..100_u64, command).prop_map(|(name, due, command)| set(name, due, command)),
            1 => name().prop_map(|name| TimerChange::Cancelled { name: name.to_owned() }),
            2 => (name(), prop::option::of(0..100_u64))
                .prop_map(|(name, next)| TimerChange::Fired { name: name.to_owned(), next: next.map(at) }),
        ];
        prop::collection::vec(one, 0..40)
    }

    proptest! {
        #[test]
        fn open_timers_are_the_fold_of_the_changes(changes in changes(), now in 0..100_u64) {
            let mut timers = OpenTimers::default();
            // Name, when due, whether its command is known: as a list, in the order of setting.
            let mut plain: Vec<(String, u64, bool)> = Vec::new();
            for change in &changes {
                timers.apply(change, None, PayloadCodec::Json, place);
                match change {
                    TimerChange::Set(timer) => {
                        plain.retain(|open| open.0 != timer.name);
                        plain.push((timer.name.clone(), timer.due.unix_millis, timer.command == "known"));
                    }
                    TimerChange::Fired { name, next: Some(next) } => {
                        plain.iter_mut().filter(|open| open.0 == *name).for_each(|open| open.1 = next.unix_millis);
                    }
                    TimerChange::Cancelled { name } | TimerChange::Fired { name, next: None } => {
                        plain.retain(|open| open.0 != *name);
                    }
                }
            }
            prop_assert_eq!(timers.len(), plain.len());
            prop_assert!(plain.iter().all(|open| timers.contains(&open.0)));
            let mut runnable: Vec<_> = plain.iter().filter(|open| open.2).map(|open| (open.1, open.0.clone())).collect();
            runnable.sort();
            prop_assert_eq!(timers.next_due(), runnable.first().map(|first| at(first.0)));
            let due = timers.due(at(now)).map(|due| (due.since.unix_millis, due.name));
            prop_assert_eq!(due, runnable.into_iter().find(|first| first.0 <= now));
            prop_assert_eq!(timers.unknown().count(), plain.iter().filter(|open| !open.2).count());
            prop_assert_eq!(timers.timers().count(), plain.len());
        }

        #[test]
        fn what_becomes_of_missed_ticks_is_what_counting_them_says(due in 0..50_u64, every in 1..20_u64, late in 0..200_u64) {
            let now = due + late;
            let ticks: Vec<u64> = (0..=late).map(|nth| due + nth * every).take_while(|tick| *tick <= now).collect();
            let to_come = Some(at(ticks[ticks.len() - 1] + every));
            let check = |missed| {
                let TimerChange::Set(timer) = set("a", due, "known") else { unreachable!("it is set") };
                tick(&Timer { every: Some(Duration::from_millis(every)), missed, ..timer }, at(now))
            };
            prop_assert_eq!(check(MissedTicks::Once), (true, to_come));
            prop_assert_eq!(check(MissedTicks::All), (true, Some(at(due + every))));
            prop_assert_eq!(check(MissedTicks::Skip), (ticks.len() == 1, to_come));
        }
    }

    #[test]
    fn who_has_begun_a_timer_is_known_until_it_fires() {
        let mut timers = OpenTimers::default();
        let mut apply = |change: &TimerChange, by: u64| {
            timers.apply(change, Some(Incarnation(by)), PayloadCodec::Json, place);
            timers.due(at(100)).map(|due| due.begun_by.iter().map(|life| life.0).collect::<Vec<_>>())
        };
        let fires = |next: u64| TimerChange::Fired { name: "a".into(), next: Some(at(next)) };
        assert_eq!(apply(&set("a", 5, "known"), 1), Some(vec![]));
        assert_eq!(apply(&fires(5), 2), Some(vec![2]), "it is due as before");
        assert_eq!(apply(&fires(5), 3), Some(vec![2, 3]));
        assert_eq!(apply(&fires(6), 3), Some(vec![3]), "whoever has fired it goes on with it");
        assert_eq!(apply(&set("a", 6, "known"), 3), Some(vec![]), "another timer of that name");
        assert_eq!(apply(&fires(6), 3), Some(vec![3]));
        assert_eq!(apply(&fires(7), 4), Some(vec![]));
        assert_eq!(apply(&TimerChange::Fired { name: "a".into(), next: None }, 4), None);
    }

    #[test]
    fn a_due_time_beyond_the_clock_s_end_is_never() {
        let timer = |due, every, missed| {
            let TimerChange::Set(timer) = set("a", due, "known") else { unreachable!("it is set") };
            Timer { every: Some(every), missed, ..timer }
        };
        for missed in [MissedTicks::Once, MissedTicks::All, MissedTicks::Skip] {
            let never = timer(u64::MAX - 5, Duration::MAX, missed);
            assert_eq!(tick(&never, at(u64::MAX - 1)), (true, Some(at(u64::MAX))), "{missed:?}");
        }
    }
}
