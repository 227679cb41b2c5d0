//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Distributed, event-sourced actors on NATS JetStream.
#[derive(Debug, Parser)]
#[command(name = "aether", version, about, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a node of the built-in demo application.
    Node(NodeArgs),
    /// Run a node's process as a child, tell the cluster when it has died, and start it again.
    #[cfg(all(unix, feature = "nats"))]
    Supervise(SuperviseArgs),
    /// Run a whole cluster in this process, without NATS; its state ends with it.
    Demo(DemoArgs),
    /// Keep a cluster of the demo application busy, and check every acknowledged operation.
    #[cfg(feature = "nats")]
    Load(LoadArgs),
    /// Show a cluster as one of its nodes sees it.
    Status(StatusArgs),
    /// Show the moves of shards, as one of their nodes sees them.
    Moves(MovesArgs),
    /// Show how feeds stand, as one node that has subscribed to them sees them.
    Feeds(StatusArgs),
    /// Say where shards are to be, and see what became of it.
    #[cfg(feature = "nats")]
    #[command(subcommand)]
    Placement(PlacementCommand),
    /// Show what would be moved now, or ask for redistribution to be paused, cancelled or gone on with.
    #[cfg(feature = "nats")]
    Rebalance(RebalanceArgs),
    /// Show the nodes, or ask one to hand over and leave.
    #[cfg(feature = "nats")]
    Nodes(NodesArgs),
    /// Show who leads, or ask for another leader.
    #[cfg(feature = "nats")]
    Leader(LeaderArgs),
    /// Look at the commands that were given up, ask one again, and forget what has been dealt with.
    #[cfg(feature = "nats")]
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// See to one actor.
    #[cfg(feature = "nats")]
    #[command(subcommand)]
    Actor(ActorCommand),
    /// Read everything that a namespace has stored, and say what of it is not as it must be.
    #[cfg(feature = "nats")]
    Verify(VerifyArgs),
    /// Print what a NATS user of one role may do, as a part of nats-server's configuration.
    #[cfg(feature = "nats")]
    Acl(AclArgs),
    /// Make the streams that a namespace lacks: where nodes may not, once, by somebody who may.
    #[cfg(feature = "nats")]
    Provision(StoreArgs),
}

