//! A cluster of processes whose builds know different formats, under load: rolled forth node by node, taken back before the log
//! has gone over to the newer format, and rolled forth for good.
//!
//! What knows only the previous format is the same program, told by `node.format_max` to read no newer one.

use std::time::Duration;

use aether_cluster_tests::{Cluster, History, Lone, Prober, Spec, Stored, all_answered, node_config};
use anyhow::{Context, Result, bail, ensure};
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

/// The places and formats of everything that a stream holds, in order.
fn formats(history: &History, stream: &str) -> Result<Vec<(u64, u8)>> {
    let stored = history.read(stream, 0)?;
    let format = |payload: &[u8]| match payload.strip_prefix(b"{\"format\":") {
        Some(rest) => rest.first().map(|digit| digit - b'0'),
        None => payload.get(2).copied(),
    };
    let of = |stored: &Stored| Some((stored.sequence, format(&stored.payload)?));
    stored.iter().map(|stored| of(stored).context("a record says its format")).collect()
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
            let previous = |(_, format): &(u64, u8)| *format == PREVIOUS;
            ensure!(formats.iter().all(previous), "{stream}: not before all nodes read it");
        }
        // All of them: once they have read the last one's entry everything is written so, and what was written before is
        // read. Whoever has not read it yet writes as before, which everybody reads.
        roll(cluster, &["n1", "n2", "n3"], PRESENT)?;
        let read_by_all = [history.last(&streams[0])?, history.last(&streams[1])?];
        cluster.wait_progress(50, WHOLE_LIMIT)?;
        for (stream, by) in streams.iter().zip(read_by_all) {
            let formats = formats(&history, stream)?;
            let first = formats.iter().position(|(_, format)| *format == PRESENT);
            let last = formats.iter().rposition(|(_, format)| *format == PREVIOUS);
            let (Some(first), Some(last)) = (first, last) else { bail!("{stream}: of one format only") };
            let (count, late) = (formats.len(), (last + 1).saturating_sub(first));
            out::note(format!(
                "{stream}: {first} records in format {PREVIOUS}, {count} in all; {late} until all had gone over"
            ));
            ensure!(formats.iter().all(|(_, format)| [PREVIOUS, PRESENT].contains(format)), "{stream}: {formats:?}");
            ensure!(last + 1 < count && (late == 0 || *stream == history.events()), "{stream} has gone over for good");
            ensure!(
                formats[last].0 <= by,
                "{stream}: {} is in format {PREVIOUS}, all had gone over at {by}",
                formats[last].0
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
