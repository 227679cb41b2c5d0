//! One shard's asks, refused, moved, lost and timed out.

use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::records::PayloadCodec;
use aether_domain::testing::life;
use aether_domain::{ActorAddress, ActorId, ActorKey, ActorKind, ShardCount, Slot};
use bytes::Bytes;
use proptest::prelude::*;

use super::super::bounds::{BACK_OFF_MAX, HELD_PER_SHARD_MAX, OUTSTANDING_PER_SHARD_MAX};
use super::*;
use crate::view::Route;

const SHARD: ShardId = ShardId(3);
const LONG: Duration = Duration::from_secs(30);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Where the shard is, in tests: at `me`, at a node by that letter, or nowhere.
fn target(name: &str) -> Target {
    match name {
        "me" => Target::Here,
        "-" => Target::Nowhere,
        other => Target::There(life(other, 1)),
    }
}

/// The machine with a hand on its clock and its view, and everything it asked for.
struct Desk {
    asks: ShardAsks<u32>,
    budget: Arc<NodeBudget>,
    view: View,
    now: Monotonic,
    /// Every sending and delivery: where to, which sequence (the `nth`), and the whole try.
    sent: Vec<(Target, u64, Try)>,
    done: BTreeMap<u32, Vec<Answer>>,
    /// What became of the tells that were not sent.
    untold: Vec<Answer>,
}

impl Desk {
    fn new(at: &str) -> Self {
        let me = life("me", 1);
        let budget = Arc::<NodeBudget>::default();
        let asks = ShardAsks::new(SHARD, me.incarnation, budget.clone());
        let (view, now) = (View::empty(me), Monotonic::from_start(ms(1_000_000)));
        let mut desk = Self { asks, budget, view, now, sent: Vec::new(), done: BTreeMap::new(), untold: Vec::new() };
        desk.see(5, at);
        desk
    }

    fn step(&mut self, input: Input<u32>) {
        let mut effects = Vec::new();
        self.asks.step(self.now, &self.view, input, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send { to, attempt } => {
                    self.sent.push((Target::There(to), attempt.id.sequence >> 16, attempt));
                }
                Effect::Deliver { attempt } => self.sent.push((Target::Here, attempt.id.sequence >> 16, attempt)),
                Effect::Complete { token, answer } => self.done.entry(token).or_default().push(answer),
                Effect::Untold { answer } => self.untold.push(answer),
            }
        }
    }

    /// A view of that epoch with the shard at `at`; every node it ever named lives, but those after a minus.
    fn see(&mut self, epoch: u64, at: &str) {
        let (at, dead) = at.split_once(" without ").unwrap_or((at, ""));
        let route = match target(at) {
            Target::Here => Route::Mine { epoch: Epoch(epoch) },
            Target::There(owner) => Route::Remote { owner },
            Target::Nowhere => Route::Nobody,
        };
        self.view.epoch = Epoch(epoch);
        self.view.shards = ShardCount::new(8).expect("a power of two");
        self.view.routes = vec![route; 8];
        self.view.lives.extend(["a", "b", "c"].map(|name| life(name, 1).incarnation));
        if !dead.is_empty() {
            self.view.lives.remove(&life(dead, 1).incarnation);
        }
        self.step(Input::Look);
    }

    fn ask(&mut self, token: u32) {
        self.ask_for(token, LONG, 10);
    }

    fn ask_for(&mut self, token: u32, timeout: Duration, bytes: usize) {
        let deadline = self.now + timeout;
        self.step(Input::Ask { token: Some(token), request: request(bytes), deadline });
    }

    fn tell(&mut self) {
        let deadline = self.now + LONG;
        self.step(Input::Ask { token: None, request: request(10), deadline });
    }

    fn answer(&mut self, nth: u64, from: &str, known: u64, answer: Answer) {
        let sequence = sequence(nth, SHARD);
        self.step(Input::Answered { sequence, from: target(from), view: Epoch(known), answer });
    }

    fn pass(&mut self, by: Duration) {
        self.now = self.now + by;
        self.step(Input::Look);
    }

    /// What was sent since last asked: `b1` is the first sequence to b.
    fn sends(&mut self) -> String {
        let name = |target: &Target| match target {
            Target::Here => "me".to_string(),
            Target::There(to) => to.node.to_string(),
            Target::Nowhere => "-".into(),
        };
        self.sent.drain(..).map(|(to, nth, _)| format!("{}{nth}", name(&to))).collect::<Vec<_>>().join(" ")
    }

    fn outcome(&self, token: u32) -> Option<&Answer> {
        self.done.get(&token).map(|answers| {
            assert_eq!(answers.len(), 1, "ask {token} was answered more than once: {answers:?}");
            &answers[0]
        })
    }

    /// Nothing is outstanding and every budget is given back.
    fn is_idle(&self) -> bool {
        self.asks.outstanding() == 0
            && self.asks.asks.is_empty()
            && self.asks.timers.is_empty()
            && (self.asks.held, self.asks.held_bytes) == (0, 0)
            && (self.budget.held_bytes(), self.budget.outstanding_bytes()) == (0, 0)
    }
}

