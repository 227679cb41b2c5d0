//! Commands that come more than once.

use super::scene::{Scene, play};

#[test]
fn a_repeat_of_a_stored_command_gets_the_stored_reply() {
    play(
        "
        1 add 5        -> load
        loaded         -> append 1 after 0
        ack            -> 1=5
        2 add 1        -> append 2 after 1
        ack            -> 2=6
        3 add 5 id=1   -> 3=5
        4 add 5 id=1 json -> 4=5
        5 get          -> 5=6?
        ",
    );
}

#[test]
fn a_repeat_is_recognised_from_the_history_after_a_reload() {
    play(
        "
        1 add 5        -> load
        loaded         -> append 1 after 0
        ack            -> 1=5
        lost           ->
        activate 8     ->
        2 add 5 id=1   -> load
        loaded         -> 2=5
        ",
    );
}

#[test]
fn a_repeat_of_a_command_under_way_waits_for_it() {
    play(
        "
        1 add 5        -> load
        2 add 5 id=1
        loaded         -> append 1 after 0
        3 add 5 id=1
        4 add 1
        5 add 1 id=4
        ack            -> 1=5; 2=5; 3=5; append 4 after 1
        ack            -> 4=6; 5=6
        ",
    );
}

#[test]
fn a_repeat_whose_first_asker_has_gone_is_run_in_its_place() {
    play(
        "
        1 add 5 within=50   -> load
        2 add 5 id=1
        tick 100            -> 1=expired
        loaded              -> append 1 after 0
        ack                 -> 2=5
        ",
    );
}

#[test]
fn below_the_floor_of_its_origin_nothing_is_run() {
    play(
        "
        1 add 5           -> load
        loaded            -> append 1 after 0
        ack               -> 1=5
        2 add 1 floor=2   -> append 2 after 1
        ack               -> 2=6
        3 add 5 id=1      -> 3=expired maybe
        4 add 1 id=2      -> 4=6
        ",
    );
}

#[test]
fn a_message_of_the_application_counts_once_whoever_brings_it() {
    play(
        "
        1 add 5 msg=77    -> load
        2 add 5 msg=77
        loaded            -> append 1 after 0
        3 add 5 msg=77
        ack               -> 1=5; 2=5; 3=5
        4 add 5 msg=77    -> 4=5
        lost              ->
        activate 8        ->
        5 add 5 msg=77    -> load
        loaded            -> 5=5
        ",
    );
}

#[test]
fn all_sendings_of_a_refused_command_hear_the_same_no() {
    play(
        "
        1 add 5                    -> load
        loaded                     -> append 1 after 0
        2 grow 8 json
        3 grow 8 json id=2 attempt=2
        4 grow 8 json id=2 attempt=3
        5 add 5
        ack                        -> 1=5; append 5 after 1
        ack                        -> 3=no {\"total\":5}; 4=no {\"total\":5}; 2=no {\"total\":5}; 5=10
        ",
    );
}

#[test]
fn the_applications_retries_of_a_refused_message_count_once_together() {
    play(
        "
        1 add 5                 -> load
        loaded                  -> append 1 after 0
        2 grow 8 json msg=77
        3 grow 8 json msg=77
        4 grow 8 json msg=77
        5 add 5
        ack                     -> 1=5; append 5 after 1
        ack                     -> 2=no {\"total\":5}; 5=10; append 3 after 2
        ack                     -> 3=18; 4=18
        ",
    );
}

#[test]
fn an_actor_remembers_the_last_1024_messages() {
    let mut scene = Scene::new();
    scene.tell("activate 5");
    scene.tell("1 add 1 msg=1");
    scene.tell("loaded");
    assert_eq!(scene.tell("ack"), "1=1");
    for command in 2..=1025 {
        scene.tell(&format!("{command} add 1 msg={command} floor={command}"));
        scene.tell("ack");
    }
    assert_eq!(scene.tell("2000 add 1 msg=2"), "2000=2", "the 1,024th last is known");
    assert_eq!(scene.tell("2001 add 1 msg=1"), "append 2001 after 1025", "the one before is not");
}

#[test]
fn an_origin_with_too_much_outstanding_loses_the_oldest_rather_than_run_it_twice() {
    let mut scene = Scene::new();
    scene.tell("activate 5");
    scene.tell("1 add 1");
    scene.tell("loaded");
    scene.tell("ack");
    for command in 2..=1025 {
        scene.tell(&format!("{command} add 1"));
        scene.tell("ack");
    }
    assert_eq!(scene.tell("3000 add 1 id=1"), "3000=expired maybe");
    assert_eq!(scene.tell("3001 add 1 id=2"), "3001=2");
}
