//! Being asked to end: once politely, twice at once.

use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::supervised::Supervisor;

/// Where a supervisor passes signals on, whoever ends a whole group of processes asks each of them twice: what comes
/// within this time after the first is the same request.
const SAME_REQUEST: Duration = Duration::from_millis(500);

/// A token that is cancelled by the first SIGTERM or SIGINT. The second ends the process on the spot.
pub(super) fn polite_end() -> anyhow::Result<CancellationToken> {
    let asked = CancellationToken::new();
    let token = asked.clone();
    let mut signals = Signals::new().context("this process cannot listen for signals")?;
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("asked to end: handing over; a second signal ends at once");
        token.cancel();
        if Supervisor::of_this_process().is_some() {
            let same = tokio::time::sleep(SAME_REQUEST);
            tokio::pin!(same);
            loop {
                tokio::select! {
                    () = &mut same => break,
                    () = signals.next() => {}
                }
            }
        }
        signals.next().await;
        tracing::warn!("asked to end again: ending without handing over");
        std::process::exit(super::exit::ERROR.into());
    });
    Ok(asked)
}

/// A token that is cancelled by the first SIGTERM or SIGINT; the others say nothing new. For what ends at once by itself and
/// has a terminal to leave as it was.
pub(super) fn end() -> anyhow::Result<CancellationToken> {
    let asked = CancellationToken::new();
    let token = asked.clone();
    let mut signals = Signals::new().context("this process cannot listen for signals")?;
    tokio::spawn(async move {
        loop {
            signals.next().await;
            token.cancel();
        }
    });
    Ok(asked)
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }
    async fn next(&mut self) {
        drop(tokio::signal::ctrl_c().await);
    }
}
