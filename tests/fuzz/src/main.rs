//! `cargo xtask fuzz`: tries decoders until a promise is broken or the time is over.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks there")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use aether_fuzz::{Finding, Limit, Report, Target, Verdict, corpus, run, shrunk, targets};
use anyhow::{Context, Result, ensure};
use clap::Parser;
use xtask::clock::Stopwatch;

/// Tries every decoder with bytes that nobody of ours wrote. Ends with 1 if one of them breaks a promise.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask fuzz")]
struct Arguments {
    /// This one only; several times for several.
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// How long each target is tried.
    #[arg(long, value_name = "S", default_value_t = 10, conflicts_with = "executions")]
    seconds: u64,
    /// How many inputs each target is tried with, instead.
    #[arg(long, value_name = "N")]
    executions: Option<u64>,
    /// Which run: the same number is the same inputs.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Put what goes new ways into the corpus.
    #[arg(long)]
    keep: bool,
    /// Try this file with the one target that is named, and nothing else.
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<std::path::PathBuf>,
    /// Name the targets, and nothing else.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match asked(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn asked(arguments: &Arguments) -> Result<bool> {
    let all = targets::all();
    let names: Vec<_> = all.iter().map(|target| target.name).collect();
    if let Some(unknown) = arguments.target.iter().find(|name| !names.contains(&name.as_str())) {
        anyhow::bail!("there is no target {unknown:?}; there are: {}", names.join(", "));
    }
    let chosen = all
        .iter()
        .filter(|target| arguments.target.is_empty() || arguments.target.iter().any(|name| name == target.name));
    let chosen: Vec<_> = chosen.collect();
    if arguments.list {
        println!("{}", names.join("\n"));
        return Ok(true);
    }
    if let Some(path) = &arguments.input {
        let input = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let verdicts: Vec<_> = chosen.iter().map(|target| target.try_with(&input)).collect();
        println!("{verdicts:?}");
        return Ok(!verdicts.iter().any(|verdict| matches!(verdict, Verdict::Broken(_))));
    }
    // What a target panics with is told once, below.
    std::panic::set_hook(Box::new(|_| {}));
    let limit = arguments.executions.map_or(Limit::Time(Duration::from_secs(arguments.seconds)), Limit::Executions);
    let (watch, mut executions, mut findings) = (Stopwatch::start(), 0, 0);
    println!(
        "{:<18} {:>12} {:>8} {:>9} {:>7} {:>7} {:>9} {:>8}",
        "target", "executions", "meant %", "memory %", "corpus", "new", "findings", "s"
    );
    for target in &chosen {
        let report = run(target, arguments.seed, limit)?;
        print(target, &report);
        executions += report.executions;
        if let Some(finding) = &report.finding {
            findings += 1;
            tell(target, finding)?;
        }
        if arguments.keep {
            keep(target, report)?;
        }
    }
    let seconds = watch.elapsed().as_secs_f64();
    println!(
        "{} targets, {executions} executions, {findings} findings, {seconds:.0} s, seed {}",
        chosen.len(),
        arguments.seed
    );
    Ok(findings == 0)
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn print(target: &Target, report: &Report) {
    let meant = report.meant as f64 * 100.0 / report.executions.max(1) as f64;
    println!(
        "{:<18} {:>12} {meant:>8.1} {:>9} {:>7} {:>7} {:>9} {:>8.1}",
        target.name,
        report.executions,
        report.memory,
        report.seeds,
        report.found.len(),
        u8::from(report.finding.is_some()),
        report.took.as_secs_f64()
    );
}

/// Says what was found, and writes the least of it to a file.
fn tell(target: &Target, finding: &Finding) -> Result<()> {
    let kind = |what: &str| what.split(':').next().unwrap_or_default().to_owned();
    let wanted = kind(&finding.what);
    let same = |input: &[u8]| matches!(target.try_with(input), Verdict::Broken(what) if kind(&what) == wanted);
    let least = shrunk(finding.input.clone(), same);
    let folder = Path::new("target").join("fuzz-findings");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let path = folder.join(format!("{}-{:016x}", target.name, xxhash_rust::xxh3::xxh3_64(&least)));
    fs::write(&path, &least).with_context(|| format!("writing {}", path.display()))?;
    println!("  {}: {}", finding.met, finding.what);
    println!("  {} of {} bytes are in {}", least.len(), finding.input.len(), path.display());
    println!("  cargo xtask fuzz --target {} --input {}", target.name, path.display());
    Ok(())
}

/// Puts the shortest input of each new way into the corpus.
fn keep(target: &Target, report: Report) -> Result<()> {
    let mut shortest: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for found in report.found {
        let same = |input: &[u8]| matches!(target.try_with(input), Verdict::Fine { way, .. } if way == found.way);
        shortest.insert(found.way, shrunk(found.input, same));
    }
    let folder = corpus::folder(target);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for (way, input) in shortest {
        ensure!(input.len() <= target.bytes_max, "{} bytes were tried", input.len());
        fs::write(folder.join(format!("{way:016x}")), input)?;
    }
    Ok(())
}
