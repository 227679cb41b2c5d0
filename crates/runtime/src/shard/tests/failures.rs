//! Outcomes that are not acknowledgements, panics, and histories that are not what they must be.

use super::scene::{Scene, play};

#[test]
fn after_a_conflict_the_actor_is_loaded_again_and_its_commands_run_again() {
    play(
        "
        1 add 5       -> load
        loaded        -> append 1 after 0
        2 get
        foreign 5 10
        ack           -> look after 0
        looked        -> !conflict; load fresh
        loaded        -> append 1 after 1
        ack           -> 1=15; 2=15?
        ",
    );
}

#[test]
fn a_second_conflict_in_a_row_backs_off() {
    play(
        "
        1 add 5       -> load
        loaded        -> append 1 after 0
        foreign 5 1
        ack           -> look after 0
        looked        -> !conflict; load fresh
        loaded        -> append 1 after 1
        foreign 5 1
        ack           -> look after 1
        looked        -> !conflict; load fresh in 20ms
        loaded        -> append 1 after 2
        foreign 5 1
        ack           -> look after 2
        looked        -> !conflict; load fresh in 40ms
        loaded        -> append 1 after 3
        ack           -> 1=8
        ",
    );
}

#[test]
fn an_unknown_outcome_that_had_landed_is_found_by_its_nonce() {
    play(
        "
        1 add 5     -> load
        loaded      -> append 1 after 0
        lost ack    -> !unresolved; look after 0 in 20ms
        2 add 1
        looked      -> 1=5; append 2 after 1
        ack         -> 2=6
        ",
    );
}

#[test]
fn an_unknown_outcome_that_had_not_landed_is_sent_again_as_it_was() {
    play(
        "
        1 add 5     -> load
        loaded      -> append 1 after 0
        unsent      -> !unresolved; look after 0 in 20ms
        looked      -> !unresolved; append 1 after 0 in 40ms
        unsent      -> !unresolved; look after 0 in 80ms
        looked      -> !unresolved; append 1 after 0 in 160ms
        ack         -> 1=5
        ",
    );
}

#[test]
fn the_record_that_is_sent_again_is_the_same_record() {
    use crate::shard::input::Effect;
    let mut scene = Scene::new();
    let record = |scene: &Scene| match scene.asked.last() {
        Some(Effect::Append { record, .. }) => (**record).clone(),
        other => panic!("expected an append, got {other:?}"),
    };
    for cue in ["activate 5", "1 add 5", "loaded"] {
        scene.tell(cue);
    }
    let first = record(&scene);
    for cue in ["unsent", "looked", "unsent", "look fails"] {
        scene.tell(cue);
    }
    assert_eq!(record(&scene), first);
}

#[test]
fn a_late_landing_of_an_unknown_append_is_found_after_the_conflict_it_causes() {
    play(
        "
        1 add 5       -> load
        loaded        -> append 1 after 0
        lost ack      -> !unresolved; look after 0 in 20ms
        look fails    -> !unresolved; append 1 after 0 in 40ms
        ack           -> look after 0
        looked        -> 1=5
        ",
    );
}

#[test]
fn an_own_record_below_the_tail_of_somebody_else_is_found() {
    play(
        "
        1 add 5       -> load
        loaded        -> append 1 after 0
        lost ack      -> !unresolved; look after 0 in 20ms
        foreign 5 10
        2 add 1
        looked        -> 1=5; !conflict; load fresh
        loaded        -> append 2 after 2
        ack           -> 2=16
        ",
    );
}

#[test]
fn another_write_in_flight_is_no_evidence() {
    play(
        "
        1 add 5       -> load
        loaded        -> append 1 after 0
        in the way    -> look after 0
        looked        -> !unresolved; append 1 after 0 in 20ms
        ack           -> 1=5
        ",
    );
}

