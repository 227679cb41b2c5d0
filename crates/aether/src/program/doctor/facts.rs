//! Everything that is judged, as plain values: whoever makes these up tests every rule without a server.

use std::path::PathBuf;

use aether_domain::WallTime;
use aether_infra_nats::{Examined, NatsConfig, Role, StartError, Validity};

use super::monitor::Monitor;
use crate::config::{ConfigRefused, Settings};

/// What was found out.
#[derive(Debug)]
pub(super) struct Facts {
    /// This machine's time.
    pub(super) now: WallTime,
    /// Whose rights the NATS user must have.
    pub(super) role: Role,
    /// What a node would be told, or why it is refused.
    pub(super) told: Result<Told, ConfigRefused>,
    /// A node's file was given and nothing names the node.
    pub(super) nameless: bool,
    /// This machine and this process.
    pub(super) host: Host,
    /// What NATS says; nothing if the settings do not say where it is.
    pub(super) nats: Option<Result<Examined, StartError>>,
    /// The monitoring pages that were named.
    pub(super) monitors: Vec<Monitor>,
}

/// What a node would be told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) settings: Settings,
    /// How NATS is reached, a context and flags included.
    pub(super) nats: NatsConfig,
    /// The node's file, if there is one.
    pub(super) file: Option<PathBuf>,
    /// Whether a node goes by these timers: who asks without a file is none, and need not know.
    pub(super) says_profile: bool,
    /// Whether a node asks for as many copies.
    pub(super) says_replicas: bool,
}

/// This machine and this process.
#[derive(Clone, Debug, Default)]
pub(super) struct Host {
    /// How many files and connections a process may have open.
    pub(super) open_files_max: Option<u64>,
    /// How much memory there is, or may be used.
    pub(super) memory_bytes: Option<u64>,
    /// Variables of the environment that hold a secret.
    pub(super) secret_variables: Vec<&'static str>,
    /// The mode of the node's file, if it holds a secret and others may read it.
    pub(super) open_file: Option<u32>,
    /// What the certificates that the settings name say of themselves.
    pub(super) certificates: Vec<Certificates>,
    /// The credentials file, and when the user in it ends, if it does; or why that cannot be read.
    pub(super) credentials: Option<(PathBuf, Result<Option<i64>, String>)>,
    /// The URL that the file of `admin.announce` holds now.
    pub(super) announced: Option<String>,
}

/// The certificates in one file.
#[derive(Clone, Debug)]
pub(super) struct Certificates {
    /// The setting that names the file.
    pub(super) setting: &'static str,
    pub(super) file: PathBuf,
    /// When each holds, in the file's order; or why that cannot be read.
    pub(super) held: Result<Vec<Validity>, String>,
}
