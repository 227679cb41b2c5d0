//! Commands that run something.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    /// The node's TOML file; AETHER_SECTION__KEY variables win over it.
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// The node's id, instead of the file's.
    #[arg(long)]
    pub(crate) id: Option<String>,
}

/// A death certificate lets the others take over at once what the process had, without waiting for its serve lease. It
/// speaks of the child itself: a program that forks away, or a script that does not end in `exec`, must not be run so.
/// Nodes in memory (`aether demo`) end with their process and have no use for it.
#[cfg(all(unix, feature = "nats"))]
#[derive(Debug, clap::Args)]
pub(crate) struct SuperviseArgs {
    /// The node's TOML file, which also says where NATS is; AETHER_SECTION__KEY variables win over it.
    #[arg(long, required_unless_present = "command")]
    pub(crate) config: Option<PathBuf>,
    /// The node's id, instead of the file's.
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// When to start it again: after 0.2 s, then twice as long each time, up to 10 s; 0.2 s again once it has run a minute.
    #[arg(long, value_enum, default_value_t = crate::program::restart::Restart::OnFailure)]
    pub(crate) restart: crate::program::restart::Restart,
    /// A file that is given the child's process id each time it is started.
    #[arg(long)]
    pub(crate) pid_file: Option<PathBuf>,
    /// What to run, with its arguments; a node of that file unless told. Its standard input is empty.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[cfg(feature = "nats")]
#[derive(Debug, clap::Args)]
pub(crate) struct LoadArgs {
    /// The load's TOML file, like a node's; AETHER_SECTION__KEY variables win over it.
    #[arg(long)]
    pub(crate) config: PathBuf,
}

/// On a terminal it is shown live, with keys that end and start nodes; docs/SCREEN.md says what is to be seen. No log is written then.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) nodes: u8,
    /// How many operations of the load are under way at once; no load without it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) load: Option<u16>,
    /// A file that is given each node's admin URL, one a line.
    #[arg(long)]
    pub(crate) announce: Option<PathBuf>,
    /// Lines of text instead of the live screen, on a terminal too.
    #[arg(long)]
    pub(crate) plain: bool,
}
