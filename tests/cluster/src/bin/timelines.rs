//! `cargo xtask chaos timelines`: the failure timelines with real processes, as a table. See [`aether_cluster_tests::timelines`].

use std::{path::PathBuf, process::ExitCode};

use aether_cluster_tests::timelines::{self, Conditions};
use anyhow::Result;
use clap::{Parser, ValueEnum};
use xtask::{
    cluster::{self, Profile},
    interrupt, out,
};

/// Plays the failure timelines on real processes and compares what it measures with what is promised.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask chaos timelines", bin_name = "cargo xtask chaos timelines", disable_version_flag = true)]
struct Arguments {
    /// Which timings.
    #[arg(long, value_enum, default_value = "default")]
    profile: ProfileArg,
    /// How many nats-servers, which is also how many copies there are of everything.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    replicas: u8,
    /// How many nodes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(3..=16))]
    nodes: u8,
    /// How often each timeline is played.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,
    /// Only this timeline; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Run each node under a supervisor, which tells the others when it has died; without it they go by its silence.
    #[arg(long)]
    supervised: bool,
    /// How many workers keep the cluster busy meanwhile.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    load: u8,
    /// One JSON object on the last line.
    #[arg(long)]
    json: bool,
    /// Build the nodes, and whoever measures them, optimised.
    #[arg(long)]
    release: bool,
    /// Use this aether program and build none.
    #[arg(long, value_name = "PATH", conflicts_with = "release")]
    program: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProfileArg {
    Default,
    Fast,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(missed) => {
            out::note(format!("{missed} missed"));
            ExitCode::FAILURE
        }
        Err(error) => {
            out::note(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(asked: Arguments) -> Result<usize> {
    anyhow::ensure!(asked.replicas != 2, "1 or 3 replicas: streams have one copy or three");
    let chosen = timelines::chosen(&asked.only, usize::from(asked.replicas))?;
    let program = asked.program.clone().map_or_else(|| cluster::build(asked.release), Ok)?;
    interrupt::listen()?;
    let conditions = Conditions {
        program: std::path::absolute(program)?,
        nodes: asked.nodes.into(),
        replicas: asked.replicas.into(),
        profile: match asked.profile {
            ProfileArg::Default => Profile::Default,
            ProfileArg::Fast => Profile::Fast,
        },
        supervised: asked.supervised,
        load: asked.load.into(),
    };
    let report = timelines::play(&conditions, &chosen, asked.repeat.into())?;
    out::line(report.to_string().trim_end());
    if asked.json {
        out::line(serde_json::to_string(&report)?);
    }
    Ok(report.missed())
}
