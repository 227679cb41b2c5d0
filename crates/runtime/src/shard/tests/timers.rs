//! Timers: a wake before the record, fired once in effect, whoever owns the shard.

use std::collections::BTreeMap;

use aether_domain::records::TimerChange;
use proptest::prelude::*;

use super::scene::{Scene, play};
use crate::shard::input::Effect;

#[test]
fn a_wake_is_written_before_the_record_that_sets_a_timer() {
    play(
        "1 later 500   -> load
         loaded        -> wake by 501
         kept          -> append 1 set add@501 after 0
         ack           -> 1=0
         wait 499      ->
         wait 1        -> append fired add after 1
         ack           -> wake at no time
         kept          ->
         2 get         -> 2=1?
         wait 5000     ->",
    );
}

#[test]
fn a_record_that_sets_a_timer_is_not_sent_while_no_wake_is_written() {
    play(
        "1 later 500   -> load
         loaded        -> wake by 501
         2 add 5       ->
         not kept      -> wake by 501 in 20ms
         lost keep     -> wake by 501 in 40ms
         kept          -> append 1 set add@501 after 0
         ack           -> 1=0; append 2 after 1
         ack           -> 2=5",
    );
    play(
        "1 later 500   -> load
         loaded        -> wake by 501
         2 add 5       ->
         not kept      -> wake by 501 in 20ms
         not kept      -> wake by 501 in 40ms
         not kept      -> !no wake; 1=unavailable; 2=unavailable
         3 get         -> load
         loaded        -> confirm after 0
         ack           -> 3=0?",
    );
}

#[test]
fn an_own_wake_is_early_enough_for_later_timers_and_is_put_later_when_it_has_passed() {
    play(
        "1 later 500    -> load
         loaded         -> wake by 501
         kept           -> append 1 set add@501 after 0
         ack            -> 1=0
         wait 100       ->
         2 later 60000  -> append 2 set add@60101 after 1
         ack            -> 2=0
         wait 400       -> wake at 60101
         kept           ->
         3 later 70000  -> append 3 set add@70501 after 2
         ack            -> 3=0
         4 later 9000   -> wake by 9501
         kept           -> append 4 set add@9501 after 3
         ack            -> 4=0",
    );
}

#[test]
fn a_wake_in_doubt_is_written_anew_even_if_it_is_early_enough() {
    play(
        "1 later 500    -> load
         loaded         -> wake by 501
         kept           -> append 1 set add@501 after 0
         ack            -> 1=0
         2 later 60000  -> append 2 set add@60001 after 1
         ack            -> 2=0
         wait 500       -> wake at 60001
         3 later 70000  -> wake by 70501
         not kept       ->
         kept           -> append 3 set add@70501 after 2
         ack            -> 3=0; wake at 70501",
    );
}

#[test]
fn what_is_not_stored_has_not_fired_and_what_was_found_stored_has() {
    let begun = "1 later 500   -> load
         loaded        -> wake by 501
         kept          -> append 1 set add@501 after 0
         ack           -> 1=0
         wait 500      -> append fired add after 1\n";
    play(&format!(
        "{begun}
         lost ack      -> !unresolved; look after 1 in 20ms
         looked        -> wake at no time
         2 get         -> 2=1?"
    ));
    play(&format!(
        "{begun}
         unsent        -> !unresolved; look after 1 in 20ms
         looked        -> !unresolved; append fired add after 1 in 40ms
         2 get         ->
         ack           -> 2=1?; wake at no time
         wait 9000     ->"
    ));
}

#[test]
fn of_two_owners_one_fires_and_the_other_sees_that_it_has_fired() {
    play(
        "1 later 500       -> load
         loaded            -> wake by 501
         kept              -> append 1 set add@501 after 0
         ack               -> 1=0
         wait 500          -> append fired add after 1
         fires 5           ->
         in the way        -> look after 1
         looked            -> !conflict
         wait 1            -> load
         loaded            -> confirm after 2
         ack               -> wake at no time
         2 get             -> 2=1?",
    );
}

#[test]
fn a_new_owner_fires_what_fell_due_while_nobody_owned_the_shard() {
    play(
        "1 later 500   -> load
         loaded        -> wake by 501
         kept          -> append 1 set add@501 after 0
         ack           -> 1=0
         lost to b     ->
         wait 5000     ->
         activate 6    ->
         wait 1        ->
         wakes         ->
         wait 1        -> load
         loaded        -> wake by 501
         kept          -> append fired add@501 after 1
         ack           -> append fired add after 2
         2 get         ->
         ack           -> 2=1?; wake at no time",
    );
}

