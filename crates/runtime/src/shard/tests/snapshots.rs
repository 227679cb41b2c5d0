//! Snapshots: when they are saved, what is made of them, and that nothing depends on them.

use super::scene::{Scene, play_on};
use crate::actor::Settings;
use crate::shard::input::Effect;

/// A shard on which a snapshot is due after three events.
fn every_three(script: &str) {
    play_on(Scene::with_snapshots_every(3), script);
}

/// Three additions, a snapshot at the third, and the shard lost and given back.
const SAVED_AND_LOST: &str = "
    1 add 1         -> load
    loaded          -> append 1 after 0
    ack             -> 1=1
    2 add 10        -> append 2 after 1
    ack             -> 2=11
    3 add 100       -> append 3 after 2
    ack             -> 3=111; save 3 at 3
    saved
    lost
    activate 7
";

fn after_saving(script: &str) {
    every_three(&format!("{SAVED_AND_LOST}{script}"));
}

#[test]
fn a_snapshot_is_saved_once_the_record_that_makes_it_due_is_acknowledged() {
    every_three(
        "
        1 add 1         -> load
        loaded          -> append 1 after 0
        2 add 1
        3 add 1
        4 add 1
        ack             -> 1=1; append 2,3,4 after 1
        lost ack        -> !unresolved; look after 1 in 20ms
        looked          -> 2=2; 3=3; 4=4; save 4 at 2
        5 add 1         -> append 5 after 2
        ack             -> 5=5
        ",
    );
}

#[test]
fn a_state_that_has_run_ahead_of_its_record_is_not_saved_with_it() {
    every_three(
        "
        crowd
        1 add 1         -> load
        loaded          -> append 1 after 0
        2 add 1
        3 add 1
        ack             -> 1=1; append 2,3 after 1
        4 add 1
        ack             -> 2=2; 3=3; save 3 at 2
        turn            -> append 4 after 2
        ack             -> 4=4
        ",
    );
}

#[test]
fn a_snapshot_of_an_actor_that_never_rests_ends_its_record() {
    let mut scene = Scene::run_by(Settings { mailbox: 400, snapshot_every: 100, ..Settings::default() });
    for cue in ["activate 5", "crowd", "1 add 1", "loaded"] {
        scene.tell(cue);
    }
    let (mut asked, mut answered, mut saved) = (1, 0, Vec::new());
    for _ in 0..12 {
        // There are always more commands than a record takes, while one is under way.
        while asked < answered + 200 {
            asked += 1;
            assert_eq!(scene.tell(&format!("{asked} add 1")), "");
        }
        for part in scene.tell("ack").split("; ") {
            match part.split_once(' ') {
                Some(("save", version)) => saved.push(version.to_string()),
                _ => answered += usize::from(part.contains('=')),
            }
        }
        if scene.asked.iter().any(|effect| matches!(effect, Effect::EndTurn { .. })) {
            scene.tell("turn");
        }
        while scene.asked.iter().any(|effect| matches!(effect, Effect::Save { .. })) {
            scene.tell("saved");
        }
    }
    assert!(saved.len() >= 2, "{answered} commands, saved {saved:?}");
    scene.tell("lost");
    scene.tell("activate 7");
    scene.tell("9999 get leased");
    let total = scene.histories[&1].iter().map(|commit| commit.record.events.len()).sum::<usize>();
    assert_eq!(scene.tell("loaded"), format!("9999={total}?"), "what was saved is what the records lead to");
}

#[test]
fn a_snapshot_is_due_by_bytes_as_well() {
    let settings = Settings { snapshot_every: 0, snapshot_bytes: 1000, ..Settings::default() };
    play_on(
        Scene::run_by(settings),
        "
        1 pad 900       -> load
        loaded          -> append 1 after 0
        ack             -> 1=1
        2 pad 80        -> append 2 after 1
        ack             -> 2=2; save 2 at 2
        3 pad 50        -> append 3 after 2
        ack             -> 3=3
        ",
    );
}

#[test]
fn an_actor_is_loaded_from_its_snapshot_and_what_is_behind() {
    after_saving(
        "
        4 add 1000      -> load
        loaded          -> append 4 after 3
        ack             -> 4=1111
        lost
        activate 8
        5 get leased    -> load
        loaded          -> 5=1111?
        ",
    );
}

#[test]
fn whatever_is_wrong_with_a_snapshot_the_history_makes_the_same_actor() {
    for how in ["torn", "forked", "miscounted", "reshaped"] {
        after_saving(&format!(
            "
            4 get leased    -> load
            loaded {how}    -> !left out; load
            loaded          -> 4=111?
            ",
        ));
    }
    after_saving(
        "
        4 get leased    -> load
        loaded bare     -> 4=111?
        ",
    );
}

#[test]
fn of_two_snapshots_the_one_before_is_taken_if_the_last_will_not_do() {
    after_saving(
        "
        4 add 1         -> load
        loaded          -> append 4 after 3
        ack             -> 4=112
        5 add 1         -> append 5 after 4
        ack             -> 5=113
        6 add 1         -> append 6 after 5
        ack             -> 6=114; save 6 at 6
        saved
        lost
        activate 8
        7 get leased    -> load
        loaded torn     -> !left out; load
        loaded          -> 7=114?
        lost
        activate 9
        8 get leased    -> load
        loaded torn     -> !left out; load
        loaded torn     -> !left out; load
        loaded          -> 8=114?
        ",
    );
}

