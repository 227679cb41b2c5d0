//! Drawing: one frame from what is known. Nothing is asked, and nothing is remembered but where things are.

mod dialogs;
mod events;
mod head;
mod moves;
mod nodes;
mod shards;

use std::time::Duration;

use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::{Frame, Terminal};

use crate::layout::{HEIGHT_MIN, Layout, WIDTH_MIN};
use crate::state::{Dialog, Pane, State};
use crate::text::{cut, width};

/// What may be drawn with. No meaning is in a colour alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Colours.
    pub colour: bool,
    /// Bold, underlined, reversed. Without them it is plain text, in which signs say it.
    pub styles: bool,
}

/// What something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Strong,
    Faint,
    Good,
    Warning,
    Bad,
    Owner(Color),
}

impl Look {
    pub(crate) fn style(self, tone: Tone) -> Style {
        if !self.styles {
            return Style::new();
        }
        let (colour, modifier) = match tone {
            Tone::Plain => (None, Modifier::empty()),
            Tone::Strong => (None, Modifier::BOLD),
            Tone::Faint => (None, Modifier::DIM),
            Tone::Good => (Some(Color::Indexed(36)), Modifier::empty()),
            Tone::Warning => (Some(Color::Indexed(172)), Modifier::BOLD),
            Tone::Bad => (Some(Color::Indexed(167)), Modifier::BOLD),
            Tone::Owner(colour) => (Some(colour), Modifier::empty()),
        };
        let style = Style::new().add_modifier(modifier);
        match colour.filter(|_| self.colour) {
            Some(colour) => style.fg(colour),
            None => style,
        }
    }

    pub(crate) fn with(self, modifier: Modifier) -> Style {
        if self.styles { Style::new().add_modifier(modifier) } else { Style::new() }
    }

    pub(crate) fn span(self, tone: Tone, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.style(tone))
    }
}

/// Draws what is known at that time.
pub fn draw(frame: &mut Frame<'_>, state: &State, now: Duration) {
    let area = frame.area();
    let Some(layout) = Layout::of(state, area) else {
        let said = format!("{}x{} is too small: {WIDTH_MIN}x{HEIGHT_MIN} at least", area.width, area.height);
        put(frame.buffer_mut(), area, Line::from(cut(&said, area.width.into())));
        return;
    };
    head::head(frame.buffer_mut(), layout.head, state, now);
    head::status(frame.buffer_mut(), layout.status, state, now);
    head::alerts(frame.buffer_mut(), layout.alerts, state);
    let mut cursor = None;
    for (pane, area) in &layout.panes {
        let (buffer, area) = (frame.buffer_mut(), *area);
        match pane {
            Pane::Nodes => nodes::draw(buffer, area, state),
            Pane::Shards => cursor = shards::draw(buffer, area, state, layout.grid, now),
            Pane::Moves => moves::draw(buffer, area, state),
            Pane::Events => events::draw(buffer, area, state),
        }
    }
    let typing = head::foot(frame.buffer_mut(), layout.foot, state, now);
    let shown = match &state.dialog {
        Some(Dialog::Filter(_) | Dialog::Goto(_)) => typing,
        Some(dialog) => {
            dialogs::draw(frame.buffer_mut(), area, state, dialog);
            None
        }
        None => cursor.filter(|_| state.pane == Pane::Shards),
    };
    if let Some(place) = shown.filter(|place| area.contains(*place)) {
        frame.set_cursor_position(place);
    }
}

/// A frame as plain text, a line a row, without blanks at the ends.
pub fn plain_frame(state: &State, now: Duration, width: u16, height: u16) -> String {
    // A terminal in memory has no way to fail.
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(_) = terminal.draw(|frame| draw(frame, state, now));
    rows(terminal.backend().buffer()).join("\n")
}

fn rows(buffer: &Buffer) -> Vec<String> {
    let row = |y| {
        let mut row = String::new();
        let mut hidden = 0;
        for x in 0..buffer.area.width {
            if hidden > 0 {
                // What is wide covers the places behind it.
                hidden -= 1;
                continue;
            }
            let symbol = buffer[(x, y)].symbol();
            hidden = width(symbol).saturating_sub(1);
            row.push_str(symbol);
        }
        row.trim_end().to_owned()
    };
    (0..buffer.area.height).map(row).collect()
}

/// A line at the top of an area; what is beyond it is not drawn.
pub(crate) fn put(buffer: &mut Buffer, area: Rect, line: Line<'_>) {
    if area.height > 0 && area.width > 0 {
        buffer.set_line(area.x, area.y, &line, area.width);
    }
}

/// The nth row of an area, empty if it has fewer.
pub(crate) fn row(area: Rect, nth: usize) -> Rect {
    match u16::try_from(nth) {
        Ok(nth) if nth < area.height => Rect { y: area.y + nth, height: 1, ..area },
        _ => Rect { height: 0, ..area },
    }
}

/// The title of a pane, a rule with words at both ends; answers what is left for the pane.
pub(crate) fn title(buffer: &mut Buffer, area: Rect, state: &State, pane: Pane, name: &str, right: &str) -> Rect {
    let room = usize::from(area.width);
    let name = cut(name, room.saturating_sub(6));
    let right = if width(&name) + width(right) + 8 <= room { format!(" {right}") } else { String::new() };
    let active = state.pane == pane && state.look.styles;
    let name = if active {
        Span::styled(format!(" {name} "), state.look.with(Modifier::REVERSED | Modifier::BOLD))
    } else {
        state.look.span(Tone::Strong, format!(" {name} "))
    };
    let rule = room.saturating_sub(2 + name.width() + width(&right));
    let faint = |text: String| state.look.span(Tone::Faint, text);
    put(buffer, area, Line::from(vec![faint("──".into()), name, faint("─".repeat(rule)), faint(right)]));
    Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
}

/// A bar of so many columns that is full to a part of 1.
pub(crate) fn bar(part: u64, all: u64, columns: usize) -> String {
    // Figures of nodes may be as large as any.
    let full = (u128::from(part.min(all)) * columns as u128).checked_div(all.into()).unwrap_or(0);
    let full = usize::try_from(full).unwrap_or(columns);
    let full = if part > 0 { full.max(1) } else { full };
    format!("{}{}", "█".repeat(full), "░".repeat(columns.saturating_sub(full)))
}

pub(crate) fn place(x: u16, y: u16) -> Position {
    Position { x, y }
}
