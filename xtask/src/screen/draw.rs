//! Drawing: one frame from what is known, without asking anybody.
//!
//! A shard is a letter in the colour of its owner, so the map reads without colours too.

use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::Shown;
use crate::cluster::Status;

/// Shards in a row of the map; 1024 shards make 16 rows.
const COLUMNS: usize = 64;

/// Colours that people who see fewer of them can still tell apart, in the order of node ids.
const COLOURS: [Color; 8] = [
    Color::LightBlue,
    Color::LightYellow,
    Color::LightMagenta,
    Color::LightGreen,
    Color::LightRed,
    Color::LightCyan,
    Color::White,
    Color::Gray,
];

/// Draws one frame.
pub fn draw(frame: &mut Frame<'_>, shown: &Shown) {
    let Some(status) = &shown.status else {
        frame.render_widget(Paragraph::new("asking the nodes ..."), frame.area());
        return;
    };
    let nodes = u16::try_from(status.nodes.len() + 1).unwrap_or(u16::MAX);
    let rows = u16::try_from(shown.owners.len().div_ceil(COLUMNS)).unwrap_or(u16::MAX);
    let parts = [Constraint::Length(2), Constraint::Length(rows + 1), Constraint::Length(nodes), Constraint::Min(2)];
    let [head, map, table, foot] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Paragraph::new(head_line(status)), head);
    frame.render_widget(Paragraph::new(map_lines(status, &shown.owners)), map);
    frame.render_widget(Paragraph::new(node_lines(status, shown.selected)), table);
    frame.render_widget(Paragraph::new(foot_lines(status, &shown.message)), foot);
}

fn head_line(status: &Status) -> Line<'static> {
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let orphaned = status.shards.orphaned;
    let alarm = if orphaned > 0 { format!("  {orphaned} ORPHANED") } else { String::new() };
    Line::from(format!(
        "{}  leader {}  term {}  epoch {}  shards {}/{}  moving {}{alarm}",
        status.namespace,
        status.leader.as_deref().unwrap_or("none"),
        number(status.term),
        number(status.epoch),
        status.shards.assigned,
        status.shards.total,
        status.shards.moving,
    ))
    .style(Style::new().add_modifier(Modifier::BOLD))
}

fn map_lines(status: &Status, owners: &[String]) -> Vec<Line<'static>> {
    let cell = |owner: &String| match status.nodes.iter().position(|node| node.id == *owner) {
        Some(index) => Span::styled(letter(index).to_string(), Style::new().fg(colour(index))),
        None => Span::styled("·", Style::new().add_modifier(Modifier::REVERSED)),
    };
    owners.chunks(COLUMNS).map(|row| Line::from(row.iter().map(cell).collect::<Vec<_>>())).collect()
}

fn node_lines(status: &Status, selected: usize) -> Vec<Line<'static>> {
    let lines = status.nodes.iter().enumerate().map(|(index, node)| {
        let state = match (node.alive, node.reachable) {
            (false, _) => "ended",
            (true, false) => "no answer",
            (true, true) => node.status.as_deref().unwrap_or("unknown"),
        };
        let mark = if index == selected { '>' } else { ' ' };
        let leads = if status.leader.as_ref() == Some(&node.id) { "leader" } else { "" };
        let text = format!(
            "{mark} {} {:<6} {state:<10} {:>5} shards {:>7} actors  {:<6}  {}",
            letter(index),
            node.id,
            node.shards.unwrap_or_default(),
            node.actors.unwrap_or_default(),
            leads,
            node.admin_url
        );
        Line::from(text).style(Style::new().fg(colour(index)))
    });
    lines.collect()
}

fn foot_lines(status: &Status, message: &str) -> Vec<Line<'static>> {
    let load = status.load.as_ref().map(|load| {
        format!(
            "load: {} acknowledged, {} lost, {} applied twice, {} in flight",
            load.acknowledged, load.lost, load.applied_twice, load.in_flight
        )
    });
    let keys = "up/down select  k kill  z freeze  c continue  d drain  r restart  a add  q quit".to_owned();
    let lines = load.into_iter().chain([message.to_owned(), keys]);
    lines.map(Line::from).collect()
}

/// A, B, C and so on; all after Z are `*`.
fn letter(index: usize) -> char {
    u8::try_from(index).ok().filter(|&index| index < 26).map_or('*', |index| char::from(b'A' + index))
}

fn colour(index: usize) -> Color {
    COLOURS[index % COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;
    use crate::cluster::{NodeStatus, ShardsView};

    fn drawn(shown: &Shown) -> String {
        let mut terminal = Terminal::new(TestBackend::new(90, 30)).expect("a terminal");
        terminal.draw(|frame| draw(frame, shown)).expect("drawn");
        let buffer = terminal.backend().buffer();
        let rows =
            buffer.content.chunks(90).map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>());
        rows.map(|row| row.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    fn shown() -> Shown {
        let node = |id: &str, alive| NodeStatus {
            id: id.to_owned(),
            pid: 1,
            alive,
            reachable: alive,
            status: Some("active".to_owned()),
            epoch: Some(7),
            shards: Some(512),
            actors: Some(3),
            admin_url: "http://127.0.0.1:1".to_owned(),
        };
        let status = Status {
            namespace: "demo".to_owned(),
            agreement: true,
            whole: true,
            epoch: Some(7),
            term: Some(2),
            leader: Some("n2".to_owned()),
            shards: ShardsView { total: 1024, assigned: 1023, orphaned: 1, moving: 0 },
            nodes: vec![node("n1", true), node("n2", false)],
            load: None,
        };
        let mut owners: Vec<_> = (0..1024).map(|shard| if shard < 512 { "n1" } else { "n2" }.to_owned()).collect();
        owners[0] = String::new();
        Shown { status: Some(status), owners, selected: 1, message: "kill n2: done".to_owned() }
    }

    #[test]
    fn the_map_shows_every_shard_and_marks_the_orphan() {
        let text = drawn(&shown());
        assert_eq!(text.matches('·').count(), 1);
        assert!(text.contains(&"A".repeat(64)) && text.contains(&"B".repeat(64)), "{text}");
        assert!(text.contains("1 ORPHANED"), "{text}");
    }

    #[test]
    fn the_table_shows_who_is_selected_who_leads_and_who_is_gone() {
        let text = drawn(&shown());
        let row = text.lines().find(|line| line.starts_with("> B")).expect("the selected node");
        assert!(row.contains("n2") && row.contains("ended") && row.contains("leader"), "{row}");
        assert!(text.contains("kill n2: done") && text.contains("q quit"), "{text}");
    }

    #[test]
    fn a_screen_without_answers_says_that_it_asks() {
        assert!(drawn(&Shown::default()).starts_with("asking the nodes"));
    }
}