fn request(bytes: usize) -> Request {
    let key = ActorKey { kind: ActorKind::new("account").expect("a kind"), id: ActorId::new("alice").expect("an id") };
    Request {
        actor: ActorAddress { key, slot: Slot(0) },
        command: "deposit".into(),
        payload: Bytes::from(vec![b'x'; bytes]),
        codec: PayloadCodec::Json,
        message: None,
        mode: aether_domain::ports::ReadMode::Strict,
    }
}

fn replied() -> Answer {
    Answer::Replied(Bytes::from_static(b"70"))
}
fn not_owner() -> Answer {
    Answer::NotOwner { owner: None }
}
fn moving() -> Answer {
    Answer::Moving { to: None }
}
fn unavailable(retry_after: u64, maybe_applied: bool) -> Answer {
    Answer::Unavailable { retry_after: ms(retry_after), maybe_applied }
}

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
        Answer::Rejected(Bytes::from_static(b"no")),
        Answer::Poisoned { reason: reason() },
        Answer::Invalid { reason: reason() },
        Answer::Quarantined { reason: reason() },
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
        desk.pass(pause - ms(1));
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
    assert!(attempt.again && attempt.attempt == 1, "the same life is asked again: {attempt:?}");
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
    let Begin::Here { id, floor } = desk.asks.begin(&desk.view) else { panic!("it runs in place") };
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
    assert_eq!(desk.asks.begin(&desk.view), Begin::NewView, "a view it has not looked at");
    desk.step(Input::Look);
    assert!(matches!(desk.asks.begin(&desk.view), Begin::Here { .. }));
    assert!(!desk.asks.settle(sequence(1, SHARD)));
    desk.ask(2);
    desk.answer(2, "me", 6, moving());
    assert_eq!(desk.asks.begin(&desk.view), Begin::Elsewhere, "others wait");
    desk.see(7, "a");
    assert_eq!(desk.asks.begin(&desk.view), Begin::Elsewhere, "another owner");
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
    let most = u32::try_from(OUTSTANDING_PER_SHARD_MAX).expect("a small number");
    for token in 0..=most {
        desk.ask(token);
    }
    assert_eq!(desk.outcome(most), Some(&Answer::Busy));
    assert_eq!(desk.sent.len(), OUTSTANDING_PER_SHARD_MAX);

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
fn a_fenced_life_ends_its_asks_and_mints_no_new_ids_for_them() {
    let mut desk = Desk::new("a");
    desk.ask(1);
    desk.answer(1, "a", 9, not_owner());
    desk.ask(2);
    desk.see(6, "b");
    let Begin::Elsewhere = desk.asks.begin(&desk.view) else { panic!("the shard is elsewhere") };
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

/// What may happen to a desk, drawn by proptest.
#[derive(Clone, Debug)]
enum Happening {
    Ask { timeout: u64 },
    Answer { pick: prop::sample::Index, kind: u8, known: u64 },
    NotSent { pick: prop::sample::Index },
    Unreachable { who: u8 },
    Move { to: u8, skip: u64, buried: bool },
    Pass { millis: u64 },
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (1u64..5_000).prop_map(|timeout| Happening::Ask { timeout }),
        4 => (any::<prop::sample::Index>(), 0u8..9, 0u64..4)
            .prop_map(|(pick, kind, known)| Happening::Answer { pick, kind, known }),
        1 => any::<prop::sample::Index>().prop_map(|pick| Happening::NotSent { pick }),
        1 => (0u8..3).prop_map(|who| Happening::Unreachable { who }),
        2 => (0u8..5, 1u64..3, any::<bool>()).prop_map(|(to, skip, buried)| Happening::Move { to, skip, buried }),
        3 => (1u64..400).prop_map(|millis| Happening::Pass { millis }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_ask_ends_exactly_once_and_first_sends_keep_their_order(
        happenings in prop::collection::vec(happening(), 1..120)
    ) {
        const NODES: [&str; 5] = ["a", "b", "c", "me", "-"];
        let mut desk = Desk::new("a");
        let (mut asked, mut epoch) = (0u32, 5);
        // Sendings that nobody has answered yet, oldest first.
        let mut flying: Vec<(Target, u64)> = Vec::new();
        let mut first_sends: Vec<u64> = Vec::new();
        let mut counted = 0;
        for happening in happenings {
            match happening {
                Happening::Ask { timeout } => {
                    asked += 1;
                    desk.ask_for(asked, ms(timeout), 10);
                }
                Happening::Answer { pick, kind, known } if !flying.is_empty() => {
                    let (from, sequence) = flying.remove(pick.index(flying.len()));
                    let answer = match kind {
                        0 | 1 => replied(),
                        2 => not_owner(),
                        3 => moving(),
                        4 => Answer::Behind,
                        5 => unavailable(known * 70, false),
                        6 => unavailable(known * 70, true),
                        7 => Answer::Busy,
                        _ => Answer::Expired { maybe_applied: false },
                    };
                    desk.step(Input::Answered { sequence, from, view: Epoch(epoch + known), answer });
                }
                Happening::NotSent { pick } if !flying.is_empty() => {
                    let (_, sequence) = flying.remove(pick.index(flying.len()));
                    desk.step(Input::NotSent { sequence });
                }
                Happening::Answer { .. } | Happening::NotSent { .. } => {}
                Happening::Unreachable { who } => {
                    let to = life(NODES[usize::from(who)], 1);
                    flying.retain(|(target, _)| *target != Target::There(to.clone()));
                    desk.step(Input::Unreachable { to });
                }
                Happening::Move { to, skip, buried } => {
                    epoch += skip;
                    let (at, without) = (NODES[usize::from(to)], NODES[(usize::from(to) + 1) % 3]);
                    desk.see(epoch, &if buried { format!("{at} without {without}") } else { at.to_string() });
                }
                Happening::Pass { millis } => desk.pass(ms(millis)),
            }
            for (to, nth, attempt) in &desk.sent[counted..] {
                prop_assert!(attempt.floor <= attempt.id.sequence, "a floor is never above its own command");
                prop_assert_ne!(to, &Target::Nowhere);
                if !attempt.again {
                    first_sends.push(*nth);
                }
                flying.push((to.clone(), attempt.id.sequence));
            }
            counted = desk.sent.len();
            prop_assert!(desk.asks.held <= OUTSTANDING_PER_SHARD_MAX);
            let waiting = desk.asks.asks.values().filter(|ask| ask.place == Place::Waiting).count();
            prop_assert_eq!(waiting, desk.asks.held, "the hold's books");
            prop_assert!(waiting == 0 || desk.asks.hold.is_some(), "whatever waits, waits for a hold");
            prop_assert_eq!(desk.asks.timers.len(), desk.asks.asks.len(), "one timer an ask");
        }
        prop_assert!(first_sends.is_sorted(), "first sends out of order: {:?}", first_sends);
        desk.pass(ms(5_000));
        for token in 1..=asked {
            prop_assert!(desk.outcome(token).is_some(), "ask {} never ended", token);
        }
        prop_assert!(desk.is_idle());
    }
}
