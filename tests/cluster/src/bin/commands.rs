//! `cargo xtask chaos commands`: many commands while everything is broken, and a judge. See
//! [`aether_cluster_tests::timelines::commands`].

use std::{path::PathBuf, process::ExitCode};

use aether_cluster_tests::timelines::{Conditions, commands::storm};
use anyhow::Result;
use clap::Parser;
use xtask::{
    cluster::{self, Profile},
    interrupt, out,
};

/// Asks many commands of real processes, breaks nodes, links and servers, and compares every answer with what is stored.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask chaos commands", bin_name = "cargo xtask chaos commands", disable_version_flag = true)]
struct Arguments {
    /// How many questions; some are asked more than once.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// How many nats-servers, which is also how many copies there are of everything: 1 or 3.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    nats: u8,
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=16))]
    nodes: u8,
    /// What is asked and broken is drawn from it; when answers come is not.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Build the nodes optimised.
    #[arg(long)]
    release: bool,
    /// Write the history to this file, for `cargo xtask histcheck`.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Use this aether program and build none.
    #[arg(long, value_name = "PATH", conflicts_with = "release")]
    program: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::note(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(asked: Arguments) -> Result<()> {
    anyhow::ensure!(asked.nats != 2, "1 or 3 servers: streams have one copy or three");
    let program = asked.program.clone().map_or_else(|| cluster::build(asked.release), Ok)?;
    interrupt::listen()?;
    let conditions = Conditions {
        program: std::path::absolute(program)?,
        nodes: asked.nodes.into(),
        replicas: asked.nats.into(),
        profile: Profile::Fast,
        supervised: false,
        load: 1,
    };
    out::line(storm(&conditions, asked.count, asked.seed, asked.history.as_deref())?.to_string());
    Ok(())
}