#[test]
fn a_timer_that_ends_each_life_that_runs_it_is_given_up_by_the_third_that_takes_it_over() {
    let begun = "1 later 500   -> load
         loaded        -> wake by 501
         kept          -> append 1 set add@501 after 0
         ack           -> 1=0
         lost to b     ->
         wait 5000     ->\n";
    let taken_over = |epoch: u64, life: u64, after: u64| {
        format!(
            "reborn {epoch} {life} ->
             wakes         ->
             wait 1        -> load
             loaded        -> wake by 501
             kept          -> append fired add@501 after {after}
             ack           -> append fired add after {}
             lost to b     ->
             unsent        ->\n",
            after + 1
        )
    };
    let two = [begun.to_owned(), taken_over(6, 2, 1), taken_over(7, 3, 2)].concat();
    play(&format!(
        "{two}
         reborn 8 4    ->
         wakes         ->
         wait 1        -> load
         loaded        -> letter 0; !given up; append fired add after 3
         ack           -> wake at no time
         2 get         -> 2=0?"
    ));
    // Whoever has begun it before does not count against itself, and begins it once.
    play(&format!(
        "{two}
         reborn 8 3    ->
         wakes         ->
         wait 1        -> load
         loaded        -> append fired add after 3
         ack           -> wake at no time
         2 get         -> 2=1?"
    ));
}

#[test]
fn an_owner_that_takes_a_shard_over_begins_a_period_once_however_many_ticks_were_missed() {
    let mut scene = Scene::new();
    for cue in
        ["activate 5", "1 beat-all 100", "loaded", "kept", "ack", "lost to b", "wait 10000", "reborn 6 2", "wakes"]
    {
        scene.tell(cue);
    }
    assert_eq!(scene.tell("wait 1"), "load");
    assert_eq!(scene.tell("loaded"), "wake by 101");
    assert_eq!(scene.tell("kept"), "append fired beat@101 after 1");
    assert_eq!(scene.tell("ack").matches("fired").count(), 64);
    assert_eq!(scene.tell("ack").matches("fired").count(), 36, "nothing is begun again");
}

#[test]
fn nothing_fires_while_the_node_may_not_serve_or_the_shard_is_leaving() {
    let begun = "1 later 500   -> load
         loaded        -> wake by 501
         kept          -> append 1 set add@501 after 0
         ack           -> 1=0\n";
    play(&format!(
        "{begun}
         pause         ->
         wait 500      ->
         resume        ->
         wait 1        -> append fired add after 1"
    ));
    play(&format!(
        "{begun}
         2 add 5       -> append 2 after 1
         drain 6 b     ->
         wait 500      ->
         ack           -> 2=5; captured 1@2; released 6
         wait 500      ->"
    ));
}

#[test]
fn a_record_that_waits_for_its_wake_is_given_up_where_the_shard_leaves() {
    play(
        "1 later 500   -> load
         loaded        -> wake by 501
         drain 6 b     ->
         not kept      -> !no wake; 1=moving to b; released 6",
    );
    play(
        "1 later 500   -> load
         loaded        -> wake by 501
         drain 6 b     ->
         kept          -> append 1 set add@501 after 0
         ack           -> 1=0; captured 1@1; released 6",
    );
}

#[test]
fn a_timer_of_the_same_name_replaces_and_one_that_is_cancelled_does_not_fire() {
    play(
        "1 later 500   -> load
         loaded        -> wake by 501
         kept          -> append 1 set add@501 after 0
         ack           -> 1=0
         2 still       -> append 2 cancelled add after 1
         ack           -> 2=0
         wait 500      -> wake at no time
         kept          ->
         3 still       -> 3=0?
         4 later 500   -> wake by 1001
         kept          -> append 4 set add@1001 after 2
         ack           -> 4=0
         5 later 600   -> append 5 set add@1101 after 3
         ack           -> 5=0
         wait 500      ->
         wait 100      -> append fired add after 4
         ack           -> wake at no time
         6 get         -> 6=1?",
    );
}

#[test]
fn missed_ticks_are_run_once_all_or_not_at_all() {
    let beat = |policy: &str, rest: &str| {
        play(&format!(
            "1 {policy} 100  -> load
             loaded          -> wake by 101
             kept            -> append 1 set beat@101 after 0
             ack             -> 1=0
             wait 100        -> append fired beat@201 after 1
             ack             ->
             {rest}"
        ));
    };
    beat("beat", "wait 360 -> append fired beat@501 after 2\nack ->\n2 get -> 2=2?");
    beat("beat-skip", "wait 360 -> append fired beat@501 after 2\nack ->\n2 get -> 2=1?");
    beat("beat-skip", "wait 199 -> append fired beat@301 after 2\nack ->\n2 get -> 2=2?");
    beat("beat-all", "wait 360 -> append fired beat@301 fired beat@401 fired beat@501 after 2\nack ->\n2 get -> 2=4?");
}

