//! The letter and the colour of each node, which it keeps for as long as the screen is there.

use std::collections::BTreeMap;

use ratatui::style::Color;

use crate::text::Text;

/// As the dashboard has them.
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// What stands for every node beyond.
pub(crate) const BEYOND: char = '*';

/// The colours of Okabe and Ito, which people with any colour vision tell apart, as near as 256 colours have them. They can be
/// read on black and on white.
const COLOURS: [Color; 8] = [
    Color::Indexed(74),  // sky blue
    Color::Indexed(172), // orange
    Color::Indexed(36),  // green
    Color::Indexed(169), // purple
    Color::Indexed(32),  // blue
    Color::Indexed(167), // vermilion
    Color::Indexed(142), // yellow
    Color::Indexed(245), // grey
];

/// Which node has which.
#[derive(Clone, Debug, Default)]
pub(crate) struct Letters(BTreeMap<Text, usize>);

impl Letters {
    /// Gives the next letters to those that have none, in that order.
    pub(crate) fn see<'a>(&mut self, ids: impl Iterator<Item = &'a Text>) {
        for id in ids {
            let next = self.0.len();
            self.0.entry(id.clone()).or_insert(next);
        }
    }

    pub(crate) fn letter(&self, id: &str) -> char {
        let place = self.place(id).and_then(|place| LETTERS.get(place));
        place.map_or(BEYOND, |letter| char::from(*letter))
    }

    pub(crate) fn colour(&self, id: &str) -> Color {
        COLOURS[self.place(id).unwrap_or_default() % COLOURS.len()]
    }

    fn place(&self, id: &str) -> Option<usize> {
        self.0.get(&Text::new(id)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_letter_when_others_come() {
        let ids = |ids: &[&str]| ids.iter().map(|id| Text::new(id)).collect::<Vec<_>>();
        let mut letters = Letters::default();
        letters.see(ids(&["n1", "n3"]).iter());
        letters.see(ids(&["n1", "n2", "n3"]).iter());
        assert_eq!(["n1", "n2", "n3"].map(|id| letters.letter(id)), ['A', 'C', 'B']);
        assert_ne!(letters.colour("n1"), letters.colour("n2"));
        letters.see((0..70).map(|nth| Text::new(&format!("m{nth:02}"))).collect::<Vec<_>>().iter());
        assert_eq!((letters.letter("m58"), letters.letter("m59"), letters.letter("none")), ('9', '*', '*'));
    }
}
