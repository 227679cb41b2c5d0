//! Being asked to end: once politely, twice at once.

use anyhow::Context;
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGTERM or SIGINT. The second ends the process on the spot.
pub(super) fn polite_end() -> anyhow::Result<CancellationToken> {
    let asked = CancellationToken::new();
    let token = asked.clone();
    let mut signals = Signals::new().context("this process cannot listen for signals")?;
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("asked to end: handing over; a second signal ends at once");
        token.cancel();
        signals.next().await;
        tracing::warn!("asked to end again: ending without handing over");
        std::process::exit(super::exit::ERROR.into());
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
