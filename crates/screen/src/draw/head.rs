//! The first lines: who leads and for how long, how the cluster is, what is wrong; and the last one, with the keys.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use super::{Tone, bar, place, put, row};
use crate::model::View;
use crate::state::{Dialog, Pane, State};
use crate::text::{cut, grouped, left, span, width};

/// Columns of the bar of the lease.
const LEASE_COLUMNS: usize = 8;

pub(super) fn head(buffer: &mut Buffer, area: Rect, state: &State, now: Duration) {
    let look = state.look;
    let Some(view) = state.view() else {
        return put(buffer, area, Line::from(look.span(Tone::Strong, " Aether")));
    };
    let cluster = &view.cluster;
    let room = usize::from(area.width);
    let (word, tone) = match (state.old(now).is_some(), &*view.health.verdict) {
        (true, _) => ("old", Tone::Bad),
        (_, "ok") => ("ok", Tone::Good),
        (_, "degraded") => ("degraded", Tone::Warning),
        _ => ("critical", Tone::Bad),
    };
    let verdict = look.span(tone, format!("{word} "));
    let leads = match &cluster.leader {
        Some(leader) => look.span(Tone::Strong, format!("{} leads", cut(leader, room / 3))),
        None => look.span(Tone::Bad, "nobody leads"),
    };
    let mut parts = vec![leads, Span::raw(format!("term {}", cluster.term))];
    if let Some(lease) = cluster.lease {
        let left = format!("lease {} {}", bar(lease.left_ms, lease.ttl_ms, LEASE_COLUMNS), span(lease.left_ms));
        parts.push(Span::raw(left));
    }
    parts.push(Span::raw(format!("epoch {}", cluster.epoch)));
    let mut line = vec![look.span(Tone::Strong, format!(" {}", cut(&cluster.namespace, room / 4)))];
    let mut taken = line[0].width() + verdict.width();
    for part in parts {
        // What there is no room for is left out, from the end.
        if taken + part.width() + 3 > room {
            break;
        }
        taken += part.width() + 3;
        line.extend([look.span(Tone::Faint, " · "), part]);
    }
    line.extend([Span::raw(" ".repeat(room.saturating_sub(taken))), verdict]);
    put(buffer, area, Line::from(line));
}

pub(super) fn status(buffer: &mut Buffer, area: Rect, state: &State, now: Duration) {
    let (look, room) = (state.look, usize::from(area.width));
    let line = match (state.view(), state.old(now), state.fault()) {
        (None, _, Some(why)) => {
            Span::styled(left(&format!(" no node answers: {why}"), room), look.with(Modifier::REVERSED))
        }
        (None, ..) => Span::raw(" asking the nodes …"),
        (Some(_), Some((age, why)), _) => {
            let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            let said = left(&format!(" {} old: {why}", span(millis)), room);
            Span::styled(said, look.with(Modifier::REVERSED | Modifier::BOLD))
        }
        (Some(view), None, _) => {
            let seen = match &view.load {
                Some(load) => format!("load: {load} "),
                None => format!("as {} sees it ", view.cluster.me),
            };
            let said = sentence(view);
            let gap = room.saturating_sub(width(&said) + width(&seen) + 1);
            let seen = if gap > 1 { " ".repeat(gap) + &seen } else { String::new() };
            let line = Line::from(vec![Span::raw(format!(" {said}")), look.span(Tone::Faint, seen)]);
            return put(buffer, area, line);
        }
    };
    put(buffer, area, Line::from(line));
}

/// The cluster in ten seconds.
fn sentence(view: &View) -> String {
    let shards = &view.cluster.shards;
    let (heard, unheard): (Vec<_>, Vec<_>) =
        view.cluster.nodes.iter().filter(|node| node.shards > 0).partition(|node| view.is_heard(node));
    let unheard = unheard.iter().fold(0_u64, |sum, node| sum.saturating_add(node.shards));
    let nodes = match heard.len() {
        1 => "1 node serves".to_owned(),
        many => format!("{many} nodes serve"),
    };
    let served = shards.assigned.saturating_sub(unheard);
    let which = if served == shards.total {
        format!("all {}", grouped(shards.total))
    } else {
        format!("{} of {}", grouped(served), grouped(shards.total))
    };
    let unheard = match unheard {
        0 => String::new(),
        many => format!(", the owners of {} are not heard", grouped(many)),
    };
    let nobodys = match shards.orphaned {
        0 => String::new(),
        many => format!(", {} have no owner", grouped(many)),
    };
    let moving = match shards.moving {
        0 => String::new(),
        1 => ", 1 is on its way".to_owned(),
        many => format!(", {} are on their way", grouped(many)),
    };
    format!("{nodes} {which} shards{nobodys}{unheard}{moving}")
}

