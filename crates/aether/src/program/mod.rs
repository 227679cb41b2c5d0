//! The `aether` program: a node of the demo application, its supervisor, its load, an in-process demonstration, a look
//! at a cluster, and a word on where its shards are to be.
//!
//! Applications embed [`crate::Node`] in a program of their own; this one is what a cluster is tried and tested with.

#[cfg(feature = "nats")]
mod acl;
#[cfg(feature = "nats")]
mod actor;
mod args;
mod ask;
mod check;
mod cluster_file;
mod completions;
#[cfg(feature = "nats")]
mod contexts;
mod demo;
#[cfg(feature = "nats")]
mod doctor;
mod events;
mod feeds;
mod history;
mod ink;
#[cfg(feature = "nats")]
mod letters;
#[cfg(feature = "nats")]
mod load;
mod moves;
mod node;
#[cfg(feature = "nats")]
mod operate;
mod out;
mod pages;
#[cfg(feature = "nats")]
mod placement;
#[cfg(feature = "nats")]
mod readers;
#[cfg(all(unix, feature = "nats"))]
mod registrar;
#[cfg(all(unix, feature = "nats"))]
mod restart;
mod shards;
mod signals;
mod status;
#[cfg(feature = "nats")]
mod store;
#[cfg(all(unix, feature = "nats"))]
mod supervise;
mod table;
mod top;
#[cfg(feature = "nats")]
mod verify;
mod when;
mod whereabouts;
mod why;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
#[cfg(feature = "nats")]
pub use readers::Readers;

use crate::node::Ended;

/// Exit codes, for scripts and supervisors. `aether supervise` ends with its child's; if a signal has killed the child,
/// with 128 and the signal's number.
pub mod exit {
    /// All is well.
    pub const OK: u8 = 0;
    /// Something went wrong; standard error says what and what to do.
    pub const ERROR: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// What was looked at is not as it must be; standard output says what.
    pub const CRITICAL: u8 = 3;
    /// What was looked at works, and somebody should look; standard output says why.
    pub const WARNING: u8 = 4;
    /// Another process lives under this node's id. Starting again soon will not help.
    pub const NODE_ID_IN_USE: u8 = 78;
    /// A handler did not end, so its watchdog has ended the process. A supervisor starts it again.
    pub const HANDLER_STUCK: u8 = crate::EXIT_STUCK;
}

/// Runs the program on this process's arguments and answers its exit code.
#[cfg(feature = "nats")]
pub fn main() -> ExitCode {
    main_with(Readers::none().with::<crate::demo::bank::Account>())
}

/// Runs the program on this process's arguments and answers its exit code.
#[cfg(not(feature = "nats"))]
pub fn main() -> ExitCode {
    begin(&())
}

/// The same, for a program that knows an application's kinds.
#[cfg(feature = "nats")]
pub fn main_with(readers: Readers) -> ExitCode {
    begin(&readers)
}

/// The kinds that can be read: without a store there is nothing to read.
#[cfg(not(feature = "nats"))]
type Readers = ();

