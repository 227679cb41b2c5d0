//! Whether somebody asked this command to end: an interrupt from the terminal, SIGTERM, or a closed terminal.
//!
//! Long commands ask between steps and while waiting, so that what they started is ended in order.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on a request to end is remembered instead of ending this process at once.
///
/// # Errors
/// The system does not let us listen for signals.
pub fn listen() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context("listening for signals")?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    drop(guard);
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                REQUESTED.store(true, Ordering::SeqCst);
            }
        });
    });
    Ok(())
}

/// Whether a request to end has come.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Turns a request to end into an error, for use between steps.
///
/// # Errors
/// A request has come.
pub fn check() -> Result<()> {
    if requested() {
        bail!("interrupted");
    }
    Ok(())
}
