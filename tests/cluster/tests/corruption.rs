//! Bytes that nobody of ours wrote, on every subject we read: counted, refused or isolated, and nothing that was
//! acknowledged is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aether_cluster_tests::{Cluster, History, Prober, Spec};
use aether_infra_nats::GatewayError;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use xtask::{
    clock::{Deadline, Stopwatch, wait_for},
    http, out,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

/// How long anything may take to be noticed or to be in order again.
const LIMIT: Duration = Duration::from_secs(45);

/// Longer than any timer of the short profile: a lease of 2 s, a silence of 2 s.
const EVERY_TIMER: Duration = Duration::from_secs(4);

/// Longer than any timer of the default profile: a lease of 10 s, a silence of 6 s. Where nothing at all may happen these are kept:
/// with shorter ones a machine under load may itself be why something does.
const EVERY_DEFAULT_TIMER: Duration = Duration::from_secs(12);

/// How many commands must be acknowledged between two lies.
const WORK: u64 = 40;

/// Bytes no decoder of ours may take: nothing, text, broken JSON, foreign JSON, the start of a frame, a frame whose
/// length or checksum lies, deep nesting, and many zeroes.
fn lies() -> Vec<Vec<u8>> {
    let mut lies: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"hello".to_vec(),
        b"{".to_vec(),
        b"{}".to_vec(),
        br#"{"format":1,"kind":"lease","term":-1}"#.to_vec(),
        br#"{"format":99,"kind":"member","node":"n1"}"#.to_vec(),
        vec![0xff; 64],
        b"AE".to_vec(),
        b"AE\x01\x01\x00\xff\xff\xff\xff\x00\x00\x00\x00".to_vec(),
        b"AE\x01\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00abcd".to_vec(),
        vec![0; 200_000],
    ];
    lies.push([vec![b'['; 50_000], vec![b']'; 50_000]].concat());
    lies
}

fn incarnations(cluster: &Cluster) -> Result<BTreeMap<String, String>> {
    let view = cluster.furthest()?;
    let life = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(view.nodes.iter().map(|node| (node.id.clone(), life(&node.incarnation))).collect())
}

fn all_alive(cluster: &Cluster) -> Result<()> {
    for process in cluster.processes()? {
        ensure!(process.is_alive(), "{process:?} has ended");
    }
    Ok(())
}

#[test]
fn on_the_subjects_between_nodes_and_of_clients() -> Result<()> {
    Cluster::run(&Spec::of(PROGRAM), |cluster| {
        let file = cluster.file()?;
        let (history, prober) = (History::of(&file)?, Prober::of(&file)?);
        let before = incarnations(cluster)?;
        let gateway = format!("aether.{}.gw", file.namespace);
        for lie in lies() {
            for (id, life) in &before {
                history.publish(&format!("aether.{}.n.{id}.{life}", file.namespace), lie.clone())?;
            }
            // Without a place to answer there is nobody to tell; with one the client is told.
            history.publish(&gateway, lie.clone())?;
            let answer: Value = serde_json::from_slice(&history.request(&gateway, lie)?)?;
            ensure!(answer["error"]["code"] == "invalid", "{answer}");
            ensure!(answer["error"]["maybe_applied"] == false, "{answer}");
        }
        run_out(EVERY_DEFAULT_TIMER)?;
        cluster.wait_progress(WORK, LIMIT)?;
        prober.until_all_served(Stopwatch::start(), LIMIT)?;
        all_alive(cluster)?;
        ensure!(incarnations(cluster)? == before, "no node began a new life for it");
        cluster.verify().map(drop)
    })
}

/// Waits until every timer has run out once.
fn run_out(every_timer: Duration) -> Result<()> {
    let since = Stopwatch::start();
    wait_for("every timer to have run out once", Deadline::after(LIMIT), || {
        Ok((since.elapsed() >= every_timer).then_some(()))
    })
}

