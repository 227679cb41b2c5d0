//! A cluster of processes whose builds know different formats, under load: rolled forth node by node, taken back before the log
//! has gone over to the newer format, and rolled forth for good.
//!
//! What knows only the previous format is the same program, told by `node.format_max` to read no newer one.

use std::time::Duration;

use aether_cluster_tests::{Cluster, History, Lone, Prober, Spec, all_answered, node_config};
use anyhow::{Context, Result, ensure};
use xtask::{
    cluster::{self, ClusterFile},
    out,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

/// How long the cluster may take to be whole again after a restart.
const WHOLE_LIMIT: Duration = Duration::from_secs(45);

/// How long a node may take to notice that it cannot run.
const END_LIMIT: Duration = Duration::from_secs(30);

/// How often somebody asks who counts what fails.
const ASKED_EVERY: Duration = Duration::from_millis(5);

/// The format that every node knows, and the one that comes with the upgrade.
const PREVIOUS: u8 = 1;
const PRESENT: u8 = 2;

/// Restarts these nodes, one after the other, as a build that reads formats up to that one.
fn roll(cluster: &Cluster, ids: &[&str], format: u8) -> Result<()> {
    let mut file = ClusterFile::load(cluster.dir())?;
    file.format_max = Some(format);
    file.save(cluster.dir())?;
    for id in ids {
        cluster::drain(cluster.dir(), id)?;
        cluster::restart(cluster.dir(), id)?;
        cluster.wait_whole(3, WHOLE_LIMIT)?;
        cluster.wait_progress(50, WHOLE_LIMIT)?;
    }
    Ok(())
}

/// The formats of everything that a stream holds, in order.
fn formats(history: &History, stream: &str) -> Result<Vec<u8>> {
    let stored = history.read(stream, 0)?;
    let format = |payload: &[u8]| match payload.strip_prefix(b"{\"format\":") {
        Some(rest) => rest.first().map(|digit| digit - b'0'),
        None => payload.get(2).copied(),
    };
    stored.iter().map(|stored| format(&stored.payload).context("a record says its format")).collect()
}

#[test]
fn a_cluster_is_rolled_to_the_present_format_and_back_and_to_it_under_load_and_nothing_fails_or_is_lost_or_doubled()
-> Result<()> {
    // The default timers: with shorter ones a machine under load may itself be why somebody is missed.
    Cluster::run(&Spec::of(PROGRAM), |cluster| {
        let file = cluster.file()?;
        let (history, prober) = (History::of(&file)?, Prober::of(&file)?);
        let accounts = (0..1024).map(|shard| prober.account(shard)).collect();
        let calls = prober.call(accounts, ASKED_EVERY);
        let streams = [history.topology(), history.events()];

        // Two of three, and back: the third reads whatever they write.
        roll(cluster, &["n1", "n2"], PRESENT)?;
        roll(cluster, &["n2", "n1"], PREVIOUS)?;
        for stream in &streams {
            let formats = formats(&history, stream)?;
            ensure!(formats.iter().all(|format| *format == PREVIOUS), "{stream}: not before all nodes read it");
        }
        // All of them: from the last one's entry on everything is written so, and what was written before is read.
        roll(cluster, &["n1", "n2", "n3"], PRESENT)?;
        for stream in &streams {
            let formats = formats(&history, stream)?;
            let older = formats.partition_point(|format| *format == PREVIOUS);
            out::note(format!("{stream}: {older} records in format {PREVIOUS}, then {}", formats.len() - older));
            let newer = &formats[older..];
            ensure!(
                !newer.is_empty() && newer.iter().all(|format| *format == PRESENT),
                "{stream} has gone over for good"
            );
        }
        // The way back is closed: a build that is too old says so, and ends.
        let before = cluster.furthest()?;
        let folder = tempfile::tempdir()?;
        let config = node_config(&file.namespace, "n4", &file.nats_urls[0], "");
        let config = config.replace("[node]\n", &format!("[node]\nformat_max = {PREVIOUS}\n"));
        let ended = Lone::node(PROGRAM, folder.path(), "n4", &config)?.end(END_LIMIT)?;
        out::note(format!("n4: {}", ended.paragraph()));
        ensure!(ended.code == Some(1), "it ends by itself: {ended:?}");
        for words in ["node n4 cannot join", "format 2 is not known here, which reads up to 1", "written by build"] {
            ensure!(ended.paragraph().contains(words), "it should say `{words}`: {}", ended.said);
        }
        let after = cluster.furthest()?;
        ensure!(after.node("n4").is_none() && after.term == before.term, "nobody has heard of it: {after:?}");

        let calls = prober.hang_up(calls);
        out::note(format!("{} calls meanwhile", calls.len()));
        all_answered(&calls)?;
        let events = history.topology_events(0)?;
        ensure!(!events.iter().any(|(event, _)| event == "NodeFailed"), "nobody fails in a roll-out");
        let acknowledged = cluster.verify()?;
        out::note(format!("{acknowledged} commands acknowledged, each there once"));
        Ok(())
    })
}
