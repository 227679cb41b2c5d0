//! `cargo xtask`: the commands of the workspace. What they do is in the library; this reads the command line.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            xtask::out::note(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
