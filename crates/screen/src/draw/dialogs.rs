//! What is over everything: the keys, a node, a shard, a question.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Widget as _, Wrap};

use super::{Look, Tone, events};
use crate::host::{Deed, Verb};
use crate::model::{Node, Story, View};
use crate::state::{Dialog, State};
use crate::text::{Text, grouped, left, span};

/// Columns of what a line is about.
const ABOUT: usize = 12;
/// How many of a node's events are shown.
const EVENTS_OF_NODE: usize = 8;
/// The most columns of a dialog.
const WIDTH_MAX: u16 = 110;

pub(super) fn draw(buffer: &mut Buffer, area: Rect, state: &State, dialog: &Dialog) {
    let (name, lines) = match dialog {
        Dialog::Help => ("keys".to_owned(), help(state)),
        Dialog::Node(id) => (format!("node {id}"), node(state, id)),
        Dialog::Shard { shard, story } => {
            (format!("shard {}", grouped(*shard as u64)), story_lines(state, *shard, story.as_ref()))
        }
        Dialog::Confirm(deed) => ("is this meant?".to_owned(), confirm(state, deed)),
        // Those are at the foot.
        Dialog::Filter(_) | Dialog::Goto(_) => return,
    };
    let wanted = lines.iter().map(Line::width).max().unwrap_or(0) + 4;
    let width = u16::try_from(wanted).unwrap_or(WIDTH_MAX).clamp(36, WIDTH_MAX).min(area.width);
    let room = usize::from(width.saturating_sub(4)).max(1);
    // Nearly: words that do not fit at the end of a row go to the next.
    let rows: usize = lines.iter().map(|line| line.width().div_ceil(room).max(1)).sum();
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    let height = u16::try_from(rows + 2).unwrap_or(u16::MAX).min(area.height);
    let over = Rect::new(area.x + (area.width - width) / 2, area.y + (area.height - height) / 2, width, height);
    Clear.render(over, buffer);
    let block = Block::bordered().title(Line::from(state.look.span(Tone::Strong, format!(" {name} "))));
    let inner = block.inner(over);
    block.render(over, buffer);
    text.render(Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }, buffer);
}

fn about(look: Look, what: &str, said: impl Into<String>) -> Line<'static> {
    Line::from(vec![look.span(Tone::Faint, left(what, ABOUT)), Span::raw(said.into())])
}

fn help(state: &State) -> Vec<Line<'static>> {
    let look = state.look;
    let key =
        |key: &str, said: &str| Line::from(vec![look.span(Tone::Strong, left(key, ABOUT)), Span::raw(said.to_owned())]);
    let mut lines = vec![
        key("tab", "to nodes, shards, moves, events"),
        key("arrows", "another node or shard, older events"),
        key("enter", "the node, or why the shard is where it is"),
        key("g", "to a shard by its number"),
        key("n", "the next shard that moves or has no owner"),
        key("/", "events about a word or a shard; esc: all"),
    ];
    lines.extend(state.verbs.iter().map(|verb| key(&verb.key().to_string(), verb.meaning())));
    lines.extend([key("q, ctrl-c", "quit"), Line::default()]);
    let moving = if look.styles { "A letter reversed: shards on their way." } else { "~: shards on their way." };
    if state.verbs.iter().any(|verb| verb.of_node()) {
        lines.push(Line::from(look.span(Tone::Faint, "The node: the one marked >.")));
    }
    lines.extend(
        ["A letter and its colour: who owns the shard.", moving, "!: shards without an owner."]
            .map(|said| Line::from(look.span(Tone::Faint, said))),
    );
    if look.styles {
        lines.push(Line::from(
            look.span(Tone::Faint, "Underlined: has just changed its owner. Bold: the marked node's."),
        ));
    }
    lines
}

