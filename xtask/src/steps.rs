//! `test`, `ci`, `fmt`, `bench`: cargo's own commands in a fixed order, each under a header and with its time.
//!
//! `ci` never edits a file; `fmt` does. The first step that fails ends the run, because what follows usually fails for
//! the same reason.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    clock::{Deadline, Stopwatch},
    console, out, process, tidy,
};

/// How long the check of advisories may take; it fetches a database.
const DENY_LIMIT: std::time::Duration = std::time::Duration::from_secs(120);

/// The steps of one command, and what each took.
#[derive(Debug)]
pub struct Steps<'a> {
    root: &'a Path,
    taken: Vec<(String, f64)>,
    watch: Stopwatch,
}

impl<'a> Steps<'a> {
    /// Steps that run in the workspace at `root`.
    pub fn new(root: &'a Path) -> Self {
        Self { root, taken: Vec::new(), watch: Stopwatch::start() }
    }

    /// Runs `work` as the step called `name`.
    ///
    /// # Errors
    /// What `work` answers, with the step's name.
    pub fn step(&mut self, name: &str, work: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        out::note(format!("== {name}"));
        let watch = Stopwatch::start();
        let outcome = work(self.root);
        let seconds = watch.elapsed().as_secs_f64();
        let word = if outcome.is_ok() { "done" } else { "FAILED" };
        out::note(format!("== {name}: {word} in {seconds:.1} s\n"));
        self.taken.push((name.to_owned(), seconds));
        outcome.with_context(|| format!("step `{name}` failed"))
    }

    /// Runs cargo as the step called `name`.
    ///
    /// # Errors
    /// Cargo does not start or fails; it has said why on the terminal.
    pub fn cargo(&mut self, name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
        self.step(name, |root| run_cargo(root, arguments, environment))
    }

    /// Says what each step took.
    pub fn finish(self) {
        for (name, seconds) in &self.taken {
            out::note(format!("{seconds:>8.1} s  {name}"));
        }
        out::note(format!("{:>8.1} s  in all", self.watch.elapsed().as_secs_f64()));
    }
}

/// `cargo xtask test`: every test of the workspace, doc tests included.
///
/// # Errors
/// One fails.
pub fn test(root: &Path) -> Result<()> {
    let mut steps = Steps::new(root);
    add_tests(&mut steps)?;
    steps.finish();
    Ok(())
}

/// The package of the simulation, and its program.
const SIM: &str = "aether-sim";

/// Where cargo puts what it builds.
fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |named| root.join(named))
}

/// Whole clusters in virtual time: a feature that only tests need.
const TEST_KIT: &str = "aether/test-kit";

/// `aether` as a program outside the cluster has it.
const ONLY_CLIENT: [&str; 3] = ["--no-default-features", "--features", "client"];

fn add_tests(steps: &mut Steps<'_>) -> Result<()> {
    // nextest runs each test in a process of its own and shows which one hangs; without it cargo's runner does.
    if has_subcommand("nextest") {
        let all = ["nextest", "run", "--workspace", "--features", TEST_KIT, "--no-fail-fast"];
        steps.cargo("tests (nextest)", &all, &[])?;
    } else {
        let kinds = ["--lib", "--bins", "--tests", "--examples", "--no-fail-fast"];
        let all = [&["test", "--workspace", "--features", TEST_KIT], &kinds[..]].concat();
        steps.cargo("tests", &all, &[])?;
    }
    // A subscriber for the whole process, and a feature that nothing else is tested with.
    let traces = ["test", "--package", "aether", "--features", "otel", "--test", "traces"];
    steps.cargo("traces", &traces, &[])?;
    steps.cargo("doc tests", &["test", "--workspace", "--features", TEST_KIT, "--doc"], &[])?;
    // What is printed for clients, in the build that its readers have.
    steps.cargo(
        "doc tests of the client",
        &[&["test", "--package", "aether", "--doc"], &ONLY_CLIENT[..]].concat(),
        &[],
    )?;
    steps.step("first minutes: what is printed is what is said", |root| console::first_minutes(root, &[]))
}

