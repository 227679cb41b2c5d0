//! The model on the command line: how many states each world has, and how each missing rule is noticed.
#![expect(clippy::print_stdout, reason = "what it finds is its output")]

use std::process::ExitCode;

use aether_model::{Explored, Rule, Rules, broken, explore, sound};
use clap::Parser;

/// Explores the protocol in small worlds, whole and without each of its rules.
#[derive(Debug, Parser)]
#[command(name = "model", disable_version_flag = true)]
struct Arguments {
    /// Larger worlds as well; they take minutes and some gigabytes.
    #[arg(long)]
    thorough: bool,
    /// The most states of one world.
    #[arg(long, default_value_t = 40_000_000)]
    states: usize,
}

fn main() -> ExitCode {
    let asked = Arguments::parse();
    let mut well = true;
    for world in sound(asked.thorough) {
        let found = explore(Rules::ALL, world.bounds, asked.states);
        let extent = if found.exhausted { "all" } else { "the first" };
        println!("{:>12} states, {extent}: every rule, {}", found.states, world.name);
        well &= found.fault.is_none();
        tell(found);
    }
    for rule in Rule::ALL {
        let world = broken(rule);
        let found = explore(Rules::without(rule), world.bounds, asked.states);
        println!("{:>12} states until the absence of {rule:?} is noticed, {}", found.states, world.name);
        well &= found.fault.is_some();
        tell(found);
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(found: Explored) {
    if let Some((what, path)) = found.fault {
        println!("              {what}");
        for step in path {
            println!("                {step:?}");
        }
    }
}
