//! Where log lines go: standard error, as text for people or as one JSON object a line.
//!
//! Libraries only emit; this is called once, by a program. Payloads and actor state are never logged.

use std::io::IsTerminal;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::{LogFormat, LogSettings};

/// Why nothing will be logged.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryRefused {
    /// The level is not one.
    #[error("log level {level:?} cannot be read; write error, warn, info, debug or trace, or pairs like aether=debug")]
    Level {
        /// The level as given.
        level: String,
    },
    /// Something else in this process has already said where log lines go.
    #[error("this process logs already; call telemetry::start once, before anything else does")]
    Started,
}

/// Sends every log line of this process to standard error from now on.
///
/// # Errors
/// [`TelemetryRefused`]; logging is as it was before.
pub fn start(settings: &LogSettings) -> Result<(), TelemetryRefused> {
    let level = settings.level.clone();
    let filter = EnvFilter::try_new(&settings.level).map_err(|_| TelemetryRefused::Level { level })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started: Result<(), TryInitError> = match settings.format {
        LogFormat::Text => {
            lines.with_ansi(std::io::stderr().is_terminal()).finish().with(filter_fn(has_no_payload)).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).finish().with(filter_fn(has_no_payload)).try_init(),
    };
    started.map_err(|_| TelemetryRefused::Started)
}

/// Whether a line cannot hold what actors are told: the NATS client's most talkative ones show every message.
fn has_no_payload(line: &Metadata<'_>) -> bool {
    *line.level() != Level::TRACE || !line.target().starts_with("async_nats")
}
