//! Who leaves memory, when, and what they are like when they come back.

use super::scene::{Scene, play};

#[test]
fn an_actor_that_nobody_asks_leaves_memory_after_its_time_and_comes_back_as_it_was() {
    let mut scene = Scene::new();
    for (cue, says, resident) in [
        ("activate 5", "", 0),
        ("1 add 7", "load", 1),
        ("loaded", "append 1 after 0", 1),
        ("ack", "1=7", 1),
        ("tick 599000", "", 1),
        ("2 get leased", "2=7?", 1),
        ("tick 599000", "", 1),
        // Everybody is looked at sixteen times within the ten minutes.
        ("tick 38500", "", 0),
        ("3 get leased", "load", 1),
        ("loaded", "3=7?", 1),
    ] {
        assert_eq!((scene.tell(cue).as_str(), scene.resident()), (says, resident), "{cue}");
    }
}

#[test]
fn a_packed_actor_knows_what_it_knew() {
    play(
        "
        1 add 7          -> load
        loaded           -> append 1 after 0
        ack              -> 1=7
        tick 200
        2 get            -> 2=7?
        3 add 7 id=1     -> 3=7
        4 demand 8 leased -> 4=no only 7?
        5 add 1          -> append 5 after 1
        ack              -> 5=8
        tick 200
        6 get log        -> confirm after 2
        ack              -> 6=8
        ",
    );
}

#[test]
fn a_packed_actors_reminder_fires_on_time_and_wakes_that_are_read_do_not_forget_it() {
    play(
        "
        1 add 1         -> load
        loaded          -> append 1 after 0
        ack             -> 1=1
        2 later 500     -> wake by 501
        kept            -> append 2 set add@501 after 1
        ack             -> 2=1
        tick 200
        wakes
        wait 300        -> append fired add after 2
        ack             -> wake at no time
        tick 200
        3 get leased    -> 3=2?
        ",
    );
}

#[test]
fn an_actor_that_is_set_aside_neither_rests_nor_leaves() {
    let mut scene = Scene::new();
    for (cue, says) in [
        ("activate 5", ""),
        ("1 add 7", "load"),
        ("loaded", "append 1 after 0"),
        ("ack", "1=7"),
        ("lost", ""),
        ("damage", ""),
        ("activate 7", ""),
        ("2 get", "load"),
        ("loaded", "load fresh"),
        ("loaded", "!quarantined; 2=quarantined"),
        ("tick 200", ""),
        ("evict 9", "0 left"),
        ("tick 700000", ""),
        ("3 get leased", "3=quarantined"),
    ] {
        assert_eq!(scene.tell(cue), says, "{cue}");
    }
}

#[test]
fn an_actor_with_something_under_way_never_leaves() {
    let mut scene = Scene::new();
    for (cue, says) in [
        ("activate 5", ""),
        ("1 add 7", "load"),
        ("evict 9", "0 left"),
        ("loaded", "append 1 after 0"),
        ("evict 9", "0 left"),
        ("tick 3600000", "1=expired maybe"),
        ("evict 9", "0 left"),
        ("ack", ""),
        ("evict 9", "1 left"),
        ("2 get leased", "load"),
        ("loaded", "2=7?"),
    ] {
        assert_eq!(scene.tell(cue), says, "{cue}");
    }
}

#[test]
fn whoever_was_asked_since_the_last_look_is_passed_over_once() {
    let mut scene = Scene::new();
    scene.tell("activate 5");
    for actor in 1..=4 {
        scene.tell(&format!("{actor} get leased@{actor}"));
        scene.tell(&format!("loaded@{actor}"));
    }
    // All have just been asked: the first look passes everybody over, and the second takes the first.
    assert_eq!(scene.tell("evict 1"), "1 left");
    assert_eq!(scene.tell("9 get leased@3"), "9=0?");
    assert_eq!(scene.tell("evict 2"), "2 left");
    assert_eq!((scene.tell("10 get leased@3"), scene.resident()), ("10=0?".into(), 1), "the others have left");
    assert_eq!(scene.tell("evict 9"), "1 left");
    assert_eq!(scene.memory().resident_bytes(), 0);
}

#[test]
fn commands_of_an_actor_that_there_is_no_room_for_are_answered_busy_and_it_is_forgotten() {
    let mut scene = Scene::new();
    for (cue, says, resident) in [
        ("activate 5", "", 0),
        ("1 get", "load", 1),
        ("2 add 1", "", 1),
        ("no room", "1=busy; 2=busy", 0),
        ("3 get leased", "load", 1),
        ("loaded", "3=0?", 1),
    ] {
        assert_eq!((scene.tell(cue).as_str(), scene.resident()), (says, resident), "{cue}");
    }
}

#[test]
fn a_history_that_nobody_waits_for_any_more_is_not_read() {
    let mut scene = Scene::new();
    for (cue, says, resident) in [
        ("activate 5", "", 0),
        ("1 get within=50", "load", 1),
        ("tick 60", "1=expired", 1),
        ("too late", "", 0),
        ("2 get within=50", "load", 1),
        ("tick 40", "", 1),
        ("3 get leased", "", 1),
        ("tick 20", "2=expired", 1),
        ("too late", "load", 1),
        ("loaded", "3=0?", 1),
    ] {
        assert_eq!((scene.tell(cue).as_str(), scene.resident()), (says, resident), "{cue}");
    }
}

#[test]
fn what_waits_is_counted_as_long_as_it_waits() {
    let mut scene = Scene::new();
    scene.tell("activate 5");
    assert_eq!(scene.memory().waiting_bytes(), 0);
    scene.tell("1 add 7");
    let one = scene.memory().waiting_bytes();
    assert!(one > 0);
    scene.tell("2 add 7");
    assert_eq!(scene.memory().waiting_bytes(), 2 * one);
    for cue in ["loaded", "ack", "turn", "ack"] {
        if !scene.asked.is_empty() {
            scene.tell(cue);
        }
    }
    assert_eq!(scene.memory().waiting_bytes(), 0);
    scene.tell("3 add 7");
    scene.tell("lost");
    assert_eq!((scene.memory().waiting_bytes(), scene.memory().resident_bytes()), (0, 0));
}
