//! The terminal: frames go out, keys come in, and it is left as it was.

use std::io::{self, IsTerminal as _};
use std::panic;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
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
/// The terminal is left as it was, also by a panic of any thread: its message is the last that is written on it.
///
/// # Errors
/// The terminal cannot be drawn on or read, or a thread beside it has panicked.
pub fn run(host: Arc<dyn Host>, colour: bool, confirm: bool) -> io::Result<()> {
    let look = Look { colour, styles: true };
    let mut state = State::new(look, host.verbs(), confirm);
    let mut canvas = Canvas::open()?;
    let feed = Feed::start(Arc::clone(&host));
    let shown = show(&mut canvas, &mut state, &feed, &*host);
    canvas.close();
    shown
}

/// The terminal while it shows frames. A panic ends that before its message is written, so that no frame covers it.
struct Canvas {
    terminal: DefaultTerminal,
    /// Whether it shows frames. Locked while it changes, which includes that a panic is told of.
    open: Arc<Mutex<bool>>,
}

impl Canvas {
    fn open() -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        // This restores the terminal, and writes the message.
        let close_and_tell = panic::take_hook();
        let open = Arc::new(Mutex::new(true));
        let (drawer, held) = (thread::current().id(), Arc::clone(&open));
        panic::set_hook(Box::new(move |panicked| {
            // The thread that draws may have the lock already, and draws no more.
            let mut open =
                (thread::current().id() != drawer).then(|| held.lock().unwrap_or_else(PoisonError::into_inner));
            if let Some(open) = &mut open {
                **open = false;
            }
            close_and_tell(panicked);
        }));
        Ok(Self { terminal, open })
    }

    fn draw(&mut self, state: &State, now: Duration) -> io::Result<()> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !*open {
            return Err(io::Error::other("a thread beside the screen has panicked; this is a bug"));
        }
        self.terminal.draw(|frame| draw(frame, state, now))?;
        Ok(())
    }

    fn close(self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.terminal);
        if *open {
            ratatui::restore();
        }
    }
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

fn show(canvas: &mut Canvas, state: &mut State, feed: &Feed, host: &dyn Host) -> io::Result<()> {
    let clock = Clock::start();
    let mut drawn_at = None;
    while !host.is_over() {
        let now = clock.now();
        let mut changed = drawn_at.is_none_or(|at: Duration| now.saturating_sub(at) >= DRAW_EVERY);
        for told in feed.told() {
            state.hear(now, told);
            changed = true;
        }
        if changed {
            canvas.draw(state, now)?;
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
            let size = canvas.terminal.size()?;
            let was_asked = matches!(state.dialog, Some(Dialog::Confirm(_)));
            let wish = state.press(key, grid_of(state, size.width, size.height));
            if !was_asked && matches!(state.dialog, Some(Dialog::Confirm(_))) {
                state.hushed = true;
                canvas.draw(state, clock.now())?;
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
