//! Actors that move with their shard: what is captured, and what becomes of it where it comes.

use aether_domain::records::WarmActor;

use super::scene::{Scene, play, play_on};
use crate::actor::{Actor as _, Settings};
use crate::shard::bounds::{CAPTURED_AT_ONCE, CAPTURED_MAX};
use crate::shard::tests::counter::Counter;

#[test]
fn an_idle_actor_is_captured_when_its_shard_leaves_and_answers_there_without_being_read() {
    play(
        "1 add 5      -> load
         loaded       -> append 1 after 0
         ack          -> 1=5
         drain 6 b    -> captured 1@1; released 6
         activate 7   ->
         warm         ->
         2 get        -> confirm after 1
         ack          -> 2=5?
         3 get        -> 3=5?
         4 add 1      -> append 4 after 2
         ack          -> 4=6",
    );
}

#[test]
fn whatever_an_actor_that_came_warm_answers_first_takes_a_compare_and_set() {
    for (asks, writes, answer) in [
        ("2 get", "confirm after 1", "2=5?"),
        ("2 get leased", "confirm after 1", "2=5?"),
        ("2 get log", "confirm after 1", "2=5"),
        ("2 odd 4", "append 2 after 1", "2=9"),
        ("2 demand 9", "confirm after 1", "2=no only 5"),
        ("2 add 4", "append 2 after 1", "2=9"),
    ] {
        play(&format!(
            "1 add 5      -> load
             loaded       -> append 1 after 0
             ack          -> 1=5
             drain 6 b    -> captured 1@1; released 6
             activate 7   ->
             warm         ->
             {asks}       -> {writes}
             ack          -> {answer}"
        ));
    }
}

#[test]
fn a_warm_state_that_is_behind_its_history_never_shows() {
    play(
        "1 add 5         -> load
         loaded          -> append 1 after 0
         ack             -> 1=5
         drain 6 b       -> captured 1@1; released 6
         foreign 7 30    ->
         activate 8      ->
         warm            ->
         2 get leased    -> confirm after 1
         ack             -> look after 1
         looked          -> !conflict; load fresh
         loaded          -> 2=35?",
    );
    // One that is ahead of it, which only a store that lost something or a bug could make, does no harm either.
    play(
        "1 add 5         -> load
         loaded          -> append 1 after 0
         ack             -> 1=5
         drain 6 b       -> captured 1@1; released 6
         activate 8      ->
         warm beyond     ->
         2 add 1         -> append 2 after 900
         ack             -> !conflict; load fresh
         loaded          -> append 2 after 1
         ack             -> 2=6",
    );
}

#[test]
fn what_cannot_be_used_is_left_out_and_the_actor_is_loaded() {
    for (how, said) in [("torn", "!warm left out; load"), ("reshaped", "!warm left out; load"), ("later", "load")] {
        play(&format!(
            "1 add 5      -> load
             loaded       -> append 1 after 0
             ack          -> 1=5
             drain 6 b    -> captured 1@1; released 6
             activate 7   ->
             warm {how}   ->
             2 get        -> {said}
             loaded       -> confirm after 1
             ack          -> 2=5?"
        ));
    }
}

#[test]
fn warm_state_comes_late_or_early_or_twice_and_is_used_once() {
    play(
        "1 add 5      -> load
         loaded       -> append 1 after 0
         ack          -> 1=5
         drain 6 b    -> captured 1@1; released 6
         warm         ->
         activate 7   ->
         2 add 1      -> load
         warm         ->
         loaded       -> append 2 after 1
         ack          -> 2=6
         drain 8 b    -> captured 1@2; released 8
         activate 9   ->
         warm         ->
         warm old     ->
         3 get        -> confirm after 2
         ack          -> 3=6?",
    );
}

#[test]
fn an_actor_with_something_under_way_is_captured_when_that_has_ended() {
    play(
        "1 add 5      -> load
         loaded       -> append 1 after 0
         2 add 7 @2   -> load @2
         loaded @2    -> append 2 after 0 @2
         ack @2       -> 2=7
         drain 6 b    -> captured 2@1
         3 add 1      -> 3=moving to b
         ack          -> 1=5; captured 1@2; released 6",
    );
    // What it was to store is not known to be stored: its state counts for nothing until it is.
    play(
        "1 add 5      -> load
         loaded       -> append 1 after 0
         drain 6 b    ->
         lost ack     -> !unresolved; look after 0 in 20ms
         looked       -> 1=5; captured 1@1; released 6",
    );
    // What had run ahead of the record is taken back, and the instance with it.
    play(
        "1 add 5      -> load
         loaded       -> append 1 after 0
         2 add 1      ->
         drain 6 b    -> 2=moving to b
         ack          -> 1=5; released 6",
    );
}

#[test]
fn what_was_captured_goes_back_when_the_move_is_cancelled() {
    play(
        "1 add 5      -> load
         loaded       -> append 1 after 0
         ack          -> 1=5
         drain 6 b    -> captured 1@1; released 6
         activate 7   ->
         warm         ->
         2 add 1      -> append 2 after 1
         ack          -> 2=6",
    );
}

