//! Text from elsewhere, made harmless: what a node says may not become a command to the terminal.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The most characters of one text; what is longer ends in an ellipsis.
const CHARS_MAX: usize = 400;

/// What stands where a character would have done something to the terminal.
const INSTEAD: char = '\u{fffd}';

/// One line of text without control characters, and without any that takes no room: those turn text around, join what
/// is beside them, or cannot be seen. At most 400 characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(String);

impl Text {
    /// That text, made harmless.
    pub fn new(text: &str) -> Self {
        let mut made = String::new();
        for (nth, c) in text.chars().filter_map(harmless).enumerate() {
            if nth >= CHARS_MAX {
                made.push('…');
                break;
            }
            made.push(c);
        }
        Self(made)
    }
}

fn harmless(c: char) -> Option<char> {
    if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
        return Some(INSTEAD);
    }
    c.width().filter(|width| *width > 0).map(|_| c)
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::from)
    }
}

/// How many columns it takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Its beginning, in at most so many columns; with an ellipsis if something is left out.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (mut made, mut taken) = (String::new(), 0);
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if taken + wide + 1 > columns {
            break;
        }
        taken += wide;
        made.push(c);
    }
    if columns > 0 {
        made.push('…');
    }
    made
}

/// It in exactly so many columns, with blanks behind it.
pub(crate) fn left(text: &str, columns: usize) -> String {
    let made = cut(text, columns);
    let blanks = columns.saturating_sub(width(&made));
    made + &" ".repeat(blanks)
}

/// It in exactly so many columns, with blanks before it.
pub(crate) fn right(text: &str, columns: usize) -> String {
    let made = cut(text, columns);
    " ".repeat(columns.saturating_sub(width(&made))) + &made
}

/// A number with commas between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut made = String::with_capacity(digits.len() + digits.len() / 3);
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            made.push(',');
        }
        made.push(digit);
    }
    made
}

/// A number in at most five columns: `417`, `12.3k`, `4.2M`.
pub(crate) fn short(number: u64) -> String {
    const UNITS: [(u64, &str); 5] =
        [(1_000_000_000_000_000, "P"), (1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    if number < 10_000 {
        return number.to_string();
    }
    let (unit, letter) = UNITS.into_iter().find(|(unit, _)| number >= *unit).unwrap_or((1, ""));
    let whole = number / unit;
    if whole < 100 { format!("{whole}.{}{letter}", number % unit * 10 / unit) } else { format!("{whole}{letter}") }
}

/// A time span in at most five columns: `0.3s`, `42s`, `5m`, `3h`, `9d`.
pub(crate) fn span(millis: u64) -> String {
    match millis {
        0..=9_949 => format!("{}.{}s", (millis + 50) / 1000, (millis + 50) % 1000 / 100),
        9_950..=119_999 => format!("{}s", millis.div_ceil(1000).min(119)),
        120_000..=7_199_999 => format!("{}m", millis / 60_000),
        7_200_000..=172_799_999 => format!("{}h", millis / 3_600_000),
        _ => format!("{}d", (millis / 86_400_000).min(9_999)),
    }
}

/// The time of the day, in UTC.
pub(crate) fn clock(unix_millis: u64) -> String {
    let of_day = unix_millis / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_node_says_reaches_the_terminal_as_a_command() {
        for (said, shown) in [
            ("n1", "n1"),
            ("n\u{1b}[2J1", "n\u{fffd}[2J1"),
            ("a\r\nb\tc\u{7}", "a\u{fffd}\u{fffd}b\u{fffd}c\u{fffd}"),
            ("\u{9b}31m", "\u{fffd}31m"),
            ("a\u{202e}b\u{200b}c\u{2066}\u{feff}d\u{2028}", "abcd\u{fffd}"),
            ("e\u{301}\u{301}\u{301}", "e"),
            ("日本", "日本"),
        ] {
            assert_eq!(&*Text::new(said), shown, "{said:?}");
        }
        assert_eq!(Text::new(&"x".repeat(1_000_000)).chars().count(), CHARS_MAX + 1);
    }

    #[test]
    fn text_is_cut_by_columns_not_by_characters() {
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!((cut("abc", 0), cut("abc", 1), cut("abc", 2)), (String::new(), "…".into(), "a…".into()));
        assert_eq!((left("ab", 4), right("ab", 4), left("日本", 3)), ("ab  ".into(), "  ab".into(), "日…".into()));
    }

    #[test]
    fn figures_fit_where_they_are_to_stand() {
        for (number, shown) in
            [(0, "0"), (9_999, "9999"), (12_345, "12.3k"), (99_999, "99.9k"), (123_456, "123k"), (4_200_000, "4.2M")]
        {
            assert_eq!(short(number), shown);
        }
        for (millis, shown) in [
            (0, "0.0s"),
            (340, "0.3s"),
            (9_949, "9.9s"),
            (9_950, "10s"),
            (59_001, "60s"),
            (120_000, "2m"),
            (7_200_000, "2h"),
            (172_800_000, "2d"),
        ] {
            assert_eq!(span(millis), shown, "{millis}");
        }
        for number in [0, 9_999, 10_000, 999_999, 1_000_000, u64::from(u32::MAX), u64::MAX] {
            assert!(width(&short(number)) <= 6, "{}", short(number));
            assert!(width(&span(number)) <= 5, "{}", span(number));
        }
        assert_eq!(
            (grouped(7), grouped(65_536), grouped(1_234_567)),
            ("7".into(), "65,536".into(), "1,234,567".into())
        );
        assert_eq!(clock(1_795_866_264_123), "11:44:24");
    }
}
