//! Reminders on real processes: whoever is killed, and if everything was off, each fires once.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aether_cluster_tests::{History, alone};
use aether_domain::Namespace;
use aether_infra_nats::{GatewayClient, NatsConfig};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use xtask::clock::{Deadline, Stopwatch, wait_for};
use xtask::nats::{NatsServer, ServerOptions};
use xtask::out;

const PROGRAM: &str = env!("CARGO_BIN_EXE_alarm-node");

const NAMESPACE: &str = "alarms";

/// How long a cluster may take to answer again, whatever was done to it, on a machine under load.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// How many alarms are set before each fault: some in shards of every node.
const ALARMS: u64 = 30;

/// A node's process; it ends with the test.
struct Alarms {
    process: Child,
}

impl Alarms {
    fn start(id: &str, url: &str) -> Result<Self> {
        let mut command = Command::new(PROGRAM);
        command.args([id, NAMESPACE, url]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { process: command.spawn().context("starting a node")? })
    }

    fn start_three(url: &str) -> Result<Vec<Self>> {
        ["n1", "n2", "n3"].map(|id| Self::start(id, url)).into_iter().collect()
    }
}

impl Drop for Alarms {
    /// `kill -9`.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Asking {
    runtime: Runtime,
    client: GatewayClient,
}

impl Asking {
    fn of(url: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let namespace = Namespace::new(NAMESPACE)?;
        let client = runtime.block_on(GatewayClient::connect(&NatsConfig::new([url]), &namespace))?;
        Ok(Self { runtime, client })
    }

    fn ask(&self, alarm: u64, command: &str, payload: &Value) -> Result<Value> {
        wait_for(&format!("alarm {alarm} to answer {command}"), Deadline::after(ANSWER_LIMIT), || {
            let id = alarm.to_string();
            let asked = self.client.ask_json("alarm", &id, command, payload, None, Duration::from_secs(5));
            Ok(self.runtime.block_on(asked).ok())
        })
    }

    /// Sets alarms of these numbers, each some milliseconds after the one before.
    fn set(&self, from: u64, after_ms: u64) -> Result<()> {
        (from..from + ALARMS).try_for_each(|nth| self.ask(nth, "set", &json!({ "after_ms": after_ms })).map(drop))
    }
}

/// Each alarm's firings, with by how many milliseconds its record was late. Nobody is asked: what is read is the stream.
fn fired(history: &History) -> Result<BTreeMap<String, Vec<u64>>> {
    let mut due: BTreeMap<String, u64> = BTreeMap::new();
    let mut fired: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for stored in history.read(&history.events(), 0)? {
        let (record, alarm) = (stored.json(), stored.subject.rsplit('.').next().unwrap_or_default().to_owned());
        for change in record["timers"].as_array().into_iter().flatten() {
            if let Some(at) = change["set"]["due_ms"].as_u64() {
                due.insert(alarm.clone(), at);
            }
            if change["fired"].is_object() {
                let since = due.get(&alarm).context("only what is set fires")?;
                if change["fired"]["next_ms"].as_u64() == Some(*since) {
                    // It is due as before: whoever found it overdue has only begun it.
                    continue;
                }
                let at = record["at_ms"].as_u64().context("a record has a time")?;
                ensure!(at >= *since, "alarm {alarm} is early: {record}");
                ensure!(record["events"].as_array().is_some_and(|events| events.len() == 1), "one event: {record}");
                fired.entry(alarm.clone()).or_default().push(at - since);
            }
        }
    }
    Ok(fired)
}

/// Waits until every alarm has fired that was set, and sees that none has twice.
fn each_has_fired_once(history: &History, alarms: u64) -> Result<()> {
    let all = wait_for(&format!("{alarms} alarms to fire"), Deadline::after(ANSWER_LIMIT), || {
        let fired = fired(history)?;
        Ok((fired.len() as u64 == alarms).then_some(fired))
    })?;
    for (alarm, firings) in &all {
        ensure!(firings.len() == 1, "alarm {alarm} has fired {} times", firings.len());
    }
    let mut late: Vec<_> = all.values().flatten().collect();
    late.sort_unstable();
    out::note(format!(
        "{alarms} fired once, late by {} ms in the middle, {} at most",
        late[late.len() / 2],
        late[late.len() - 1]
    ));
    Ok(())
}

#[test]
fn timers_outlive_a_killed_owner_and_a_cluster_that_was_off() -> Result<()> {
    let _alone = alone();
    let mut server = NatsServer::start(ServerOptions::default())?;
    let url = server.url();
    let mut nodes = Alarms::start_three(&url)?;
    let (asking, history) = (Asking::of(&url)?, History::connect(&url, NAMESPACE)?);
    asking.ask(0, "count", &json!({}))?;

    // An owner is killed before they are due; nobody asks the others to look.
    asking.set(0, 6_000)?;
    drop(nodes.remove(0));
    each_has_fired_once(&history, ALARMS)?;

    // Everything is off when they fall due.
    let since = Stopwatch::start();
    asking.set(ALARMS, 12_000)?;
    let set = since.elapsed();
    ensure!(set < Duration::from_secs(12), "too slow to set them in time: {set:?}");
    nodes.clear();
    server.terminate()?;
    // Until the last of them has been due for a second.
    std::thread::sleep((set + Duration::from_secs(13)).saturating_sub(since.elapsed()));
    server.restart()?;
    let _nodes = Alarms::start_three(&server.url())?;
    each_has_fired_once(&history, 2 * ALARMS)?;

    // And it stays so.
    for alarm in 0..2 * ALARMS {
        let rung = asking.ask(alarm, "count", &json!({}))?;
        ensure!(rung == 1, "alarm {alarm} has rung {rung} times");
    }
    each_has_fired_once(&history, 2 * ALARMS)
}
