//! What nats-server says of itself on its monitoring page, which a client over NATS cannot see.

use std::time::Duration;

use aether_domain::WallTime;
use serde::Deserialize;

use crate::program::ask;

/// How long a server may take to answer.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// One monitoring page.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    /// Where it is.
    pub(super) url: String,
    /// Our time before it was asked for.
    pub(super) asked: WallTime,
    /// Our time when it had come.
    pub(super) answered: WallTime,
    /// What it says, or why there is none.
    pub(super) page: Result<Server, String>,
}

/// `/varz`: what of it is judged.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Server {
    #[serde(rename = "server_name")]
    pub(super) name: String,
    pub(super) version: String,
    /// Its clock.
    pub(super) now: String,
    /// Until when its certificate holds.
    pub(super) tls_cert_not_after: Option<String>,
    pub(super) jetstream: Jetstream,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Jetstream {
    /// Nothing if it has no JetStream.
    pub(super) config: Option<JetstreamConfig>,
    pub(super) stats: JetstreamStats,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct JetstreamConfig {
    /// Whether it syncs before it acknowledges.
    pub(super) sync_always: bool,
    /// How often it syncs otherwise, in nanoseconds.
    pub(super) sync_interval: u64,
    /// How many bytes it may have on disk.
    pub(super) max_storage: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct JetstreamStats {
    /// How many bytes it has on disk.
    pub(super) storage: u64,
}

impl Monitor {
    /// Asks one.
    pub(super) async fn ask(url: &str, wall: impl Fn() -> WallTime) -> Self {
        let url = url.trim().trim_end_matches('/').to_owned();
        let asked = wall();
        let page = ask::other_page(format!("{url}/varz"), ASK_LIMIT).await;
        let answered = wall();
        let page = page.and_then(|body| {
            let server: Result<Server, _> = serde_json::from_str(&body);
            let said = |error: serde_json::Error| format!("it is no page of nats-server ({error})");
            server.map_err(said).and_then(|server| {
                if server.name.is_empty() { Err("it is no page of nats-server".to_owned()) } else { Ok(server) }
            })
        });
        Self { url, asked, answered, page }
    }
}
