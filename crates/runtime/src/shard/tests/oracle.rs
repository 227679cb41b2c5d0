//! Random interleavings against the history as the oracle.
//!
//! Every command adds a power of two under its own name, so a total says which commands it includes. Commands are
//! asked again under the same name, other owners write between, answers are lost, writes land late, the shard is lost
//! and given back; snapshots are saved every few events, and are old, missing or damaged when an actor is loaded. Whatever
//! happens: what was acknowledged is in the history exactly once, and every reply is that of
//! a moment of the history.

use std::collections::{BTreeMap, BTreeSet};

use aether_domain::records::{PayloadCodec, StoredCommit};
use proptest::prelude::*;

use super::counter::Happened;
use super::scene::Scene;
use crate::actor::codec;
use crate::shard::input::{Effect, Input};

/// The commands of one run: each adds its own power of two, above what other owners add.
const NAMES: u64 = 24;
/// What another owner adds each time.
const FOREIGN: u64 = 1;
/// The lowest bit of a command.
const SHIFT: u64 = 16;

#[derive(Clone, Debug)]
enum Move {
    /// Asks, under a name that may have been asked before.
    Add {
        name: u64,
    },
    Read {
        mode: &'static str,
    },
    /// Answers something that is under way, in one of several ways.
    Answer {
        which: usize,
        how: usize,
    },
    /// Another owner of the same epoch appends.
    Foreign,
    /// The same of a command that says no while the total is even: every other owner's addition turns that round.
    Odd {
        name: u64,
    },
    /// The shard is lost, is asked back, or is given back (or left here) under a later epoch.
    Lose,
    Drain,
    Regain,
    /// Time passes, and callers give up.
    Wait,
    /// So much of it that an idle actor leaves memory.
    Idle,
    /// A moment passes, and what has nothing under way is packed.
    Rest,
    /// Somebody needs room.
    Evict,
    /// A captured state comes, whichever, damaged or not.
    Warm {
        which: usize,
        how: usize,
    },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => (0..NAMES).prop_map(|name| Move::Add { name }),
        2 => prop_oneof![Just(""), Just("log")].prop_map(|mode| Move::Read { mode }),
        10 => (0..4_usize, 0..12_usize).prop_map(|(which, how)| Move::Answer { which, how }),
        1 => Just(Move::Foreign),
        3 => (0..NAMES).prop_map(|name| Move::Odd { name }),
        1 => Just(Move::Lose),
        2 => Just(Move::Drain),
        3 => Just(Move::Regain),
        3 => (0..64_usize, 0..8_usize).prop_map(|(which, how)| Move::Warm { which, how }),
        1 => Just(Move::Wait),
        1 => Just(Move::Idle),
        2 => Just(Move::Rest),
        1 => Just(Move::Evict),
    ];
    prop::collection::vec(one, 1..120)
}

struct Run {
    scene: Scene,
    epoch: u64,
    tokens: u64,
    /// What each token asked: a name, or nothing for a read.
    asked: BTreeMap<u64, Option<u64>>,
    /// What each token was told.
    told: BTreeMap<u64, String>,
    /// What had been acknowledged when each read was asked: a sum of powers of two.
    owed: BTreeMap<u64, u64>,
    acknowledged: u64,
    /// Commands that have been told no: their askers ask no more.
    refused: BTreeSet<u64>,
}

impl Run {
    fn tell(&mut self, cue: &str) {
        self.hear(|scene| scene.tell(cue));
    }

    fn hear(&mut self, happens: impl FnOnce(&mut Scene) -> String) {
        let said = happens(&mut self.scene);
        for part in said.split("; ").filter(|part| !part.is_empty()) {
            if let Some((token, answer)) = part.split_once('=')
                && let Ok(token) = token.parse::<u64>()
            {
                let answer = answer.trim_end_matches('?').to_string();
                if let (Some(Some(name)), true) = (self.asked.get(&token), answer.starts_with("no ")) {
                    self.refused.insert(*name);
                }
                let before = self.told.insert(token, answer);
                assert_eq!(before, None, "command {token} was answered twice");
                if let (Ok(_), Some(Some(name))) = (self.told[&token].parse::<u64>(), self.asked.get(&token)) {
                    self.acknowledged |= 1 << (SHIFT + name);
                }
            }
        }
    }

    fn ask(&mut self, name: Option<u64>, cue: &str) {
        if name.is_some_and(|name| self.refused.contains(&name)) {
            return;
        }
        self.tokens += 1;
        let token = 1000 + self.tokens;
        self.asked.insert(token, name);
        self.owed.insert(token, self.acknowledged);
        self.tell(&format!("{token} {cue}"));
    }

    fn play(&mut self, step: Move) {
        match step {
            Move::Add { name } => self.ask(Some(name), &format!("add {} id={}", 1_u64 << (SHIFT + name), name + 1)),
            Move::Odd { name } => {
                self.ask(Some(name), &format!("odd {} json id={}", 1_u64 << (SHIFT + name), name + 1));
            }
            Move::Read { mode } => self.ask(None, &format!("get {mode}")),
            Move::Answer { which, how } => self.answer(which, how),
            Move::Foreign => {
                let epoch = self.epoch;
                self.scene.foreign(1, epoch, Happened::Added { by: FOREIGN });
            }
            Move::Lose => self.tell("lost to b"),
            Move::Drain => {
                self.epoch += 1;
                let epoch = self.epoch;
                self.tell(&format!("drain {epoch} b"));
            }
            Move::Regain => {
                self.epoch += 1;
                let epoch = self.epoch;
                self.tell(&format!("activate {epoch}"));
            }
            Move::Wait => self.tell("tick 11000"),
            Move::Idle => self.tell("tick 600000"),
            Move::Rest => self.tell("tick 200"),
            Move::Evict => self.tell("evict 1"),
            Move::Warm { which, how } => self.warm(which, how),
        }
    }

