//! What is asked of the cluster, or read from its store, over NATS.

use std::path::PathBuf;

use clap::Subcommand;

use super::StoreArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum PlacementCommand {
    /// Show the policy that the cluster goes by, and whether another one is wanted.
    Show,
    /// Ask for the policy in a TOML file; what it leaves out is as by default.
    Apply {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Ask for one shard to be on one node, and leave everything else as it is wanted now.
    Pin {
        /// The shard's number, from 0.
        shard: u16,
        /// The node's id.
        node: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Ask for one shard to be wherever balance puts it.
    Unpin {
        /// The shard's number, from 0.
        shard: u16,
        #[command(flatten)]
        store: StoreArgs,
    },
}

/// While redistribution is paused or cancelled, only what must move does: shards without an owner, and those of nodes that leave
/// or are relieved.
#[derive(Debug, clap::Args)]
pub(crate) struct RebalanceArgs {
    /// Show what a plan would move if it were made now; this is what happens if nothing else is asked.
    #[arg(long, group = "wish")]
    pub(crate) plan: bool,
    /// Make that plan at once, whether redistribution is paused or somebody may be about to leave.
    #[arg(long, group = "wish")]
    pub(crate) apply: bool,
    /// Begin no move and make no plan; what is under way ends.
    #[arg(long, group = "wish")]
    pub(crate) pause: bool,
    /// Go on: the same as --apply.
    #[arg(long, group = "wish")]
    pub(crate) resume: bool,
    /// Give up what is under way, and make no plan until it is resumed.
    #[arg(long, group = "wish")]
    pub(crate) cancel: bool,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NodesArgs {
    #[command(subcommand)]
    pub(crate) command: Option<NodesCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodesCommand {
    /// Ask a node to hand its shards over, to leave and to end, as SIGTERM does; its process ends with 0.
    Drain {
        /// The node's id.
        node: String,
        /// Wait until it has left, at most 30 s.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        ask: AskArgs,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct LeaderArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LeaderCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LeaderCommand {
    /// Ask the leader to give the lead to another node.
    StepDown {
        #[command(flatten)]
        ask: AskArgs,
    },
}

/// What is asked is written down with who asks and why.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct AskArgs {
    /// Who asks; the user of this machine unless told.
    #[arg(long)]
    pub(crate) by: Option<String>,
    /// Why.
    #[arg(long)]
    pub(crate) why: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Each letter is one line of JSON.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// Show the letters, oldest first.
    List {
        /// Only those behind this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Show one letter.
    Show {
        /// Its number, as `list` shows it.
        sequence: u64,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Forget one letter.
    Forget {
        /// Its number.
        sequence: u64,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Ask a letter's command again, and show the reply; the letter stays. However often it is asked so, it counts once.
    Again {
        /// The letter's number.
        sequence: u64,
        #[command(flatten)]
        store: StoreArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ActorCommand {
    /// Let a quarantined actor be loaded anew by its next command; says whether it was one.
    Release {
        /// Its kind.
        kind: String,
        /// Its id.
        id: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Show what happened to an actor, read from the store: its events, or its state at a version.
    History(HistoryArgs),
    /// Show the actors that a node has set aside, as JSON.
    Quarantined,
}

/// Events that are stored as JSON are shown as they are. Binary ones are shown as hex, unless this program knows their kind: it
/// knows the demo application's, and a program of your own knows yours (aether::program::main_with).
#[derive(Debug, clap::Args)]
pub(crate) struct HistoryArgs {
    /// The actor's kind.
    pub(crate) kind: String,
    /// Its id.
    pub(crate) id: String,
    /// Show the state after so many events instead; 0 is the state before the first.
    #[arg(long, value_name = "VERSION")]
    pub(crate) at: Option<u64>,
    /// At most so many commits, the latest.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Runs with what a node would run with: the same file, environment and flags; before a node is deployed, or while it runs.
/// Nothing is written, and no stream or consumer is made. Exit codes: 0 nothing is wrong, 3 a fault (something will not work, or a
/// promise is lost), 4 a warning (it works, and is unwise); 1 it could not look, 2 the command line is wrong. docs/DOCTOR.md has
/// every finding.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The node's id, instead of the file's.
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// Whose rights the NATS user must have: node, client, observer, operator. Unless told a node's; with --context an operator's.
    #[arg(long, value_parser = crate::program::acl::role)]
    pub(crate) role: Option<aether_infra_nats::Role>,
    /// Where the monitoring pages of nats-server are, of every server, with commas between: they alone say whether it syncs before
    /// it acknowledges, and until when its certificate holds.
    #[arg(long, value_delimiter = ',', value_name = "URL")]
    pub(crate) monitor: Vec<String>,
    /// Show everything that could be found, and look at nothing.
    #[arg(long)]
    pub(crate) list: bool,
}

/// Nothing is written, and no node is asked: the cluster may go on meanwhile, or be off. What is stored after it began is not
/// looked at. Exit code 0: nothing is wrong; 3: something is, one line each; 1: not everything could be read.
/// JSON is one object a line, the last one says how it ended.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}
