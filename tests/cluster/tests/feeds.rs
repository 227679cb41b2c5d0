//! Two processes that want one feed, on a real nats-server: the one that works is killed with SIGKILL, again and again.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use aether::demo::bank::AccountEvent;
use aether_cluster_tests::Lone;
use aether_domain::ports::Ports;
use aether_domain::records::{CommitRecord, EventRecord, PayloadCodec, Position};
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, Epoch, FeedName, Incarnation, Namespace, Nonce, Slot, Version, WallTime,
};
use aether_infra_nats::{NatsConfig, connect};
use tokio::time::{sleep, timeout};
use xtask::nats::{NatsServer, ServerOptions};

#[path = "../../../crates/aether/examples/read_model.rs"]
#[expect(dead_code, reason = "its main is another program")]
mod read_model;

use read_model::Totals;

const WORKER: &str = env!("CARGO_BIN_EXE_feed-worker");
const NAMESPACE: &str = "feeds";
const LIMIT: Duration = Duration::from_secs(60);

/// How often the one that works is killed.
const KILLS: u64 = 12;

/// Accounts, and how many commits of two events each between two kills.
const ACCOUNTS: u64 = 7;
const COMMITS: u64 = 150;

fn account(nth: u64) -> ActorAddress {
    let kind = ActorKind::new("account").expect("a kind");
    let key = ActorKey { kind, id: ActorId::new(nth.to_string()).expect("an id") };
    ActorAddress { key, slot: Slot((nth * 9_361) as u16) }
}

/// Every account's history as it was written here.
#[derive(Default)]
struct Bank {
    tails: BTreeMap<u64, (Position, u64)>,
    expected: Totals,
    written: u64,
}

impl Bank {
    async fn commit(&mut self, ports: &Ports) {
        let nth = self.written % ACCOUNTS;
        let (before, base) = self.tails.get(&nth).copied().unwrap_or_default();
        let events = [1, 2].map(|part| {
            let operation = 2 * self.written + part;
            AccountEvent::Deposited { operation, amount: operation % 100 }
        });
        let actor = account(nth);
        let record = CommitRecord {
            shard_epoch: Epoch(1),
            owner: Incarnation(1),
            nonce: Nonce(self.written),
            base: Version(base),
            prev_sequence: before.sequence,
            prev_hash: before.hash,
            at: WallTime { unix_millis: 1 },
            codec: PayloadCodec::Json,
            commands: Vec::new(),
            events: events
                .iter()
                .map(|event| EventRecord {
                    schema: 1,
                    name: "".into(),
                    payload: serde_json::to_vec(event).expect("it is JSON").into(),
                })
                .collect(),
            timers: Vec::new(),
        };
        let at = ports.events.append(&actor, &record, before.sequence).await.expect("nobody else writes");
        self.tails.insert(nth, (at, base + 2));
        self.written += 1;
        for event in &events {
            self.expected.count(actor.key.id.as_str(), event);
        }
    }
}

fn start(folder: &Path, url: &str, id: &str, life: u64, file: &Path) -> Lone {
    let (name, life) = (format!("{id}-{life}"), life.to_string());
    Lone::start(WORKER, folder, &name, &[url, NAMESPACE, id, &life, &file.display().to_string()]).expect("it starts")
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("{what} took more than {LIMIT:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process_goes_on_when_the_one_that_works_is_killed_and_the_totals_stay_exact() {
    let server = NatsServer::start(ServerOptions::default()).expect("a server");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("totals.json");
    let namespace = Namespace::new(NAMESPACE).expect("a name");
    let ports = connect(&NatsConfig::new([server.url()]), &namespace).await.expect("ports");
    let feed = FeedName::new("totals").expect("a name");
    let (mut bank, mut lives) = (Bank::default(), 2);
    let mut workers: BTreeMap<&str, Lone> =
        [("w1", 1), ("w2", 2)].map(|(id, life)| (id, start(folder.path(), &server.url(), id, life, &file))).into();
    let mut owner = None;
    for kill in 0..KILLS {
        // The one that was killed last is not the one to kill, though the record still names it.
        let next = until("work by somebody who lives", async || {
            let found = ports.checkpoints.read(&feed).await.ok()??.checkpoint.owner;
            (Some(&found) != owner.as_ref()).then_some(found)
        });
        let next = next.await;
        for nth in 0..COMMITS {
            bank.commit(&ports).await;
            // Most of the work is done while there is more to do, some of it at the end.
            if nth % 50 == kill % 50 {
                sleep(Duration::from_millis(37 * kill % 90)).await;
            }
        }
        let id = workers.keys().copied().find(|id| *id == next.node.as_str()).expect("one of ours");
        drop(workers.remove(id));
        lives += 1;
        workers.insert(id, start(folder.path(), &server.url(), id, lives, &file));
        owner = Some(next);
    }
    let end = ports.bus.end().await.expect("it is there");
    until("all events", async || (ports.checkpoints.read(&feed).await.ok()??.checkpoint.position >= end).then_some(()))
        .await;
    let totals = Totals::read(&file).expect("totals");
    assert_eq!((totals.events, totals.deposited), (bank.expected.events, bank.expected.deposited));
    // Every event's place was said each time it was handed out.
    let said = std::fs::read_dir(folder.path()).expect("a folder").filter_map(|entry| {
        let path = entry.expect("an entry").path();
        (path.extension()? == "out").then(|| std::fs::read_to_string(path).expect("it is there").lines().count())
    });
    let (handed_out, events) = (said.sum::<usize>(), 2 * bank.written);
    println!("{events} events, handed out {handed_out} times, {KILLS} kills");
    assert!(handed_out as u64 > events, "no event came twice: the kills came at tame points");
}
