//! Keys, and what they do.

use super::{Dialog, Pane, State, Wish};
use crate::grid::Grid;
use crate::host::Deed;
use crate::keys::Key;

/// Rows that a page key passes over.
const PAGE: usize = 8;

/// The most characters that are typed.
const TYPED_MAX: usize = 64;

impl State {
    /// What follows from that key; `grid` is the map as it is drawn.
    pub fn press(&mut self, key: Key, grid: Grid) -> Option<Wish> {
        if key == Key::Interrupt {
            return Some(Wish::Quit);
        }
        match self.dialog.take() {
            Some(dialog) => self.answer(dialog, key),
            None => self.lead(key, grid),
        }
    }

    /// A key to what is over everything.
    fn answer(&mut self, dialog: Dialog, key: Key) -> Option<Wish> {
        match (dialog, key) {
            (Dialog::Confirm(deed), Key::Char('y' | 'Y')) => return Some(self.wish(deed)),
            (Dialog::Help, Key::Char('q' | '?') | Key::Esc | Key::Enter)
            | (Dialog::Node(_) | Dialog::Shard { .. }, Key::Char('q') | Key::Esc | Key::Enter)
            // Anything but yes is no.
            | (Dialog::Confirm(_), _)
            | (Dialog::Goto(_), Key::Esc) => {}
            (Dialog::Node(id), Key::Up | Key::Down) => {
                let from = self.nodes().iter().position(|node| node.id == id).unwrap_or(0);
                self.select(if key == Key::Up { from.saturating_sub(1) } else { from + 1 });
                self.dialog = self.selected.clone().map(Dialog::Node);
            }
            (Dialog::Filter(typed), Key::Enter) => (self.filter, self.scrolled) = (typed, 0),
            (Dialog::Goto(typed), Key::Enter) => {
                if let Some(shard) = typed.trim().parse().ok().filter(|shard| *shard < self.shards()) {
                    (self.cursor, self.pane) = (shard, Pane::Shards);
                    return Some(self.tell(shard));
                }
            }
            (Dialog::Filter(_), Key::Esc) => (self.filter, self.scrolled) = (String::new(), 0),
            (Dialog::Filter(typed), key) => {
                let typed = edit(typed, key, |_| true);
                // It is seen at once what it does.
                (self.filter, self.scrolled) = (typed.clone(), 0);
                self.dialog = Some(Dialog::Filter(typed));
            }
            (Dialog::Goto(typed), key) => self.dialog = Some(Dialog::Goto(edit(typed, key, |c| c.is_ascii_digit()))),
            (dialog, _) => self.dialog = Some(dialog),
        }
        None
    }

    /// A key to the screen itself.
    fn lead(&mut self, key: Key, grid: Grid) -> Option<Wish> {
        match key {
            Key::Char('q') => return Some(Wish::Quit),
            Key::Char('?') => self.dialog = Some(Dialog::Help),
            Key::Char('/') => {
                self.pane = Pane::Events;
                self.dialog = Some(Dialog::Filter(self.filter.clone()));
            }
            Key::Char('g') => self.dialog = Some(Dialog::Goto(String::new())),
            Key::Char('n') => self.next_odd(),
            Key::Char(letter) => return self.ask(letter),
            Key::Esc => {
                self.filter.clear();
                self.scrolled = 0;
            }
            Key::Tab => self.turn(1),
            Key::BackTab => self.turn(Pane::ALL.len() - 1),
            Key::Enter => return self.inspect(grid),
            key => match self.pane {
                Pane::Nodes | Pane::Moves => self.lead_nodes(key),
                Pane::Shards => self.lead_shards(key, grid),
                Pane::Events => self.lead_events(key),
            },
        }
        None
    }

    fn turn(&mut self, by: usize) {
        let at = Pane::ALL.iter().position(|pane| *pane == self.pane).unwrap_or(0);
        self.pane = Pane::ALL[(at + by) % Pane::ALL.len()];
    }

    fn select(&mut self, nth: usize) {
        let last = self.nodes().len().saturating_sub(1);
        self.selected = self.nodes().get(nth.min(last)).map(|node| node.id.clone());
    }