    fn warm(&mut self, which: usize, how: usize) {
        let captured = &self.scene.captured;
        // The last one mostly.
        let which = if which < 32 { captured.len().saturating_sub(1) } else { which % captured.len().max(1) };
        let Some(mut warm) = captured.get(which).cloned() else { return };
        match how {
            0 => warm.snapshot.state = warm.snapshot.state.slice(1..),
            1 => warm.snapshot.schema += 1,
            // A commit that the store does not have.
            2 => warm.snapshot.at.sequence.0 += 1_000_000,
            _ => {}
        }
        self.hear(|scene| scene.step(Input::Warm(vec![vec![warm]])));
    }

    fn answer(&mut self, which: usize, how: usize) {
        if self.scene.asked.is_empty() {
            return;
        }
        // Answers of one kind come in order; of two kinds, in any.
        let place = which % self.scene.asked.len();
        let cue = match (&self.scene.asked[place], how) {
            (Effect::Load { .. }, 0) => "load fails",
            (Effect::Load { .. }, 1) => "loaded older",
            (Effect::Load { .. }, 2) => "loaded bare",
            (Effect::Load { .. }, 3) => "loaded torn",
            (Effect::Load { .. }, 4) => "loaded forked",
            (Effect::Load { .. }, 5) => "loaded miscounted",
            (Effect::Load { .. }, 6) => "loaded reshaped",
            (Effect::Load { .. }, 7) => "loaded old",
            (Effect::Load { .. }, 8) => "no room",
            (Effect::Load { .. }, 9) => "too late",
            (Effect::Load { .. }, _) => "loaded",
            (Effect::Save { .. }, 0 | 1) => "not saved",
            (Effect::Save { .. }, _) => "saved",
            (Effect::Look { .. }, 0) => "look fails",
            (Effect::Look { .. }, _) => "looked",
            (Effect::EndTurn { .. }, _) => "turn",
            (_, 0 | 1) => "lost ack",
            (_, 2) => "unsent",
            (_, 3) => "unavailable",
            (_, 4) => "in the way",
            _ => "ack",
        };
        self.tell(cue);
    }

    /// All faults have stopped: everybody is answered.
    fn settle(&mut self) {
        for _ in 0..400 {
            if self.scene.asked.is_empty() {
                break;
            }
            self.answer(0, 11);
        }
        assert!(self.scene.asked.is_empty(), "the actor is still at work after 400 good answers");
        let unanswered: Vec<_> = self.asked.keys().filter(|token| !self.told.contains_key(token)).collect();
        assert!(unanswered.is_empty(), "never answered: {unanswered:?}");
    }
}

/// The totals of a history, after no record, the first, and so on; each command's events counted on the way.
fn totals(history: &[StoredCommit]) -> (BTreeSet<u64>, BTreeMap<u64, usize>) {
    let (mut total, mut totals, mut times) = (0, BTreeSet::from([0]), BTreeMap::new());
    for commit in history {
        for event in &commit.record.events {
            let happened: Happened = codec::decode(PayloadCodec::Json, &event.payload).expect("it is an event");
            let Happened::Added { by } = happened else { panic!("only additions are asked") };
            total += by;
            totals.insert(total);
            if by >= 1 << SHIFT {
                *times.entry(u64::from(by.trailing_zeros()) - SHIFT).or_insert(0) += 1;
            }
        }
    }
    (totals, times)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_acknowledged_is_in_the_history_exactly_once(moves in moves()) {
        let mut run = Run {
            scene: Scene::with_snapshots_every(3),
            epoch: 5,
            tokens: 0,
            asked: BTreeMap::new(),
            told: BTreeMap::new(),
            owed: BTreeMap::new(),
            acknowledged: 0,
            refused: BTreeSet::new(),
        };
        run.tell("crowd");
        run.tell("activate 5");
        for step in moves {
            run.play(step);
        }
        run.settle();
        let history = run.scene.histories.remove(&1).unwrap_or_default();
        let (totals, times) = totals(&history);
        prop_assert!(times.values().all(|times| *times == 1), "a command is in the history more than once: {times:?}");
        let refused = run.refused.iter().find(|name| times.contains_key(name));
        prop_assert!(refused.is_none(), "{refused:?} was refused, and is in the history");
        for (token, told) in &run.told {
            let Ok(total) = told.parse::<u64>() else { continue };
            prop_assert!(totals.contains(&total), "{token} was told {total}, which the actor never was");
            if let Some(None) = run.asked.get(token) {
                let owed = run.owed[token];
                prop_assert!(total & owed == owed, "the read {token} was told {total}, which lacks some of {owed}");
            }
            if let Some(Some(name)) = run.asked.get(token) {
                prop_assert!(times.contains_key(name), "{token} was acknowledged, but {name} is not in the history");
                prop_assert!(total & (1 << (SHIFT + name)) != 0, "{token} was told {total}, which lacks its own addition");
            }
        }
        for (token, told) in &run.told {
            let no = ["busy", "expired", "unavailable", "owned by b", "owned by nobody", "moving to b"];
            let certainly_not = no.contains(&told.as_str()) || told.starts_with("no ");
            let name = run.asked.get(token).copied().flatten();
            let alone = run.asked.values().filter(|asked| **asked == name).count() == 1;
            if let Some(name) = name.filter(|_| certainly_not && alone) {
                prop_assert!(!times.contains_key(&name), "{token} was told {told}, but {name} is in the history");
            }
        }
    }
}
