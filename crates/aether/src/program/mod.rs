//! The `aether` program: a node of the demo application, its supervisor, its load, an in-process demonstration, a look
//! at a cluster, and a word on where its shards are to be.
//!
//! Applications embed [`crate::Node`] in a program of their own; this one is what a cluster is tried and tested with.

#[cfg(feature = "nats")]
mod acl;
mod args;
mod demo;
mod feeds;
#[cfg(feature = "nats")]
mod letters;
#[cfg(feature = "nats")]
mod load;
mod moves;
mod node;
#[cfg(feature = "nats")]
mod operate;
mod out;
#[cfg(feature = "nats")]
mod placement;
#[cfg(all(unix, feature = "nats"))]
mod registrar;
#[cfg(all(unix, feature = "nats"))]
mod restart;
mod signals;
mod status;
#[cfg(all(unix, feature = "nats"))]
mod supervise;
#[cfg(feature = "nats")]
mod verify;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

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
    /// Another process lives under this node's id. Starting again soon will not help.
    pub const NODE_ID_IN_USE: u8 = 78;
    /// A handler did not end, so its watchdog has ended the process. A supervisor starts it again.
    pub const HANDLER_STUCK: u8 = crate::EXIT_STUCK;
}

/// Runs the program on this process's arguments and answers its exit code.
pub fn main() -> ExitCode {
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
    let done = runtime.block_on(async {
        match args.command {
            Command::Node(args) => node::run(args).await?,
            #[cfg(all(unix, feature = "nats"))]
            Command::Supervise(args) => return supervise::run(args).await,
            Command::Demo(args) => demo::run(args).await?,
            #[cfg(feature = "nats")]
            Command::Load(args) => load::run(args).await?,
            Command::Status(args) => status::run(args).await?,
            Command::Moves(args) => moves::run(args).await?,
            Command::Feeds(args) => feeds::run(args).await?,
            #[cfg(feature = "nats")]
            Command::Placement(command) => placement::run(command).await?,
            #[cfg(feature = "nats")]
            Command::Rebalance(args) => operate::rebalance(args).await?,
            #[cfg(feature = "nats")]
            Command::Nodes(args) => operate::nodes(args).await?,
            #[cfg(feature = "nats")]
            Command::Leader(args) => operate::leader(args).await?,
            #[cfg(feature = "nats")]
            Command::DeadLetters(command) => letters::run(command).await?,
            #[cfg(feature = "nats")]
            Command::Actor(command) => letters::actor(command).await?,
            #[cfg(feature = "nats")]
            Command::Verify(args) => return verify::run(args).await,
            #[cfg(feature = "nats")]
            Command::Acl(args) => acl::print(args)?,
            #[cfg(feature = "nats")]
            Command::Provision(store) => acl::provision(store).await?,
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

fn code_of(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Ended>() {
        Some(Ended::NodeIdInUse { .. }) => exit::NODE_ID_IN_USE,
        _ => exit::ERROR,
    }
}

/// The settings of a command that is no node: of NATS and of the log. A file that is no node's names no node.
#[cfg(feature = "nats")]
fn settings(file: Option<&std::path::Path>, id: Option<&str>) -> anyhow::Result<crate::config::Settings> {
    use crate::config::Layers;

    let layers = file.map_or_else(|| Ok(Layers::none()), Layers::file)?.with_process_environment();
    let named = layers.clone().with_flag("node.id", id).load();
    Ok(named.or_else(|_| layers.with_flag("node.id", Some("unnamed")).load())?)
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
