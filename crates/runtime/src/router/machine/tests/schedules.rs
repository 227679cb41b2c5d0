//! Random schedules of asks, answers, failures and moves.

use aether_domain::Epoch;
use aether_domain::ports::Answer;
use aether_domain::testing::life;
use bytes::Bytes;
use proptest::prelude::*;

use super::super::super::ask::{Place, Target};
use super::super::super::bounds::OUTSTANDING_PER_SHARD_MAX;
use super::super::Input;
use super::desk::{Desk, moving, ms, not_owner, replied, unavailable};

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
        4 => (any::<prop::sample::Index>(), 0u8..11, 0u64..4)
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
        let mut flying: Vec<(Target, u64, u32)> = Vec::new();
        let mut first_sends: Vec<u64> = Vec::new();
        let mut counted = 0;
        for happening in happenings {
            match happening {
                Happening::Ask { timeout } => {
                    asked += 1;
                    desk.ask_for(asked, ms(timeout), 10);
                }
                Happening::Answer { pick, kind, known } if !flying.is_empty() => {
                    let (from, sequence, sending) = flying.remove(pick.index(flying.len()));
                    let answer = match kind {
                        0 | 1 => replied(),
                        2 => not_owner(),
                        3 => moving(),
                        4 => Answer::Behind,
                        5 => unavailable(known * 70, false),
                        6 => unavailable(known * 70, true),
                        7 => Answer::Busy,
                        8 => Answer::Rejected(Bytes::new()),
                        9 => Answer::Looked(Bytes::new()),
                        _ => Answer::Expired { maybe_applied: false },
                    };
                    let last = flying.iter().all(|(_, other, later)| *other != sequence || *later < sending);
                    let (nothing, done) = (matches!(kind, 8 | 9), desk.done.len());
                    desk.step(Input::Answered { sequence, sending, from, view: Epoch(epoch + known), answer });
                    prop_assert!(last || !nothing || desk.done.len() == done, "a later sending may be stored");
                }
                Happening::NotSent { pick } if !flying.is_empty() => {
                    let (_, sequence, _) = flying.remove(pick.index(flying.len()));
                    desk.step(Input::NotSent { sequence });
                }
                Happening::Answer { .. } | Happening::NotSent { .. } => {}
                Happening::Unreachable { who } => {
                    let to = life(NODES[usize::from(who)], 1);
                    flying.retain(|(target, ..)| *target != Target::There(to.clone()));
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
                if !attempt.is_again() {
                    first_sends.push(*nth);
                }
                flying.push((to.clone(), attempt.id.sequence, attempt.sending));
            }
            counted = desk.sent.len();
            prop_assert!(desk.asks.held <= OUTSTANDING_PER_SHARD_MAX);
            prop_assert!(desk.budget.held_bytes() <= desk.budget.outstanding_bytes(), "what is held is outstanding");
            let waiting = desk.asks.asks.iter().filter(|(_, ask)| ask.place == Place::Waiting).count();
            prop_assert_eq!(waiting, desk.asks.held, "the hold's books");
            prop_assert!(waiting == 0 || desk.asks.hold.is_some(), "whatever waits, waits for a hold");
            prop_assert!(desk.asks.asks.is_sound(), "ascending, and one timer an ask");
        }
        prop_assert!(first_sends.is_sorted(), "first sends out of order: {:?}", first_sends);
        desk.pass(ms(5_000));
        for token in 1..=asked {
            prop_assert!(desk.outcome(token).is_some(), "ask {} never ended", token);
        }
        prop_assert!(desk.is_idle());
    }
}