#[cfg(feature = "nats")]
#[derive(Debug, clap::Args)]
pub(super) struct AclArgs {
    /// The namespace.
    #[arg(long, visible_alias = "namespace")]
    pub(super) ns: String,
    /// What the user is for: node (its supervisor too), client, observer, operator.
    #[arg(long, value_parser = super::acl::role)]
    pub(super) role: aether_infra_nats::Role,
    /// What the user's inboxes begin with, if not as the role's usually do; `nats.inbox_prefix` then says the same.
    #[arg(long)]
    pub(super) inbox: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct NodeArgs {
    /// The node's TOML file; AETHER_SECTION__KEY variables win over it.
    #[arg(long)]
    pub(super) config: PathBuf,
    /// The node's id, instead of the file's.
    #[arg(long)]
    pub(super) id: Option<String>,
}

/// A death certificate lets the others take over at once what the process had, without waiting for its serve lease. It
/// speaks of the child itself: a program that forks away, or a script that does not end in `exec`, must not be run so.
/// Nodes in memory (`aether demo`) end with their process and have no use for it.
#[cfg(all(unix, feature = "nats"))]
#[derive(Debug, clap::Args)]
pub(super) struct SuperviseArgs {
    /// The node's TOML file, which also says where NATS is; AETHER_SECTION__KEY variables win over it.
    #[arg(long, required_unless_present = "command")]
    pub(super) config: Option<PathBuf>,
    /// The node's id, instead of the file's.
    #[arg(long)]
    pub(super) id: Option<String>,
    /// When to start it again: after 0.2 s, then twice as long each time, up to 10 s; 0.2 s again once it has run a minute.
    #[arg(long, value_enum, default_value_t = super::restart::Restart::OnFailure)]
    pub(super) restart: super::restart::Restart,
    /// A file that is given the child's process id each time it is started.
    #[arg(long)]
    pub(super) pid_file: Option<PathBuf>,
    /// What to run, with its arguments; a node of that file unless told. Its standard input is empty.
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<std::ffi::OsString>,
}

#[cfg(feature = "nats")]
#[derive(Debug, clap::Args)]
pub(super) struct LoadArgs {
    /// The load's TOML file, like a node's; AETHER_SECTION__KEY variables win over it.
    #[arg(long)]
    pub(super) config: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) nodes: u8,
    /// How many operations of the load are under way at once; no load without it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) load: Option<u16>,
    /// A file that is given each node's admin URL, one a line.
    #[arg(long)]
    pub(super) announce: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Where a node's admin pages are, as its log or cluster-up says.
    #[arg(long, env = "AETHER_ADMIN_URL")]
    pub(super) url: String,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct MovesArgs {
    /// Only this shard's, with their actors, as JSON.
    pub(super) shard: Option<u16>,
    /// Show them again every second, until interrupted.
    #[arg(long)]
    pub(super) watch: bool,
    #[command(flatten)]
    pub(super) status: StatusArgs,
}

#[cfg(feature = "nats")]
#[derive(Debug, Subcommand)]
pub(super) enum PlacementCommand {
    /// Show the policy that the cluster goes by, and whether another one is wanted.
    Show(StatusArgs),
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
#[cfg(feature = "nats")]
#[derive(Debug, clap::Args)]
pub(super) struct RebalanceArgs {
    /// Show what a plan would move if it were made now; this is what happens if nothing else is asked.
    #[arg(long, group = "wish")]
    pub(super) plan: bool,
    /// Make that plan at once, whether redistribution is paused or somebody may be about to leave.
    #[arg(long, group = "wish")]
    pub(super) apply: bool,
    /// Begin no move and make no plan; what is under way ends.
    #[arg(long, group = "wish")]
    pub(super) pause: bool,
    /// Go on: the same as --apply.
    #[arg(long, group = "wish")]
    pub(super) resume: bool,
    /// Give up what is under way, and make no plan until it is resumed.
    #[arg(long, group = "wish")]
    pub(super) cancel: bool,
    /// Where a node's admin pages are; for --plan.
    #[arg(long, env = "AETHER_ADMIN_URL", required_unless_present_any = ["apply", "pause", "resume", "cancel"])]
    pub(super) url: Option<String>,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) ask: AskArgs,
}

#[cfg(feature = "nats")]
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct NodesArgs {
    /// Where a node's admin pages are.
    #[arg(long, env = "AETHER_ADMIN_URL", required = true)]
    pub(super) url: Option<String>,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
    #[command(subcommand)]
    pub(super) command: Option<NodesCommand>,
}

#[cfg(feature = "nats")]
#[derive(Debug, Subcommand)]
pub(super) enum NodesCommand {
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

#[cfg(feature = "nats")]
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct LeaderArgs {
    /// Where a node's admin pages are.
    #[arg(long, env = "AETHER_ADMIN_URL", required = true)]
    pub(super) url: Option<String>,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
    #[command(subcommand)]
    pub(super) command: Option<LeaderCommand>,
}

#[cfg(feature = "nats")]
#[derive(Debug, Subcommand)]
pub(super) enum LeaderCommand {
    /// Ask the leader to give the lead to another node.
    StepDown {
        #[command(flatten)]
        ask: AskArgs,
    },
}

/// What is asked is written down with who asks and why.
#[cfg(feature = "nats")]
#[derive(Debug, clap::Args)]
pub(super) struct AskArgs {
    /// Who asks; the user of this machine unless told.
    #[arg(long)]
    pub(super) by: Option<String>,
    /// Why.
    #[arg(long)]
    pub(super) why: Option<String>,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

/// Each letter is one line of JSON.
#[cfg(feature = "nats")]
#[derive(Debug, Subcommand)]
pub(super) enum DeadLettersCommand {
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

#[cfg(feature = "nats")]
#[derive(Debug, Subcommand)]
pub(super) enum ActorCommand {
    /// Let a quarantined actor be loaded anew by its next command; says whether it was one.
    Release {
        /// Its kind.
        kind: String,
        /// Its id.
        id: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Show the actors that a node has set aside, as JSON.
    Quarantined {
        /// Where the node's admin pages are.
        #[arg(long, env = "AETHER_ADMIN_URL")]
        url: String,
    },
}

#[cfg(feature = "nats")]
#[derive(Debug, clap::Args)]
pub(super) struct StoreArgs {
    /// A node's TOML file, which says where NATS is; AETHER_SECTION__KEY variables win over it.
    #[arg(long)]
    pub(super) config: Option<PathBuf>,
}

/// Nothing is written, and no node is asked: the cluster may go on meanwhile, or be off. What is stored after it began is not
/// looked at. Exit code 0: nothing is wrong; 3: something is, one line each; 1: not everything could be read.
#[cfg(feature = "nats")]
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// How to show it; JSON is one object a line, the last one says how it ended.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// As the node answers it.
    Json,
}
