//! Event sourcing as a library: orders as streams of events, with `aether-domain` and one adapter of its ports.
//!
//! ```console
//! $ cargo run -p aether-orders                             # in memory
//! $ cargo run -p aether-orders -- nats://127.0.0.1:4222    # on NATS JetStream
//! ```
//!
//! Two shops write to the same orders, as two programs on two machines would. No node, no actor and no cluster is part of
//! it. It begins with an empty namespace: `orders`, or what the second argument says.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aether_domain::journal::{AppendFailed, Draft, Head, Journal, stream};
use aether_domain::ports::{BusUpdate, EventFilter, Ports, StartAt, Whose};
use aether_domain::records::{EventRecord, PayloadCodec};
use aether_domain::{ActorAddress, ActorKind, Incarnation, Namespace, NodeId, Version, WallTime};
use aether_infra_memory::MemoryHub;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::StreamExt;

/// What an order comes to: the fold of its events.
#[derive(Debug, Default, PartialEq, Eq)]
struct Order {
    items: u64,
    paid: bool,
}

impl Order {
    fn apply(&mut self, event: &EventRecord) {
        match &*event.name {
            "item_added" => self.items += 1,
            "paid" => self.paid = true,
            _ => {}
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (url, namespace) = (arguments.next(), arguments.next());
    let namespace = Namespace::new(namespace.as_deref().unwrap_or("orders"))?;
    // One connection each. In memory two connections of one process share a hub.
    let (here, there) = if let Some(url) = url {
        let config = aether_infra_nats::NatsConfig::new([url]);
        let connect = || aether_infra_nats::connect(&config, &namespace);
        (connect().await?.ports, connect().await?.ports)
    } else {
        let hub = MemoryHub::new();
        (hub.ports(&NodeId::new("here")?), hub.ports(&NodeId::new("there")?))
    };
    trade(&here, &there).await
}

async fn trade(here: &Ports, there: &Ports) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "a stamp for people, and a seed")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    // Marks must never come twice under one writer: a real program takes 64 random bits.
    let seed = u64::try_from(now.as_nanos() % u128::from(u64::MAX))?;
    let (ours, theirs) = (Journal::new(here, Incarnation(1), seed), Journal::new(there, Incarnation(2), seed));
    let order = stream("order", "4711")?;

    // The other shop follows what is stored, by whomever: it knows versions without asking, and hears of payments.
    let (versions, bus) = (Arc::clone(theirs.versions()), Arc::clone(&there.bus));
    let following = tokio::spawn(async move { versions.follow(&*bus, Whose::Everybody, StartAt::Beginning).await });
    let payments =
        EventFilter { of: Whose::Kind(ActorKind::new("order")?), name: Some("paid".into()), eventless: false };
    let mut payments = theirs.subscribe(&payments, StartAt::Beginning).await?;

    let placed = append(&ours, &order, Version::ZERO, now, &["placed", "item_added"]).await?;
    say(&format!("placed order 4711: version {}", placed.version));
    let second = append(&ours, &order, placed.version, now, &["item_added"]).await?;
    say(&format!("added an item: version {}", second.version));

    // Both believe that the order is at version 2. The store says no, and names both versions.
    match theirs.append(&order, placed.version, draft(now, &["paid"])).await {
        Err(AppendFailed::Conflict { expected, actual }) => {
            say(&format!("a payment behind version {expected} was refused: the order is at version {actual}"));
        }
        other => bail!("a conflict was expected: {other:?}"),
    }
    while theirs.versions().right_up_to(&order) < second.at.sequence {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let known = theirs.versions().latest(&order).context("it was followed")?;
    say(&format!("the other shop knows version {known} without asking"));
    let paid = append(&theirs, &order, known, now, &["paid"]).await?;
    loop {
        match payments.next().await.context("the bus lives")? {
            BusUpdate::EventStored { actor, commit } => {
                say(&format!("heard of it: {} is paid at version {}", actor.key, commit.record.version()));
                break;
            }
            BusUpdate::Reached(_) => {}
            BusUpdate::Corrupt { sequence, reason } => bail!("record {sequence} is damaged: {reason}"),
        }
    }

    // A snapshot is only a cache: what cannot be kept is replayed.
    let state = r#"{"items":2,"paid":true}"#;
    let _ = theirs.save(&order, paid, 1, PayloadCodec::Json, Bytes::from(state)).await;
    let shipped = append(&ours, &order, paid.version, now, &["shipped"]).await?;
    let mut total = Order::default();
    let replayed = ours.replay(&order, Version::ZERO).await?;
    replayed.events.iter().for_each(|recorded| total.apply(&recorded.event));
    say(&format!("replayed {} events: {} items, paid: {}", replayed.events.len(), total.items, total.paid));
    let since = ours.replay(&order, paid.version).await?;
    let names: Vec<_> = since.events.iter().map(|recorded| &*recorded.event.name).collect();
    say(&format!("behind version {}: {}", paid.version, names.join(", ")));
    let loaded = theirs.load(&order, 1).await?;
    let kept = loaded.snapshot.map_or(0, |snapshot| snapshot.version.0);
    if kept + loaded.events.len() as u64 != shipped.version.0 {
        bail!("a snapshot and what follows it are the whole: {kept} and {}", loaded.events.len());
    }
    say("the snapshot and the events behind it are the whole order");
    following.abort();
    Ok(())
}

/// Appends, and finds out what became of it however often answers are lost.
async fn append(
    journal: &Journal,
    order: &ActorAddress,
    expected: Version,
    now: Duration,
    names: &[&'static str],
) -> Result<Head> {
    let mut outcome = journal.append(order, expected, draft(now, names)).await;
    loop {
        outcome = match outcome {
            Err(AppendFailed::Unresolved(doubt)) => journal.settle(*doubt).await,
            known => return Ok(known?),
        }
    }
}

fn draft(now: Duration, names: &[&'static str]) -> Draft {
    let event =
        |name: &&'static str| EventRecord { schema: 1, name: (*name).into(), payload: Bytes::from_static(b"{}") };
    let at = WallTime { unix_millis: u64::try_from(now.as_millis()).unwrap_or(u64::MAX) };
    Draft { codec: PayloadCodec::Json, at, events: names.iter().map(event).collect() }
}

#[expect(clippy::print_stdout, reason = "it is a program that shows something")]
fn say(line: &str) {
    println!("{line}");
}
