//! A read model whose counts stay exact, though a feed hands out events at least once.
//!
//! ```console
//! $ cargo run --example read_model
//! {"place":[9,0],"events":{"deposited":3,"opened":3,"withdrawn":3},"deposited":{"1":50,"2":50,"3":50}}
//! feed totals: working, 9 handled, 0 behind
//! ```
//!
//! [`Totals`] holds what was counted *and how far*, and is kept in one file
//! that is replaced as a whole: after a crash both are as they were, and an event that comes again is seen to be old. In a
//! database the same is one transaction, that also checks that the place it replaces is the one it has read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use aether::demo::bank::{Account, AccountEvent, Deposit, Open, Withdraw};
use aether::prelude::*;
use serde::{Deserialize, Serialize};

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// How far: the sequence and the index of the last event counted.
    place: (u64, u32),
    /// How many events there were, by what happened.
    pub(crate) events: BTreeMap<String, u64>,
    /// How much was deposited, by account.
    pub(crate) deposited: BTreeMap<String, u64>,
}

impl Totals {
    /// As the file has them; nothing counted yet, if there is none.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        match fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Counts one event.
    pub(crate) fn count(&mut self, account: &str, event: &AccountEvent) {
        let what = match event {
            AccountEvent::Opened { .. } => "opened",
            AccountEvent::Deposited { amount, .. } => {
                *self.deposited.entry(account.to_owned()).or_default() += amount;
                "deposited"
            }
            AccountEvent::Withdrawn { .. } => "withdrawn",
            _ => "transferred",
        };
        *self.events.entry(what.to_owned()).or_default() += 1;
    }

    /// Puts them in the place of what the file holds: after a crash there is the one or the other, never a part.
    fn write(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&new, path)
    }
}

/// Counts an event in the file's totals, if it is not in there already.
pub(crate) fn keep(path: &Path, recorded: &Recorded<AccountEvent>) -> io::Result<()> {
    let mut totals = Totals::read(path)?;
    let place = (recorded.place.sequence.0, recorded.place.index);
    if place <= totals.place {
        return Ok(()); // it came again
    }
    totals.place = place;
    totals.count(recorded.actor.id.as_str(), &recorded.event);
    totals.write(path)
}

#[expect(clippy::print_stdout, reason = "it is a program that shows something")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join("aether-read-model");
    fs::create_dir_all(&folder)?;
    let path = folder.join("totals.json");
    if path.exists() {
        fs::remove_file(&path)?; // the bank begins anew, as it is kept in memory only
    }
    let node = Node::builder("n1").namespace("bank").in_memory(&MemoryHub::new()).actor::<Account>().start().await?;
    node.ready().await?;

    // One lane: all events come in one order, so one place says how far. The file is small, so it is written on the spot.
    let kept = path.clone();
    let feed =
        node.subscribe::<Account>("totals", FeedOptions::default(), move |recorded: Recorded<AccountEvent>| {
            let path = kept.clone();
            async move { Ok(keep(&path, &recorded)?) }
        })?;

    for account in 1..=3 {
        let account = node.actor::<Account>(account);
        account.ask(Open { operation: 1 }).await?;
        account.ask(Deposit { operation: 2, amount: 50 }).await?;
        account.ask(Withdraw { operation: 3, amount: 20 }).await?;
    }
    let mut stats = feed.watch();
    stats.wait_for(|stats| stats.handled == 9).await?;
    assert_eq!(Totals::read(&path)?.deposited.values().sum::<u64>(), 150);
    println!("{}", fs::read_to_string(&path)?);
    let stats = feed.stats();
    println!("feed {}: {}, {} handled, {} behind", stats.name, stats.state.name(), stats.handled, stats.behind());
    node.drain().await;
    Ok(())
}
