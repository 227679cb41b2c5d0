//! What a process of the `aether` program is told: one TOML file, the environment over it, flags over both.
//!
//! A value that exists is valid: every id is checked, every number in its range. Nothing is connected or opened here.
//! Environment variables are named `AETHER_SECTION__KEY` (two underscores), and `AETHER_NAMESPACE` and `AETHER_PROFILE`
//! at the top.
//!
//! ```
//! let text = r#"
//!     namespace = "bank"
//!     [node]
//!     id = "n1"
//!     [nats]
//!     urls = ["nats://127.0.0.1:4222"]
//! "#;
//! let settings = aether::config::Layers::text("example.toml", text).load().expect("every key is known");
//! assert_eq!(settings.node.id.as_str(), "n1");
//! assert_eq!(settings.node.weight, 1);
//!
//! let refused = aether::config::Layers::text("example.toml", "[node]\nidd = 1").load().expect_err("no such key");
//! assert!(refused.to_string().contains("node.idd"));
//! ```

mod files;
mod layers;
mod nats;
mod raw;
mod secret;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use aether_domain::timing::Profile;
use aether_domain::{Namespace, NodeId, Tag, Zone};
use aether_runtime::control::OnRegression;
use aether_runtime::shard::MemoryLimits;

#[cfg(all(unix, feature = "nats"))]
pub(crate) use files::open_to_others;
pub use layers::Layers;
pub(crate) use layers::odd_key;
pub use secret::Secret;

/// Everything a process is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster it belongs to.
    pub namespace: Namespace,
    /// The cluster's timers.
    pub profile: Profile,
    /// Who it is.
    pub node: NodeSettings,
    /// The most it holds in memory.
    pub memory: MemoryLimits,
    /// How it reaches NATS.
    pub nats: NatsSettings,
    /// Where its admin pages are.
    pub admin: AdminSettings,
    /// How hard the load works; only the load reads it.
    pub load: LoadSettings,
    /// What it logs.
    pub log: LogSettings,
}

/// Who a node is.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Its id: one per machine, the same in every life of the process.
    pub id: NodeId,
    /// Its relative capacity, 1 to 1000: a node of weight 2 gets twice the shards of one of weight 1.
    pub weight: u32,
    /// Which nodes it may fail together with: a rack, a room, a data centre.
    pub zone: Option<Zone>,
    /// What can be said of it, for shards that need it; at most 16.
    pub tags: BTreeSet<Tag>,
    /// What it does once NATS has surely lost what it had acknowledged: it serves nothing any more, or goes on with what
    /// is left.
    pub on_regression: OnRegression,
    /// The newest format that it reads, and so the newest that the cluster writes while it is a member; this build's newest, if
    /// nothing is said.
    pub format_max: Option<u8>,
    /// How long a handler may run before it is named in the log.
    pub slow_after: Duration,
    /// How long one may run before the process ends; for ever, if nothing is said.
    pub end_after: Option<Duration>,
}

/// How NATS is reached.
#[derive(Clone, Debug)]
pub struct NatsSettings {
    /// Where its servers are; at least one.
    pub urls: Vec<String>,
    /// A user name, if the server asks for one.
    pub user: Option<String>,
    /// That user's password.
    pub password: Option<Secret>,
    /// A token, if the server asks for one.
    pub token: Option<Secret>,
    /// A credentials file, readable by its owner alone.
    pub creds: Option<PathBuf>,
    /// The seed of a user's nkey.
    pub nkey: Option<Secret>,
    /// How connections are encrypted.
    pub tls: NatsTls,
    /// What inboxes begin with, for a user whose rights name another prefix than the nodes'.
    pub inbox_prefix: Option<String>,
    /// How many copies JetStream keeps of each stream: 1 or 3.
    pub replicas: usize,
}

/// How connections to NATS are encrypted. They are, unless every server is on loopback.
#[derive(Clone, Debug, Default)]
pub struct NatsTls {
    /// Certificates of authorities to trust instead of the platform's: a PEM file.
    pub authorities: Option<PathBuf>,
    /// Our own certificate and its key: PEM files, the key readable by its owner alone.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether other machines may be talked to in the clear.
    pub insecure: bool,
}

/// Where the admin pages are.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// A file that is given the pages' URL once they are served.
    pub announce: Option<PathBuf>,
    /// What whoever asks something of the cluster over HTTP must know; nothing can be asked without it.
    pub token: Option<Secret>,
}

/// How hard the self-checking load works.
#[derive(Clone, Copy, Debug)]
pub struct LoadSettings {
    /// How many commands are under way at once, 1 to 1024.
    pub workers: usize,
    /// How many accounts there are, 2 to 65,536; at least two a worker.
    pub accounts: usize,
}

/// What is logged.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// For people or for machines.
    pub format: LogFormat,
    /// Which lines: a level, or `target=level` pairs with commas between.
    pub level: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What kind of fault a configuration has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedKind {
    /// A setting is not known, or has a value that it cannot have.
    Setting,
    /// No node is named.
    NoNode,
    /// A file that is named cannot be read.
    NoFile,
    /// A file with a secret may be read by others.
    OpenFile,
}

/// Why a configuration is refused: one paragraph that says where, what and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration is refused: {reason} ({place}); {cure}")]
pub struct ConfigRefused {
    /// What kind of fault it is.
    pub kind: RefusedKind,
    /// What is wrong, with the key where one is to blame.
    pub reason: String,
    /// The file, or the environment.
    pub place: String,
    /// What to do.
    pub cure: String,
}
