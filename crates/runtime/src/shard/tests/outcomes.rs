//! What became of a message of the application: asked of the history, told once it can never change.

use super::scene::{Scene, play};

#[test]
fn what_is_in_the_history_is_told_with_its_reply_and_nothing_is_written() {
    play(
        "
        1 add 5 msg=77         -> load
        loaded                 -> append 1 after 0
        ack                    -> 1=5
        2 add 1                -> append 2 after 1
        ack                    -> 2=6
        3 outcome msg=77       -> 3=Applied(5)
        4 outcome msg=77 json  -> 4={\"applied\":5}
        lost                   ->
        activate 8             ->
        5 outcome msg=77       -> load
        loaded                 -> 5=Applied(5)
        ",
    );
}

#[test]
fn what_is_not_there_is_withdrawn_before_that_is_told_and_refused_ever_after() {
    play(
        "
        1 outcome msg=77       -> load
        loaded                 -> append 1 after 0
        ack                    -> 1=NotApplied
        2 add 5 msg=77         -> 2=invalid
        3 outcome msg=77       -> 3=NotApplied
        4 outcome msg=77 json  -> 4=\"not_applied\"
        lost                   ->
        activate 8             ->
        5 add 5 msg=77         -> load
        loaded                 -> 5=invalid
        6 outcome msg=77       -> 6=NotApplied
        7 add 5 msg=78         -> append 7 after 1
        ack                    -> 7=5
        ",
    );
}

#[test]
fn the_outcome_of_a_message_under_way_waits_for_it_even_in_doubt() {
    play(
        "
        1 add 5 msg=77         -> load
        loaded                 -> append 1 after 0
        2 outcome msg=77       ->
        lost ack               -> !unresolved; look after 0 in 20ms
        3 outcome msg=77       ->
        looked                 -> 1=5; 2=Applied(5); 3=Applied(5)
        ",
    );
}

#[test]
fn a_message_that_comes_while_it_is_being_withdrawn_is_refused_with_it() {
    play(
        "
        1 outcome msg=77       -> load
        loaded                 -> append 1 after 0
        2 add 5 msg=77         ->
        3 outcome msg=77       ->
        4 add 1                ->
        ack                    -> 1=NotApplied; 2=invalid; 3=NotApplied; append 4 after 1
        ack                    -> 4=1
        ",
    );
}

#[test]
fn a_late_record_of_a_former_owner_wins_against_a_withdrawal_or_never_lands() {
    play(
        "
        1 outcome msg=77       -> load
        loaded                 -> append 1 after 0
        ghost 4 5 77           ->
        ack                    -> look after 0
        looked                 -> !conflict; load fresh
        loaded                 -> 1=Applied(5)
        ",
    );
}

#[test]
fn a_message_that_was_refused_or_changed_nothing_was_not_applied() {
    play(
        "
        1 demand 9 msg=77      -> load
        loaded                 -> confirm after 0
        2 outcome msg=77       ->
        ack                    -> 1=no only 0; append 2 after 1
        ack                    -> 2=NotApplied
        3 demand 0 msg=77      -> 3=invalid
        ",
    );
}

#[test]
fn a_withdrawal_that_was_not_stored_says_nothing() {
    play(
        "
        1 outcome msg=77 within=50 -> load
        loaded                 -> append 1 after 0
        2 add 5 msg=77         ->
        tick 100               -> 1=expired maybe
        foreign 4 3            ->
        ack                    -> look after 0
        looked                 -> !conflict; load fresh
        loaded                 -> append 2 after 1
        ack                    -> 2=8
        ",
    );
}

#[test]
fn beyond_the_messages_that_are_remembered_the_answer_is_that_it_was_forgotten() {
    let mut scene = Scene::new();
    scene.tell("activate 5");
    scene.tell("1 add 1 msg=1");
    scene.tell("loaded");
    scene.tell("ack");
    for command in 2..=1025 {
        scene.tell(&format!("{command} add 1 msg={command} floor={command}"));
        scene.tell("ack");
    }
    assert_eq!(scene.tell("2000 outcome msg=2"), "2000=Applied(2)");
    scene.tell("2001 outcome msg=1");
    assert_eq!(scene.tell("ack"), "2001=Forgotten");
    assert_eq!(scene.tell("2002 outcome msg=1 json"), "2002=\"forgotten\"");
    assert_eq!(scene.tell("2003 add 1 msg=1"), "2003=invalid", "it cannot count twice any more");
}

#[test]
fn an_outcome_of_no_message_is_no_question() {
    play(
        "
        1 outcome              -> load
        loaded                 -> 1=invalid
        2 outcome              -> 2=invalid
        ",
    );
}
