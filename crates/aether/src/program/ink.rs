//! Colours, which never carry meaning alone: whatever they say stands there as a word too.

use std::ffi::OsStr;
use std::io::{IsTerminal as _, stdout};

/// What a text is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// Somebody should look.
    Warning,
    /// It is not as it must be.
    Bad,
    /// It matters less.
    Faint,
}

/// Whether there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ink {
    on: bool,
}

impl Ink {
    /// None at all.
    #[cfg(test)]
    pub(super) const NONE: Self = Self { on: false };

    /// For this process's standard output.
    pub(super) fn of_process(no_color: bool) -> Self {
        Self::of(no_color, std::env::var_os("NO_COLOR").as_deref(), stdout().is_terminal())
    }

    fn of(no_color: bool, variable: Option<&OsStr>, terminal: bool) -> Self {
        Self { on: terminal && !no_color && variable.is_none_or(OsStr::is_empty) }
    }

    /// Whether there are any.
    pub(super) fn is_on(self) -> bool {
        self.on
    }

    /// The text in the colour of its tone.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            _ if !self.on || text.is_empty() => return text.to_owned(),
            Tone::Good => 32,
            Tone::Warning => 33,
            Tone::Bad => 31,
            Tone::Faint => 2,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_is_shown_colours_and_only_if_nobody_minds() {
        for (no_color, variable, terminal, on) in [
            (false, None, true, true),
            (false, None, false, false),
            (true, None, true, false),
            (false, Some("1"), true, false),
            (false, Some(""), true, true),
        ] {
            let ink = Ink::of(no_color, variable.map(OsStr::new), terminal);
            assert_eq!(ink, Ink { on }, "{no_color} {variable:?} {terminal}");
        }
    }

    #[test]
    fn a_painted_text_is_the_text_with_a_colour_around_it() {
        let on = Ink { on: true };
        assert_eq!(on.paint(Tone::Bad, "failed"), "\x1b[31mfailed\x1b[0m");
        assert_eq!((on.paint(Tone::Plain, "n1"), on.paint(Tone::Bad, "")), ("n1".into(), String::new()));
        assert_eq!(Ink::NONE.paint(Tone::Bad, "failed"), "failed");
    }
}
