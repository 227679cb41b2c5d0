//! Any size, anything that a node may say, many shards.

use std::time::{Duration, Instant};

use aether_screen::model::{Alert, Counts, Lease, Plan, View};
use aether_screen::{Key, Look, Map, State, Text, Told, plain_frame};
use proptest::prelude::*;

use crate::frames::drawn;
use crate::scenes::{COLOUR, MANY, NO_COLOUR, NOW, all, of, press, well};

/// How long a frame of 65,536 shards may take in a build that is not optimised, on a machine that does much else besides; what it took
/// is printed.
const DRAWN_MAX: Duration = Duration::from_secs(2);

const KEYS: [Key; 22] = [
    Key::Up,
    Key::Down,
    Key::Left,
    Key::Right,
    Key::Home,
    Key::End,
    Key::PageUp,
    Key::PageDown,
    Key::Tab,
    Key::BackTab,
    Key::Enter,
    Key::Esc,
    Key::Backspace,
    Key::Char('?'),
    Key::Char('/'),
    Key::Char('g'),
    Key::Char('n'),
    Key::Char('d'),
    Key::Char('p'),
    Key::Char('y'),
    Key::Char('7'),
    Key::Char('日'),
];

fn looks() -> impl Strategy<Value = Look> {
    prop_oneof![Just(COLOUR), Just(NO_COLOUR), Just(Look::default())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_size_is_drawn_whatever_is_shown_and_pressed(
        width in 1_u16..=300,
        height in 1_u16..=100,
        look in looks(),
        scene in 0_usize..16,
        pressed in proptest::collection::vec(0..KEYS.len(), 0..24),
        later in 0_u64..10_000,
    ) {
        let (name, mut state) = all(look, (width, height)).swap_remove(scene);
        let keys: Vec<_> = pressed.into_iter().map(|nth| KEYS[nth]).collect();
        press(&mut state, (width, height), &keys);
        let buffer = drawn(&state, NOW + Duration::from_millis(later), (width, height));
        prop_assert_eq!((buffer.area.width, buffer.area.height), (width, height), "{}", name);
    }

    #[test]
    fn whatever_a_node_says_no_command_reaches_the_terminal(said in "(?s).{0,80}", width in 40_u16..=140, height in 12_u16..=50) {
        for state in hostile(&said) {
            for line in plain_frame(&state, NOW, width, height).lines() {
                prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
    }
}

/// A cluster in which every text is that one, and every figure as large as can be; and the same once nobody answers.
fn hostile(said: &str) -> [State; 2] {
    let text = Text::new(said);
    let mut view: View = well(3, 64);
    view.cluster.namespace = text.clone();
    view.cluster.me = text.clone();
    view.cluster.leader = Some(text.clone());
    for node in &mut view.cluster.nodes {
        (node.status, node.trust, node.zone, node.tags) =
            (text.clone(), text.clone(), Some(text.clone()), vec![text.clone()]);
        node.admin_url = Some(said.to_owned());
        (node.shards, node.actors, node.commands_per_second) = (u64::MAX, u64::MAX, u64::MAX);
        (node.weight, node.since_epoch) = (u64::MAX, u64::MAX);
        (node.view_epoch, node.heard_ms) = (Some(u64::MAX), Some(u64::MAX));
    }
    // Of the others no figure is shown.
    view.cluster.nodes[2].status = "active".into();
    (view.cluster.epoch, view.cluster.term) = (u64::MAX, u64::MAX);
    view.cluster.lease = Some(Lease { ttl_ms: u64::MAX, left_ms: u64::MAX });
    view.cluster.shards = Counts { total: u64::MAX, assigned: u64::MAX, orphaned: u64::MAX, moving: u64::MAX };
    let most = Plan { id: u64::MAX, cause: text.clone(), planned: u64::MAX, moved: u64::MAX };
    (view.moves.plan, view.plan_ms) = (Some(most), Some(u64::MAX));
    view.cluster.nodes[0].id = text.clone();
    view.health.verdict = text.clone();
    view.alerts = vec![Alert { critical: true, text: text.clone() }; 9];
    view.load = Some(text.clone());
    let page = serde_json::json!({ "epoch": 1, "total": 64, "owners": { said: "0-40" } });
    view.map = Map::of(&serde_json::from_value(page).expect("a page")).expect("a map");
    let entry = serde_json::json!({
        "epoch": u64::MAX, "term": u64::MAX, "cause": said, "leader": said, "unix_millis": u64::MAX,
        "events": [{ "name": said, "nodes": [said, said], "shards": said, "reason": said }],
    });
    let entry = serde_json::from_value(entry).expect("an entry");
    let mut state = of(Look::default(), view);
    state.hear(NOW, Told::Entries(vec![entry]));
    let answered = state.clone();
    state.hear(NOW, Told::Silent(text));
    [answered, state]
}

#[test]
fn escape_sequences_and_wide_letters_are_shown_and_obeyed_nowhere() {
    for said in [
        "\u{1b}[2J\u{1b}[H\u{7}",
        "\u{1b}]0;title\u{7}",
        "\r\n\n\n",
        "\u{202e}abc",
        "日本語日本語日本語日本語",
        "e\u{301}\u{301}\u{301}",
        "🏳️‍🌈👩‍👩‍👧‍👦",
        "\u{0}\u{9b}31m",
        "",
    ] {
        let sizes = [(40, 12), (80, 24), (120, 40)];
        for (size, state) in sizes.into_iter().flat_map(|size| hostile(said).map(|state| (size, state))) {
            let frame = plain_frame(&state, NOW, size.0, size.1);
            assert!(!frame.lines().any(|line| line.chars().any(char::is_control)), "{said:?}: {frame}");
            assert!(!frame.contains('\u{202e}'), "{said:?}");
            assert_eq!(frame.split('\n').count(), usize::from(size.1), "{said:?}: {frame}");
        }
    }
}

#[test]
fn a_page_that_is_wrong_is_refused_with_a_word() {
    let map = |total: usize, owned: &str| {
        let page = serde_json::json!({ "epoch": 1, "total": total, "owners": { "n1": owned } });
        Map::of(&serde_json::from_value(page).expect("a page"))
    };
    assert!(map(65_536, "0-65535").is_ok() && map(0, "").is_ok());
    for (total, owned, why) in
        [(65_537, "", "there can be 65536"), (8, "8", "no run of 8"), (8, "x", "\"x\""), (8, "3-1", "3-1")]
    {
        assert!(map(total, owned).expect_err(owned).contains(why), "{owned}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "this measures how long drawing takes")]
fn a_frame_of_65_536_shards_on_100_nodes_is_drawn_quickly() {
    for size in [(80, 24), (200, 60)] {
        let mut state = of(COLOUR, MANY.clone());
        // Nearly all have just changed their owners.
        let mut moved = MANY.clone();
        moved.map = well(50, 65_536).map;
        state.hear(NOW, Told::View(Box::new(moved)));
        let took = |_| {
            let began = Instant::now();
            drawn(&state, NOW, size);
            began.elapsed()
        };
        let best = (0..5).map(took).min().expect("five");
        println!("a frame of 65,536 shards at {}x{}: {best:?}", size.0, size.1);
        assert!(best <= DRAWN_MAX, "{best:?}");
    }
}
