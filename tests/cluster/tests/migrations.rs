//! Shards that move, told to somebody who begins again and again, on a real nats-server that is gone for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use aether::prelude::*;
use aether::{ShardMigrated, Since, StreamExt as _};
use aether_cluster_tests::odd::Odd;
use aether_domain::{Epoch, ShardId};
use tokio::time::timeout;
use xtask::nats::{NatsServer, ServerOptions};

const LIMIT: Duration = Duration::from_secs(60);

async fn start(server: &NatsServer, id: &str) -> Node {
    let config = NatsConfig::new([server.url()]);
    let node = Node::builder(id).namespace("migrations").profile(Profile::Fast).actor::<Odd>().nats(config).start();
    timeout(LIMIT, node).await.expect("in time").expect("it starts")
}

/// Who has which shard, as far as migrations say; and what to go on behind.
#[derive(Default)]
struct Map {
    owners: BTreeMap<ShardId, String>,
    seen: Epoch,
    told: usize,
}

impl Map {
    fn take(&mut self, moved: ShardMigrated) {
        let before = self.owners.insert(moved.shard, moved.to.node.to_string());
        // Told again after a new beginning, it changes nothing.
        let from = moved.from.node.as_str();
        assert!(before.is_none_or(|owner| owner == from || owner == moved.to.node.as_str()), "{:?}", moved.shard);
        let (plan, _) = moved.plan.expect("every move is planned");
        assert!(plan.0 < moved.epoch.0, "the plan began before");
        (self.seen, self.told) = (moved.seen, self.told + 1);
    }

    /// Listens until that node has so many shards, as they are told; begins again after every 100.
    async fn until(&mut self, node: &Node, id: &str, shards: usize) {
        let count = |map: &Self| map.owners.values().filter(|owner| *owner == id).count();
        while count(self) < shards {
            let mut migrations = node.shard_migrations(Since::Epoch(self.seen));
            for _ in 0..100 {
                if count(self) >= shards {
                    break;
                }
                let moved = timeout(LIMIT, migrations.next()).await.expect("in time");
                self.take(moved.expect("it goes on").expect("the log is sound"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_follows_migrations_knows_every_owner_whatever_becomes_of_it_and_of_the_server() {
    let server = tokio::task::spawn_blocking(|| NatsServer::start(ServerOptions::default())).await;
    let mut server = server.expect("no panic").expect("a nats-server");
    let n1 = start(&server, "n1").await;
    let mut map = Map::default();
    let n2 = start(&server, "n2").await;
    map.until(&n1, "n2", 512).await;
    server.kill().expect("it is killed");
    server.restart().expect("it comes back");
    let n3 = start(&server, "n3").await;
    // Some of what it gets comes from each.
    map.until(&n2, "n3", 341).await;
    let picture = n3.source().picture().expect("it has begun");
    for (shard, state) in picture.topology.assignment().iter() {
        let owner = map.owners.get(&shard).map_or("n1", String::as_str);
        let known = picture.topology.owner(shard).expect("it is owned").0.node.as_str();
        assert_eq!(owner, known, "{shard}: {state:?}");
    }
    assert!(map.told >= 512 + 341, "{}", map.told);
}
