//! Frames, compared with the ones in `golden`. `AETHER_GOLDEN=write` writes them anew; then look at what has changed.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use aether_screen::{Look, Pane, State, Told, draw, plain_frame};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use crate::scenes::{COLOUR, NO_COLOUR, NOW, all, dead, of, well};

/// A moment later than what was told, so that it is neither just now nor old.
const LOOKED_AT: Duration = Duration::from_millis(101_500);

pub(crate) fn drawn(state: &State, now: Duration, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal in memory");
    terminal.draw(|frame| draw(frame, state, now)).expect("drawn");
    terminal.backend().buffer().clone()
}

fn rows(buffer: &Buffer, of: impl Fn(&Cell) -> String) -> String {
    let rows = buffer.content.chunks(usize::from(buffer.area.width));
    let rows = rows.map(|row| row.iter().map(&of).collect::<String>().trim_end().to_owned());
    rows.collect::<Vec<_>>().join("\n")
}

/// A letter for each style: colours by letters, `r` and `b` for reversed and bold without one, a dot for faint.
fn style(cell: &Cell) -> String {
    let colour = match cell.fg {
        Color::Indexed(74) => 'a',
        Color::Indexed(172) => 'o',
        Color::Indexed(36) => 'g',
        Color::Indexed(167) => 'v',
        Color::Indexed(_) => 'x',
        _ => ' ',
    };
    let is = |modifier| cell.modifier.contains(modifier);
    let shown = match colour {
        ' ' if is(Modifier::REVERSED) => 'r',
        ' ' if is(Modifier::BOLD) => 'b',
        ' ' if is(Modifier::DIM) => '.',
        colour if is(Modifier::REVERSED) => colour.to_ascii_uppercase(),
        colour => colour,
    };
    shown.to_string()
}

fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screen/golden").join(format!("{name}.txt"));
    if std::env::var("AETHER_GOLDEN").is_ok_and(|said| said == "write") {
        std::fs::write(&path, text).expect("written");
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{name} is drawn otherwise:\n{text}\nAETHER_GOLDEN=write takes it as it is now");
}

#[test]
fn every_scene_is_drawn_as_before_in_three_sizes_and_without_colours() {
    for size in [(80, 24), (120, 40), (200, 60)] {
        for ((name, plain), (_, coloured)) in all(NO_COLOUR, size).into_iter().zip(all(COLOUR, size)) {
            if size.0 == 200 && !["well", "odd", "many"].contains(&name) {
                continue;
            }
            let (plain, coloured) = (drawn(&plain, LOOKED_AT, size), drawn(&coloured, LOOKED_AT, size));
            let symbol = |cell: &Cell| cell.symbol().to_owned();
            let mut text = format!("{}\n", rows(&plain, symbol));
            if size.0 == 80 {
                write!(text, "==== styles\n{}\n", rows(&plain, style)).expect("to memory");
                write!(text, "==== in colours\n{}\n", rows(&coloured, symbol)).expect("to memory");
                write!(text, "==== colours\n{}\n", rows(&coloured, style)).expect("to memory");
            }
            check(&format!("{name}-{}x{}", size.0, size.1), &text);
        }
    }
}

