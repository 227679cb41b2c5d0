//! The screen of `cluster-up`, on the cluster in a folder that is told: `cluster-up` itself would build the program first.

use std::path::PathBuf;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let dir: PathBuf = std::env::args_os().nth(1).context("the cluster's folder")?.into();
    xtask::interrupt::listen()?;
    xtask::screen::run(&dir)
}
