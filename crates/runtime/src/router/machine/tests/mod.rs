//! One shard's asks, refused, moved, lost and timed out.

mod desk;
mod schedules;

use std::sync::Arc;

use aether_domain::ports::Answer;
use aether_domain::testing::life;
use aether_domain::{Epoch, Slot};
use bytes::Bytes;

use super::super::bounds::{
    BACK_OFF_MAX, HELD_BYTES_MAX, HELD_PER_SHARD_MAX, OUTSTANDING_BYTES_MAX, OUTSTANDING_PER_SHARD_MAX,
    OUTSTANDING_PER_SLOT_MAX, STRAGGLERS_WAIT,
};
use super::super::window::sequence;
use super::{Begin, Input};
use desk::{Desk, LONG, SHARD, SLOT, moving, ms, not_owner, rejected, replied, request, target, unavailable};

#[test]
fn an_ask_goes_to_the_owner_and_its_reply_comes_back() {
    for (at, sent) in [("a", "a1"), ("me", "me1")] {
        let mut desk = Desk::new(at);
        desk.ask(1);
        assert_eq!(desk.sends(), sent);
        desk.answer(1, at, 5, replied());
        assert_eq!(desk.outcome(1), Some(&replied()));
        assert!(desk.is_idle());
    }
}

#[test]
fn a_final_answer_ends_the_ask_in_its_own_words() {
    let reason = || "because".to_string();
    for answer in [
        replied(),
        Answer::Looked(Bytes::from_static(b"70")),
        rejected(),
        Answer::Poisoned { reason: reason(), maybe_applied: false },
        Answer::Invalid { reason: reason(), maybe_applied: false },
        Answer::Invalid { reason: reason(), maybe_applied: true },
        Answer::Quarantined { reason: reason(), maybe_applied: false },
        Answer::Expired { maybe_applied: false },
        Answer::Expired { maybe_applied: true },
    ] {
        let mut desk = Desk::new("a");
        desk.ask(1);
        desk.answer(1, "a", 5, answer.clone());
        assert_eq!(desk.outcome(1), Some(&answer));
        assert!(desk.is_idle(), "after {answer:?}");
    }
}

#[test]
fn what_ends_an_ask_does_not_hide_that_an_earlier_sending_may_be_stored() {
    type Fate = fn(String, bool) -> Answer;
    let reason = || "because".to_string();
    let fates: [Fate; 4] = [
        |reason, maybe_applied| Answer::Poisoned { reason, maybe_applied },
        |reason, maybe_applied| Answer::Invalid { reason, maybe_applied },
        |reason, maybe_applied| Answer::Quarantined { reason, maybe_applied },
        |_, maybe_applied| Answer::Expired { maybe_applied },
    ];
    for fate in fates {
        let mut desk = Desk::new("a");
        desk.ask(1);
        desk.answer(1, "a", 5, unavailable(20, true));
        desk.pass(ms(20));
        desk.ask(2);
        desk.answer(2, "a", 5, unavailable(20, false));
        desk.pass(ms(20));
        desk.ask(3);
        desk.pass(ms(1_000));
        assert_eq!(desk.sends(), "a1 a1 a2 a2 a3 a1 a2 a3");
        desk.answer(2, "a", 5, Answer::Busy);
        for nth in 1..=3 {
            desk.answer(nth, "a", 5, fate(reason(), false));
        }
        assert_eq!(desk.outcome(1), Some(&fate(reason(), true)), "it was given up in doubt");
        assert_eq!(desk.outcome(2), Some(&fate(reason(), false)), "every sending is accounted for");
        assert_eq!(desk.outcome(3), Some(&fate(reason(), true)), "one of its sendings was never answered");
        assert!(desk.is_idle());
    }
}

#[test]
fn where_nothing_was_stored_only_the_answer_to_the_last_sending_is_final() {
    for nothing in [rejected(), Answer::Looked(Bytes::from_static(b"0"))] {
        let twice = || {
            let mut desk = Desk::new("a");
            desk.ask(1);
            desk.pass(ms(1_000));
            assert_eq!(desk.sends(), "a1 a1");
            desk.answer_to(1, 1, "a", 5, nothing.clone());
            assert_eq!(desk.outcome(1), None, "the second sending may yet be stored");
            desk
        };
        let mut desk = twice();
        desk.answer_to(1, 2, "a", 5, replied());
        assert_eq!(desk.outcome(1), Some(&replied()), "and it was");

        let mut desk = twice();
        desk.answer_to(1, 2, "a", 5, nothing.clone());
        assert_eq!(desk.outcome(1), Some(&nothing), "it was not");

        let mut desk = twice();
        desk.pass(ms(2_000));
        assert_eq!(desk.sends(), "", "a life that answers is not asked again soon");
        desk.pass(LONG);
        assert_eq!(desk.outcome(1), Some(&Answer::Expired { maybe_applied: true }));
        assert!(desk.is_idle());

        let mut desk = twice();
        desk.answer_to(1, 2, "a", 5, moving());
        desk.see(6, "b");
        assert_eq!(desk.sends(), "b1");
        desk.answer_to(1, 3, "b", 6, nothing.clone());
        assert_eq!(desk.outcome(1), Some(&nothing));
        assert!(desk.is_idle());
    }
}