#[test]
fn a_year_of_missed_milliseconds_comes_in_records_of_64_between_which_commands_are_answered() {
    let mut scene = Scene::new();
    for cue in ["activate 5", "1 beat-all 1", "loaded", "kept", "ack"] {
        scene.tell(cue);
    }
    let fired = scene.tell("wait 31536000000");
    assert_eq!(fired.matches("fired").count(), 64, "{fired}");
    assert_eq!(scene.tell("2 add 1000"), "");
    let next = scene.tell("ack");
    assert!(next.starts_with("append 2 ") && next.matches("fired").count() == 63, "{next}");
    assert!(scene.tell("ack").starts_with("2=1064; append fired"), "its own, and the 64 before it");
}

#[test]
fn a_timer_fires_whatever_its_command_comes_to() {
    for (fuse, total) in [("fuse-no", 0), ("fuse-nothing", 0)] {
        let name = if fuse == "fuse-no" { "grow" } else { "get" };
        play(&format!(
            "1 {fuse} 500  -> load
             loaded        -> wake by 501
             kept          -> append 1 set {name}@501 after 0
             ack           -> 1=0
             wait 500      -> append fired {name} after 1
             ack           -> wake at no time
             2 get         -> 2={total}?"
        ));
    }
}

#[test]
fn a_timer_whose_command_panics_is_tried_three_times_and_then_fires_without_it() {
    play(
        "1 fuse 500    -> load
         loaded        -> wake by 501
         kept          -> append 1 set boom@501 after 0
         ack           -> 1=0
         wait 500      -> !panicked
         wait 99       ->
         wait 1        -> load
         loaded        -> !panicked
         2 add 5       -> load
         loaded        -> letter 0; !given up; !panicked; load
         loaded        -> append 2 fired boom after 1
         ack           -> 2=5; wake at no time",
    );
}

#[test]
fn a_timer_whose_record_the_store_refuses_fires_without_its_command() {
    play(
        "1 fuse-large 500  -> load
         loaded            -> wake by 501
         kept              -> append 1 set pad@501 after 0
         ack               -> 1=0
         wait 500          -> append fired pad after 1
         too large         ->
         wait 1            -> load
         loaded            -> append fired pad after 1
         ack               -> wake at no time
         2 get             -> 2=0?",
    );
}

#[test]
fn more_than_256_open_timers_are_refused_and_nothing_is_stored() {
    let mut scene = Scene::new();
    scene.tell("activate 5");
    scene.tell("1 reminders 257");
    assert_eq!(scene.tell("loaded"), "1=invalid");
    scene.tell("2 reminders 256");
    scene.tell("kept");
    assert_eq!(scene.tell("ack"), "2=0");
    assert_eq!(scene.tell("3 later 500"), "3=invalid");
    assert_eq!(scene.tell("4 add 1"), "append 4 after 1");
    scene.tell("ack");
    // They fire in records of 64, and then there is room again.
    assert_eq!(scene.tell("wait 1000").matches("fired").count(), 64);
    for left in [192, 128, 64] {
        assert_eq!(scene.tell("ack").matches("fired").count(), left.min(64), "{left} are left");
    }
    scene.tell("ack");
    assert_eq!(scene.tell("5 get"), "5=257?");
}

#[test]
fn a_chain_of_timers_writes_the_next_with_the_firing() {
    play(
        "1 chain 20000 -> load
         loaded        -> wake by 20001
         kept          -> append 1 set chain@20001 after 0
         ack           -> 1=1
         wait 20000    -> append fired chain set chain@40001 after 1
         ack           -> wake at 40001
         kept          ->
         wait 20000    -> append fired chain set chain@60001 after 2
         ack           -> wake at 60001
         2 get         -> 2=3?",
    );
}

#[test]
fn an_actor_that_is_not_in_memory_is_brought_in_when_its_time_comes() {
    let mut scene = Scene::new();
    for cue in ["activate 5", "1 later 700000", "loaded", "kept", "ack"] {
        scene.tell(cue);
    }
    scene.tell("tick 650000");
    assert_eq!(scene.resident(), 0, "it was idle for ten minutes");
    assert_eq!(scene.next_look(), Some(700_001));
    assert_eq!(scene.tell("wait 50000"), "load");
    assert_eq!(scene.tell("loaded"), "append fired add after 1");
}

/// The open timers that a history leaves: name and when due. Panics where one fires or is cancelled that is not open.
fn open(scene: &Scene) -> BTreeMap<String, u64> {
    let mut open = BTreeMap::new();
    for commit in scene.histories.get(&1).into_iter().flatten() {
        for change in &commit.record.timers {
            match change {
                TimerChange::Set(timer) => drop(open.insert(timer.name.clone(), timer.due.unix_millis)),
                TimerChange::Cancelled { name } => assert!(open.remove(name).is_some(), "{name} is cancelled twice"),
                TimerChange::Fired { name, next } => {
                    assert!(open.remove(name).is_some(), "{name} fires twice");
                    open.extend(next.map(|next| (name.clone(), next.unix_millis)));
                }
            }
        }
    }
    open
}

