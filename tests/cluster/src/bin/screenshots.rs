//! `cargo xtask screenshots`: the pictures of the dashboard in docs/images, of a real cluster in a real browser.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use aether_cluster_tests::{
    Cluster, Spec,
    browser::{Browser, Scheme},
};
use anyhow::{Context, Result, ensure};
use clap::Parser;
use xtask::{cluster, out};

/// How long a scene may take to be there.
const LIMIT: Duration = Duration::from_secs(30);

/// The most bytes of a picture.
const BYTES_MAX: u64 = 150_000;

/// Takes the pictures of the dashboard for docs/images.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask screenshots", bin_name = "cargo xtask screenshots", disable_version_flag = true)]
struct Arguments {
    /// Where they are put.
    #[arg(long, value_name = "FOLDER", default_value = "docs/images")]
    to: PathBuf,
    /// Use this aether program and build none.
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::note(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(asked: &Arguments) -> Result<()> {
    let program = asked.program.clone().map_or_else(|| cluster::build(false), Ok)?;
    let program = std::path::absolute(program)?.display().to_string();
    std::fs::create_dir_all(&asked.to).with_context(|| format!("creating {}", asked.to.display()))?;
    Cluster::run(&Spec::of(&program), |cluster| {
        cluster.wait_balanced(3, LIMIT)?;
        let url = cluster.node(&cluster.leader()?)?.admin_url;
        let calm = "document.getElementById('link').className === 'pill live' && \
                    document.querySelector('#shard .why > li') && document.querySelectorAll('#events > li').length > 9 && document.getElementById('rate').textContent !== '0'";
        for (scheme, name) in [(Scheme::Light, "dashboard-light.png"), (Scheme::Dark, "dashboard-dark.png")] {
            picture(&format!("{url}/#shard=417"), scheme, calm, None, &asked.to.join(name))?;
        }
        let victim = cluster.follower()?;
        let failed = "document.querySelector('.alert') && document.querySelectorAll('.map .changed').length > 99";
        let kill = || cluster::kill(cluster.dir(), &victim);
        picture(&url, Scheme::Light, failed, Some(&kill), &asked.to.join("dashboard-death.png"))
    })
}

/// One picture: the page once `scene` is true, after `act` if there is one.
fn picture(url: &str, scheme: Scheme, scene: &str, act: Option<&dyn Fn() -> Result<()>>, path: &Path) -> Result<()> {
    let mut browser = Browser::start()?;
    browser.prefer(scheme)?;
    browser.open(url)?;
    browser.until("the page to be live", "document.getElementById('link').className === 'pill live'", LIMIT)?;
    if let Some(act) = act {
        act()?;
    }
    browser.until("the scene", scene, LIMIT)?;
    let height = browser.says("Math.ceil(document.getElementById('page').getBoundingClientRect().height)")?;
    let height = height.as_u64().and_then(|height| u32::try_from(height).ok()).context("a height")?;
    browser.save_picture(path, height)?;
    let bytes = std::fs::metadata(path)?.len();
    out::note(format!("{}: {bytes} bytes", path.display()));
    ensure!(bytes <= BYTES_MAX, "{} has more than {BYTES_MAX} bytes", path.display());
    Ok(())
}
