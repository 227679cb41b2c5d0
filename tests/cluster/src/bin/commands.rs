//! `cargo xtask chaos commands`: many commands while everything is broken, and a judge. See
//! [`aether_cluster_tests::timelines::commands`].

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use aether_cluster_tests::timelines::{
    Conditions,
    commands::{Judged, Storm, Until, storm},
    faults::Fault,
};
use anyhow::Result;
use clap::Parser;
use xtask::{
    clock::Deadline,
    cluster::{self, Profile},
    interrupt, out,
};

/// How long one cluster is asked: histories grow longer all the time, and whoever takes an actor over reads the whole of it.
const LEG_MAX: Duration = Duration::from_secs(300);

/// Asks many commands of real processes, breaks nodes, links and servers, and compares every answer with what is stored.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask chaos commands", bin_name = "cargo xtask chaos commands", disable_version_flag = true)]
struct Arguments {
    /// How many questions; some are asked more than once.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Ask for so many minutes instead, on a fresh cluster and with the next seed every five of them.
    #[arg(long, conflicts_with = "count", value_parser = clap::value_parser!(u16).range(1..))]
    minutes: Option<u16>,
    /// What is broken, names with commas between them; without it everything that so many servers can have.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    faults: Vec<Fault>,
    /// How many nats-servers, which is also how many copies there are of everything: 1 or 3.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    nats: u8,
    /// How many nodes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(3..=16))]
    nodes: u8,
    /// What is asked and broken is drawn from it; when answers come is not.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Let each of the 48 clients wait so many milliseconds between an answer and its next question: for long storms on a
    /// machine that has other work.
    #[arg(long, default_value_t = 0, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=10_000))]
    pause: u64,
    /// Build the nodes optimised.
    #[arg(long)]
    release: bool,
    /// Write the history to this file, for `cargo xtask histcheck`. Of several clusters each has its own: FILE and, behind a
    /// dot, its seed.
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
    let faults = Fault::chosen(&asked.faults, asked.nats.into())?;
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
    let pause = Duration::from_millis(asked.pause);
    let play = |until, seed, written: Option<&Path>| {
        let storming = Storm { faults: faults.clone(), broken_max: Storm::BROKEN_MAX, pause, until, seed };
        storm(&conditions, &storming, written)
    };
    let (mut all, mut seed) = (Judged::default(), asked.seed);
    if let Some(minutes) = asked.minutes {
        let end = Deadline::after(Duration::from_secs(60) * minutes.into());
        while !end.passed() {
            let written = asked.history.as_ref().map(|file| PathBuf::from(format!("{}.{seed}", file.display())));
            let leg = play(Until::Passed(end.left().min(LEG_MAX)), seed, written.as_deref())?;
            out::note(format!("seed {seed}: {leg}"));
            all += leg;
            seed += 1;
        }
        out::line(format!("{} clusters, seeds from {}: {all}", seed - asked.seed, asked.seed));
    } else {
        all = play(Until::Asked(asked.count), seed, asked.history.as_deref())?;
        out::line(format!("seed {seed}: {all}"));
    }
    Ok(())
}
