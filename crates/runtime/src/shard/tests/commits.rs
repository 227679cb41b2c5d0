//! How commands become records.

use super::scene::{Scene, play};

#[test]
fn a_command_is_answered_after_its_record_is_acknowledged() {
    play(
        "
        1 add 5   -> load
        loaded    -> append 1 after 0
        ack       -> 1=5
        2 add 2   -> append 2 after 1
        ack       -> 2=7
        ",
    );
}

#[test]
fn commands_gather_while_a_record_is_under_way_and_share_the_next_one() {
    play(
        "
        1 add 5   -> load
        2 add 1
        loaded    -> append 1,2 after 0
        3 add 1
        4 add 1
        5 get
        6 demand 9
        ack       -> 1=5; 2=6; append 3,4 after 1
        7 add 1
        ack       -> 3=7; 4=8; 5=8?; 6=no only 8; append 7 after 2
        ack       -> 7=9
        ",
    );
}

#[test]
fn those_a_record_has_answered_together_share_the_next_one() {
    play(
        "
        crowd
        1 add 1    -> load
        2 add 1
        3 add 1
        loaded     -> append 1,2,3 after 0
        4 add 1
        ack        -> 1=1; 2=2; 3=3
        5 add 1
        6 add 1
        turn       -> append 4,5,6 after 1
        ack        -> 4=4; 5=5; 6=6
        7 add 1
        8 add 1
        9 add 1    -> append 7,8,9 after 2
        turn
        ack        -> 7=7; 8=8; 9=9
        turn
        10 add 1   -> append 10 after 3
        ack        -> 10=10
        11 add 1   -> append 11 after 4
        ",
    );
}

#[test]
fn a_move_does_not_wait_for_those_who_may_ask_again() {
    play(
        "
        crowd
        1 add 1    -> load
        2 add 1
        loaded     -> append 1,2 after 0
        ack        -> 1=1; 2=2
        3 add 1
        drain 9 b  -> 3=moving to b; released 9
        turn
        ",
    );
}

#[test]
fn a_record_answers_at_most_64_commands() {
    let mut scene = Scene::new();
    scene.tell("activate 5");
    scene.tell("1 add 1");
    scene.tell("loaded");
    for command in 2..=70 {
        assert_eq!(scene.tell(&format!("{command} add 1")), "");
    }
    let ids = |from: u64, to: u64| (from..=to).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(scene.tell("ack"), format!("1=1; append {} after 1", ids(2, 65)));
    assert!(scene.tell("ack").ends_with(&format!("append {} after 2", ids(66, 70))));
}

#[test]
fn a_record_of_many_commands_stays_small() {
    play(
        "
        1 add 1        -> load
        loaded         -> append 1 after 0
        2 pad 200000
        3 pad 200000
        ack            -> 1=1; append 2 after 1
        ack            -> 2=2; append 3 after 2
        ",
    );
}

#[test]
fn replies_are_those_of_the_state_right_after_the_command() {
    play(
        "
        1 get            -> load
        2 add 10
        3 get
        4 add 10
        loaded           -> append 2,4 after 0
        ack              -> 1=0?; 2=10; 3=10?; 4=20
        ",
    );
}

#[test]
fn actors_of_a_shard_commit_at_the_same_time() {
    play(
        "
        1 add 1 @1   -> load
        2 add 2 @2   -> load @2
        loaded @2    -> append 2 after 0 @2
        loaded @1    -> append 1 after 0
        ack @2       -> 2=2
        ack @1       -> 1=1
        ",
    );
}

#[test]
fn a_full_mailbox_refuses() {
    let mut scene = Scene::new();
    scene.tell("activate 5");
    for command in 1..=100 {
        scene.tell(&format!("{command} add 1"));
    }
    assert_eq!(scene.tell("101 add 1"), "101=busy");
    assert_eq!(scene.tell("102 get @2"), "load @2", "another actor's mailbox is not full");
    scene.tell("loaded");
    scene.tell("ack");
    assert_eq!(scene.tell("103 add 1"), "", "there is room again");
}

#[test]
fn what_cannot_be_run_is_named_and_not_run() {
    play(
        "
        1 fly           -> 1=invalid
        2 garble        -> load
        loaded          -> 2=invalid
        3 recite 2000   -> 3=invalid
        4 recite 100    -> load
        loaded          -> append 4 after 0
        ack             -> 4=100 bytes
        5 pad 900000    -> 5=invalid
        6 get           -> 6=1?
        ",
    );
}

#[test]
fn a_reply_over_its_bound_takes_nothing_of_its_predecessors_with_it() {
    play(
        "
        1 add 5         -> load
        loaded          -> append 1 after 0
        2 add 1
        3 recite 2000   -> 3=invalid
        4 add 1
        ack             -> 1=5; load
        loaded          -> append 2,4 after 1
        ack             -> 2=6; 4=7
        ",
    );
}

#[test]
fn a_record_the_store_finds_too_large_is_refused_and_the_actor_goes_on() {
    play(
        "
        1 add 5       -> load
        loaded        -> append 1 after 0
        2 add 1
        too large     -> 1=invalid; load
        loaded        -> append 2 after 0
        ack           -> 2=1
        ",
    );
}

#[test]
fn bytes_are_answered_with_bytes_and_values_with_values() {
    play(
        "
        1 add 5 json   -> load
        loaded         -> append 1 after 0
        ack            -> 1=5
        2 get json     -> 2=5?
        3 demand 6 json -> confirm after 1
        ack            -> 3=no {\"total\":5}
        ",
    );
}

#[test]
fn expired_work_is_not_run() {
    play(
        "
        1 add 5 within=0            -> 1=expired
        2 add 5 within=0 attempt=2  -> 2=expired maybe
        3 add 5 within=50           -> load
        4 add 5
        tick 100                    -> 3=expired
        loaded                      -> append 4 after 0
        ack                         -> 4=5
        ",
    );
}

#[test]
fn an_idle_actor_leaves_memory_and_comes_back_from_its_history() {
    let mut scene = Scene::new();
    scene.tell("activate 5");
    for cue in ["1 add 5", "loaded", "ack"] {
        scene.tell(cue);
    }
    scene.tell("tick 599000");
    assert_eq!(scene.resident(), 1);
    assert_eq!(scene.tell("2 get"), "2=5?");
    scene.tell("tick 1000");
    assert_eq!(scene.resident(), 1, "it was asked a second ago");
    scene.tell("tick 600000");
    assert_eq!(scene.resident(), 0);
    assert_eq!(scene.tell("3 add 1"), "load");
    assert_eq!(scene.tell("loaded"), "append 3 after 1");
}