#[test]
fn only_the_whole_history_convicts() {
    after_saving(
        "
        foreign 7 5
        damage
        4 get           -> load
        loaded          -> !left out; load
        loaded          -> load fresh
        loaded          -> !quarantined; 4=quarantined
        ",
    );
}

#[test]
fn a_snapshot_of_a_later_owner_shows_that_the_shard_is_somebody_elses() {
    let mut scene = Scene::with_snapshots_every(3);
    for cue in ["activate 9", "1 add 1", "loaded", "2 add 1", "3 add 1", "ack", "ack", "saved"] {
        scene.tell(cue);
    }
    let mut earlier = Scene::with_snapshots_every(3);
    (earlier.histories, earlier.snapshots) = (scene.histories, scene.snapshots);
    for cue in ["activate 8", "4 get"] {
        earlier.tell(cue);
    }
    assert_eq!(earlier.tell("loaded"), "!stale; 4=owned by nobody");
}

#[test]
fn a_replica_without_the_snapshots_own_commit_is_not_asked_twice() {
    after_saving(
        "
        4 get leased    -> load
        loaded old      -> load fresh
        loaded          -> 4=111?
        ",
    );
}

#[test]
fn a_store_that_has_lost_what_a_snapshot_says_is_convicted_by_its_own_word() {
    after_saving(
        "
        forget 1
        4 add 1         -> load
        loaded          -> load fresh
        loaded          -> append 4 after 3
        ack             -> 4=unavailable maybe; !quarantined
        ",
    );
}

#[test]
fn what_was_acknowledged_here_is_looked_for_from_a_snapshot_that_does_not_lie_behind_it() {
    every_three(
        "
        1 add 1         -> load
        loaded          -> append 1 after 0
        2 add 1
        3 add 1
        ack             -> 1=1; append 2,3 after 1
        ack             -> 2=2; 3=3; save 3 at 2
        foreign 5 10
        4 add 1         -> append 4 after 2
        ack             -> look after 2
        looked          -> !conflict; load fresh
        saved
        loaded          -> append 4 after 3
        ack             -> 4=14
        ",
    );
}

#[test]
fn a_repeat_is_answered_as_the_first_time_after_snapshot_and_move() {
    after_saving(
        "
        10 add 10 id=2  -> load
        loaded          -> 10=11
        11 add 1 id=1   -> 11=1
        12 add 7 id=4   -> append 4 after 3
        ack             -> 12=118
        ",
    );
    every_three(
        "
        1 add 1 msg=9   -> load
        loaded          -> append 1 after 0
        2 add 1
        3 add 1
        ack             -> 1=1; append 2,3 after 1
        ack             -> 2=2; 3=3; save 3 at 2
        saved
        lost
        activate 7
        4 add 1 msg=9   -> load
        loaded          -> 4=1
        5 add 1 id=2    -> 5=2
        ",
    );
}

#[test]
fn a_reminder_in_a_snapshot_fires_as_one_in_the_history_does() {
    every_three(
        "
        1 add 1         -> load
        loaded          -> append 1 after 0
        ack             -> 1=1
        2 later 500     -> wake by 501
        kept            -> append 2 set add@501 after 1
        ack             -> 2=1
        3 add 10        -> append 3 after 2
        ack             -> 3=11; save 2 at 3
        saved
        lost
        activate 7
        4 get leased    -> load
        loaded          -> 4=11?
        wait 500        -> append fired add after 3
        ack
        5 get leased    -> 5=12?
        ",
    );
}

#[test]
fn a_snapshot_that_is_not_saved_is_not_tried_again_before_the_next_is_due() {
    every_three(
        "
        1 add 1         -> load
        loaded          -> append 1 after 0
        2 add 1
        3 add 1
        ack             -> 1=1; append 2,3 after 1
        ack             -> 2=2; 3=3; save 3 at 2
        not saved       -> !not saved
        4 add 1         -> append 4 after 2
        5 add 1
        6 add 1
        ack             -> 4=4; append 5,6 after 3
        ack             -> 5=5; 6=6; save 6 at 4
        ",
    );
}

#[test]
fn idle_actors_are_saved_when_they_leave_memory_or_the_node_if_that_is_worth_it() {
    for packed in ["", "tick 200"] {
        for leaving in ["tick 600000", "drain 6 b", "evict 9"] {
            let mut scene = Scene::with_snapshots_every(8);
            let cues = ["activate 5", "1 add 1", "loaded", "ack", packed, "2 add 1@2", "loaded@2", "ack@2", packed];
            for cue in cues.into_iter().chain(["3 add 1@2", "ack@2", packed]).filter(|cue| !cue.is_empty()) {
                scene.tell(cue);
            }
            // Two events are a quarter of eight, one is not.
            let said = scene.tell(leaving);
            assert!(said.contains("save 2 at 3 @2"), "{packed}, {leaving}: {said}");
            assert_eq!(said.matches("save").count(), 1, "{packed}, {leaving}: {said}");
            assert_eq!(scene.resident(), 0);
            scene.tell("saved@2");
            scene.tell("lost");
            scene.tell("activate 7");
            scene.tell("9 get leased@2");
            assert_eq!((scene.snapshots[&2].len(), scene.tell("loaded@2").as_str()), (1, "9=2?"));
        }
    }
}

