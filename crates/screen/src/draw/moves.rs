//! What is on its way: the plan, how far its moves are, and from where to where.

use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{Tone, bar, put, row, title};
use crate::model::{Moves, View, Way};
use crate::runs;
use crate::state::{Pane, State};
use crate::text::{Text, grouped, span};

/// In the order in which a move goes through them.
const PHASES: [&str; 4] = ["paused", "captured", "sent", "acknowledged"];
/// Columns of the bar of a plan.
const PLAN_COLUMNS: usize = 12;

pub(super) fn draw(buffer: &mut Buffer, area: Rect, state: &State) {
    let paused = state.view().is_some_and(View::paused);
    let body = title(buffer, area, state, Pane::Moves, "moves", if paused { "paused" } else { "" });
    let Some(view) = state.view() else { return };
    for (nth, line) in lines(state, view).into_iter().take(body.height.into()).enumerate() {
        put(buffer, row(body, nth), line);
    }
}

fn lines(state: &State, view: &View) -> Vec<Line<'static>> {
    let (look, moves) = (state.look, &view.moves);
    let mut lines = Vec::new();
    if let Some(order) = view.cluster.order.as_ref().filter(|_| view.paused()) {
        let wish = match &*order.wish {
            "pause" => "paused",
            "cancel" => "cancelled",
            other => other,
        };
        lines.push(Line::from(look.span(Tone::Warning, format!("  redistribution is {wish} by {}", order.by))));
    }
    match &moves.plan {
        Some(plan) => {
            let age = view.plan_ms.map(|millis| format!(" for {}", span(millis))).unwrap_or_default();
            let bar = bar(plan.moved, plan.planned, PLAN_COLUMNS);
            let said = format!("  {bar} {} of {}{age}", grouped(plan.moved), grouped(plan.planned));
            lines.push(Line::from(vec![Span::raw(said), look.span(Tone::Faint, format!("  {}", plan.cause))]));
        }
        None => lines.push(Line::from(look.span(Tone::Faint, "  no plan under way"))),
    }
    lines.extend(phases(moves).map(Line::from));
    lines.extend(ways(moves).map(Line::from));
    lines
}

/// How many moves are in which phase, and for how long the oldest has been.
fn phases(moves: &Moves) -> Option<String> {
    let under_way: Vec<_> = moves.here.iter().filter(|one| !one.is_over()).collect();
    if under_way.is_empty() {
        return None;
    }
    let said = PHASES.iter().filter_map(|phase| {
        let many = under_way.iter().filter(|one| &*one.phase == *phase).count();
        (many > 0).then(|| format!("{many} {phase}"))
    });
    let said: Vec<_> = said.collect();
    Some(format!("  {}", if said.is_empty() { format!("{} under way", under_way.len()) } else { said.join(", ") }))
}

/// From where to where, and how many.
fn ways(moves: &Moves) -> impl Iterator<Item = String> {
    let mut ways: BTreeMap<(&Text, &Text), (usize, usize)> = BTreeMap::new();
    let of = |way: &Way| runs::count(&way.shards).unwrap_or(1);
    let many = |count: usize| grouped(count as u64);
    for way in &moves.draining {
        ways.entry((&way.from, &way.to)).or_default().0 += of(way);
    }
    for way in &moves.pending {
        ways.entry((&way.from, &way.to)).or_default().1 += of(way);
    }
    let mut ways: Vec<_> = ways.into_iter().collect();
    ways.sort_by_key(|(_, (draining, pending))| std::cmp::Reverse(draining + pending));
    let said = |((from, to), (draining, pending)): ((&Text, &Text), (usize, usize))| match pending {
        0 => format!("  {from} -> {to}: {} leaving", many(draining)),
        _ => format!("  {from} -> {to}: {} leaving, {} waiting", many(draining), many(pending)),
    };
    ways.into_iter().map(said).collect::<Vec<_>>().into_iter()
}
