//! A program on a real terminal: a pty, whose other end is read into a screen that can be looked at.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use xtask::clock::{Deadline, wait_for};

/// A running program and its terminal. Dropping it kills the program.
pub struct Terminal {
    master: File,
    child: Child,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts it on a terminal of that size.
    ///
    /// # Errors
    /// There is no terminal to be had, or no such program.
    pub fn start(mut command: Command, columns: u16, rows: u16) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).context("a terminal")?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let slave = File::from(rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?);
        tcsetwinsize(&master, size(columns, rows))?;
        // What a panic says would otherwise be pushed out of sight by how it came about.
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR").env("RUST_BACKTRACE", "0");
        command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
        let child = command.spawn().context("starting the program")?;
        // With it our last ends of the terminal's other side go, so that reading ends with the program.
        drop(command);
        let master = File::from(master);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(some(rows)?, some(columns)?, 0)));
        let (mut from, to) = (master.try_clone()?, Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut read = [0; 16 * 1024];
            while let Ok(count @ 1..) = from.read(&mut read) {
                to.lock().unwrap_or_else(PoisonError::into_inner).process(&read[..count]);
            }
        });
        Ok(Self { master, child, screen })
    }

    fn screen(&self) -> MutexGuard<'_, vt100::Parser> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be seen, a line a row.
    pub fn shows(&self) -> String {
        self.screen().screen().contents()
    }

    /// Whether anything that is to be seen has a colour.
    pub fn has_colours(&self) -> bool {
        let parser = self.screen();
        let (rows, columns) = parser.screen().size();
        let places = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
        let mut cells = places.filter_map(|(row, column)| parser.screen().cell(row, column));
        cells.any(|cell| cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default)
    }

    /// Waits until what is to be seen fits, and answers it.
    ///
    /// # Errors
    /// Not within the limit; the error has what is to be seen.
    pub fn until(&self, what: &str, limit: Duration, fits: impl Fn(&str) -> bool) -> Result<String> {
        wait_for(what, Deadline::after(limit), || Ok(Some(self.shows()).filter(|shown| fits(shown))))
            .with_context(|| format!("this is to be seen:\n{}", self.shows()))
    }

    /// Types.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        self.master.write_all(keys.as_bytes()).context("typing")
    }

    /// Gives it another size.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn resize(&mut self, columns: u16, rows: u16) -> Result<()> {
        self.screen().screen_mut().set_size(some(rows)?, some(columns)?);
        tcsetwinsize(&self.master, size(columns, rows)).context("resizing")
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the program has ended.
    ///
    /// # Errors
    /// Not within the limit.
    pub fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        wait_for("the program to end", Deadline::after(limit), || Ok(self.child.try_wait()?))
            .with_context(|| format!("this is to be seen:\n{}", self.shows()))
    }

    /// That the terminal is as a shell wants it: lines, echo, the usual screen, a cursor.
    ///
    /// # Errors
    /// What is otherwise.
    pub fn ensure_as_before(&self) -> Result<()> {
        let modes = tcgetattr(&self.master)?.local_modes;
        ensure!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG), "it is left raw: {modes:?}");
        // The last of what the program wrote may still be on its way.
        wait_for("the usual screen and its cursor", Deadline::after(Duration::from_secs(5)), || {
            let parser = self.screen();
            Ok((!parser.screen().alternate_screen() && !parser.screen().hide_cursor()).then_some(()))
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // What has ended cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn some(count: u16) -> Result<NonZero<u16>> {
    NonZero::new(count).context("a terminal has rows and columns")
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