#[test]
fn while_the_store_is_away_new_commands_are_refused_and_the_record_is_kept() {
    play(
        "
        1 add 5       -> load
        loaded        -> append 1 after 0
        unavailable   -> !unresolved; append 1 after 0 in 20ms
        unavailable   -> !unresolved; append 1 after 0 in 40ms
        2 add 1
        unavailable   -> !unresolved; append 1 after 0 in 80ms
        3 add 1       -> 3=unavailable
        4 add 5 id=1
        ack           -> 1=5; 4=5; append 2 after 1
        5 add 1
        ack           -> 2=6; append 5 after 2
        ",
    );
}

#[test]
fn a_caller_whose_time_runs_out_is_told_that_it_may_yet_be_applied() {
    play(
        "
        1 add 5 within=50   -> load
        2 get within=50
        loaded              -> append 1 after 0
        3 add 1 within=50
        unsent              -> !unresolved; look after 0 in 20ms
        tick 100            -> 1=expired maybe; 2=expired; 3=expired maybe
        looked              -> !unresolved; append 1 after 0 in 40ms
        ack                 -> append 3 after 1
        ack                 ->
        4 add 1 id=3        -> 4=6
        ",
    );
}

#[test]
fn other_actors_go_on_while_one_is_unresolved() {
    play(
        "
        1 add 5 @1    -> load
        loaded @1     -> append 1 after 0
        unsent @1     -> !unresolved; look after 0 in 20ms
        2 add 1 @2    -> load @2
        loaded @2     -> append 2 after 0 @2
        ack @2        -> 2=1
        ",
    );
}

#[test]
fn a_handler_that_panics_is_tried_three_times_and_harms_nobody_else() {
    play(
        "
        1 add 5    -> load
        loaded     -> append 1 after 0
        ack        -> 1=5
        2 boom     -> !panicked; load in 20ms
        3 add 1
        loaded     -> !panicked; load in 40ms
        loaded     -> !panicked; !poisoned; letter 2; 2=poisoned; load
        loaded     -> append 3 after 1
        ack        -> 3=6
        ",
    );
}

#[test]
fn a_panic_keeps_those_who_wait_for_a_sealed_record() {
    play(
        "
        1 add 5    -> load
        loaded     -> append 1 after 0
        2 add 1
        3 boom     -> !panicked
        ack        -> 1=5; load
        loaded     -> !panicked; load in 40ms
        loaded     -> !panicked; !poisoned; letter 3; 3=poisoned; load
        loaded     -> append 2 after 1
        ack        -> 2=6
        ",
    );
}

#[test]
fn an_event_that_cannot_be_applied_is_never_stored() {
    play(
        "
        1 curse    -> load
        loaded     -> !panicked; load in 20ms
        loaded     -> !panicked; load in 40ms
        loaded     -> !panicked; !poisoned; letter 1; 1=poisoned
        ",
    );
}

#[test]
fn an_actor_that_keeps_panicking_is_set_aside() {
    play(
        "
        1 boom     -> load
        loaded     -> !panicked; load in 20ms
        loaded     -> !panicked; load in 40ms
        loaded     -> !panicked; !poisoned; letter 1; 1=poisoned
        2 boom     -> load
        loaded     -> !panicked; load in 20ms
        3 get
        loaded     -> !panicked; load in 40ms; !quarantined; 2=quarantined; 3=quarantined
        4 get      -> 4=quarantined
        ",
    );
}

#[test]
fn a_history_that_makes_the_actor_panic_sets_it_aside_after_three_loads() {
    play(
        "
        cursed 4
        1 get      -> load
        loaded     -> !panicked; load in 20ms
        loaded     -> !panicked; load in 40ms
        loaded     -> !panicked; !quarantined; 1=quarantined
        ",
    );
}

#[test]
fn a_history_whose_chain_is_broken_sets_the_actor_aside() {
    play(
        "
        foreign 4 1
        foreign 4 1
        damage
        1 get           -> load
        loaded          -> load fresh
        loaded          -> !quarantined; 1=quarantined
        2 get @2        -> load @2
        load corrupt @2 -> load fresh @2
        load corrupt @2 -> !quarantined; 2=quarantined
        ",
    );
}

