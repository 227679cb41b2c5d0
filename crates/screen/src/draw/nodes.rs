//! The nodes, a row each: letter, id, how it is, and figures.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use super::{Tone, bar, put, row, title};
use crate::model::{Node, View};
use crate::state::{Pane, State};
use crate::text::{left, right, short, span, width};

/// Columns of how a node is: the longest word is `draining`.
const WORD: usize = 8;
/// Columns of its figures: shards, actors, commands a second, and when it was heard.
const FIGURES: [usize; 4] = [6, 7, 6, 6];
/// Columns before its id: the cursor, the letter and a blank.
const BEFORE: usize = 4;
/// From how many columns on there is a bar of its part of the shards, and how long it is.
const BAR: (usize, usize) = (62, 10);

pub(super) fn draw(buffer: &mut Buffer, area: Rect, state: &State) {
    let (nodes, all) = (state.nodes(), usize::from(area.width));
    let rows = usize::from(area.height.saturating_sub(1));
    let at = nodes.iter().position(|node| state.selected().is_some_and(|selected| selected.id == node.id)).unwrap_or(0);
    let first = at.saturating_sub(rows.saturating_sub(1)).min(nodes.len().saturating_sub(rows));
    let name = if nodes.len() > rows { format!("nodes {} of {}", at + 1, nodes.len()) } else { "nodes".to_owned() };
    let figures: String = ["shards", "actors", "cmd/s", "heard"]
        .iter()
        .zip(FIGURES)
        .map(|(name, columns)| right(name, columns))
        .collect();
    let bars = if all >= BAR.0 { BAR.1 + 1 } else { 0 };
    let said = format!("{}{}{figures}", left("state", WORD), " ".repeat(bars));
    let said = if width(&name) + width(&said) + 8 > all { figures } else { said };
    let body = title(buffer, area, state, Pane::Nodes, &name, &said);
    let Some(view) = state.view() else { return };
    let id = all.saturating_sub(BEFORE + 1 + WORD + bars + FIGURES.iter().sum::<usize>());
    for (nth, node) in nodes.iter().skip(first).take(rows).enumerate() {
        put(buffer, row(body, nth), line(state, view, node, id, bars));
    }
}

fn line(state: &State, view: &View, node: &Node, id: usize, bars: usize) -> Line<'static> {
    let look = state.look;
    let selected = state.selected().is_some_and(|selected| selected.id == node.id);
    let word = view.word(node);
    let tone = match word {
        "active" | "leads" | "healthy" => Tone::Good,
        "left" => Tone::Faint,
        "failed" | "silent" | "ended" | "frozen" => Tone::Bad,
        _ => Tone::Warning,
    };
    let owner = Tone::Owner(state.letters.colour(&node.id));
    let lives = matches!(&*node.status, "active" | "draining");
    let figure = |number: u64, columns| if lives { right(&short(number), columns) } else { right("-", columns) };
    let heard = node.heard_ms.filter(|_| lives).map_or_else(|| "-".to_owned(), span);
    let mut parts = vec![
        Span::raw(if selected { "> " } else { "  " }),
        look.span(owner, state.letters.letter(&node.id).to_string()),
        Span::raw(" "),
        look.span(if lives { Tone::Plain } else { Tone::Faint }, left(&node.id, id)),
        Span::raw(" "),
        look.span(tone, left(word, WORD)),
    ];
    if bars > 0 {
        let part = if lives { node.shards } else { 0 };
        parts.extend([Span::raw(" "), look.span(owner, bar(part, view.cluster.shards.total, bars - 1))]);
    }
    parts.extend([
        Span::raw(figure(node.shards, FIGURES[0])),
        Span::raw(figure(node.actors, FIGURES[1])),
        Span::raw(figure(node.commands_per_second, FIGURES[2])),
        Span::raw(right(&heard, FIGURES[3])),
    ]);
    let line = Line::from(parts);
    if selected && state.pane == Pane::Nodes { line.patch_style(look.with(Modifier::REVERSED)) } else { line }
}
