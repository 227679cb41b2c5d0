//! What it takes to answer without storing.

use super::scene::play;

#[test]
fn a_fresh_instance_confirms_itself_before_it_answers_a_read() {
    play(
        "
        1 get     -> load
        loaded    -> confirm after 0
        2 get
        ack       -> 1=0?; 2=0?
        3 get     -> 3=0?
        ",
    );
}

#[test]
fn a_rejection_takes_a_compare_and_set_of_its_own_and_no_clock() {
    play(
        "
        foreign 4 3
        1 demand 5          -> load
        loaded              -> confirm after 1
        ack                 -> 1=no only 3
        2 demand 5          -> confirm after 2
        3 demand 5
        ack                 -> 2=no only 3; confirm after 3
        ack                 -> 3=no only 3
        4 demand 5 leased   -> 4=no only 3?
        ",
    );
}

#[test]
fn a_commit_confirms_as_well() {
    play(
        "
        1 get     -> load
        2 add 1
        loaded    -> append 2 after 0
        ack       -> 1=0?; 2=1
        ",
    );
}

#[test]
fn a_read_that_would_have_been_stale_is_decided_again() {
    play(
        "
        1 get       -> load
        loaded      -> confirm after 0
        foreign 5 3
        ack         -> look after 0
        looked      -> !conflict; load fresh
        loaded      -> confirm after 1
        ack         -> 1=3?
        ",
    );
}

#[test]
fn a_leased_read_needs_no_confirmation() {
    play(
        "
        1 get leased   -> load
        loaded         -> 1=0?
        2 get leased   -> 2=0?
        3 get          -> confirm after 0
        4 get leased
        ack            -> 3=0?; 4=0?
        ",
    );
}

#[test]
fn a_leased_read_waits_for_what_it_saw() {
    play(
        "
        1 add 1        -> load
        loaded         -> append 1 after 0
        2 get leased
        ack            -> 1=1; 2=1?
        ",
    );
}

#[test]
fn a_log_read_takes_a_compare_and_set_of_its_own_and_no_clock() {
    play(
        "
        1 get log   -> load
        loaded      -> confirm after 0
        2 get log
        3 get log
        ack         -> 1=0; confirm after 1
        ack         -> 2=0; 3=0
        4 get log   -> confirm after 2
        ack         -> 4=0
        ",
    );
}

#[test]
fn a_paused_shard_answers_unavailable_and_keeps_its_state() {
    play(
        "
        1 add 5   -> load
        loaded    -> append 1 after 0
        pause
        2 get     -> 2=unavailable
        3 add 1   -> 3=unavailable
        ack       -> 1=5
        resume
        4 get     -> 4=5?
        ",
    );
}

#[test]
fn what_was_decided_is_not_sent_before_the_lease_is_back_and_then_it_is_nobody_is_loaded_again() {
    play(
        "
        1 add 5   -> load
        loaded    -> append 1 after 0
        2 add 1
        3 get
        pause
        ack       -> 1=5
        tick 100
        resume
        tick 100  -> append 2 after 1
        ack       -> 2=6; 3=6?
        ",
    );
}

#[test]
fn what_waits_for_a_lease_that_does_not_come_back_is_told_so_and_never_stored() {
    play(
        "
        1 add 5       -> load
        loaded        -> append 1 after 0
        2 add 1
        pause
        ack           -> 1=5
        lost to b     -> 2=owned by b
        activate 9
        resume
        tick 100
        ",
    );
}

#[test]
fn a_history_that_is_read_without_a_lease_is_confirmed_once_there_is_one() {
    play(
        "
        1 get     -> load
        pause
        loaded
        resume
        tick 100  -> confirm after 0
        ack       -> 1=0?
        ",
    );
}

#[test]
fn a_read_asked_twice_is_answered_twice() {
    play(
        "
        1 add 1        -> load
        2 get json
        3 get json id=2
        loaded         -> append 1 after 0
        ack            -> 1=1; 3=1?; 2=1?
        ",
    );
}