#[test]
fn what_is_stored_is_final_whichever_sending_it_answers() {
    let mut desk = Desk::new("a");
    desk.ask(1);
    desk.pass(ms(1_000));
    desk.see(6, "b without a");
    desk.answer_to(1, 1, "a", 5, replied());
    assert_eq!(desk.outcome(1), Some(&replied()));
    assert!(desk.is_idle());
}

#[test]
fn a_command_that_can_never_leave_is_invalid_and_says_whether_it_left_before() {
    let mut desk = Desk::new("a");
    desk.ask(1);
    desk.ask(2);
    desk.answer(2, "a", 5, unavailable(20, true));
    desk.pass(ms(20));
    for (nth, maybe_applied) in [(1, false), (2, true)] {
        desk.step(Input::TooLarge { sequence: sequence(nth, SHARD), reason: "large".into() });
        let invalid = Answer::Invalid { reason: "large".into(), maybe_applied };
        assert_eq!(desk.outcome(u32::try_from(nth).expect("small")), Some(&invalid));
    }
    assert!(desk.is_idle());
}

#[test]
fn a_refused_shard_is_asked_again_once_the_view_names_another_owner() {
    for refusal in [not_owner(), moving(), Answer::Behind] {
        let mut desk = Desk::new("a");
        desk.ask(1);
        desk.answer(1, "a", 7, refusal.clone());
        desk.ask(2);
        assert_eq!(desk.sends(), "a1", "the second waits behind the first, after {refusal:?}");
        desk.see(6, "b");
        assert_eq!(desk.sends(), "", "epoch 6 is below what the refusal knew");
        desk.see(7, "b");
        assert_eq!(desk.sends(), "b1 b2");
        desk.answer(1, "b", 7, replied());
        desk.answer(2, "b", 7, replied());
        assert!(desk.is_idle());
    }
}

#[test]
fn a_refusal_that_the_view_has_overtaken_is_answered_at_once() {
    let mut desk = Desk::new("a");
    desk.ask(1);
    desk.see(8, "b");
    desk.answer(1, "a", 8, not_owner());
    assert_eq!(desk.sends(), "a1 b1");
}

#[test]
fn without_news_a_refused_shard_is_asked_again_after_growing_pauses() {
    let mut desk = Desk::new("a");
    desk.ask(1);
    let mut before = ms(0);
    for round in 0..6 {
        desk.sends();
        desk.answer(1, "a", 5, moving());
        let pause = desk.asks.wakes_at().expect("it will try again").since(desk.now);
        assert!(pause >= before.min(BACK_OFF_MAX) && pause <= BACK_OFF_MAX * 3 / 2, "round {round}: {pause:?}");
        before = pause * 2 / 3;
        desk.pass(pause.saturating_sub(ms(1)));
        assert_eq!(desk.sends(), "", "round {round}");
        desk.pass(ms(1));
        assert_eq!(desk.sends(), "a1", "round {round}");
    }
}

#[test]
fn a_command_that_is_refused_by_itself_comes_back_alone() {
    let mut desk = Desk::new("a");
    desk.ask(1);
    desk.ask(2);
    desk.answer(1, "a", 5, unavailable(300, false));
    desk.answer(2, "a", 5, Answer::Busy);
    desk.ask(3);
    assert_eq!(desk.sends(), "a1 a2 a3");
    desk.pass(ms(60));
    assert_eq!(desk.sends(), "a2");
    desk.pass(ms(240));
    assert_eq!(desk.sends(), "a1");
}

#[test]
fn an_unreachable_owner_is_tried_again_in_order_and_elsewhere_once_it_is_known() {
    let mut desk = Desk::new("a");
    for token in 1..=3 {
        desk.ask(token);
    }
    desk.step(Input::Unreachable { to: life("a", 1) });
    assert_eq!(desk.sends(), "a1 a2 a3");
    desk.pass(BACK_OFF_MAX);
    assert_eq!(desk.sends(), "a1 a2 a3");
    desk.step(Input::Unreachable { to: life("a", 1) });
    desk.ask(4);
    desk.see(6, "b without a");
    assert_eq!(desk.sends(), "b1 b2 b3 b4");
}

