//! The terminal: frames go out, keys come in, and it is left as it was.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};

use crate::clock::Clock;
use crate::draw::{Look, draw};
use crate::feed::Feed;
use crate::host::Host;
use crate::keys::Key;
use crate::layout::grid_of;
use crate::state::{Dialog, State, Wish};

/// How long a key may wait to be read, and what was told to be drawn.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often a frame is drawn if nothing has happened: ages grow.
const DRAW_EVERY: Duration = Duration::from_millis(500);

/// For how long nothing may have been typed before a question is answered.
const QUIET_BEFORE_ANSWER: Duration = Duration::from_millis(200);

/// Shows the screen until somebody quits, or the host says that it is over. With `confirm` whoever asks for something is
/// asked whether it is meant.
///
/// The terminal is left as it was, also by a panic.
///
/// # Errors
/// The terminal cannot be drawn on or read, or what asks the nodes has ended.
pub fn run(host: Arc<dyn Host>, colour: bool, confirm: bool) -> io::Result<()> {
    let look = Look { colour, styles: true };
    let mut state = State::new(look, host.verbs(), confirm);
    let mut terminal = ratatui::try_init()?;
    let feed = Feed::start(Arc::clone(&host));
    let shown = show(&mut terminal, &mut state, &feed, &*host);
    drop(terminal);
    ratatui::restore();
    shown
}

/// Passes over what was typed before a question could be read: text that is pasted by mistake may well have a yes in it.
/// Answers whether the screen goes on.
fn quiet(host: &dyn Host) -> io::Result<bool> {
    while !host.is_over() && event::poll(QUIET_BEFORE_ANSWER)? {
        if let Event::Key(key) = event::read()?
            && Key::of(&key) == Some(Key::Interrupt)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Columns and rows of the terminal, if there is one.
pub fn terminal_size() -> Option<(u16, u16)> {
    io::stdout().is_terminal().then(ratatui::crossterm::terminal::size)?.ok()
}

fn show(terminal: &mut DefaultTerminal, state: &mut State, feed: &Feed, host: &dyn Host) -> io::Result<()> {
    let clock = Clock::start();
    let mut drawn_at = None;
    while !host.is_over() {
        let now = clock.now();
        let mut changed = drawn_at.is_none_or(|at: Duration| now.saturating_sub(at) >= DRAW_EVERY);
        for told in feed.told() {
            state.hear(now, told);
            changed = true;
        }
        if !feed.goes_on() {
            return Err(io::Error::other("what asks the nodes has ended; this is a bug"));
        }
        if changed {
            terminal.draw(|frame| draw(frame, state, now))?;
            drawn_at = Some(now);
        }
        if !event::poll(LOOK_EVERY)? {
            continue;
        }
        // All that were pressed meanwhile, such as by holding one down.
        while event::poll(Duration::ZERO)? {
            let pressed = match event::read()? {
                Event::Key(key) => Key::of(&key),
                _ => None,
            };
            drawn_at = None;
            let Some(key) = pressed else { continue };
            let size = terminal.size()?;
            let was_asked = matches!(state.dialog, Some(Dialog::Confirm(_)));
            let wish = state.press(key, grid_of(state, size.width, size.height));
            if !was_asked && matches!(state.dialog, Some(Dialog::Confirm(_))) {
                state.hushed = true;
                terminal.draw(|frame| draw(frame, state, clock.now()))?;
                if !quiet(host)? {
                    return Ok(());
                }
                state.hushed = false;
            }
            match wish {
                Some(Wish::Quit) => return Ok(()),
                Some(wish) => {
                    if let Some(told) = feed.begin(wish) {
                        state.hear(clock.now(), told);
                    }
                }
                None => {}
            }
        }
    }
    Ok(())
}