fn begin(
    #[cfg_attr(not(feature = "nats"), expect(unused_variables, reason = "nothing to read"))] readers: &Readers,
) -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(said) => {
            // Help and version are no errors; if the terminal is gone there is nobody to tell.
            drop(said.print());
            return if said.use_stderr() { exit::USAGE.into() } else { exit::OK.into() };
        }
    };
    // One thread more than a handler that does not end can hold up: the heartbeats must go on until the watchdog ends it.
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().max(2));
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out::fault(&anyhow::Error::new(error).context("this process cannot start threads"));
            return exit::ERROR.into();
        }
    };
    let Args { command, global } = args;
    let done = runtime.block_on(async {
        match command {
            Command::Node(args) => node::run(args, &global).await?,
            #[cfg(all(unix, feature = "nats"))]
            Command::Supervise(args) => return supervise::run(args, &global).await,
            Command::Demo(args) => demo::run(args, &global).await?,
            #[cfg(feature = "nats")]
            Command::Load(args) => load::run(args, &global).await?,
            Command::Status => status::run(&global).await?,
            Command::Top(args) => top::run(args, &global).await?,
            Command::Shards(args) => shards::run(args, &global).await?,
            Command::Where(args) => whereabouts::run(args, &global).await?,
            Command::Why(command) => why::run(command, &global).await?,
            Command::Events(args) => events::run(args, &global).await?,
            Command::Check(args) => return check::run(args, &global).await,
            Command::Completions(args) => completions::run(args),
            Command::Moves(args) => moves::run(args, &global).await?,
            Command::Feeds => feeds::run(&global).await?,
            #[cfg(feature = "nats")]
            Command::Placement(command) => placement::run(command, &global).await?,
            #[cfg(feature = "nats")]
            Command::Rebalance(args) => operate::rebalance(args, &global).await?,
            #[cfg(feature = "nats")]
            Command::Nodes(args) => operate::nodes(args, &global).await?,
            #[cfg(feature = "nats")]
            Command::Leader(args) => operate::leader(args, &global).await?,
            #[cfg(feature = "nats")]
            Command::DeadLetters(command) => letters::run(command, &global).await?,
            #[cfg(feature = "nats")]
            Command::Actor(command) => letters::actor(command, &global, readers).await?,
            #[cfg(feature = "nats")]
            Command::Verify(args) => return verify::run(args, &global).await,
            #[cfg(feature = "nats")]
            Command::Doctor(args) => return doctor::run(args, &global).await,
            #[cfg(feature = "nats")]
            Command::Acl(args) => acl::print(args, &global)?,
            #[cfg(feature = "nats")]
            Command::Provision(args) => acl::provision(args, &global).await?,
        }
        Ok(exit::OK)
    });
    // What still runs holds nothing that must be finished: everything acknowledged is stored.
    runtime.shutdown_background();
    match done {
        Ok(code) => code.into(),
        Err(error) => {
            out::fault(&error);
            code_of(&error).into()
        }
    }
}

/// The command line is wrong, in a way that only the command itself could see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn code_of(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() {
        return exit::USAGE;
    }
    match error.downcast_ref::<Ended>() {
        Some(Ended::NodeIdInUse { .. }) => exit::NODE_ID_IN_USE,
        _ => exit::ERROR,
    }
}

/// What the adapter is told of NATS; `name` is how the server's monitoring shows the connection.
#[cfg(feature = "nats")]
fn nats_config(settings: &crate::config::Settings, name: &str) -> aether_infra_nats::NatsConfig {
    use crate::config::NatsTls;
    use aether_infra_nats::{Credentials, NatsConfig, Tls};

    let nats = &settings.nats;
    // One way at most: the settings were checked.
    let credentials = match (&nats.creds, &nats.nkey, &nats.token, &nats.user, &nats.password) {
        (Some(file), ..) => Credentials::File(file.clone()),
        (_, Some(seed), ..) => Credentials::NkeySeed(seed.reveal().to_owned()),
        (_, _, Some(token), ..) => Credentials::Token(token.reveal().to_owned()),
        (_, _, _, Some(user), Some(password)) => {
            Credentials::Password { user: user.clone(), password: password.reveal().to_owned() }
        }
        _ => Credentials::None,
    };
    let mut config = NatsConfig::new(nats.urls.iter().cloned());
    config.credentials = credentials;
    let NatsTls { authorities, identity, insecure } = nats.tls.clone();
    config.tls = Tls { insecure, authorities, identity };
    config.inbox_prefix.clone_from(&nats.inbox_prefix);
    config.name = format!("aether {} {name}", settings.namespace);
    config.replicas = nats.replicas;
    // Whether this build knows it, the connection finds out.
    config.format_max = settings.node.format_max.unwrap_or(config.format_max);
    config
}