fn node(state: &State, id: &Text) -> Vec<Line<'static>> {
    let look = state.look;
    let found = state.view().and_then(|view| Some((view, view.node(id)?)));
    let Some((view, node)) = found else { return vec![Line::from("it is not there any more")] };
    let mut lines = vec![
        about(look, "state", how(view, node)),
        about(look, "shards", format!("{} of {}", grouped(node.shards), grouped(view.cluster.shards.total))),
        about(
            look,
            "actors",
            format!("{}, {} commands a second", grouped(node.actors), grouped(node.commands_per_second)),
        ),
        about(look, "life", node.incarnation.to_string()),
        about(look, "since", format!("entry {}", node.since_epoch)),
    ];
    if let Some(heard) = node.heard_ms {
        let behind = node.view_epoch.map_or(0, |epoch| view.cluster.epoch.saturating_sub(epoch));
        let behind = if behind > 0 { format!(", {behind} entries behind") } else { String::new() };
        lines.push(about(look, "heard", format!("{} ago{behind}", span(heard))));
    }
    let zone = node.zone.as_ref().map(|zone| format!(", zone {zone}")).unwrap_or_default();
    let tags = if node.tags.is_empty() {
        String::new()
    } else {
        format!(", {}", node.tags.iter().map(|tag| &**tag).collect::<Vec<_>>().join(" "))
    };
    lines.push(about(look, "weight", format!("{}{zone}{tags}", node.weight)));
    lines.extend(node.build.as_ref().map(|build| about(look, "build", build.to_string())));
    lines.extend(node.admin_url.as_ref().map(|url| about(look, "pages", Text::new(url).to_string())));
    lines.extend(
        node.process.map(|process| about(look, "process", format!("{}, {}", process.pid, process.state.name()))),
    );
    lines.push(Line::default());
    let of_it = state.events().filter(|(_, event)| event.nodes.contains(id)).take(EVENTS_OF_NODE);
    lines.extend(of_it.map(|(entry, event)| events::line(look, entry, event, false)));
    lines
}

fn how(view: &View, node: &Node) -> String {
    let word = view.word(node);
    let leads = if view.leads(node) && word != "leads" { "leads" } else { "" };
    let trust = if &*node.trust == "trusted" { "" } else { &*node.trust };
    let word = if word == &*node.status { "" } else { word };
    let said: Vec<_> = [&*node.status, word, leads, trust].into_iter().filter(|said| !said.is_empty()).collect();
    said.join(", ")
}

fn story_lines(state: &State, shard: usize, story: Option<&Result<Box<Story>, Text>>) -> Vec<Line<'static>> {
    let look = state.look;
    let owner = state
        .view()
        .and_then(|view| view.map.owner_name(shard))
        .map_or_else(|| "nobody".to_owned(), ToString::to_string);
    let mut lines = vec![about(look, "owner", owner)];
    match story {
        None => lines.push(Line::from("asking why …")),
        Some(Err(why)) => lines.push(Line::from(look.span(Tone::Bad, why.to_string()))),
        Some(Ok(story)) => {
            let now = &story.now;
            let life = now.incarnation.as_ref().map(|life| format!(" of {life}")).unwrap_or_default();
            let since = now.shard_epoch.map(|epoch| format!(" since entry {epoch}")).unwrap_or_default();
            let to = now.to.as_ref().map(|to| format!(", on its way to {to}")).unwrap_or_default();
            lines.push(about(look, "state", format!("{}{life}{since}{to}", now.state)));
            lines.push(Line::default());
            if !story.whole {
                let said = format!("it began before these entries: aether why shard {shard}");
                lines.push(Line::from(look.span(Tone::Faint, said)));
            }
            let all = story.entries.iter().flat_map(|entry| entry.events.iter().map(move |event| (entry, event)));
            lines.extend(all.map(|(entry, event)| events::line(look, entry, event, false)));
        }
    }
    lines
}

fn confirm(state: &State, deed: &Deed) -> Vec<Line<'static>> {
    let look = state.look;
    let of = state.view().map(|view| format!(" of {}", view.cluster.namespace)).unwrap_or_default();
    let what = match (deed.verb, &deed.node) {
        (_, Some(_)) => format!("{deed}{of}?"),
        _ => format!("{deed}?"),
    };
    let meaning = if deed.verb == Verb::Pause {
        "only what must move does, until somebody resumes it"
    } else {
        deed.verb.meaning()
    };
    let answers = if state.hushed {
        Line::from(look.span(Tone::Faint, "…"))
    } else {
        Line::from(vec![look.span(Tone::Strong, "y"), Span::raw(" yes    any other key: no")])
    };
    vec![
        Line::from(look.span(Tone::Strong, what)),
        Line::from(look.span(Tone::Faint, meaning)),
        Line::default(),
        answers,
    ]
}
