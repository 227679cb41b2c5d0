//! The map: a letter a shard in its owner's colour, or two colours a letter, or a place for as many as do not fit.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};

use super::{Tone, place, title};
use crate::grid::Grid;
use crate::map::{Map, NOBODY};
use crate::state::{Pane, State};
use crate::text::{Text, grouped};

/// What stands for shards without an owner.
const NO_OWNER: char = '!';
/// What stands for shards on their way, where nothing can be underlined.
const ON_ITS_WAY: char = '~';
/// Two places in one letter: what is above is the letter's colour, what is below its ground's.
const HALVES: char = '▀';

/// What there is to say of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Who has most of its shards.
    owner: u16,
    /// Whether one of them has no owner.
    orphaned: bool,
    moving: bool,
    fresh: bool,
}

/// Draws it, and answers where the cursor is.
pub(super) fn draw(buffer: &mut Buffer, area: Rect, state: &State, grid: Grid, now: Duration) -> Option<Position> {
    let map = state.view().map(|view| &view.map).filter(|map| !map.is_empty());
    let Some(map) = map else {
        title(buffer, area, state, Pane::Shards, "shards", "");
        return None;
    };
    let (name, said) = names(state, map, grid);
    let body = title(buffer, area, state, Pane::Shards, &name, &said);
    let mut ink = Ink::new(state, map);
    let places: Vec<_> = (0..grid.columns * grid.rows).map(|nth| ink.place(grid.shards(nth, map.len()), now)).collect();
    let at = |nth: usize| {
        let (column, line) = (nth % grid.columns, nth / grid.columns);
        let x = if grid.spaced { column * 2 } else { column };
        let y = if grid.halves { line / 2 } else { line };
        place(body.x + u16::try_from(x).unwrap_or(u16::MAX), body.y + u16::try_from(y).unwrap_or(u16::MAX))
    };
    for (nth, one) in places.iter().enumerate() {
        let upper = (nth / grid.columns).is_multiple_of(2);
        if grid.halves && !upper {
            continue;
        }
        let below = grid.halves.then(|| places.get(nth + grid.columns).copied().flatten());
        let Some(one) = *one else { continue };
        let position = at(nth);
        if !body.contains(position) {
            continue;
        }
        let (sign, style) = below.map_or_else(|| ink.letter(one), |below| ink.halves(one, below));
        buffer[position].set_char(sign).set_style(style);
    }
    Some(at(state.cursor / grid.each.max(1)))
}

/// What the title says: at the cursor, and what a letter is.
fn names(state: &State, map: &Map, grid: Grid) -> (String, String) {
    let said = match (grid.each, grid.halves) {
        (1, false) => "a letter each".to_owned(),
        (1, true) => "a half each".to_owned(),
        (each, false) => format!("{} a letter", grouped(each as u64)),
        (each, true) => format!("{} a half", grouped(each as u64)),
    };
    if state.pane != Pane::Shards {
        return ("shards".to_owned(), said);
    }
    let place = grid.shards(state.cursor / grid.each.max(1), map.len());
    let owner = map.owner_name(state.cursor).map_or_else(|| "nobody".to_owned(), ToString::to_string);
    let which = if place.len() > 1 {
        format!("shards {}-{}", place.start, place.end - 1)
    } else {
        format!("shard {}", state.cursor)
    };
    (format!("{which}: {owner}"), said)
}

struct Ink<'a> {
    state: &'a State,
    map: &'a Map,
    signs: Vec<char>,
    styles: Vec<Style>,
    counts: Vec<u32>,
}

impl<'a> Ink<'a> {
    fn new(state: &'a State, map: &'a Map) -> Self {
        let (letters, look) = (&state.letters, state.look);
        let selected = state.selected().map(|node| &node.id);
        let style = |id: &Text| {
            let style = look.style(Tone::Owner(letters.colour(id)));
            if selected == Some(id) { style.patch(look.with(Modifier::BOLD)) } else { style }
        };
        Self {
            state,
            map,
            signs: map.owners().iter().map(|id| letters.letter(id)).collect(),
            styles: map.owners().iter().map(style).collect(),
            counts: vec![0; map.owners().len()],
        }
    }

    fn place(&mut self, shards: std::ops::Range<usize>, now: Duration) -> Option<Place> {
        let first = shards.start;
        let mut place = Place { owner: NOBODY, orphaned: false, moving: false, fresh: false };
        if shards.is_empty() {
            return None;
        }
        for shard in shards.clone() {
            let owner = self.map.owner(shard);
            place.orphaned |= owner == NOBODY;
            place.moving |= self.map.is_moving(shard);
            place.fresh |= self.state.is_fresh(shard, now);
            if let Some(count) = self.counts.get_mut(usize::from(owner)) {
                *count += 1;
            }
        }
        // Of equals, whoever has the first of them; counts are as they were for the next place.
        let mut most = (0, self.map.owner(first));
        for shard in shards {
            let owner = self.map.owner(shard);
            if let Some(count) = self.counts.get_mut(usize::from(owner)) {
                if *count > most.0 {
                    most = (*count, owner);
                }
                *count = 0;
            }
        }
        place.owner = most.1;
        Some(place)
    }

    fn sign(&self, owner: u16) -> char {
        self.signs.get(usize::from(owner)).copied().unwrap_or(NO_OWNER)
    }

    fn style(&self, owner: u16) -> Style {
        self.styles.get(usize::from(owner)).copied().unwrap_or_default()
    }

    fn nobody(&self) -> (char, Style) {
        let look = self.state.look;
        (NO_OWNER, look.style(Tone::Bad).patch(look.with(Modifier::REVERSED)))
    }

    fn letter(&self, place: Place) -> (char, Style) {
        let look = self.state.look;
        if place.orphaned {
            return self.nobody();
        }
        let style = self.style(place.owner);
        match (place.moving, place.fresh) {
            (true, _) if !look.styles => (ON_ITS_WAY, style),
            (true, _) => (self.sign(place.owner), style.patch(look.with(Modifier::REVERSED))),
            (false, true) => (self.sign(place.owner), style.patch(look.with(Modifier::UNDERLINED | Modifier::BOLD))),
            (false, false) => (self.sign(place.owner), style),
        }
    }

    fn halves(&self, upper: Place, lower: Option<Place>) -> (char, Style) {
        let all = [Some(upper), lower];
        if all.iter().flatten().any(|place| place.orphaned) {
            return self.nobody();
        }
        if let Some(moving) = all.iter().flatten().find(|place| place.moving) {
            return self.letter(*moving);
        }
        let style = self.style(upper.owner);
        match lower.and_then(|lower| self.style(lower.owner).fg) {
            Some(below) => (HALVES, style.bg(below)),
            None => (HALVES, style),
        }
    }
}
