//! `cargo xtask histcheck FILE`: judges a history and says what is wrong with it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks there")]

use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

use aether_histcheck::History;
use anyhow::{Context, Result};
use clap::Parser;

/// Judges what callers were told against what is stored. Exit code 1 if something is wrong, 2 if the file is no history.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask histcheck")]
struct Arguments {
    /// The history, as the documentation of the crate aether-histcheck describes it; `-` reads the standard input.
    file: PathBuf,
}

fn main() -> ExitCode {
    match judged(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn judged(arguments: &Arguments) -> Result<bool> {
    let name = arguments.file.display();
    let history = if arguments.file.as_os_str() == "-" {
        History::read(io::stdin().lock())
    } else {
        let file = File::open(&arguments.file).with_context(|| format!("{name} cannot be opened"))?;
        History::read(BufReader::new(file))
    };
    let verdict = history.and_then(|history| history.judge()).with_context(|| format!("{name} is no history"))?;
    println!("{verdict}");
    Ok(verdict.wrong.is_empty())
}