#[test]
fn what_came_warm_and_was_never_asked_goes_on_with_its_shard() {
    play(
        "1 add 5      -> load
         loaded       -> append 1 after 0
         ack          -> 1=5
         drain 6 b    -> captured 1@1; released 6
         activate 7   ->
         warm         ->
         drain 8 b    -> captured 1@1; released 8
         activate 9   ->
         warm         ->
         2 get        -> confirm after 1
         ack          -> 2=5?",
    );
}

#[test]
fn what_is_not_asked_for_a_minute_or_whose_shard_is_lost_is_forgotten() {
    for gone in ["tick 60000", "lost\nactivate 8"] {
        play(&format!(
            "1 add 5      -> load
             loaded       -> append 1 after 0
             ack          -> 1=5
             drain 6 b    -> captured 1@1; released 6
             activate 7   ->
             warm         ->
             {gone}
             2 get        -> load"
        ));
    }
    let mut scene = Scene::new();
    for cue in ["activate 5", "1 add 5", "loaded", "ack", "drain 6 b", "activate 7", "warm"] {
        scene.tell(cue);
    }
    assert!(scene.memory().warm_bytes() > 0);
    scene.tell("tick 59000");
    assert!(scene.memory().warm_bytes() > 0);
    scene.tell("tick 1000");
    assert_eq!(scene.memory().warm_bytes(), 0);
}

#[test]
fn an_open_reminder_and_a_remembered_message_come_along() {
    play(
        "1 later 500        -> load
         loaded             -> wake by 501
         kept               -> append 1 set add@501 after 0
         ack                -> 1=0
         2 add 5 msg=44     -> append 2 after 1
         ack                -> 2=5
         drain 6 b          -> captured 1@2; released 6
         activate 7         ->
         warm               ->
         3 add 5 msg=44     -> 3=5
         wait 500           -> append fired add after 2
         ack                ->
         4 get              -> 4=6?",
    );
    // Nobody has asked it: its wake brings it in.
    play(
        "1 later 500        -> load
         loaded             -> wake by 501
         kept               -> append 1 set add@501 after 0
         ack                -> 1=0
         drain 6 b          -> captured 1@1; released 6
         activate 7         ->
         warm               ->
         wakes              ->
         wait 500           -> append fired add after 1",
    );
}

#[test]
fn how_far_a_snapshot_is_due_comes_along() {
    let settings = Settings { snapshot_every: 3, snapshot_bytes: 0, ..Counter::settings() };
    play_on(
        Scene::run_by(settings),
        "1 add 1      -> load
         loaded       -> append 1 after 0
         ack          -> 1=1
         2 add 1      -> append 2 after 1
         ack          -> 2=2
         drain 6 b    -> save 2 at 2; captured 1@2; released 6
         activate 7   ->
         warm         ->
         3 add 1      -> append 3 after 2
         ack          -> 3=3
         4 add 1      -> append 4 after 3
         ack          -> 4=4
         5 add 1      -> append 5 after 4
         ack          -> 5=5; save 5 at 5",
    );
}

/// A shard with so many actors, each asked once, the first one first.
fn full(all: u64) -> Scene {
    let mut scene = Scene::new();
    scene.tell("activate 5");
    for on in 1..=all {
        for cue in [format!("{on} add 1 @{on}"), format!("loaded @{on}"), format!("ack @{on}")] {
            scene.tell(&cue);
        }
        scene.tell("tick 200");
    }
    scene
}

#[test]
fn so_many_actors_of_a_shard_are_captured_and_those_asked_last_part_by_part() {
    let mut scene = full(CAPTURED_MAX as u64 + 3);
    let mut said = vec![scene.tell("drain 6 b")];
    while said[said.len() - 1].ends_with("; more") {
        said.push(scene.tell("more"));
    }
    let released = |said: &String| said.contains("released");
    assert_eq!(said.iter().position(released), Some(said.len() - 1), "it is released when the last are captured");
    let bytes: usize = scene.captured.iter().map(WarmActor::bytes).sum();
    assert_eq!(said.len(), bytes.div_ceil(CAPTURED_AT_ONCE));
    let captured: Vec<u64> = scene.captured.iter().map(|warm| super::scene::number(&warm.actor)).collect();
    assert_eq!(captured.len(), CAPTURED_MAX);
    assert_eq!(captured.iter().min(), Some(&4), "the first ones were left out");
    assert_eq!(scene.resident(), 0);
}

#[test]
fn between_two_parts_nobody_is_served_and_what_is_taken_back_captures_no_more() {
    for (meanwhile, then) in [("1001 add 1 @7", "1001=moving to b"), ("tick 200", "")] {
        let mut scene = full(CAPTURED_MAX as u64);
        assert!(scene.tell("drain 6 b").ends_with("; more"));
        assert_eq!(scene.tell(meanwhile), then);
        let told = scene.captured.len();
        assert!(told < CAPTURED_MAX);
        scene.tell("activate 7");
        assert_eq!((scene.tell("more").as_str(), scene.captured.len()), ("", told));
        assert_eq!(scene.tell("1002 get @7"), "load @7");
        assert_eq!(scene.tell("drain 8 b"), "1002=moving to b; released 8");
    }
    let mut scene = full(CAPTURED_MAX as u64);
    assert!(scene.tell("drain 6 b").ends_with("; more"));
    scene.tell("lost");
    assert_eq!((scene.tell("more").as_str(), scene.resident()), ("", 0));
}