/// Lies under each of `keys`, waits until every timer has run out, and checks that the cluster works.
fn lie_in_the_bucket(cluster: &Cluster, keys: &[String], every_timer: Duration) -> Result<()> {
    let file = cluster.file()?;
    let (history, prober) = (History::of(&file)?, Prober::of(&file)?);
    for key in keys {
        for lie in lies() {
            history.publish(&format!("$KV.aether_{}_ctl.{key}", file.namespace), lie)?;
        }
    }
    run_out(every_timer)?;
    let what = || format!("after lies under {}", keys.join(", "));
    cluster.wait_balanced(3, LIMIT).with_context(what)?;
    prober.until_all_served(Stopwatch::start(), LIMIT).with_context(what)?;
    cluster.wait_progress(WORK, LIMIT).with_context(what)?;
    all_alive(cluster)?;
    cluster.verify().map(drop)
}

#[test]
fn under_keys_of_the_control_bucket_that_are_nobodys() -> Result<()> {
    Cluster::run(&Spec::of(PROGRAM), |cluster| {
        let before = cluster.wait_balanced(3, LIMIT)?;
        let keys = ["junk", "node.zz", "node.N!", "node.a.b", "rel.zz", "top", "top.snap.x"].map(str::to_owned);
        lie_in_the_bucket(cluster, &keys, EVERY_DEFAULT_TIMER)?;
        let after = cluster.wait_balanced(3, LIMIT)?;
        ensure!((before.epoch, before.term) == (after.epoch, after.term), "nothing happened: {after:?}");
        Ok(())
    })
}

#[test]
fn under_the_keys_of_a_node_in_the_control_bucket() -> Result<()> {
    Cluster::run(&Spec::of(PROGRAM).fast(), |cluster| {
        for id in [cluster.follower()?, cluster.leader()?] {
            lie_in_the_bucket(cluster, &[format!("rel.{id}"), format!("node.{id}")], EVERY_TIMER)?;
        }
        Ok(())
    })
}

#[test]
fn under_the_keys_of_the_lease_and_of_the_topology_snapshot() -> Result<()> {
    Cluster::run(&Spec::of(PROGRAM).fast(), |cluster| {
        lie_in_the_bucket(cluster, &["lease", "top.snap"].map(str::to_owned), EVERY_TIMER)?;
        let (leader, file) = (cluster.leader()?, cluster.file()?);
        let (history, subject) = (History::of(&file)?, format!("$KV.aether_{}_ctl.lease", file.namespace));
        let records = history.read(&history.control(), 0)?;
        let lease = records.iter().rev().find(|record| record.subject == subject).context("a lease")?.json();
        ensure!(lease["state"] == "held" && lease["node"] == leader.as_str(), "{leader} has written over it: {lease}");
        Ok(())
    })
}

#[test]
fn in_one_actors_history_which_is_quarantined_alone() -> Result<()> {
    Cluster::run(&Spec::of(PROGRAM).fast(), |cluster| {
        let file = cluster.file()?;
        let (history, prober) = (History::of(&file)?, Prober::of(&file)?);
        // Neighbours: accounts of the same shard as the victim's would do; the load's accounts are everywhere.
        for (shard, lie) in [3, 300, 700].into_iter().zip([&b"{\"format\":1"[..], b"AE\x01", b""]) {
            let account = prober.account(shard);
            let message = u128::from(account) << 64;
            prober.insist(account, "open", &json!({"operation": 1}), message + 1, LIMIT)?;
            let deposit = json!({"operation": 2, "amount": 70});
            ensure!(prober.insist(account, "deposit", &deposit, message + 2, LIMIT)? == 70, "the balance is told");
            let stored = history.read(&history.events(), 0)?;
            let mine = stored.iter().rev().find(|record| record.subject.ends_with(&format!(".account.{account}")));
            let subject = mine.context("the account has a history")?.subject.clone();
            let held = stored.iter().filter(|record| record.subject == subject).count();
            history.publish(&subject, lie)?;
            let deposit = json!({"operation": 3, "amount": 1});
            let refused = wait_for("the account to be quarantined", Deadline::after(LIMIT), || {
                match prober.ask(account, "deposit", &deposit) {
                    Err(GatewayError::Failed { code, reason, .. }) if code == "quarantined" => Ok(Some(reason)),
                    Err(GatewayError::Rejected(refusal)) => bail!("a refusal: {refusal}"),
                    Ok(balance) => bail!("{balance} although the history cannot be read"),
                    Err(_) => Ok(None),
                }
            })?;
            out::note(format!("account {account} in shard {shard}: {refused}"));
            let after = history.read(&history.events(), 0)?;
            let kept = after.iter().filter(|record| record.subject == subject).count();
            ensure!(kept == held + 1, "what was acknowledged is still there, and nothing was added");
        }
        // An actor nobody has ever asked, and subjects that are no actor's.
        for subject in
            ["ev.0.000.account.never-asked", "ev.0.000.junk", "ev.f.zzz.a.b.c", "sn.0.000.account.1", "dlq.x.y"]
        {
            history.publish(&format!("aether.{}.{subject}", file.namespace), "junk")?;
        }
        let others: Vec<_> = (0..aether_cluster_tests::SHARDS).filter(|shard| ![3, 300, 700].contains(shard)).collect();
        prober.until_served(&others, Stopwatch::start(), LIMIT).context("everybody else")?;
        cluster.wait_progress(WORK, LIMIT)?;
        all_alive(cluster)?;
        cluster.verify_load()?;
        let findings = cluster.findings()?;
        ensure!(
            findings.len() == 6 && findings.iter().all(|finding| finding.starts_with("histories at ")),
            "{findings:?}"
        );
        Ok(())
    })
}

