//! Whose the shard is.

use super::scene::{Scene, play};

#[test]
fn a_shard_that_is_not_ours_says_whose_it_is() {
    play(
        "
        lost to b   ->
        1 add 5     -> 1=owned by b
        lost        ->
        2 add 5     -> 2=owned by nobody
        ",
    );
}

#[test]
fn losing_the_shard_answers_what_is_sealed_differently_from_what_is_not() {
    play(
        "
        1 add 5 @1   -> load
        loaded @1    -> append 1 after 0
        2 add 1 @1
        3 get @1
        4 add 1 @2   -> load @2
        lost to b    -> 1=unavailable maybe; 2=owned by b; 3=owned by b; 4=owned by b
        ack @1       ->
        loaded @2    ->
        5 get        -> 5=owned by b
        ",
    );
}

#[test]
fn a_later_epoch_in_a_history_means_that_we_are_stale() {
    play(
        "
        1 add 5 @1    -> load
        foreign 6 1 @1
        2 add 1 @2    -> load @2
        loaded @1     -> !stale; 1=owned by nobody; 2=owned by nobody
        activate 5    ->
        3 add 5       -> 3=owned by nobody
        activate 7    ->
        4 add 5       -> load
        ",
    );
}

#[test]
fn a_later_epoch_behind_an_unknown_append_means_that_we_are_stale() {
    play(
        "
        1 add 5       -> load
        loaded        -> append 1 after 0
        lost ack      -> !unresolved; look after 0 in 20ms
        foreign 6 1
        2 add 1
        looked        -> 1=5; !conflict; !stale; 2=owned by nobody
        ",
    );
}

#[test]
fn a_zombie_that_meets_its_successor_runs_nothing_more() {
    play(
        "
        1 add 5       -> load
        loaded        -> append 1 after 0
        foreign 6 1
        ack           -> look after 0
        looked        -> !conflict; !stale; 1=owned by nobody
        ",
    );
}

#[test]
fn a_shard_without_work_is_released_at_once() {
    play(
        "
        1 add 5        -> load
        loaded         -> append 1 after 0
        ack            -> 1=5
        drain 9 b      -> captured 1@1; released 9
        2 get          -> 2=moving to b
        drain 9 b      ->
        lost to b      ->
        3 get          -> 3=owned by b
        ",
    );
}

#[test]
fn a_shard_is_released_when_its_last_record_is_resolved() {
    play(
        "
        1 add 5 @1    -> load
        loaded @1     -> append 1 after 0
        2 add 1 @1
        3 get @1
        4 add 1 @2    -> load @2
        drain 9 b     -> 2=moving to b; 3=moving to b; 4=moving to b
        5 add 1 @1    -> 5=moving to b
        loaded @2     ->
        lost ack @1   -> !unresolved; look after 0 in 20ms
        looked @1     -> 1=5; released 9
        6 get @1      -> 6=moving to b
        ",
    );
}

#[test]
fn a_conflict_while_leaving_hands_its_commands_on() {
    play(
        "
        1 add 5       -> load
        loaded        -> append 1 after 0
        drain 9 b     ->
        foreign 5 1
        ack           -> look after 0
        looked        -> !conflict; 1=moving to b; released 9
        ",
    );
}

#[test]
fn a_cancelled_move_goes_on_under_a_new_epoch_and_confirms_again() {
    play(
        "
        1 add 5       -> load
        loaded        -> append 1 after 0
        drain 9 b     ->
        activate 10   ->
        2 get
        ack           -> 1=5; confirm after 1
        ack           -> 2=5?
        3 get         -> 3=5?
        ",
    );
}

#[test]
fn what_was_handed_on_during_a_move_is_not_in_the_state_after_its_cancellation() {
    play(
        "
        1 add 5       -> load
        loaded        -> append 1 after 0
        2 add 1
        drain 9 b     -> 2=moving to b
        activate 10   ->
        ack           -> 1=5
        3 get         -> load
        loaded        -> confirm after 1
        ack           -> 3=5?
        4 add 1       -> append 4 after 2
        ack           -> 4=6
        ",
    );
}

#[test]
fn a_shard_given_back_is_loaded_anew() {
    let mut scene = Scene::new();
    for cue in ["activate 5", "1 add 5", "loaded", "ack"] {
        scene.tell(cue);
    }
    assert_eq!(scene.resident(), 1);
    scene.tell("activate 8");
    assert_eq!(scene.resident(), 0);
    assert_eq!(scene.tell("2 get leased"), "load");
    assert_eq!(scene.tell("loaded"), "2=5?");
}

#[test]
fn the_same_entry_twice_changes_nothing() {
    play(
        "
        1 add 5      -> load
        loaded       -> append 1 after 0
        ack          -> 1=5
        activate 5   ->
        2 get        -> 2=5?
        ",
    );
}

#[test]
fn answers_for_a_shard_that_was_dropped_meanwhile_are_ignored() {
    play(
        "
        1 add 5      -> load
        lost         -> 1=owned by nobody
        activate 8   ->
        2 add 5      -> load
        loaded       ->
        loaded       -> append 2 after 0
        ",
    );
}