pub(super) fn alerts(buffer: &mut Buffer, area: Rect, state: &State) {
    let (look, alerts, rows) = (state.look, state.alerts(), usize::from(area.height));
    for (nth, alert) in alerts.iter().take(rows).enumerate() {
        let (word, tone) = if alert.critical { ("!! critical", Tone::Bad) } else { (" ! warning ", Tone::Warning) };
        let beyond = alerts.len() - rows.min(alerts.len());
        let more = if nth + 1 == rows && beyond > 0 { format!("  (and {beyond} more)") } else { String::new() };
        let room = usize::from(area.width).saturating_sub(14 + width(&more));
        let text = cut(&alert.text, room);
        let line = vec![look.span(tone, format!("{word}  ")), Span::raw(text), look.span(Tone::Faint, more)];
        put(buffer, row(area, nth), Line::from(line));
    }
}

/// What keys do, or what was asked last, or what is being typed; answers where it is typed.
pub(super) fn foot(buffer: &mut Buffer, area: Rect, state: &State, now: Duration) -> Option<Position> {
    let (look, room) = (state.look, usize::from(area.width));
    let typing = match &state.dialog {
        Some(Dialog::Filter(typed)) => Some(("events with", typed, "Enter keeps it, Esc shows all")),
        Some(Dialog::Goto(typed)) => Some(("shard", typed, "its number, then Enter")),
        _ => None,
    };
    if let Some((what, typed, hint)) = typing {
        let said = format!(" {what}: {typed}");
        let at = u16::try_from(width(&said)).unwrap_or(u16::MAX);
        put(
            buffer,
            area,
            Line::from(vec![look.span(Tone::Strong, said), look.span(Tone::Faint, format!("   ({hint})"))]),
        );
        return Some(place(area.x.saturating_add(at), area.y));
    }
    if let Some(said) = state.message(now) {
        let (tone, text) = match said {
            Ok(text) => (Tone::Good, text),
            Err(text) => (Tone::Bad, text),
        };
        let tail = "  ? keys ";
        let text = left(&format!(" {text}"), room.saturating_sub(width(tail)));
        put(buffer, area, Line::from(vec![look.span(tone, text), look.span(Tone::Faint, tail)]));
        return None;
    }
    let mut line = Vec::new();
    let mut taken = 0;
    let mut keys = vec![("?", "keys"), ("q", "quit"), ("tab", "part")];
    keys.extend(match state.pane {
        Pane::Nodes | Pane::Moves => [("↑↓", "node"), ("enter", "inspect")],
        Pane::Shards => [("arrows", "shard"), ("enter", "why")],
        Pane::Events => [("↑↓", "scroll"), ("/", "filter")],
    });
    let verbs: Vec<_> = state.verbs.iter().filter_map(|verb| state.verb(verb.key())).collect();
    let words: Vec<_> = verbs.iter().map(|verb| (verb.key().to_string(), verb.word())).collect();
    keys.extend(words.iter().map(|(key, word)| (key.as_str(), *word)));
    keys.extend([("/", "filter"), ("g", "go to shard"), ("n", "next odd shard")]);
    keys.dedup_by_key(|(key, _)| *key);
    if state.busy > 0 {
        line.push(look.span(Tone::Strong, format!(" {} under way", state.busy)));
        taken = line[0].width();
    }
    for (key, word) in keys {
        let wide = width(key) + width(word) + 3;
        if taken + wide > room {
            break;
        }
        taken += wide;
        line.extend([look.span(Tone::Strong, format!("  {key}")), look.span(Tone::Faint, format!(" {word}"))]);
    }
    put(buffer, area, Line::from(line));
    None
}
