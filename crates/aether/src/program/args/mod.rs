//! The command line: what can be asked, and what every command understands.

mod look;
mod node;
#[cfg(feature = "nats")]
mod operate;

#[cfg(feature = "nats")]
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use look::*;
pub(crate) use node::*;
#[cfg(feature = "nats")]
pub(crate) use operate::*;

/// Distributed, event-sourced actors on NATS JetStream.
#[derive(Debug, Parser)]
#[command(name = "aether", version, about, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
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
    Status,
    /// Show a cluster as it goes on, on the whole terminal: shards, nodes, moves, alerts, events; `?` there lists the keys.
    Top(TopArgs),
    /// Show the nodes, or ask one to hand over and leave.
    #[cfg(feature = "nats")]
    Nodes(NodesArgs),
    /// Show who leads, or ask for another leader.
    #[cfg(feature = "nats")]
    Leader(LeaderArgs),
    /// Show whose the shards are, or one shard and its history.
    Shards(ShardsArgs),
    /// Show where an actor is: its shard, who owns that, and where the owner's pages are.
    Where(WhereArgs),
    /// Show why a shard, or an actor's shard, is where it is.
    #[command(subcommand)]
    Why(WhyCommand),
    /// Show the moves of shards, as one of their nodes sees them.
    Moves(MovesArgs),
    /// Show what would be moved now, or ask for redistribution to be paused, cancelled or gone on with.
    #[cfg(feature = "nats")]
    Rebalance(RebalanceArgs),
    /// Say where shards are to be, and see what became of it.
    #[cfg(feature = "nats")]
    #[command(subcommand)]
    Placement(PlacementCommand),
    /// Show how feeds stand, as one node that has subscribed to them sees them.
    Feeds,
    /// Show what happened to the cluster, now or as it happens.
    Events(EventsArgs),
    /// Say for monitoring whether all is well: exit code 0 if so, 3 if not, 4 if somebody should look.
    Check(CheckArgs),
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
    /// Say what is wrong or unwise with a node's settings, with NATS and with what is stored there, and the cure of each.
    #[cfg(feature = "nats")]
    Doctor(DoctorArgs),
    /// Print what a NATS user of one role may do, as a part of nats-server's configuration.
    #[cfg(feature = "nats")]
    Acl(AclArgs),
    /// Make the streams that a namespace lacks: where nodes may not, once, by somebody who may.
    #[cfg(feature = "nats")]
    Provision(StoreArgs),
    /// Print what makes a shell complete this program's commands and options.
    Completions(CompletionsArgs),
}

/// What every command understands.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// How to show it.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table, value_name = "FORM")]
    pub(crate) output: Output,
    /// Show nothing in colour. Only a terminal is shown colours; the variable NO_COLOR says the same.
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// Where the admin pages of nodes are, with commas between: the first that answers is asked. Unless told, the nodes of a
    /// `cluster-up` whose target/aether/cluster.json is below this folder.
    #[arg(long, global = true, env = "AETHER_ADMIN_URL", value_delimiter = ',', value_name = "URL")]
    pub(crate) url: Vec<String>,
    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(crate) nats: NatsArgs,
}

/// Where NATS is, over what a file or the environment says.
#[cfg(feature = "nats")]
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct NatsArgs {
    /// A context of the nats program that says where NATS is and who asks; `-` is the one that is selected there.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Where NATS is, with commas between: servers of one cluster.
    #[arg(long, global = true, value_delimiter = ',', value_name = "URL")]
    pub(crate) nats_url: Vec<String>,
    /// The cluster's name.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}

#[cfg(feature = "nats")]
#[derive(Debug, clap::Args)]
pub(crate) struct AclArgs {
    /// The namespace; `--namespace` says the same.
    #[arg(long, required_unless_present = "namespace", value_name = "NAME")]
    pub(crate) ns: Option<String>,
    /// What the user is for: node (its supervisor too), client, observer, operator.
    #[arg(long, value_parser = super::acl::role)]
    pub(crate) role: aether_infra_nats::Role,
    /// What the user's inboxes begin with, if not as the role's usually do; `nats.inbox_prefix` then says the same.
    #[arg(long)]
    pub(crate) inbox: Option<String>,
}

/// Where NATS is, by a file.
#[cfg(feature = "nats")]
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct StoreArgs {
    /// A node's TOML file, which says where NATS is; AETHER_SECTION__KEY variables win over it.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[value(alias = "text")]
    Table,
    /// For programs: docs/CLI.md has every field.
    Json,
    /// For people with a wide terminal: everything there is.
    Wide,
    /// `check` only: a line as a plugin of Nagios writes it, with the exit codes it must have.
    Nagios,
    /// `check` only: metrics for a textfile collector.
    Prometheus,
}
