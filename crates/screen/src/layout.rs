//! Where each part of the screen is: pure, by its size and by what there is to show.

use ratatui::layout::Rect;

use crate::grid::Grid;
use crate::state::{Pane, State};

/// The least columns.
pub const WIDTH_MIN: u16 = 40;
/// The least rows.
pub const HEIGHT_MIN: u16 = 12;

/// From how many columns on the parts stand side by side.
const WIDE_MIN: u16 = 76;
/// From how many rows on.
const HIGH_MIN: u16 = 22;
/// Columns of the nodes beside the map, at least.
const NODES_WIDTH_MIN: u16 = 44;
/// Between the map and what is beside it.
const GAP: u16 = 2;
/// Rows of alerts, at most: on a small screen, on a large one.
const ALERTS_MAX: (u16, u16) = (2, 6);
/// From how many rows on a screen is large.
const LARGE_MIN: u16 = 30;
/// Rows of events, with their title, at least: on a small screen, on a large one.
const EVENTS_MIN: (u16, u16) = (2, 7);
/// Rows of moves, with their title.
const MOVES_ROWS: (u16, u16) = (4, 6);
/// Rows of moves, at most.
const MOVES_ROWS_MAX: u16 = 9;
/// Rows of moves where the parts are stacked, and of events at least.
const STACKED_MOVES: u16 = 3;
const STACKED_EVENTS_MIN: u16 = 2;

/// Where everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) head: Rect,
    pub(crate) status: Rect,
    pub(crate) alerts: Rect,
    /// The panes that are shown, each with its title's row.
    pub(crate) panes: Vec<(Pane, Rect)>,
    pub(crate) foot: Rect,
    pub(crate) grid: Grid,
}

/// The map of shards that a screen of that size has, for keys that lead over it.
pub fn grid_of(state: &State, width: u16, height: u16) -> Grid {
    Layout::of(state, Rect::new(0, 0, width, height)).map_or_else(Grid::default, |layout| layout.grid)
}

impl Layout {
    /// Nothing if the screen is too small.
    pub(crate) fn of(state: &State, area: Rect) -> Option<Self> {
        if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
            return None;
        }
        let large = area.height >= LARGE_MIN;
        let pick = |(small, many): (u16, u16)| if large { many } else { small };
        let row = |y: u16, height: u16| Rect::new(area.x, area.y + y, area.width, height);
        let alerts = u16::try_from(state.alerts().len()).unwrap_or(u16::MAX).min(pick(ALERTS_MAX));
        let (top, bottom) = (2 + alerts, area.height - 1);
        let mut layout = Self {
            head: row(0, 1),
            status: row(1, 1),
            alerts: row(2, alerts),
            foot: row(bottom, 1),
            ..Self::default()
        };
        let body = row(top, bottom - top);
        if area.width < WIDE_MIN || area.height < HIGH_MIN {
            layout.stacked(state, body);
        } else {
            layout.side_by_side(state, body, pick(EVENTS_MIN), pick(MOVES_ROWS));
        }
        Some(layout)
    }

    fn stacked(&mut self, state: &State, body: Rect) {
        self.grid = Grid::fit(state.shards(), body.width, body.height.saturating_sub(1), state.look.colour);
        let nodes = u16::try_from(state.nodes().len()).unwrap_or(u16::MAX).saturating_add(1).min(body.height / 2);
        let events = body.height.saturating_sub(nodes + STACKED_MOVES);
        self.panes = match state.pane {
            Pane::Nodes | Pane::Moves if events >= STACKED_EVENTS_MIN => vec![
                (Pane::Nodes, Rect { height: nodes, ..body }),
                (Pane::Moves, Rect { y: body.y + nodes, height: STACKED_MOVES, ..body }),
                (Pane::Events, Rect { y: body.y + nodes + STACKED_MOVES, height: events, ..body }),
            ],
            alone => vec![(alone, body)],
        };
    }

    fn side_by_side(&mut self, state: &State, body: Rect, events_min: u16, moves_rows: u16) {
        let upper_max = body.height - events_min;
        let map_width = body.width - NODES_WIDTH_MIN - GAP;
        self.grid = Grid::fit(state.shards(), map_width, upper_max.saturating_sub(1), state.look.colour);
        let nodes = u16::try_from(state.nodes().len()).unwrap_or(u16::MAX).max(1);
        let wanted = (self.grid.height() + 1).max(nodes.saturating_add(2 + moves_rows));
        let upper = wanted.clamp(8, upper_max);
        let left = self.grid.width().max(32).min(map_width);
        let right = Rect::new(body.x + left + GAP, body.y, body.width - left - GAP, upper);
        // What the nodes do not need the moves may have.
        let moves = moves_rows.max(upper.saturating_sub(nodes.saturating_add(1)).min(MOVES_ROWS_MAX)).min(upper / 2);
        self.panes = vec![
            (Pane::Shards, Rect::new(body.x, body.y, left, upper)),
            (Pane::Nodes, Rect { height: upper - moves, ..right }),
            (Pane::Moves, Rect { y: right.y + upper - moves, height: moves, ..right }),
            (Pane::Events, Rect { y: body.y + upper, height: body.height - upper, ..body }),
        ];
    }
}