#[test]
fn of_many_that_leave_at_once_a_bounded_number_is_saved_and_when_the_shard_moves_those_asked_last() {
    let full = || {
        let mut scene = Scene::with_snapshots_every(4);
        scene.tell("activate 5");
        for actor in 1..=100 {
            for cue in ["1 add 1", "loaded", "ack"] {
                scene.tell(&format!("{cue}@{actor}"));
            }
            scene.tell("tick 200");
        }
        scene
    };
    let saved = |said: &str| said.matches("save 1 at").count();
    let mut scene = full();
    let said = scene.tell("drain 6 b");
    assert_eq!((saved(&said), scene.resident()), (64, 0));
    assert!(said.starts_with("save 1 at 100 @100; save 1 at 99 @99;") && said.contains("@37"), "{said}");
    // Whoever makes room shares the bound with those whose time is up, from tick to tick.
    let mut scene = full();
    assert_eq!((saved(&scene.tell("evict 40")), saved(&scene.tell("evict 40"))), (40, 24));
    assert_eq!((saved(&scene.tell("tick 640000")), scene.resident()), (20, 0));
}

#[test]
fn a_packed_actor_knows_what_members_asked_and_runs_no_command_of_others() {
    every_three(
        "
        lives 21 22
        1 add 1 by=21   -> load
        loaded          -> append 1 after 0
        ack             -> 1=1
        tick 200
        2 add 1 id=1 by=21 -> 2=1
        3 add 1 id=9 by=23 -> 3=expired maybe
        lives 22 23
        tick 200
        4 add 10 id=9 by=23 -> append 9 after 1
        ack             -> 4=11
        tick 200
        5 add 1 id=1 by=21 -> 5=expired maybe
        6 add 10 id=9 by=23 -> 6=11
        ",
    );
}

#[test]
fn a_packed_actor_counts_on_towards_its_next_snapshot() {
    every_three(
        "
        1 add 1         -> load
        loaded          -> append 1 after 0
        ack             -> 1=1
        tick 200
        2 add 10        -> append 2 after 1
        ack             -> 2=11
        tick 200
        3 add 100       -> append 3 after 2
        ack             -> 3=111; save 3 at 3
        tick 200
        saved
        4 add 1         -> append 4 after 3
        ack             -> 4=112
        ",
    );
}

#[test]
fn an_instance_that_has_written_nothing_saves_nothing() {
    let mut scene = Scene::with_snapshots_every(3);
    for _ in 0..5 {
        scene.foreign(1, 5, super::counter::Happened::Added { by: 1 });
    }
    for cue in ["activate 5", "1 get leased", "loaded"] {
        scene.tell(cue);
    }
    assert_eq!(scene.tell("tick 600000"), "");
    // The first thing it stores, if only that it is there, brings the snapshot that is long due.
    for cue in ["2 get", "loaded"] {
        scene.tell(cue);
    }
    assert_eq!(scene.tell("ack"), "2=5?; save 5 at 6");
}

#[test]
fn an_actor_remembers_what_members_asked_and_runs_no_command_of_others() {
    every_three(
        "
        lives 21 22
        1 add 1 by=21   -> load
        loaded          -> append 1 after 0
        ack             -> 1=1
        2 add 10 id=1 by=22 -> append 1 after 1
        ack             -> 2=11
        lives 22 23
        3 add 100 id=1 by=23 -> append 1 after 2
        ack             -> 3=111; save 3 at 3
        4 add 1 id=1 by=21 -> 4=expired maybe
        5 add 1 id=9 by=21 -> 5=expired maybe
        6 add 10 id=1 by=22 -> 6=11
        saved
        lost
        activate 7
        7 add 1 id=1 by=21 -> load
        loaded          -> 7=expired maybe
        8 add 10 id=1 by=22 -> 8=11
        9 add 100 id=1 by=23 -> 9=111
        ",
    );
}

#[test]
fn however_many_lives_have_asked_an_actor_remembers_the_members_only() {
    let mut scene = Scene::with_snapshots_every(1);
    scene.tell("activate 5");
    for life in 100..400 {
        scene.tell(&format!("lives {} {life} {}", life - 1, life + 1));
        scene.tell(&format!("{life} add 1 by={life}"));
        if life == 100 {
            scene.tell("loaded");
        }
        scene.tell("ack");
        scene.tell("saved");
    }
    let last = scene.snapshots[&1].last().expect("there are many");
    let origins: Vec<_> = last.origins.iter().map(|marks| marks.origin.0).collect();
    assert_eq!((last.version.0, origins), (300, vec![398, 399]));
}