#[derive(Clone, Debug)]
enum Move {
    Ask {
        what: &'static str,
        millis: u64,
    },
    Wait {
        millis: u64,
    },
    /// Answers something that is under way, in one of several ways.
    Answer {
        which: usize,
        how: usize,
    },
    /// A wake whose outcome nobody heard reaches the store after all.
    Land,
    /// Another owner of the same epoch appends.
    Foreign,
    Lose,
    Drain,
    Regain,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let asks = prop_oneof![Just("later"), Just("later"), Just("chain"), Just("still"), Just("add"), Just("fuse-no")];
    let one = prop_oneof![
        5 => (asks, prop_oneof![1..40_u64, 5_000..60_000_u64]).prop_map(|(what, millis)| Move::Ask { what, millis }),
        4 => prop_oneof![0..60_u64, 1_000..30_000_u64].prop_map(|millis| Move::Wait { millis }),
        12 => (0..4_usize, 0..9_usize).prop_map(|(which, how)| Move::Answer { which, how }),
        2 => Just(Move::Land),
        1 => Just(Move::Foreign),
        1 => Just(Move::Lose),
        1 => Just(Move::Drain),
        2 => Just(Move::Regain),
    ];
    prop::collection::vec(one, 1..100)
}

struct Run {
    scene: Scene,
    epoch: u64,
    tokens: u64,
}

impl Run {
    fn play(&mut self, step: Move) {
        match step {
            Move::Ask { what, millis } => {
                self.tokens += 1;
                self.scene.tell(&format!("{} {what} {millis}", self.tokens));
            }
            Move::Wait { millis } => drop(self.scene.tell(&format!("wait {millis}"))),
            Move::Answer { which, how } => self.answer(which, how),
            Move::Land => self.scene.land_wakes(),
            Move::Foreign => drop(self.scene.tell(&format!("foreign {} 1", self.epoch))),
            Move::Lose => drop(self.scene.tell("lost to b")),
            Move::Drain => {
                self.epoch += 1;
                self.scene.tell(&format!("drain {} b", self.epoch));
            }
            Move::Regain => {
                self.epoch += 1;
                self.scene.tell(&format!("activate {}", self.epoch));
                self.scene.tell("wakes");
            }
        }
    }

    fn answer(&mut self, which: usize, how: usize) {
        if self.scene.asked.is_empty() {
            return;
        }
        let place = which % self.scene.asked.len();
        let cue = match (&self.scene.asked[place], how) {
            (Effect::Load { .. }, 0) => "load fails",
            (Effect::Load { .. }, _) => "loaded",
            (Effect::Look { .. }, 0) => "look fails",
            (Effect::Look { .. }, _) => "looked",
            (Effect::Wake { .. }, 0) => "lost keep",
            (Effect::Wake { .. }, 1) => "not kept",
            (Effect::Wake { .. }, 2) => "late keep",
            (Effect::Wake { .. }, _) => "kept",
            (_, 0) => "lost ack",
            (_, 1) => "unsent",
            (_, 2) => "unavailable",
            _ => "ack",
        };
        self.scene.tell(cue);
    }

    /// Whoever looks at the store's wakes comes in time for every timer in the history.
    fn check(&self) {
        let wake = self.scene.wakes.get(&1).and_then(|wake| wake.at).map(|at| at.unix_millis);
        for (name, due) in open(&self.scene) {
            assert!(wake.is_some_and(|wake| wake <= due), "{name} is due at {due}, the wake says {wake:?}");
        }
    }

    fn settle(&mut self) {
        for _ in 0..400 {
            if self.scene.asked.is_empty() {
                return;
            }
            self.answer(0, 8);
        }
        panic!("the actor is still at work after 400 good answers");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_timer_is_ever_without_an_early_enough_wake_and_each_fires_once(moves in moves()) {
        let mut run = Run { scene: Scene::new(), epoch: 5, tokens: 0 };
        run.scene.tell("activate 5");
        for step in moves {
            run.play(step);
            run.check();
        }
        // All faults have stopped, and somebody owns the shard. What fires sets no other timer, once the chain is cut.
        run.play(Move::Regain);
        run.settle();
        run.tokens += 1;
        run.scene.tell(&format!("{} cut 0", run.tokens));
        for _ in 0..4 {
            run.settle();
            run.play(Move::Wait { millis: 100_000 });
            run.check();
        }
        run.settle();
        let left = open(&run.scene);
        prop_assert!(left.is_empty(), "never fired: {left:?}");
    }
}