#[test]
fn without_colours_nothing_has_one() {
    for (name, state) in all(NO_COLOUR, (120, 40)) {
        let buffer = drawn(&state, LOOKED_AT, (120, 40));
        let coloured = buffer.content.iter().find(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert!(coloured.is_none(), "{name}: {coloured:?}");
    }
}

#[test]
fn what_has_no_owner_and_what_moves_stand_out_without_colours_and_without_styles() {
    let odd = |look| all(look, (120, 40)).into_iter().find(|(name, _)| *name == "odd").expect("there").1;
    let buffer = drawn(&odd(NO_COLOUR), LOOKED_AT, (120, 40));
    let in_map = |of: &dyn Fn(&Cell) -> bool| {
        (6..23).flat_map(|y| (0..64).map(move |x| (x, y))).filter(|place| of(&buffer[*place])).count()
    };
    assert_eq!(in_map(&|cell| cell.symbol() == "!"), 11);
    assert_eq!(in_map(&|cell| cell.symbol() != "!" && cell.modifier.contains(Modifier::REVERSED)), 49);
    let plain = plain_frame(&odd(Look::default()), LOOKED_AT, 120, 40);
    let map: String = plain.lines().skip(6).take(16).map(|line| line.chars().take(64).collect::<String>()).collect();
    assert_eq!((map.matches('!').count(), map.matches('~').count()), (11, 49), "{plain}");
}

#[test]
fn a_screen_that_is_too_small_says_so() {
    for (width, height) in [(39, 24), (80, 11), (39, 11)] {
        let said = plain_frame(&of(COLOUR, well(3, 1024)), LOOKED_AT, width, height);
        assert!(said.starts_with(&format!("{width}x{height} is too small: 40x12 at least")), "{said}");
    }
    let least = plain_frame(&of(COLOUR, well(3, 1024)), LOOKED_AT, 40, 12);
    for said in ["n3 leads", "> A n1", "3 nodes serve", "no plan under way", "ShardMigrated"] {
        assert!(least.contains(said), "{said}: {least}");
    }
    let mut state = of(NO_COLOUR, well(3, 1024));
    state.pane = Pane::Shards;
    let map = plain_frame(&state, LOOKED_AT, 40, 12);
    assert!(map.contains("shards 0-3: n1") && map.lines().nth(3).is_some_and(|row| row.len() == 32), "{map}");
}

#[test]
fn how_old_a_picture_is_is_said_and_that_it_is_new_again() {
    let mut state = of(NO_COLOUR, well(3, 1024));
    let line = |state: &State, seconds| {
        plain_frame(state, NOW + Duration::from_secs(seconds), 120, 40).lines().nth(1).unwrap_or_default().to_owned()
    };
    assert!(line(&state, 1).contains("as n1 sees it"));
    assert!(line(&state, 5).starts_with(" 5.0s old: no node has answered for a while"));
    state.hear(NOW + Duration::from_secs(5), Told::Silent("nothing listens".into()));
    assert!(line(&state, 9).starts_with(" 9.0s old: no node answers: nothing listens"), "{}", line(&state, 9));
    let mut cut_off = well(3, 1024);
    cut_off.connected = false;
    state.hear(NOW + Duration::from_secs(10), Told::View(Box::new(cut_off.clone())));
    state.hear(NOW + Duration::from_secs(11), Told::View(Box::new(cut_off)));
    assert!(line(&state, 12).starts_with(" 2.0s old: n1 has no connection to NATS"), "{}", line(&state, 12));
    state.hear(NOW + Duration::from_secs(13), Told::View(Box::new(well(3, 1024))));
    assert!(line(&state, 13).contains("as n1 sees it"));
    // Another cluster at the same address: nothing is left of the one before.
    let mut other = well(2, 8);
    other.cluster.cluster_uid = "08".into();
    state.hear(NOW + Duration::from_secs(14), Told::View(Box::new(other)));
    let frame = plain_frame(&state, NOW + Duration::from_secs(14), 120, 40);
    assert!(frame.contains("none yet") && frame.contains("2 nodes serve all 8 shards"), "{frame}");
}

#[test]
fn a_shard_that_has_just_changed_its_owner_stands_out_for_a_while() {
    let mut state = of(COLOUR, well(3, 1024));
    state.hear(NOW, Told::View(Box::new(dead())));
    let underlined = |after| {
        let buffer = drawn(&state, NOW + Duration::from_millis(after), (120, 40));
        (5..21)
            .flat_map(|y| (0..64).map(move |x| (x, y)))
            .filter(|place| buffer[*place].modifier.contains(Modifier::UNDERLINED))
            .count()
    };
    let changed = (0..1024).filter(|shard| well(3, 1024).map.owner_name(*shard) != dead().map.owner_name(*shard));
    assert_eq!(underlined(500), changed.count());
    assert_eq!(underlined(3_100), 0);
}

#[test]
fn what_is_known_of_a_process_is_said_until_the_log_has_a_better_word() {
    use aether_screen::model::{Process, ProcessState};
    for (status, state, said) in [
        ("active", ProcessState::Running, "active"),
        ("active", ProcessState::Frozen, "frozen"),
        ("active", ProcessState::Ended, "ended"),
        ("draining", ProcessState::Ended, "ended"),
        ("failed", ProcessState::Ended, "failed"),
        ("left", ProcessState::Ended, "left"),
    ] {
        let mut view = well(3, 1024);
        let node = &mut view.cluster.nodes[1];
        (node.status, node.process) = (status.into(), Some(Process { pid: 7, state }));
        assert_eq!(view.word(&view.cluster.nodes[1]), said, "{status} {state:?}");
    }
}
