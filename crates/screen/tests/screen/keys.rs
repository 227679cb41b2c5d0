//! What keys do.

use aether_screen::{Deed, Dialog, Key, Pane, State, Text, Told, Verb, Wish};

use crate::scenes::{NO_COLOUR, NOW, VERBS, odd, of, press, story, well};

const SIZE: (u16, u16) = (120, 40);

fn screen() -> State {
    of(NO_COLOUR, well(3, 1024))
}

fn keys(text: &str) -> Vec<Key> {
    text.chars().map(Key::Char).collect()
}

fn deed(verb: Verb, node: Option<&str>) -> Deed {
    Deed { verb, node: node.map(Text::new) }
}

#[test]
fn what_changes_something_is_asked_about_first_and_only_y_is_yes() {
    for (key, meant) in
        [('d', deed(Verb::Drain, Some("n2"))), ('l', deed(Verb::StepDown, None)), ('p', deed(Verb::Pause, None))]
    {
        let mut state = screen();
        assert_eq!(press(&mut state, SIZE, &[Key::Down, Key::Char(key)]), []);
        assert_eq!(state.dialog, Some(Dialog::Confirm(meant.clone())));
        for no in [Key::Esc, Key::Enter, Key::Char('n'), Key::Char('q'), Key::Char(key), Key::Char(' ')] {
            let mut state = state.clone();
            assert_eq!(press(&mut state, SIZE, &[no]), [], "{no:?}");
            assert_eq!(state.dialog, None, "{no:?}");
        }
        assert_eq!(press(&mut state, SIZE, &[Key::Char('y')]), [Wish::Do(meant)]);
        assert_eq!(state.dialog, None);
    }
}

#[test]
fn in_cluster_up_a_key_is_enough() {
    let mut state = screen();
    (state.confirm, state.verbs) = (false, vec![Verb::Kill, Verb::Freeze, Verb::Continue, Verb::Restart, Verb::Add]);
    let wishes = press(
        &mut state,
        SIZE,
        &[Key::End, Key::Char('k'), Key::Char('z'), Key::Char('c'), Key::Char('r'), Key::Char('a')],
    );
    let n3 = |verb| Wish::Do(deed(verb, Some("n3")));
    let add = Wish::Do(deed(Verb::Add, None));
    assert_eq!(wishes, [n3(Verb::Kill), n3(Verb::Freeze), n3(Verb::Continue), n3(Verb::Restart), add]);
    assert_eq!(press(&mut state, SIZE, &keys("dlp")), [], "nobody offers those");
}

#[test]
fn redistribution_that_is_paused_is_gone_on_with() {
    let mut view = well(3, 1024);
    view.cluster.order = Some(aether_screen::model::Order { wish: "pause".into(), by: "ann".into() });
    let mut state = of(NO_COLOUR, view);
    assert_eq!(press(&mut state, SIZE, &keys("py")), [Wish::Do(deed(Verb::Resume, None))]);
}

#[test]
fn a_deed_is_about_the_node_that_was_marked_when_it_was_asked_for() {
    let mut state = screen();
    press(&mut state, SIZE, &[Key::Down, Key::Char('d')]);
    // Meanwhile another node comes that is before it, and the marked one goes.
    let mut view = well(3, 1024);
    view.cluster.nodes.remove(1);
    state.hear(NOW, Told::View(Box::new(view)));
    assert_eq!(press(&mut state, SIZE, &keys("y")), [Wish::Do(deed(Verb::Drain, Some("n2")))]);
    assert_eq!(state.selected().map(|node| &*node.id), Some("n1"));
}

#[test]
fn without_a_picture_there_is_nobody_to_do_anything_about() {
    let mut state = State::new(NO_COLOUR, VERBS.to_vec(), false);
    assert_eq!(press(&mut state, SIZE, &keys("dn\u{1b}")), []);
    let everything =
        [Key::Up, Key::Down, Key::Left, Key::Right, Key::Home, Key::End, Key::PageUp, Key::PageDown, Key::Enter];
    for _ in 0..4 {
        assert_eq!(press(&mut state, SIZE, &everything), []);
        press(&mut state, SIZE, &[Key::Esc, Key::Tab]);
    }
    assert_eq!(press(&mut state, SIZE, &keys("q")), [Wish::Quit]);
}

#[test]
fn an_interrupt_quits_whatever_is_open_and_q_closes_it_first() {
    for open in ["?", "/", "g", "d"] {
        let mut state = screen();
        press(&mut state, SIZE, &keys(open));
        assert!(state.dialog.is_some(), "{open}");
        assert_eq!(press(&mut state.clone(), SIZE, &[Key::Interrupt]), [Wish::Quit], "{open}");
    }
    let mut state = screen();
    assert_eq!(press(&mut state, SIZE, &keys("?q")), []);
    assert_eq!((state.dialog.clone(), press(&mut state, SIZE, &keys("q"))), (None, vec![Wish::Quit]));
}

