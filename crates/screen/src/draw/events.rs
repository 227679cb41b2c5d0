//! The tail of the log: the latest entry first, a row an event.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{Look, Tone, put, row, title};
use crate::model::{Entry, Event};
use crate::runs;
use crate::state::{Pane, State};
use crate::text::{clock, grouped, left};

/// Columns of an event's name: the longest is `ShardMigrationStarted`.
const NAME: usize = 21;

pub(super) fn draw(buffer: &mut Buffer, area: Rect, state: &State) {
    let name = if state.filter.is_empty() { "events".to_owned() } else { format!("events with {:?}", state.filter) };
    let said = match state.scrolled {
        0 => "the latest first".to_owned(),
        passed => format!("{passed} newer above"),
    };
    let body = title(buffer, area, state, Pane::Events, &name, &said);
    let mut before = None;
    for (nth, (entry, event)) in state.events().skip(state.scrolled).take(body.height.into()).enumerate() {
        put(buffer, row(body, nth), line(state.look, entry, event, before == Some(entry.epoch)));
        before = Some(entry.epoch);
    }
    if before.is_none() {
        let said = if state.filter.is_empty() { "  none yet" } else { "  none of the latest; Esc shows all" };
        put(buffer, body, Line::from(state.look.span(Tone::Faint, said)));
    }
}

/// One event: when, which entry, what, about what, why; what is the same as in the line before only once.
pub(super) fn line(look: Look, entry: &Entry, event: &Event, same: bool) -> Line<'static> {
    let when = format!("  {} {:>6} ", clock(entry.unix_millis), entry.epoch);
    let when = if same { " ".repeat(when.len()) } else { when };
    let about = about(event);
    let gap = if about.is_empty() { "" } else { "  " };
    let why = if same { String::new() } else { format!("{gap}({})", entry.cause) };
    Line::from(vec![
        look.span(Tone::Faint, when),
        look.span(tone(&event.name), left(&event.name, NAME)),
        Span::raw(format!("  {about}")),
        look.span(Tone::Faint, why),
    ])
}

fn about(event: &Event) -> String {
    let nodes: Vec<_> = event.nodes.iter().map(|node| &**node).collect();
    let nodes = Some(nodes.join(" -> ")).filter(|nodes| !nodes.is_empty());
    let shards = event.shards.as_ref().and_then(|shards| match runs::count(shards)? {
        1 => Some(format!("shard {}", shards.trim())),
        many => Some(format!("{} shards", grouped(many as u64))),
    });
    [nodes, shards, event.reason.as_ref().map(ToString::to_string)].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn tone(name: &str) -> Tone {
    match name {
        "NodeFailed" | "ShardsOrphaned" | "LeadershipLost" | "PlacementRejected" => Tone::Bad,
        "NodeSuspected" | "NodeDraining" | "NodeLeft" | "ShardMigrationFailed" => Tone::Warning,
        "NodeJoined" | "NodeRestarted" | "NodeTrusted" | "TermStarted" | "RebalancingCompleted" => Tone::Good,
        _ => Tone::Plain,
    }
}