/// `cargo xtask ci`: everything a change must pass. With `skip_tests` the tests are left to `cargo xtask test`.
///
/// # Errors
/// A step fails.
pub fn ci(root: &Path, skip_tests: bool) -> Result<()> {
    ensure_components(&COMPONENTS)?;
    let mut steps = Steps::new(root);
    steps.cargo("format", &["fmt", "--all", "--check"], &[])?;
    steps.step("rules of the house", tidy::tidy)?;
    let lints = ["clippy", "--workspace", "--all-targets", "--features", TEST_KIT, "--locked", "--", "-D", "warnings"];
    steps.cargo("lints", &lints, &[])?;
    // A feature that is off unless asked for: what it adds is in none of the other builds.
    let of_traces = ["clippy", "--package", "aether", "--features", "otel,test-kit", "--all-targets", "--locked"];
    steps.cargo("lints of traces", &[&of_traces[..], &["--", "-D", "warnings"]].concat(), &[])?;
    // As whoever depends on one of them alone has it: here another crate may ask for a feature that it forgot.
    for library in LIBRARIES {
        steps.cargo(&format!("{library} by itself"), &["check", "--package", library, "--locked"], &[])?;
    }
    // Without the feature the program must build, and async-nats must not be among what it is built from.
    let without_nats = ["check", "--package", "aether", "--all-targets", "--no-default-features", "--features", "node"];
    steps.cargo("without NATS", &without_nats, &[])?;
    // What a crate of actors' types has that a node and a client share.
    let only_types = ["check", "--package", "aether", "--no-default-features"];
    steps.cargo("only actors' types", &only_types, &[])?;
    let only_client = ["check", "--package", "aether", "--lib", "--examples"];
    steps.cargo("only the client, and its example", &[&only_client[..], &ONLY_CLIENT].concat(), &[])?;
    let with_traces = ["check", "--package", "aether", "--no-default-features", "--features", "client,otel"];
    steps.cargo("only the client, with traces", &with_traces, &[])?;
    steps.step("without NATS: nothing of it is left", no_nats_client)?;
    if !skip_tests {
        add_tests(&mut steps)?;
    }
    steps.cargo(
        "documentation",
        &["doc", "--workspace", "--features", TEST_KIT, "--no-deps", "--locked"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    // All that runs optimised is built at once, and once: the simulation by itself would have another runtime than the
    // benches have.
    let mut optimised = vec!["build", "--release", "--workspace", "--features", TEST_KIT, "--locked", "--bin", SIM];
    optimised.extend(BENCHES.iter().flat_map(|name| ["--bench", name]));
    steps.cargo("optimised builds", &optimised, &[])?;
    steps.step("simulation: a thousand seeds of ten minutes", |root| {
        let status = Command::new(target(root).join("release").join(SIM))
            .current_dir(root)
            .args(["--seeds", "1000", "--minutes", "10"])
            .status();
        let status = status.context("starting the simulation")?;
        ensure!(status.success(), "the simulation ended with {status}");
        Ok(())
    })?;
    steps.step("mutants: each rule that is taken away is missed", |root| mutants(root, &[]))?;
    steps.step("benches: at least a third of each figure", |root| {
        bench(root, &["--quick".to_owned(), "--check".to_owned()])
    })?;
    steps.step("licences, bans, sources", |root| deny(root, &["licenses", "bans", "sources"]))?;
    steps.step("advisories", advisories)?;
    steps.finish();
    Ok(())
}

/// `cargo xtask fmt`: formats every source.
///
/// # Errors
/// There is no formatter, or a source is not Rust.
pub fn fmt(root: &Path) -> Result<()> {
    ensure_components(&["fmt"])?;
    run_cargo(root, &["fmt", "--all"], &[])
}

/// The libraries that people depend on by themselves.
const LIBRARIES: [&str; 5] =
    ["aether-domain", "aether-placement", "aether-runtime", "aether-infra-memory", "aether-infra-nats"];

/// Every bench. Their names are unique in the workspace.
const BENCHES: [&str; 8] = ["local", "leader", "residents", "nats", "handover", "placement", "map", "histories"];

/// `cargo xtask bench`: every bench of the workspace, or the one that the first argument names, with the other
/// `arguments` passed on to them.
///
/// # Errors
/// There is no such bench, one fails, or it asserts a figure that was missed.
pub fn bench(root: &Path, arguments: &[String]) -> Result<()> {
    let (named, arguments) = match arguments.split_first() {
        Some((name, rest)) if !name.starts_with('-') => (Some(name.as_str()), rest),
        _ => (None, arguments),
    };
    if let Some(name) = named {
        ensure!(BENCHES.contains(&name), "there is no bench {name:?}; there are: {}", BENCHES.join(", "));
    }
    // As parts of the workspace: built by themselves, each package would have its own copy of what all are built from.
    let mut all = vec!["bench", "--locked", "--workspace", "--features", TEST_KIT];
    all.extend(
        BENCHES.iter().filter(|name| named.is_none_or(|named| named == **name)).flat_map(|name| ["--bench", name]),
    );
    if !arguments.is_empty() {
        all.push("--");
        all.extend(arguments.iter().map(String::as_str));
    }
    run_cargo(root, &all, &[])
}

/// `cargo xtask simulate`: the seeded simulation, optimised, with `arguments` passed on to it.
///
/// # Errors
/// A seed fails; it has said which, and how to run it again.
pub fn simulate(root: &Path, arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((which, rest)) if which == "commands" => return simulate_storms(root, &COMMANDS, rest),
        Some((which, rest)) if which == "moves" => return simulate_storms(root, &MOVES, rest),
        _ => {}
    }
    let mut all = vec!["run", "--quiet", "--release", "--package", "aether-sim", "--"];
    all.extend(arguments.iter().map(String::as_str));
    run_cargo(root, &all, &[])
}

/// Storms on whole clusters in virtual time.
struct Storms {
    test: &'static str,
    /// How many operations there are in all, unless told.
    count: &'static str,
    seeds: &'static str,
}

/// `cargo xtask simulate commands`.
const COMMANDS: Storms =
    Storms { test: "in_a_storm_what_is_acknowledged_is_what_is_stored", count: "100000", seeds: "100" };

/// `cargo xtask simulate moves`.
const MOVES: Storms = Storms {
    test: "while_shards_move_and_everything_fails_nothing_is_lost_or_doubled_and_no_shard_has_two_owners",
    count: "1000000",
    seeds: "50",
};

fn simulate_storms(root: &Path, storms: &Storms, arguments: &[String]) -> Result<()> {
    let names =
        [("--count", "AETHER_ASKS"), ("--seeds", "AETHER_SEEDS"), ("--start", "AETHER_SEED"), (PLAN, "AETHER_PLAN")];
    let mut environment = vec![("AETHER_ASKS", storms.count), ("AETHER_SEEDS", storms.seeds)];
    environment.extend(settings(arguments, &names)?);
    let kit = ["--workspace", "--features", TEST_KIT, "--test", "test_cluster"];
    let all = [&["test", "--quiet", "--release"], &kit[..], &["--", "--nocapture", "--exact", storms.test]].concat();
    run_cargo(root, &all, &environment)
}

/// What takes a text: a plan as a storm that failed has printed it. Everything else takes a number.
const PLAN: &str = "--plan";

/// What follows flags, as the variables of these names.
fn settings<'a>(arguments: &'a [String], names: &[(&str, &'a str)]) -> Result<Vec<(&'a str, &'a str)>> {
    let wants = |flag: &str| if flag == PLAN { "TEXT" } else { "N" };
    let read = |pair: &'a [String]| {
        let Some((flag, name)) = names.iter().find(|(flag, _)| *flag == pair[0]) else {
            let flags: Vec<_> = names.iter().map(|(flag, _)| format!("{flag} {}", wants(flag))).collect();
            bail!("{}? There are {}", pair[0], flags.join(", "));
        };
        let value = pair.get(1).filter(|value| *flag == PLAN || value.parse::<u64>().is_ok());
        Ok((*name, value.with_context(|| format!("write {flag} {}", wants(flag)))?.as_str()))
    };
    arguments.chunks(2).map(read).collect()
}

/// `cargo xtask fuzz`: every decoder with bytes that nobody of ours wrote, in a build in which overflow is noticed.
///
/// # Errors
/// A decoder breaks a promise: it has said with which bytes.
pub fn fuzz(root: &Path, arguments: &[String]) -> Result<()> {
    let mut all = vec!["run", "--quiet", "--profile", "fuzz", "--package", "aether-fuzz", "--"];
    all.extend(arguments.iter().map(String::as_str));
    run_cargo(root, &all, &[])
}

/// `cargo xtask differential`: the same of memory and of a nats-server.
///
/// # Errors
/// They answer differently: it has said to what, and with which seed.
pub fn differential(root: &Path, arguments: &[String]) -> Result<()> {
    let names = [("--sequences", "AETHER_SEQUENCES"), ("--steps", "AETHER_STEPS"), ("--start", "AETHER_SEED")];
    let mut environment = vec![("AETHER_SEQUENCES", "1000")];
    environment.extend(settings(arguments, &names)?);
    let test = "memory_and_a_nats_server_answer_the_same_whatever_is_asked";
    let all =
        ["test", "--quiet", "--package", "aether-contract", "--test", "nats", "--", "--nocapture", "--exact", test];
    run_cargo(root, &all, &environment)
}

/// `cargo xtask chaos timelines` and `cargo xtask chaos commands`: failures with real processes, measured, and judged by what
/// is stored; with the rest of `arguments` passed on.
///
/// # Errors
/// It is neither that is asked for, a figure was missed, or a history is not what was acknowledged: it has said which.
pub fn chaos(root: &Path, arguments: &[String]) -> Result<()> {
    let Some((which, rest)) =
        arguments.split_first().filter(|(which, _)| ["timelines", "commands"].contains(&which.as_str()))
    else {
        bail!("there are `cargo xtask chaos timelines` and `cargo xtask chaos commands`, each with `--help`");
    };
    // Whoever measures optimised nodes is no slower than they are.
    let profile = if rest.iter().any(|argument| argument == "--release") { "release" } else { "dev" };
    let mut all =
        vec!["run", "--quiet", "--profile", profile, "--package", "aether-cluster-tests", "--bin", which, "--"];
    all.extend(rest.iter().map(String::as_str));
    run_cargo(root, &all, &[])
}

/// `cargo xtask screenshots`: the pictures of the dashboard in docs/images; with `arguments` passed on.
///
/// # Errors
/// There is no browser, or the cluster does not start: it has said so.
pub fn screenshots(root: &Path, arguments: &[String]) -> Result<()> {
    let mut all = vec!["run", "--quiet", "--package", "aether-cluster-tests", "--bin", "screenshots", "--"];
    all.extend(arguments.iter().map(String::as_str));
    run_cargo(root, &all, &[])
}

/// `cargo xtask histcheck FILE`: holds what askers were told against what is stored, as a file says both.
///
/// # Errors
/// They do not agree, or the file is no history: it has said which.
pub fn histcheck(root: &Path, arguments: &[String]) -> Result<()> {
    let mut all = vec!["run", "--quiet", "--release", "--package", "aether-histcheck", "--"];
    all.extend(arguments.iter().map(String::as_str));
    run_cargo(root, &all, &[])
}

/// `cargo xtask acl`: what a NATS user of one role may do, said by the `aether` program, which is where it is known.
///
/// # Errors
/// The arguments are not as it says.
pub fn acl(root: &Path, arguments: &[String]) -> Result<()> {
    let mut all = vec!["run", "--quiet", "--package", "aether", "--bin", "aether", "--", "acl"];
    all.extend(arguments.iter().map(String::as_str));
    run_cargo(root, &all, &[])
}

/// `cargo xtask placement prove`: the planner against its definition, in as many cases as are asked for with the rest of
/// `arguments`.
///
/// # Errors
/// It is not `prove` that is asked for, or a promise does not hold: it has said in which case.
pub fn placement(root: &Path, arguments: &[String]) -> Result<()> {
    let Some((_, rest)) = arguments.split_first().filter(|(which, _)| *which == "prove") else {
        bail!("there is `cargo xtask placement prove`, with --cases N, --steps N and --seed S");
    };
    let mut all = vec!["bench", "--quiet", "--locked", "--package", "aether-placement", "--bench", "prove", "--"];
    all.extend(rest.iter().map(String::as_str));
    run_cargo(root, &all, &[])
}

/// `cargo xtask mutants`: the seeded simulation, built so that rules can be taken away, in a place of its own.
///
/// # Errors
/// A rule's absence is not noticed.
pub fn mutants(root: &Path, arguments: &[String]) -> Result<()> {
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let target = target(root).join("mutants");
    let environment = [
        ("RUSTFLAGS", format!("{flags} --cfg aether_mutants").trim().to_owned()),
        ("CARGO_TARGET_DIR", target.display().to_string()),
    ];
    let mut all = vec!["run", "--quiet", "--profile", "mutants", "--package", "aether-sim", "--", "--mutants"];
    // Not from 0 on: the rarest of them, an append sent blindly, is met once in some 150 seeds, and these do not meet it.
    for (argument, value) in [("--start", "500"), ("--seeds", "500")] {
        if !arguments.iter().any(|given| given.starts_with(argument)) {
            all.extend([argument, value]);
        }
    }
    all.extend(arguments.iter().map(String::as_str));
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    run_cargo(root, &all, &environment)?;
    if arguments.iter().any(|argument| argument == "--only") {
        return Ok(());
    }
    // What becomes of commands is hunted for where two owners meet.
    let hunt = "shard::tests::owners::each_rule_of_commands_that_is_taken_away_is_missed";
    let mut owners = vec!["test", "--quiet", "--profile", "mutants", "--package", "aether-runtime", "--lib", "--"];
    owners.extend(["--nocapture", "--exact", hunt]);
    let output = cargo(root).args(&owners).envs(environment).stderr(Stdio::inherit()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for line in &lines {
        out::line(line);
    }
    ensure!(output.status.success(), "a rule of commands was taken away and not missed");
    // A test that has been renamed is none that cargo finds, and then all tests pass.
    let hunted = lines.iter().any(|line| line.contains("rules of commands are missed"));
    ensure!(hunted, "nobody has hunted for the rules of commands: is there still a test {hunt}?");
    Ok(())
}

/// The tree of the program without the feature must not hold the NATS client.
fn no_nats_client(root: &Path) -> Result<()> {
    let of_node = ["--no-default-features", "--features", "node"];
    let arguments = [&["tree", "--package", "aether", "--edges", "normal", "--prefix", "none"], &of_node[..]].concat();
    let output = cargo(root).args(arguments).stderr(Stdio::inherit()).output().context("starting cargo")?;
    ensure!(output.status.success(), "cargo tree ended with {}", output.status);
    let tree = String::from_utf8_lossy(&output.stdout);
    let found = tree.lines().find(|line| line.starts_with("async-nats "));
    ensure!(found.is_none(), "the aether crate without its `nats` feature still builds {}", found.unwrap_or_default());
    Ok(())
}

fn deny(root: &Path, checks: &[&str]) -> Result<()> {
    ensure!(has_subcommand("deny"), "cargo-deny is missing; install it: cargo install cargo-deny --locked");
    let mut arguments = vec!["deny", "--all-features", "--log-level", "error", "check"];
    arguments.extend(checks);
    run_cargo(root, &arguments, &[])
}

/// Known faults of what we build on. The database of advisories is fetched; where it cannot be had this says so, and
/// the run goes on: no change of ours can be the reason.
fn advisories(root: &Path) -> Result<()> {
    ensure!(has_subcommand("deny"), "cargo-deny is missing; install it: cargo install cargo-deny --locked");
    let fetched = cargo(root).args(["deny", "--all-features", "fetch", "db"]).stdin(Stdio::null()).spawn();
    let mut fetching = fetched.context("starting cargo")?;
    let ended =
        crate::clock::wait_for("the database of advisories", Deadline::after(DENY_LIMIT), || Ok(fetching.try_wait()?));
    if let Ok(status) = &ended
        && status.success()
    {
        return run_cargo(
            root,
            &["deny", "--all-features", "--log-level", "error", "check", "--disable-fetch", "advisories"],
            &[],
        );
    }
    // Not reaped yet if it hangs.
    let _ = fetching.kill();
    let _ = fetching.wait();
    out::note("advisories: NOT CHECKED, the database cannot be fetched from here; everything else was checked");
    Ok(())
}

/// Parts of a toolchain that a minimal one lacks, as cargo's subcommands.
const COMPONENTS: [&str; 2] = ["fmt", "clippy"];

/// Asked for before anything is built: a run that would end without them ends at once.
fn ensure_components(components: &[&str]) -> Result<()> {
    for component in components {
        let there = has_subcommand(component);
        ensure!(there, "`cargo {component}` is missing; install it: rustup component add rustfmt clippy");
    }
    Ok(())
}

fn has_subcommand(name: &str) -> bool {
    let mut command = Command::new(cargo_program());
    command.args([name, "--version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn run_cargo(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let mut command = cargo(root);
    command.args(arguments).envs(environment.iter().copied());
    let status = command.status().context("starting cargo")?;
    if !status.success() {
        bail!("`cargo {}` ended with {status}", arguments.join(" "));
    }
    Ok(())
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(cargo_program());
    command.current_dir(root).stdin(Stdio::null());
    process::without_cargos_variables(&mut command);
    command
}

fn cargo_program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_named_and_the_work_done_before_it_is_timed() {
        let mut steps = Steps::new(Path::new("."));
        steps.step("first", |_| Ok(())).expect("it does nothing");
        let failed = steps.step("second", |_| bail!("broken")).expect_err("it fails");
        assert_eq!(format!("{failed:#}"), "step `second` failed: broken");
        assert_eq!(steps.taken.len(), 2);
    }

    #[test]
    fn a_missing_component_is_named_with_the_command_that_installs_it() {
        ensure_components(&COMPONENTS).expect("this house is built with them");
        let missing = ensure_components(&["no-such-component"]).expect_err("there is none").to_string();
        for part in ["cargo no-such-component", "rustup component add rustfmt clippy"] {
            assert!(missing.contains(part), "{missing}");
        }
    }

    #[test]
    fn a_bench_that_does_not_exist_is_refused_with_the_names_of_those_that_do() {
        let refused = bench(Path::new("."), &["plaecment".to_owned()]).expect_err("there is none").to_string();
        assert!(
            refused.contains("plaecment")
                && refused.contains("local, leader, residents, nats, handover, placement, map"),
            "{refused}"
        );
    }

    #[test]
    fn a_flag_that_there_is_not_is_refused_with_those_that_there_are() {
        let given = |arguments: &[&str]| arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>();
        let names = [("--start", "AETHER_SEED"), ("--steps", "AETHER_STEPS"), (PLAN, "AETHER_PLAN")];
        let good = given(&["--steps", "7", "--start", "1"]);
        assert_eq!(settings(&good, &names).expect("known"), [("AETHER_STEPS", "7"), ("AETHER_SEED", "1")]);
        for (bad, said) in [
            (&["--step", "7"][..], "--step? There are --start N, --steps N, --plan TEXT"),
            (&["--steps", "many"], "write --steps N"),
            (&["--steps"], "write --steps N"),
            (&["--plan"], "write --plan TEXT"),
        ] {
            assert_eq!(settings(&given(bad), &names).expect_err("refused").to_string(), said);
        }
    }

    #[test]
    fn what_placement_cannot_do_is_refused_with_what_it_can() {
        let refused = placement(Path::new("."), &["proof".to_owned()]).expect_err("there is none").to_string();
        assert!(refused.contains("prove") && refused.contains("--cases"), "{refused}");
    }

    #[test]
    fn a_cargo_command_that_fails_is_repeated_in_the_error() {
        let failed = run_cargo(Path::new("."), &["no-such-command"], &[]).expect_err("cargo refuses");
        assert!(failed.to_string().contains("cargo no-such-command"), "{failed}");
    }
}