#[test]
fn nodes_are_marked_and_inspected_one_after_another() {
    let mut state = of(NO_COLOUR, well(100, 1024));
    let marked = |state: &State| state.selected().map(|node| node.id.to_string());
    for (key, id) in [
        (Key::Up, "n1"),
        (Key::Down, "n2"),
        (Key::PageDown, "n10"),
        (Key::PageUp, "n2"),
        (Key::End, "n100"),
        (Key::Down, "n100"),
        (Key::Home, "n1"),
    ] {
        press(&mut state, SIZE, &[key]);
        assert_eq!(marked(&state).as_deref(), Some(id), "{key:?}");
    }
    press(&mut state, SIZE, &[Key::Enter, Key::Down]);
    assert_eq!(state.dialog, Some(Dialog::Node("n2".into())));
    press(&mut state, SIZE, &[Key::Esc]);
    assert_eq!((state.dialog.clone(), marked(&state).as_deref()), (None, Some("n2")));
}

#[test]
fn the_map_is_walked_by_its_rows_and_a_shard_tells_its_story() {
    let mut state = screen();
    press(&mut state, SIZE, &[Key::Tab, Key::Right, Key::Right, Key::Down, Key::End, Key::Left]);
    assert_eq!(state.pane, Pane::Shards);
    assert_eq!(press(&mut state, SIZE, &[Key::Enter]), [Wish::Tell(126)]);
    state.hear(NOW, Told::Story(7, Ok(Box::new(story()))));
    assert_eq!(state.dialog, Some(Dialog::Shard { shard: 126, story: None }), "that was another one's");
    state.hear(NOW, Told::Story(126, Ok(Box::new(story()))));
    assert!(matches!(&state.dialog, Some(Dialog::Shard { shard: 126, story: Some(Ok(_)) })));
    press(&mut state, SIZE, &[Key::Esc]);
    assert_eq!(
        press(
            &mut state,
            SIZE,
            &[Key::Char('g'), Key::Char('4'), Key::Char('x'), Key::Char('1'), Key::Char('7'), Key::Enter]
        ),
        [Wish::Tell(417)]
    );
    press(&mut state, SIZE, &[Key::Esc]);
    assert_eq!(press(&mut state, SIZE, &[keys("g1024"), vec![Key::Enter]].concat()), [], "there is no such shard");
}

#[test]
fn the_next_odd_shard_is_found_and_of_a_place_the_worst_is_told_of() {
    let mut state = of(NO_COLOUR, odd());
    assert_eq!(press(&mut state, SIZE, &[Key::Char('n'), Key::Enter]), [Wish::Tell(64)]);
    press(&mut state, SIZE, &[Key::Esc]);
    // In 80 columns without colours a letter is two shards: 199 has an owner and 200 has none.
    let small = (80, 24);
    press(&mut state, small, &keys("g198"));
    press(&mut state, small, &[Key::Enter, Key::Esc, Key::Right]);
    assert_eq!(press(&mut state, small, &[Key::Enter]), [Wish::Tell(200)]);
}

#[test]
fn a_filter_works_while_it_is_typed_and_esc_takes_it_away() {
    let mut state = screen();
    press(&mut state, SIZE, &keys("/NodeFailed"));
    assert_eq!((state.pane, state.filter.as_str()), (Pane::Events, "NodeFailed"));
    press(&mut state, SIZE, &[vec![Key::Backspace; 6], keys("Joined"), vec![Key::Enter]].concat());
    assert_eq!((state.dialog.clone(), state.filter.as_str()), (None, "NodeJoined"));
    press(&mut state, SIZE, &[Key::Esc]);
    assert_eq!(state.filter, "");
    // A number is a shard.
    press(&mut state, SIZE, &[keys("/17"), vec![Key::Enter]].concat());
    let shown = aether_screen::plain_frame(&state, NOW, 120, 40);
    assert!(shown.contains("ShardMigrated ") && !shown.contains("NodeJoined"), "{shown}");
    press(&mut state, SIZE, &[Key::Char('/')]);
    press(&mut state, SIZE, &keys(&"x".repeat(1000)));
    assert!(state.filter.len() <= 64);
}

#[test]
fn events_that_are_read_stay_where_they_are_when_others_come() {
    let mut state = screen();
    press(&mut state, SIZE, &[Key::BackTab, Key::Down, Key::Down]);
    assert_eq!(state.pane, Pane::Events);
    let first = |state: &State| {
        let frame = aether_screen::plain_frame(state, NOW, 120, 40);
        let at =
            frame.lines().position(|line| line.contains("── events") || line.contains(" events ")).expect("a title");
        frame.lines().nth(at + 1).unwrap_or_default().to_owned()
    };
    let before = first(&state);
    let mut next = crate::scenes::entries().remove(1);
    next.epoch = 46;
    state.hear(NOW, Told::Entries(vec![next.clone(), next]));
    assert_eq!(first(&state), before);
    press(&mut state, SIZE, &[Key::Home]);
    assert!(first(&state).contains("46 NodeJoined"), "{}", first(&state));
}

#[test]
fn what_came_of_a_deed_is_said_for_a_while() {
    let mut state = screen();
    press(&mut state, SIZE, &keys("dy"));
    let foot = |state: &State, after| {
        let frame = aether_screen::plain_frame(state, NOW + std::time::Duration::from_secs(after), 80, 24);
        frame.lines().last().unwrap_or_default().to_owned()
    };
    assert!(foot(&state, 0).starts_with(" 1 under way"), "{}", foot(&state, 0));
    state.hear(NOW, Told::Done(deed(Verb::Drain, Some("n1")), Err("nobody leads".into())));
    assert!(foot(&state, 1).starts_with(" drain n1: nobody leads"), "{}", foot(&state, 1));
    assert!(foot(&state, 30).contains("q quit"));
}