#[test]
fn a_shard_epoch_that_falls_along_a_history_sets_the_actor_aside() {
    play(
        "
        foreign 4 1
        foreign 3 1
        1 get      -> load
        loaded     -> load fresh
        loaded     -> !quarantined; 1=quarantined
        ",
    );
}

#[test]
fn a_store_that_ends_before_an_acknowledged_record_is_convicted_by_its_own_answer() {
    play(
        "
        1 add 5     -> load
        loaded      -> append 1 after 0
        ack         -> 1=5
        forget 1
        2 add 1     -> append 2 after 1
        3 get
        ack         -> 2=unavailable maybe; 3=quarantined; !quarantined
        ",
    );
}

#[test]
fn a_damaged_copy_convicts_nobody() {
    play(
        "
        1 add 5       -> load
        load corrupt  -> load fresh
        2 add 1
        loaded        -> append 1,2 after 0
        ack           -> 1=5; 2=6
        ",
    );
}

#[test]
fn an_old_read_convicts_nobody() {
    play(
        "
        1 add 5       -> load
        loaded        -> append 1 after 0
        ack           -> 1=5
        2 boom        -> !panicked; load in 20ms
        load old      -> load fresh in 20ms
        loaded        -> !panicked; load in 40ms
        loaded        -> !panicked; !poisoned; letter 2; 2=poisoned
        ",
    );
}

#[test]
fn a_store_that_cannot_be_read_is_tried_three_times() {
    play(
        "
        1 add 5       -> load
        load fails    -> load fresh in 20ms
        load fails    -> load fresh in 40ms
        load fails    -> !not loaded; 1=unavailable
        2 add 5       -> load
        loaded        -> append 2 after 0
        ",
    );
}

#[test]
fn a_command_that_may_have_cost_two_lives_is_looked_up_and_not_run() {
    play(
        "
        1 add 5 attempt=2     -> load
        loaded                -> append 1 after 0
        ack                   -> 1=5
        2 add 5 attempt=3     -> !poisoned; letter 2 maybe; 2=poisoned maybe
        3 add 5 id=1 attempt=9    -> 3=5
        4 get                 -> 4=5?
        5 add 7 attempt=3 @2  -> load @2
        6 add 1 @2
        loaded @2             -> !poisoned; letter 5 maybe; 5=poisoned maybe; append 6 after 0 @2
        ack @2                -> 6=1
        ",
    );
}

#[test]
fn a_command_that_may_have_cost_three_lives_does_not_even_load_its_actor() {
    play(
        "
        1 add 5 attempt=4     -> !poisoned; letter 1 maybe; 1=poisoned maybe
        2 add 5               -> load
        3 add 5 attempt=4     -> !poisoned; letter 3 maybe; 3=poisoned maybe
        loaded                -> append 2 after 0
        ack                   -> 2=5
        ",
    );
}

#[test]
fn an_actor_that_was_set_aside_is_loaded_anew_once_it_is_released() {
    play(
        "
        cursed 4
        1 get            -> load
        loaded           -> !panicked; load in 20ms
        loaded           -> !panicked; load in 40ms
        loaded           -> !panicked; !quarantined; 1=quarantined
        forget 1
        2 get            -> 2=quarantined
        3 release        -> 3=true
        4 release        -> 4=false
        5 release @2     -> 5=false
        6 add 5          -> load
        loaded           -> append 6 after 0
        ack              -> 6=5
        ",
    );
}

#[test]
fn an_actor_that_was_convicted_of_a_shorter_history_goes_on_from_it_once_it_is_released() {
    play(
        "
        1 add 5     -> load
        loaded      -> append 1 after 0
        ack         -> 1=5
        2 add 5     -> append 2 after 1
        ack         -> 2=10
        forget 1
        3 add 1     -> append 3 after 2
        ack         -> 3=unavailable maybe; !quarantined
        4 get       -> 4=quarantined
        5 release   -> 5=true
        6 add 1     -> load
        loaded      -> append 6 after 1
        ack         -> 6=6
        ",
    );
}