#[test]
fn nobody_is_asked_while_nobody_owns_the_shard() {
    let mut desk = Desk::new("-");
    desk.ask(1);
    desk.tell();
    desk.ask(3);
    desk.pass(ms(5_000));
    assert_eq!(desk.sends(), "");
    desk.see(6, "me");
    assert_eq!(desk.sends(), "me1 me2 me3");
}

#[test]
fn a_life_that_is_no_member_yet_sends_nothing_and_then_everything_in_order() {
    let mut desk = Desk::new("a");
    desk.view.member = false;
    desk.see(6, "a");
    desk.ask(1);
    desk.ask(2);
    desk.pass(ms(500));
    assert_eq!(desk.sends(), "");
    desk.view.member = true;
    desk.see(7, "a");
    desk.ask(3);
    assert_eq!(desk.sends(), "a1 a2 a3");
}

#[test]
fn a_deadline_says_whether_anybody_may_have_run_the_command() {
    type Story = fn(&mut Desk);
    let stories: [(&str, Story, bool); 9] = [
        ("never sent", |desk| desk.see(6, "-"), false),
        ("sent and silent", |desk| desk.ask(1), true),
        (
            "refused",
            |desk| {
                desk.ask(1);
                desk.answer(1, "a", 9, not_owner());
                desk.see(6, "-");
            },
            false,
        ),
        (
            "busy",
            |desk| {
                desk.ask(1);
                desk.see(6, "-");
                desk.answer(1, "a", 5, Answer::Busy);
            },
            false,
        ),
        (
            "paused",
            |desk| {
                desk.ask(1);
                desk.see(6, "-");
                desk.answer(1, "a", 5, unavailable(9, false));
            },
            false,
        ),
        (
            "in doubt",
            |desk| {
                desk.ask(1);
                desk.see(6, "-");
                desk.answer(1, "a", 5, unavailable(9, true));
            },
            true,
        ),
        (
            "its owner died",
            |desk| {
                desk.ask(1);
                desk.see(6, "- without a");
            },
            true,
        ),
        (
            "not sent after all",
            |desk| {
                desk.ask(1);
                desk.see(6, "-");
                desk.step(Input::NotSent { sequence: sequence(1, SHARD) });
            },
            false,
        ),
        (
            "one of two sendings refused",
            |desk| {
                desk.ask(1);
                desk.pass(ms(1_000));
                assert_eq!(desk.sends(), "a1 a1");
                desk.answer(1, "a", 9, not_owner());
                desk.see(6, "-");
            },
            true,
        ),
    ];
    for (name, story, maybe_applied) in stories {
        let mut desk = Desk::new("a");
        story(&mut desk);
        if desk.asks.outstanding() == 0 {
            desk.ask(1);
        }
        desk.pass(LONG);
        assert_eq!(desk.outcome(1), Some(&Answer::Expired { maybe_applied }), "{name}");
        assert!(desk.is_idle(), "{name}");
    }
}

#[test]
fn what_is_over_its_deadline_already_is_not_sent() {
    let mut desk = Desk::new("a");
    desk.ask_for(1, ms(0), 10);
    assert_eq!(desk.sends(), "");
    assert_eq!(desk.outcome(1), Some(&Answer::Expired { maybe_applied: false }));
}

#[test]
fn a_silent_ask_is_sent_again_under_its_id_after_a_second_or_half_of_what_is_left() {
    let mut desk = Desk::new("a");
    desk.ask_for(1, ms(5_000), 10);
    desk.ask_for(2, ms(400), 10);
    desk.ask_for(3, ms(90), 10);
    desk.pass(ms(199));
    assert_eq!(desk.sends(), "a1 a2 a3");
    desk.pass(ms(1));
    assert_eq!(desk.sends(), "a2");
    desk.pass(ms(100));
    assert_eq!(desk.sends(), "a2");
    desk.pass(ms(100));
    assert_eq!(desk.outcome(2), Some(&Answer::Expired { maybe_applied: true }));
    desk.pass(ms(600));
    let attempt = desk.sent.pop().expect("the first is sent again").2;
    assert!(attempt.is_again() && attempt.attempt == 1, "the same life is asked again: {attempt:?}");
}

