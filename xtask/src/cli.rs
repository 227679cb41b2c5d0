//! The command line of `cargo xtask`: what can be asked, and the way from there to the library.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Result, anyhow};
use clap::{Args, Parser, Subcommand, ValueEnum};
use xtask::{
    big_endian, book,
    cluster::{self, ClusterFile, NatsChoice, Profile, UpOptions},
    console, interrupt,
    nats::{self, NatsServer, ServerOptions, Sync},
    out,
    process::last_words,
    steps, tidy,
};

/// How long a cluster may take until it is ready, counted from when there are programs to start.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// How many times a second a command that waits for an interrupt looks for one, as a pause.
const PAUSE: Duration = Duration::from_millis(200);

/// The commands of the workspace. The two to know: `cargo xtask cluster-up` and `cargo xtask test`.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_version_flag = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start nats-server, nodes and a load on this machine.
    ClusterUp(Box<ClusterUp>),
    /// Ask every node and the load how they are.
    ClusterStatus {
        /// One JSON value instead of text.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// End exactly what cluster-up started.
    ClusterDown {
        #[command(flatten)]
        place: Place,
    },
    /// Do something to one node.
    Node {
        /// What to do.
        action: Action,
        /// The node's id, for example n1.
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Print the path of a nats-server, fetching it if there is none.
    Nats {
        /// Start it in the foreground instead, until interrupted.
        #[arg(long)]
        run: bool,
        /// This program instead of one found or fetched.
        #[arg(long, value_name = "PATH")]
        nats_server: Option<PathBuf>,
    },
    /// Run all tests, doc tests included.
    Test,
    /// Play the console blocks of the README, the first guide and the examples, and compare what is said with what is printed.
    FirstMinutes {
        /// Only these documents.
        #[arg(value_name = "FILE")]
        documents: Vec<PathBuf>,
    },
    /// Check the documentation, and make a book of it below target/book, if there is an mdbook.
    Book,
    /// Run everything a change must pass.
    Ci {
        /// Leave the tests to `cargo xtask test`.
        #[arg(long)]
        skip_tests: bool,
    },
    /// Run the control plane in virtual time, seed after seed; what follows is passed on, for example --seeds 1000.
    Simulate {
        /// --seeds N, --start S, --seed X, --trace, --minutes M, --nodes A..B, --profile P, --jobs J, --json.
        /// Or `commands` or `moves`, for storms of commands, or of moves, on whole clusters: --count N, --seeds N, --start S;
        /// --plan TEXT, which a seed that fails has printed.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Break a real cluster on purpose and measure; what follows is passed on, for example timelines --profile fast.
    Chaos {
        /// timelines --profile default|fast, --replicas 1|3, --nodes N, --repeat N, --only NAME, --json.
        /// commands --count N, --nats 1|3, --nodes N, --seed S, --release, --history FILE.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        arguments: Vec<String>,
    },
    /// Take the pictures of the dashboard anew, of a real cluster in a real browser: docs/images.
    Screenshots {
        /// --to FOLDER, --program PATH.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Judge a history: what askers were told against what is stored. The file's form is in docs/TESTING.md.
    Histcheck {
        /// FILE, or - for the standard input.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        arguments: Vec<String>,
    },
    /// Try every decoder with bytes that nobody of ours wrote; what follows is passed on, for example --seconds 60.
    Fuzz {
        /// --target NAME, --seconds S or --executions N (for each target), --seed N, --keep, --list, --input FILE.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Ask the same of the in-memory adapter and of a real nats-server, drawn from seeds, and compare what each answers.
    Differential {
        /// --sequences N (1000 by default), --steps N in each (50), --start S.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Take away one rule of the control plane after another and see that the simulation notices; what follows is passed on.
    Mutants {
        /// --seeds N (500 by default), --only NAME, --jobs J, --json.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run the tests of the pure crates on an emulated big-endian machine.
    BigEndian {
        /// By a compiler from Debian's packages, unpacked below target/.
        #[arg(long)]
        debian: bool,
    },
    /// Hold the placement planner against its definition; what follows is passed on, for example prove --cases 1000000.
    Placement {
        /// prove --cases N, --steps N, --seed S.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        arguments: Vec<String>,
    },
    /// Print what a NATS user of one role may do, as `aether acl` does; what follows is passed on.
    Acl {
        /// --ns NAMESPACE --role node|client|observer|operator, --inbox PREFIX.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        arguments: Vec<String>,
    },
    /// Check the rules of the house.
    Tidy,
    /// Format every source.
    Fmt,
    /// Run the benches, or the one named first; what follows is passed on to them.
    Bench {
        /// For the benches.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Action {
    /// End it without warning (SIGKILL).
    Kill,
    /// Freeze it (SIGSTOP).
    Stop,
    /// Let it go on (SIGCONT).
    Cont,
    /// Let it hand over and leave (SIGTERM), and wait for that.
    Drain,
    /// Start it again with the same configuration.
    Restart,
    /// Start a new node of this id.
    Add,
}

#[derive(Debug, Args)]
struct Place {
    /// The folder of the cluster; target/aether of the workspace by default.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

impl Place {
    fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| cluster::workspace_root().join("target").join("aether"))
    }
}

#[derive(Debug, Args)]
struct ClusterUp {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: u16,
    /// How many nats-servers, which is also how many copies there are of everything: 1 or 3.
    #[arg(long, default_value_t = 1, value_name = "1|3", value_parser = one_or_three)]
    nats: usize,
    /// Use running servers and start none; several are separated by commas. By default AETHER_NATS_URL, unless another
    /// flag asks for a server of our own or for none.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    nats_url: Vec<String>,
    /// This nats-server instead of one found or fetched; by default AETHER_NATS_SERVER.
    #[arg(long, value_name = "PATH", conflicts_with = "nats_url")]
    nats_server: Option<PathBuf>,
    /// All nodes in one process, without NATS.
    #[arg(long, conflicts_with_all = ["nats", "nats_url", "nats_server", "sync", "keep"])]
    in_memory: bool,
    /// Which timings.
    #[arg(long, value_enum, default_value = "default")]
    profile: ProfileArg,
    /// Keep the cluster busy with this many workers that check what they are answered.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    load: Option<u16>,
    /// What the nodes run.
    #[arg(long, value_enum, default_value = "bank")]
    app: App,
    /// When nats-server writes to disk: before it acknowledges, which is the default, or every two minutes.
    #[arg(long, value_enum, conflicts_with = "nats_url")]
    sync: Option<SyncArg>,
    /// The name under which everything is stored.
    #[arg(long, default_value = "demo")]
    namespace: String,
    /// Return once the cluster is ready, and leave it running.
    #[arg(long)]
    detach: bool,
    /// Go on from what an earlier cluster stored, and leave it for a later one.
    #[arg(long)]
    keep: bool,
    /// Run the nodes without supervisors: that one has died is then noticed by its silence only.
    #[arg(long)]
    no_supervise: bool,
    /// Give each node one of this many zones, by turns: z1, z2 and so on.
    #[arg(long, default_value_t = 0, hide_default_value = true, conflicts_with = "in_memory")]
    zones: u16,
    /// Lines of text instead of a screen, on a terminal too.
    #[arg(long)]
    plain: bool,
    /// Print cluster.json when ready, and nothing else on standard output.
    #[arg(long)]
    json: bool,
    /// Build the nodes optimised.
    #[arg(long)]
    release: bool,
    /// Use this aether program and build none.
    #[arg(long, value_name = "PATH", conflicts_with = "release")]
    program: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProfileArg {
    Default,
    Seed,
    Fast,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SyncArg {
    Always,
    Interval,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum App {
    /// Accounts with deposits, withdrawals and transfers.
    Bank,
}

fn one_or_three(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("1 or 3: streams have one copy or three".to_owned()),
    }
}

impl Cli {
    /// Does what was asked.
    pub(crate) fn run(self) -> Result<()> {
        let root = cluster::workspace_root();
        match self.command {
            Command::ClusterUp(up) => cluster_up(&up),
            Command::ClusterStatus { json, place } => cluster_status(&place, json),
            Command::ClusterDown { place } => cluster_down(&place),
            Command::Node { action, id, place } => node(action, &id, &place),
            Command::Nats { run, nats_server } => run_nats(run, nats_server),
            Command::Test => steps::test(&root),
            Command::Book => book::build(&root),
            Command::FirstMinutes { documents } => console::first_minutes(&root, &documents),
            Command::Ci { skip_tests } => steps::ci(&root, skip_tests),
            Command::Simulate { arguments } => steps::simulate(&root, &arguments),
            Command::Chaos { arguments } => steps::chaos(&root, &arguments),
            Command::Screenshots { arguments } => steps::screenshots(&root, &arguments),
            Command::Histcheck { arguments } => steps::histcheck(&root, &arguments),
            Command::Fuzz { arguments } => steps::fuzz(&root, &arguments),
            Command::Differential { arguments } => steps::differential(&root, &arguments),
            Command::Mutants { arguments } => steps::mutants(&root, &arguments),
            Command::BigEndian { debian } => big_endian::run(&root, debian),
            Command::Placement { arguments } => steps::placement(&root, &arguments),
            Command::Acl { arguments } => steps::acl(&root, &arguments),
            Command::Tidy => tidy::tidy(&root),
            Command::Fmt => steps::fmt(&root),
            Command::Bench { arguments } => steps::bench(&root, &arguments),
        }
    }
}

fn cluster_up(asked: &ClusterUp) -> Result<()> {
    let App::Bank = asked.app;
    let program = asked.program.clone().map_or_else(|| cluster::build(asked.release), Ok)?;
    interrupt::listen()?;
    let options = UpOptions {
        dir: asked.place.dir(),
        program,
        namespace: asked.namespace.clone(),
        nodes: usize::from(asked.nodes),
        nats: choice(asked, std::env::var("AETHER_NATS_URL").ok()),
        own_urls: std::collections::BTreeMap::new(),
        profile: match asked.profile {
            ProfileArg::Default => Profile::Default,
            ProfileArg::Seed => Profile::Seed,
            ProfileArg::Fast => Profile::Fast,
        },
        load: asked.load.map(usize::from),
        keep: asked.keep,
        supervise: !asked.no_supervise,
        zones: usize::from(asked.zones),
        ready_limit: READY_LIMIT,
    };
    let file = cluster::up(&options)?;
    announce(&file, &options.dir, asked)?;
    if asked.detach {
        return Ok(());
    }
    let shown = if asked.json {
        // Whoever reads standard output reads one JSON value there and nothing else.
        cluster::watch(&options.dir, out::note)
    } else if asked.plain || !io::stdout().is_terminal() {
        cluster::watch(&options.dir, out::line)
    } else {
        xtask::screen::run(&options.dir)
    };
    // Another command may have ended it already; then there is nothing left to end.
    let ending = cluster::down(&options.dir)?;
    out::note(format!("the cluster is down: {} processes ended", ending.ended));
    shown
}

/// Where the nodes find NATS: as the flags say, and only where they leave it open as the variable does.
fn choice(asked: &ClusterUp, variable: Option<String>) -> NatsChoice {
    if asked.in_memory {
        return NatsChoice::InMemory;
    }
    let own_server = asked.nats_server.is_some() || asked.sync.is_some();
    let variable = variable.filter(|_| !own_server && asked.nats_url.is_empty());
    let named = variable.iter().flat_map(|urls| urls.split(',').map(str::trim).filter(|url| !url.is_empty()));
    let urls: Vec<_> = asked.nats_url.iter().cloned().chain(named.map(str::to_owned)).collect();
    if urls.is_empty() {
        let sync = match asked.sync {
            Some(SyncArg::Always) | None => Sync::Always,
            Some(SyncArg::Interval) => Sync::ServerDefault,
        };
        NatsChoice::Start { servers: asked.nats, program: asked.nats_server.clone(), sync }
    } else {
        NatsChoice::Running { urls, replicas: asked.nats }
    }
}

fn announce(file: &ClusterFile, dir: &std::path::Path, asked: &ClusterUp) -> Result<()> {
    if asked.json {
        out::line(serde_json::to_string(file)?);
        return Ok(());
    }
    for node in &file.nodes {
        out::line(format!(
            "{} is Active: {} (pid {}, log {})",
            node.id,
            node.admin_url,
            node.process.pid,
            node.log.display()
        ));
    }
    if let Some(load) = &file.load {
        out::line(format!("load: {} (pid {}, log {})", load.admin_url, load.process.pid, load.log.display()));
    }
    out::line(format!("ready; {} describes it", dir.join("cluster.json").display()));
    if asked.detach {
        out::line("next: cargo xtask cluster-status, cargo xtask node kill n1, cargo xtask cluster-down");
    }
    Ok(())
}

fn cluster_status(place: &Place, json: bool) -> Result<()> {
    let status = cluster::status(&place.dir(), true)?;
    out::line(if json { serde_json::to_string(&status)? } else { status.to_string().trim_end().to_owned() });
    Ok(())
}

fn cluster_down(place: &Place) -> Result<()> {
    let ending = cluster::down(&place.dir())?;
    out::line(match ending.ended {
        0 => "nothing was running".to_owned(),
        ended => format!("{ended} processes ended, {} of them had to be killed", ending.killed),
    });
    Ok(())
}

fn node(action: Action, id: &str, place: &Place) -> Result<()> {
    let dir = place.dir();
    let done = match action {
        Action::Kill => cluster::kill(&dir, id).map(|()| "killed"),
        Action::Stop => cluster::stop(&dir, id).map(|()| "frozen"),
        Action::Cont => cluster::resume(&dir, id).map(|()| "running again"),
        Action::Drain => cluster::drain(&dir, id).map(|()| "drained and ended"),
        Action::Restart => cluster::restart(&dir, id).map(|()| "Active again"),
        Action::Add => cluster::add(&dir, id).map(|()| "Active"),
    }?;
    out::line(format!("{id}: {done}"));
    Ok(())
}

fn run_nats(run: bool, program: Option<PathBuf>) -> Result<()> {
    let options = nats::Options::default();
    let options = nats::Options { program: program.or(options.program.clone()), ..options };
    let program = nats::locate(&options)?;
    if !run {
        out::line(program.display().to_string());
        return Ok(());
    }
    interrupt::listen()?;
    let mut server =
        NatsServer::start(ServerOptions { program: Some(program), sync: Sync::Always, ..ServerOptions::default() })?;
    out::line(format!("{} (log {}); interrupt to end it", server.url(), server.log_path().display()));
    while !interrupt::requested() {
        if !server.is_running() {
            return Err(ended(&server));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Why the server that was to run ended. Its log goes with its folder, so what it said last is told here.
fn ended(server: &NatsServer) -> anyhow::Error {
    anyhow!(
        "nats-server ended; start it again with: cargo xtask nats --run; {}",
        last_words("nats-server", &server.log_path())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nats_server_that_ends_is_quoted() {
        let mut server = NatsServer::start(ServerOptions::default()).expect("a server");
        server.terminate().expect("it ends when asked");
        let error = ended(&server).to_string();
        assert!(error.contains("Server is ready") && error.contains("Server Exiting"), "{error}");
    }

    fn read(flags: &[&str]) -> Result<ClusterUp, clap::Error> {
        let line = ["cargo xtask", "cluster-up"].into_iter().chain(flags.iter().copied());
        let Command::ClusterUp(up) = Cli::try_parse_from(line)?.command else { panic!("not cluster-up: {flags:?}") };
        Ok(*up)
    }

    fn chosen(flags: &[&str], variable: &str) -> NatsChoice {
        choice(&read(flags).expect("flags that go together"), Some(variable.to_owned()))
    }

    #[test]
    fn a_variable_fills_in_what_the_flags_leave_open_and_never_contradicts_them() {
        let urls = "nats://a:1, nats://b:2";
        let running =
            |urls: &[&str]| NatsChoice::Running { urls: urls.iter().map(|&url| url.to_owned()).collect(), replicas: 1 };
        let own =
            |program: Option<&str>, sync| NatsChoice::Start { servers: 1, program: program.map(Into::into), sync };
        assert_eq!(chosen(&[], ""), own(None, Sync::Always));
        assert_eq!(chosen(&[], urls), running(&["nats://a:1", "nats://b:2"]));
        assert_eq!(chosen(&["--nats-url", "nats://c:3,nats://d:4"], urls), running(&["nats://c:3", "nats://d:4"]));
        assert_eq!(chosen(&["--in-memory"], urls), NatsChoice::InMemory);
        assert_eq!(chosen(&["--nats-server", "/x"], urls), own(Some("/x"), Sync::Always));
        assert_eq!(chosen(&["--sync", "interval"], urls), own(None, Sync::ServerDefault));
    }

    #[test]
    fn flags_that_mean_nothing_together_are_refused() {
        for flags in [
            &["--in-memory", "--nats", "3"][..],
            &["--in-memory", "--nats-url", "nats://a:1"],
            &["--in-memory", "--nats-server", "/x"],
            &["--in-memory", "--sync", "always"],
            &["--in-memory", "--keep"],
            &["--nats-url", "nats://a:1", "--sync", "always"],
            &["--nats-url", "nats://a:1", "--nats-server", "/x"],
            &["--program", "/x", "--release"],
        ] {
            let refused = read(flags).expect_err("they do not go together").to_string();
            assert!(refused.contains("cannot be used with"), "{flags:?}: {refused}");
        }
        for flags in [&["--in-memory", "--load", "4", "--detach", "--json"][..], &["--nats-url", "a", "--nats", "3"]] {
            assert!(read(flags).is_ok(), "{flags:?}");
        }
    }
}
