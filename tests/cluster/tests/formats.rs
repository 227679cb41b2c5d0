//! Nodes whose builds read different formats, on one real nats-server: an upgrade node by node, back, and forth for good.

use std::time::Duration;

use aether::prelude::*;
use aether_cluster_tests::odd::{Add, Odd, Total};
use aether_infra_nats::NatsConfig;
use async_nats::jetstream;
use tokio::time::timeout;
use xtask::nats::{NatsServer, ServerOptions};

const NAMESPACE: &str = "formats";
const LIMIT: Duration = Duration::from_secs(60);
/// So many that each node has some.
const ACTORS: u64 = 24;

/// A node whose build reads formats up to that one.
async fn start(server: &NatsServer, id: &str, format_max: u8) -> Node {
    let config = NatsConfig { format_max, ..NatsConfig::new([server.url()]) };
    let node = Node::builder(id).namespace(NAMESPACE).profile(Profile::Fast).actor::<Odd>().nats(config).start();
    timeout(LIMIT, node).await.expect("in time").expect("it starts")
}

/// The formats of what a stream holds, in order.
async fn formats(server: &NatsServer, stream: &str) -> Vec<u8> {
    let client = async_nats::connect(server.url()).await.expect("a plain client");
    let mut stream = jetstream::new(client).get_stream(stream).await.expect("it is there");
    let last = stream.info().await.expect("it answers").state.last_sequence;
    let mut formats = Vec::new();
    for sequence in 1..=last {
        let payload = stream.get_raw_message(sequence).await.expect("it is kept").payload;
        let text = payload.strip_prefix(b"{\"format\":");
        formats.push(text.map_or_else(|| payload[2], |rest| rest[0] - b'0'));
    }
    formats
}

/// Everybody's sum, asked through each node, after one more was added through each.
struct Ledger(u64);

impl Ledger {
    async fn add(&mut self, nodes: &[&Node]) {
        for (nth, node) in nodes.iter().enumerate() {
            self.0 += 1;
            for id in 0..ACTORS {
                let actor = node.actor::<Odd>(id.to_string()).timeout(LIMIT);
                assert_eq!(actor.ask(Add(1)).await, Ok(self.0), "{id} through {nth}");
            }
        }
        for node in nodes {
            for id in 0..ACTORS {
                assert_eq!(node.actor::<Odd>(id.to_string()).timeout(LIMIT).ask(Total()).await, Ok(self.0));
            }
        }
    }
}

async fn ends(node: Node) {
    let ended = timeout(LIMIT, node.drain()).await;
    assert!(ended.is_ok(), "it leaves in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_upgraded_node_by_node_and_back_and_nobody_meets_what_it_cannot_read() {
    let server = tokio::task::spawn_blocking(|| NatsServer::start(ServerOptions::default())).await;
    let server = server.expect("no panic").expect("a nats-server");
    let (log, histories) = (format!("AETHER_{NAMESPACE}_TOP"), format!("AETHER_{NAMESPACE}_EVT_0"));
    let mut ledger = Ledger(0);

    let (n1, n2) = (start(&server, "n1", 1).await, start(&server, "n2", 1).await);
    ledger.add(&[&n1, &n2]).await;
    // One is upgraded, taken back, and upgraded again: the other reads whatever it writes.
    let mut n1 = n1;
    for format in [2, 1, 2] {
        ends(n1).await;
        n1 = start(&server, "n1", format).await;
        ledger.add(&[&n1, &n2]).await;
    }
    assert!(formats(&server, &log).await.iter().chain(&formats(&server, &histories).await).all(|format| *format == 1));

    // The last one: from its entry on everybody writes the newer format, and reads both.
    ends(n2).await;
    let n2 = start(&server, "n2", 2).await;
    ledger.add(&[&n1, &n2]).await;
    let written = formats(&server, &histories).await;
    assert!(written.is_sorted() && written.last() == Some(&2), "{written:?}");
    let entries = formats(&server, &log).await;
    assert!(entries.is_sorted() && entries.last() == Some(&2), "{entries:?}");

    // An old build finds out from the log, before it has told anybody of itself.
    let config = NatsConfig { format_max: 1, ..NatsConfig::new([server.url()]) };
    let old = Node::builder("n3").namespace(NAMESPACE).profile(Profile::Fast).actor::<Odd>().nats(config).launch();
    let old = timeout(LIMIT, old).await.expect("in time").expect("it connects, and then finds out");
    let ended = timeout(LIMIT, old.ended()).await.expect("it ends by itself");
    let Ended::LogUnreadable { why, .. } = &ended else { panic!("{ended}") };
    assert!(why.contains("format 2 is not known here, which reads up to 1: it was written by build next"), "{ended}");
    ledger.add(&[&n1, &n2]).await;
    ends(n1).await;
    ledger.add(&[&n2]).await;
    ends(n2).await;
}
