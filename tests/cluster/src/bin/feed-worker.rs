//! Keeps the totals of a bank, and is no node: `feed-worker URL NAMESPACE ID LIFE FILE`. LIFE is never used twice.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aether::demo::bank::AccountEvent;
use aether::prelude::*;
use aether::{BootClock, Feeds};
use aether_domain::ports::Whose;
use aether_domain::{ActorKind, Incarnation, Namespace, NodeId, NodeRef};
use anyhow::Result;

#[path = "../../../../crates/aether/examples/read_model.rs"]
#[expect(dead_code, reason = "its main is another program")]
mod read_model;

#[expect(clippy::print_stdout, reason = "whoever kills it reads how far it is")]
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, namespace, id, life, file] = &arguments[..] else {
        anyhow::bail!("feed-worker URL NAMESPACE ID LIFE FILE")
    };
    let (life, path) = (life.parse()?, PathBuf::from(file));
    let ports = aether_infra_nats::connect(&NatsConfig::new([url.clone()]), &Namespace::new(namespace)?).await?;
    let me = NodeRef { node: NodeId::new(id)?, incarnation: Incarnation(life) };
    let feeds = Feeds::new(&ports, Arc::new(BootClock), me, life);
    let options = FeedOptions {
        steal_after: Duration::from_millis(500),
        checkpoint_every: Duration::from_millis(200),
        ..FeedOptions::default()
    };
    let of = Whose::Kind(ActorKind::new("account")?);
    let feed = feeds.subscribe::<AccountEvent>("totals", of, options, move |recorded: Recorded<AccountEvent>| {
        let path = path.clone();
        async move {
            println!("{}", recorded.place);
            read_model::keep(&path, &recorded)?;
            // Here a kill finds the event counted and not yet handled.
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(())
        }
    })?;
    let mut stats = feed.watch();
    while stats.changed().await.is_ok() {}
    anyhow::bail!("the feed has ended: {:?}", feed.stats().state)
}
