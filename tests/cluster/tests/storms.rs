//! A slice of what `cargo xtask chaos commands` asks: what is stored is what was acknowledged, whatever is broken.

use std::{io::BufReader, time::Duration};

use aether_cluster_tests::timelines::{
    Conditions,
    commands::{Storm, Until, storm},
    faults::Fault,
};
use aether_domain::testing::history::Agreed;
use aether_histcheck::History;
use anyhow::{Result, ensure};
use xtask::{cluster::Profile, out};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

/// Everything that so many servers can have is broken once.
fn stormed(replicas: usize) -> Result<()> {
    let program = PROGRAM.into();
    let conditions = Conditions { program, nodes: 3, replicas, profile: Profile::Fast, supervised: false, load: 1 };
    let faults = Fault::chosen(&[], replicas)?;
    let storming = Storm {
        faults: faults.clone(),
        broken_max: Duration::from_millis(500),
        pause: Duration::ZERO,
        until: Until::EachOnce,
        seed: 1,
    };
    let written = tempfile::NamedTempFile::new()?;
    let judged = storm(&conditions, &storming, Some(written.path()))?;
    out::note(judged.to_string());
    let agreed = judged.agreed;
    ensure!(agreed.done > 1_000 && agreed.seen > 0, "too little happened: {judged}");
    ensure!(judged.broken.into_keys().eq(faults), "something was not broken");
    // Whoever has only the file comes to the same.
    let verdict = History::read(BufReader::new(written))?.judge()?;
    ensure!(verdict.wrong.is_empty(), "the file says otherwise: {verdict}");
    let of = |agreed: Agreed| (agreed.done, agreed.seen, agreed.no, agreed.unsure, agreed.unsure_and_stored);
    ensure!(of(verdict.agreed) == of(agreed), "the file says {verdict}, the book {agreed}");
    Ok(())
}

#[test]
fn on_one_server_a_storm_leaves_what_was_acknowledged() -> Result<()> {
    stormed(1)
}

#[test]
fn on_three_servers_a_storm_leaves_what_was_acknowledged() -> Result<()> {
    stormed(3)
}