#[test]
fn a_life_that_goes_on_has_died_of_nothing() {
    let mut desk = Desk::new("a");
    desk.ask(1);
    desk.see(6, "b");
    desk.pass(ms(250));
    let attempts: Vec<_> = desk.sent.iter().map(|(to, _, attempt)| (to.clone(), attempt.attempt)).collect();
    assert_eq!(
        attempts,
        [("a", 1), ("b", 1)].map(|(name, attempt)| (target(name), attempt)),
        "a is only slow to answer"
    );
}

#[test]
fn a_try_counts_only_when_another_life_may_have_died_of_it() {
    let mut desk = Desk::new("a");
    desk.ask(1);
    desk.answer(1, "a", 6, moving());
    desk.see(6, "b");
    desk.see(7, "c without b");
    desk.see(8, "a");
    let attempts: Vec<_> = desk.sent.iter().map(|(to, _, attempt)| (to.clone(), attempt.attempt)).collect();
    let expected = [("a", 1), ("b", 1), ("c", 2)].map(|(name, attempt)| (target(name), attempt));
    assert_eq!(attempts, expected, "c still has to answer");
}

#[test]
fn no_command_overtakes_an_earlier_one_across_a_move() {
    let mut desk = Desk::new("a");
    desk.ask(1);
    desk.ask(2);
    desk.see(6, "b");
    desk.ask(3);
    assert_eq!(desk.sends(), "a1 a2", "the third waits for what the old owner says of the first two");
    desk.answer(1, "a", 6, replied());
    desk.answer(2, "a", 6, moving());
    assert_eq!(desk.sends(), "b2 b3");

    desk.see(7, "c");
    desk.ask(4);
    desk.pass(STRAGGLERS_WAIT);
    assert_eq!(desk.sends(), "c2 c3 c4", "a slow old owner is waited for only so long");
}

#[test]
fn commands_that_run_in_place_are_waited_for_when_their_shard_leaves() {
    let mut desk = Desk::new("me");
    let Begin::Here { id, floor } = desk.asks.begin(&desk.view, SLOT) else { panic!("it runs in place") };
    assert_eq!((id.sequence, floor), (sequence(1, SHARD), sequence(1, SHARD)));
    desk.see(6, "b");
    desk.ask(2);
    assert_eq!(desk.sends(), "");
    let refused = Input::RefusedHere {
        sequence: id.sequence,
        token: 1,
        request: request(10),
        deadline: desk.now + LONG,
        answer: moving(),
    };
    desk.step(refused);
    assert_eq!(desk.sends(), "b1 b2");
    desk.answer(1, "b", 6, replied());
    desk.answer(2, "b", 6, replied());
    assert!(desk.is_idle());
}

#[test]
fn only_the_owner_of_a_quiet_shard_runs_commands_in_place() {
    let mut desk = Desk::new("me");
    desk.view.epoch = Epoch(6);
    assert_eq!(desk.asks.begin(&desk.view, SLOT), Begin::NewView, "a view it has not looked at");
    desk.step(Input::Look);
    assert!(matches!(desk.asks.begin(&desk.view, SLOT), Begin::Here { .. }));
    assert!(!desk.asks.settle(sequence(1, SHARD)));
    desk.ask(2);
    desk.answer(2, "me", 6, moving());
    assert_eq!(desk.asks.begin(&desk.view, SLOT), Begin::Elsewhere, "others wait");
    desk.see(7, "a");
    assert_eq!(desk.asks.begin(&desk.view, SLOT), Begin::Elsewhere, "another owner");
}

#[test]
fn the_floor_is_the_lowest_command_that_may_still_be_sent() {
    let mut desk = Desk::new("a");
    for token in 1..=3 {
        desk.ask(token);
    }
    desk.answer(2, "a", 5, replied());
    desk.ask(4);
    desk.answer(1, "a", 5, replied());
    desk.ask(5);
    desk.tell();
    let floors: Vec<_> = desk.sent.iter().map(|(_, nth, attempt)| (*nth, attempt.floor >> 16)).collect();
    assert_eq!(floors, [(1, 1), (2, 1), (3, 1), (4, 1), (5, 3), (6, 3)]);
}

#[test]
fn a_tell_is_sent_once_and_forgotten() {
    let mut desk = Desk::new("a");
    desk.tell();
    assert!(desk.is_idle());
    assert!(!desk.sent[0].2.wants_answer);
    desk.step(Input::Unreachable { to: life("a", 1) });
    desk.pass(LONG);
    assert_eq!(desk.sends(), "a1");
}

