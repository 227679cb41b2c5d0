//! What is asked of a node's pages.

use clap::{Subcommand, ValueEnum};

/// A picture a second, and every event as it comes, from whichever node answers: first those of --url, then those that they know
/// of. Keys that change something ask first, and do what `nodes drain`, `leader step-down` and `rebalance` do.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct TopArgs {
    /// Print one picture as plain text and end: of the size that COLUMNS and LINES say, or the terminal's, or 80x24.
    #[arg(long)]
    pub(crate) once: bool,
    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(crate) ask: super::AskArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MovesArgs {
    /// Only this shard's, with their actors, as JSON.
    pub(crate) shard: Option<u16>,
    /// Show them again every second, until interrupted.
    #[arg(long)]
    pub(crate) watch: bool,
}

/// Without anything else: how many shards each node owns, and which.
#[derive(Debug, clap::Args)]
pub(crate) struct ShardsArgs {
    /// A letter for each shard, by its owner; of many shards, a letter for as many as fit on 32 lines of 64.
    #[arg(long)]
    pub(crate) grid: bool,
    /// Only what this node owns.
    #[arg(long, value_name = "ID", conflicts_with = "orphaned")]
    pub(crate) node: Option<String>,
    /// Only shards that nobody owns.
    #[arg(long)]
    pub(crate) orphaned: bool,
    #[command(subcommand)]
    pub(crate) command: Option<ShardsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ShardsCommand {
    /// Show one shard, and what happened to it.
    Show {
        /// Its number, from 0.
        shard: u16,
        /// How many events of its history, the latest.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
}

/// Which shard an actor is in follows from its kind and its id alone; the node that is asked says whose that shard is. The actor
/// need not exist.
#[derive(Debug, clap::Args)]
pub(crate) struct WhereArgs {
    /// The actor's kind.
    pub(crate) kind: String,
    /// Its id.
    pub(crate) id: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WhyCommand {
    /// The entries of the log that led to where a shard is: by whom, and for what cause.
    Shard {
        /// Its number, from 0.
        shard: u16,
    },
    /// The same of the shard that an actor is in.
    Actor(WhereArgs),
}

/// Entries of the topology log: who joined, left and failed, who led, whose which shard became, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct EventsArgs {
    /// Go on with what happens from now on, until interrupted. A connection that is lost is made again, and nothing is missed.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only events of this name, such as NodeFailed; more than one with commas between.
    #[arg(long = "type", value_name = "NAME", value_delimiter = ',')]
    pub(crate) types: Vec<String>,
    /// Only what is about this node.
    #[arg(long, value_name = "ID")]
    pub(crate) node: Option<String>,
    /// Only what is about this shard.
    #[arg(long, value_name = "N")]
    pub(crate) shard: Option<u16>,
    /// From when on: a span such as 90s, 15m, 1h or 2d before now, by the leaders' clocks; or the entries behind this epoch.
    #[arg(long, value_name = "SPAN|EPOCH")]
    pub(crate) since: Option<String>,
    /// At most so many entries, the latest: 50, or 10 before what follows; with --since no limit, unless told.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

/// Exit codes: 0 all is well, 3 critical, 4 warning; 1 nothing could be found out, 2 the command line is wrong. With `-o nagios`
/// those of a plugin: 0 ok, 1 warning, 2 critical, 3 nothing could be found out.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// What to judge.
    #[arg(value_enum, default_value_t = Subject::Cluster)]
    pub(crate) what: Subject,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// Everything: nodes, leader, shards, moves, and what a node's health page finds.
    Cluster,
    /// Whether somebody leads and is heard.
    Leader,
    /// Whether every shard has an owner that is heard.
    Shards,
    /// Whether moves get on, and nobody has forgotten to resume redistribution.
    Moves,
}

/// From which figure on it is a warning, and from which on it is critical.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Fewer active nodes are a warning.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) nodes_warning: u64,
    /// Fewer active nodes are critical.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) nodes_critical: u64,
    /// As many failed nodes are a warning.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) failed_warning: u64,
    /// As many failed nodes are critical; unless told none are, but for what the health page finds critical anyway.
    #[arg(long, value_name = "N")]
    pub(crate) failed_critical: Option<u64>,
    /// As many shards without an owner, or with one that is not heard, are a warning.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) unserved_warning: u64,
    /// As many of them are critical.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) unserved_critical: u64,
    /// A move that lasts so many seconds is a warning.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) move_warning: u64,
    /// A move that lasts so many seconds is critical.
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub(crate) move_critical: u64,
    /// A node that is asked and is so many entries behind what others have applied is a warning.
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) behind_warning: u64,
    /// A node that is asked and is so many entries behind is critical.
    #[arg(long, default_value_t = 1024, value_name = "N")]
    pub(crate) behind_critical: u64,
}

impl Default for LimitArgs {
    /// As the command line has them if nothing is said.
    fn default() -> Self {
        let command = <Self as clap::Args>::augment_args(clap::Command::new("limits"));
        let said =
            command.try_get_matches_from(["limits"]).and_then(|said| clap::FromArgMatches::from_arg_matches(&said));
        said.expect("each of them has a default, or needs none")
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// `aether completions bash > /etc/bash_completion.d/aether`
    Bash,
    /// `aether completions zsh > "${fpath[1]}/_aether"`
    Zsh,
    /// `aether completions fish > ~/.config/fish/completions/aether.fish`
    Fish,
}