    fn lead_nodes(&mut self, key: Key) {
        let at = self.nodes().iter().position(|node| self.selected.as_ref() == Some(&node.id)).unwrap_or(0);
        self.select(match key {
            Key::Up => at.saturating_sub(1),
            Key::Down => at + 1,
            Key::PageUp => at.saturating_sub(PAGE),
            Key::PageDown => at + PAGE,
            Key::Home => 0,
            Key::End => usize::MAX,
            _ => at,
        });
    }

    fn lead_shards(&mut self, key: Key, grid: Grid) {
        let (each, row) = (grid.each.max(1), grid.each.max(1) * grid.columns.max(1));
        let (at, last) = (self.cursor - self.cursor % each, self.shards().saturating_sub(1));
        let to = match key {
            Key::Left => at.saturating_sub(each),
            Key::Right => at + each,
            Key::Up => at.checked_sub(row).unwrap_or(at),
            Key::Down if at + row <= last => at + row,
            Key::PageUp => at.saturating_sub(row * PAGE),
            Key::PageDown => at + row * PAGE,
            Key::Home => at - at % row,
            Key::End => at - at % row + row - each,
            _ => at,
        };
        self.cursor = to.min(last);
    }

    fn lead_events(&mut self, key: Key) {
        let last = self.events().count().saturating_sub(1);
        let at = self.scrolled;
        self.scrolled = match key {
            Key::Up => at.saturating_sub(1),
            Key::Down => at + 1,
            Key::PageUp => at.saturating_sub(PAGE),
            Key::PageDown => at + PAGE,
            Key::Home => 0,
            Key::End => last,
            _ => at,
        }
        .min(last);
    }

    /// To the next shard that has no owner or moves.
    fn next_odd(&mut self) {
        let Some(view) = &self.view else { return };
        let (map, all) = (&view.map, view.map.len());
        let odd = |shard: &usize| map.owner_name(*shard).is_none() || map.is_moving(*shard);
        if let Some(found) = (1..=all).map(|by| (self.cursor + by) % all).find(odd) {
            (self.cursor, self.pane) = (found, Pane::Shards);
        }
    }

    fn inspect(&mut self, grid: Grid) -> Option<Wish> {
        match self.pane {
            Pane::Shards if self.shards() > 0 => {
                let shard = self.worst(grid);
                Some(self.tell(shard))
            }
            Pane::Nodes | Pane::Moves => {
                self.dialog = self.selected.clone().map(Dialog::Node);
                None
            }
            Pane::Shards | Pane::Events => None,
        }
    }

    /// Of the shards at the cursor's place, the one that most wants to be looked at.
    fn worst(&self, grid: Grid) -> usize {
        let Some(view) = &self.view else { return self.cursor };
        let place = grid.shards(self.cursor / grid.each.max(1), view.map.len());
        if !self.cursor.is_multiple_of(grid.each.max(1)) {
            // It was asked for by its number.
            return self.cursor;
        }
        let nobodys = place.clone().find(|shard| view.map.owner_name(*shard).is_none());
        nobodys.or_else(|| place.clone().find(|shard| view.map.is_moving(*shard))).unwrap_or(self.cursor)
    }

    fn tell(&mut self, shard: usize) -> Wish {
        self.dialog = Some(Dialog::Shard { shard, story: None });
        Wish::Tell(shard)
    }

    fn ask(&mut self, letter: char) -> Option<Wish> {
        let verb = self.verb(letter)?;
        let node = if verb.of_node() { Some(self.selected.clone()?) } else { None };
        let deed = Deed { verb, node };
        if self.confirm {
            self.dialog = Some(Dialog::Confirm(deed));
            return None;
        }
        Some(self.wish(deed))
    }

    fn wish(&mut self, deed: Deed) -> Wish {
        self.busy += 1;
        Wish::Do(deed)
    }
}

fn edit(mut typed: String, key: Key, fits: impl Fn(char) -> bool) -> String {
    match key {
        Key::Char(c) if fits(c) && !c.is_control() && typed.chars().count() < TYPED_MAX => typed.push(c),
        Key::Backspace => drop(typed.pop()),
        _ => {}
    }
    typed
}
