//! A slice of what `cargo xtask chaos commands` asks: what is stored is what was acknowledged, whatever is broken.

use std::io::BufReader;

use aether_cluster_tests::timelines::{Conditions, commands::storm};
use aether_domain::testing::history::Agreed;
use aether_histcheck::History;
use anyhow::{Result, ensure};
use xtask::{cluster::Profile, out};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

fn stormed(replicas: usize, commands: u64) -> Result<()> {
    let program = PROGRAM.into();
    let conditions = Conditions { program, nodes: 3, replicas, profile: Profile::Fast, supervised: false, load: 1 };
    let written = tempfile::NamedTempFile::new()?;
    let judged = storm(&conditions, commands, 1, Some(written.path()))?;
    out::note(judged.to_string());
    let agreed = judged.agreed;
    ensure!(
        agreed.done > commands / 2 && agreed.seen > 0 && !judged.broken.is_empty(),
        "too little happened: {judged}"
    );
    // Whoever has only the file comes to the same.
    let verdict = History::read(BufReader::new(written))?.judge()?;
    ensure!(verdict.wrong.is_empty(), "the file says otherwise: {verdict}");
    let of = |agreed: Agreed| (agreed.done, agreed.seen, agreed.no, agreed.unsure, agreed.unsure_and_stored);
    ensure!(of(verdict.agreed) == of(agreed), "the file says {verdict}, the book {agreed}");
    Ok(())
}

#[test]
fn on_one_server_a_storm_leaves_what_was_acknowledged() -> Result<()> {
    stormed(1, 3_000)
}

#[test]
fn on_three_servers_a_storm_leaves_what_was_acknowledged() -> Result<()> {
    stormed(3, 2_000)
}