#[test]
fn a_tell_that_cannot_be_sent_says_so() {
    let mut desk = Desk::new("-");
    for _ in 0..=HELD_PER_SHARD_MAX {
        desk.tell();
    }
    assert_eq!(desk.untold, [Answer::Busy]);
    desk.pass(LONG);
    assert_eq!(desk.untold.len(), HELD_PER_SHARD_MAX + 1);
    assert_eq!(desk.untold.last(), Some(&Answer::Expired { maybe_applied: false }));
    assert!(desk.is_idle());
}

#[test]
fn too_many_or_too_large_commands_are_busy_at_once() {
    let mut desk = Desk::new("a");
    let most = u32::try_from(OUTSTANDING_PER_SLOT_MAX).expect("a small number");
    for token in 0..=most {
        desk.ask(token);
    }
    assert_eq!(desk.outcome(most), Some(&Answer::Busy));
    assert_eq!(desk.sent.len(), OUTSTANDING_PER_SLOT_MAX);

    let mut desk = Desk::new("-");
    let most = u32::try_from(HELD_PER_SHARD_MAX).expect("a small number");
    for token in 0..=most {
        desk.ask(token);
    }
    assert_eq!(desk.outcome(most), Some(&Answer::Busy));
    assert_eq!(desk.done.len(), 1);
    desk.pass(LONG);
    assert!(desk.is_idle());

    let mut desk = Desk::new("-");
    desk.ask_for(1, LONG, 512 * 1024);
    desk.ask_for(2, LONG, 512 * 1024);
    assert_eq!(desk.outcome(2), Some(&Answer::Busy), "with its frame the second exceeds a mebibyte");
}

#[test]
fn a_full_hold_never_refuses_what_may_be_applied() {
    let mut desk = Desk::new("a");
    let most = u32::try_from(HELD_PER_SHARD_MAX).expect("a small number") + 10;
    for token in 0..most {
        desk.ask(token);
    }
    desk.step(Input::Unreachable { to: life("a", 1) });
    assert!(desk.done.is_empty());
    desk.ask(most);
    assert_eq!(desk.outcome(most), Some(&Answer::Busy), "a new one can still be refused");
    desk.see(6, "b without a");
    assert_eq!(desk.sent.len(), 2 * most as usize);
}

#[test]
fn a_hold_takes_at_most_all_that_may_be_outstanding() {
    let mut desk = Desk::new("a");
    for slot in [SLOT, Slot(1)] {
        for _ in 0..OUTSTANDING_PER_SHARD_MAX {
            let mut request = request(10);
            Arc::make_mut(&mut request).actor.slot = slot;
            let deadline = desk.now + LONG;
            desk.step(Input::Ask { token: Some(0), request, deadline });
        }
    }
    desk.step(Input::Unreachable { to: life("a", 1) });
    assert_eq!(desk.asks.held, OUTSTANDING_PER_SHARD_MAX, "of any number of asks");
    assert_eq!(desk.budget.held_bytes(), desk.budget.outstanding_bytes());

    let mut desk = Desk::new("a");
    let mut sent = 0;
    while desk.outcome(sent).is_none() {
        sent += 1;
        desk.ask_for(sent, LONG, 512 * 1024);
    }
    assert_eq!(desk.outcome(sent), Some(&Answer::Busy), "no more bytes may be outstanding");
    desk.step(Input::Unreachable { to: life("a", 1) });
    assert_eq!(desk.done.len(), 1, "nothing that was sent is refused");
    let held = desk.budget.held_bytes();
    assert!(held > HELD_BYTES_MAX && held <= OUTSTANDING_BYTES_MAX, "{held} bytes are held");
    desk.pass(LONG);
    assert!(desk.is_idle());
}

#[test]
fn a_fenced_life_ends_its_asks_and_mints_no_new_ids_for_them() {
    let mut desk = Desk::new("a");
    desk.ask(1);
    desk.answer(1, "a", 9, not_owner());
    desk.ask(2);
    desk.see(6, "b");
    let Begin::Elsewhere = desk.asks.begin(&desk.view, SLOT) else { panic!("the shard is elsewhere") };
    desk.view.me = life("me", 2);
    desk.sends();
    desk.see(7, "b");
    assert_eq!(desk.sends(), "");
    for token in [1, 2] {
        assert!(matches!(desk.outcome(token), Some(Answer::Unavailable { maybe_applied: false, .. })));
    }
    desk.ask(3);
    assert_eq!(desk.sent[0].2.id.origin, life("me", 2).incarnation);
    desk.step(Input::Over);
    assert!(matches!(desk.outcome(3), Some(Answer::Unavailable { maybe_applied: true, .. })));
    assert!(desk.is_idle());
}