#[test]
fn in_the_topology_log_where_nodes_stop_serving_and_say_so() -> Result<()> {
    Cluster::run(&Spec::of(PROGRAM).fast(), |cluster| {
        let file = cluster.file()?;
        let (history, prober) = (History::of(&file)?, Prober::of(&file)?);
        let account = prober.account(5);
        prober.insist(account, "open", &json!({"operation": 1}), 1, LIMIT)?;
        let mut acknowledged = BTreeSet::new();
        for operation in 2..12_u64 {
            let deposit = json!({"operation": operation, "amount": 1});
            prober.insist(account, "deposit", &deposit, operation.into(), LIMIT)?;
            acknowledged.insert(operation);
        }
        let verified = cluster.verify()?;
        history.publish(&format!("aether.{}.top", file.namespace), r#"{"format":1,"kind":"entry"}"#)?;
        for node in &file.nodes {
            let url = format!("{}/readyz?verbose", node.admin_url);
            let said = wait_for(&format!("{} to raise an alarm", node.id), Deadline::after(LIMIT), || {
                // One that is slow to answer has not answered yet.
                let Ok(reply) = http::get(&url, Duration::from_secs(1)) else { return Ok(None) };
                let said: Value = serde_json::from_str(&reply.body)?;
                Ok((reply.status == 503 && said["fault"].is_string()).then_some(said))
            })?;
            out::note(format!("{}: {}", node.id, said["fault"]));
            ensure!(said["ready"] == false, "{said}");
            let livez = format!("{}/livez", node.admin_url);
            wait_for("the process to stay, so that a person can look", Deadline::after(LIMIT), || {
                Ok(http::get(&livez, Duration::from_secs(1)).ok().filter(|reply| reply.status == 200).map(drop))
            })?;
        }
        all_alive(cluster)?;
        // Nobody can be sure who owns what, so nobody answers.
        let asked = prober.ask(account, "deposit", &json!({"operation": 99, "amount": 1}));
        ensure!(asked.is_err(), "{asked:?} although the log cannot be read");
        // Everything that was acknowledged is in the history.
        let suffix = format!(".account.{account}");
        let mut stored = BTreeSet::new();
        for record in history.read(&history.events(), 0)?.iter().filter(|record| record.subject.ends_with(&suffix)) {
            for event in record.json()["events"].as_array().into_iter().flatten() {
                stored.extend(event["payload"]["Deposited"]["operation"].as_u64());
            }
        }
        ensure!(stored == acknowledged, "acknowledged {acknowledged:?}, stored {stored:?}");
        let findings = cluster.findings()?;
        ensure!(findings.len() == 1 && findings[0].starts_with("topology log at "), "{findings:?}");
        out::note(format!("{verified} commands of the load were verified before"));
        Ok(())
    })
}
