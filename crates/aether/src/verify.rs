//! Reads everything that a namespace has stored and judges it: [`Verification`] over the ports of one connection.
//!
//! Nothing is written and no node is asked; the cluster may go on meanwhile. What is stored after it began is not looked at.

use std::time::Duration;

use aether_domain::ports::{BusUpdate, EventFilter, Ports, ReadError, StartAt};
use aether_domain::records::{ActorSnapshot, ControlKey, ControlRecord, StoredCommit};
use aether_domain::verification::{Counts, Finding, Verification};
use aether_domain::{ActorAddress, Epoch, NodeId, Sequence};
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep, timeout};

/// How many entries of the log are read at once.
const ENTRIES_READ: usize = 256;

/// How many actors are looked at once.
const ACTORS_AT_ONCE: usize = 64;

/// How long the store may tell nothing of what it has, or lack what another part of it speaks of, before that counts.
const SILENT_MAX: Duration = Duration::from_secs(15);

/// How long until something is read again that may be a stale answer.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// How often an actor that goes on while it is looked at is looked at again.
const LOOKS_MAX: usize = 10;

/// What was looked at and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What was looked at.
    pub counts: Counts,
    /// The log's last epoch.
    pub epoch: Epoch,
    /// How many things are wrong.
    pub findings: u64,
    /// Actors with timers that were so busy all the time that their wakes cannot be judged.
    pub busy: u64,
}

/// Judges everything that is stored now; `tell` is given each thing that is wrong as it is found.
///
/// It keeps some 200 bytes an actor, the open timers, and 8 bytes a command in memory.
///
/// # Errors
/// [`ReadError::Unavailable`]: not everything could be read, so nothing is proven. What was told until then is true.
pub async fn verify(ports: &Ports, tell: impl FnMut(Finding)) -> Result<Verified, ReadError> {
    let mut reading = Reading { ports, tell, all: Verification::default(), log_end: Sequence::ZERO, findings: 0 };
    reading.log().await?;
    reading.histories().await?;
    reading.views().await?;
    reading.snapshots().await?;
    let busy = reading.wakes().await?;
    let (counts, epoch) = (reading.all.counts(), reading.all.topology().epoch());
    Ok(Verified { counts, epoch, findings: reading.findings, busy })
}

struct Reading<'a, T> {
    ports: &'a Ports,
    tell: T,
    all: Verification,
    /// Where the log was read up to.
    log_end: Sequence,
    findings: u64,
}

impl<T: FnMut(Finding)> Reading<'_, T> {
    fn found(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            self.findings += 1;
            (self.tell)(finding);
        }
    }

    /// Reads the log on to its end.
    async fn log(&mut self) -> Result<(), ReadError> {
        loop {
            match self.ports.log.read(self.log_end, ENTRIES_READ).await {
                Ok(entries) => {
                    let Some(last) = entries.last() else { return Ok(()) };
                    self.log_end = last.at.sequence;
                    for entry in &entries {
                        let found = self.all.entry(entry);
                        self.found(found);
                    }
                }
                Err(ReadError::Corrupt { sequence, reason }) => {
                    let found = self.all.unreadable_entry(Sequence(sequence), reason);
                    self.found([found]);
                    return Ok(());
                }
                Err(error @ ReadError::Unavailable { .. }) => return Err(error),
            }
        }
    }

    /// Reads the log on, until `enough` or for so long that it must be there if it ever was.
    async fn log_until(&mut self, enough: impl Fn(&Verification) -> bool) -> Result<(), ReadError> {
        let until = from_now(SILENT_MAX);
        while !enough(&self.all) && from_now(Duration::ZERO) < until {
            self.log().await?;
            if !enough(&self.all) {
                sleep(AGAIN_AFTER).await;
            }
        }
        Ok(())
    }

    async fn histories(&mut self) -> Result<(), ReadError> {
        let end = self.ports.bus.end().await?;
        let everything = EventFilter { eventless: true, ..EventFilter::default() };
        let mut stored = self.ports.bus.subscribe(&everything, StartAt::Beginning).await?;
        let (mut reached, mut lost) = (Sequence::ZERO, false);
        while reached < end {
            let next = timeout(SILENT_MAX, stored.next()).await;
            let Ok(Some(update)) = next else {
                let cause =
                    format!("what is stored was told up to {reached} of {end}, and nothing more for {SILENT_MAX:?}");
                return Err(ReadError::Unavailable { cause: cause.into() });
            };
            match update {
                BusUpdate::EventStored { actor, commit } if commit.at.sequence <= end => {
                    reached = commit.at.sequence;
                    if self.all.is_behind(&commit.record) && !lost {
                        self.log_until(|all| !all.is_behind(&commit.record)).await?;
                        // Whoever waits once for what is not there need not wait for each that follows.
                        lost = self.all.is_behind(&commit.record);
                    }
                    let found = self.all.commit(&actor, &commit);
                    self.found(found);
                }
                BusUpdate::EventStored { .. } => reached = end,
                BusUpdate::Reached(sequence) => reached = sequence,
                BusUpdate::Corrupt { sequence, reason } => {
                    reached = sequence;
                    self.found([Finding::UnreadableCommit { at: sequence, reason }]);
                }
            }
        }
        Ok(())
    }

    /// Compares the log with how far its members say that they have followed it.
    async fn views(&mut self) -> Result<(), ReadError> {
        let members: Vec<NodeId> =
            self.all.topology().cluster().members().map(|member| member.node.node.clone()).collect();
        for node in members {
            let record = match self.ports.control.read(&ControlKey::Member(node.clone())).await {
                Ok(stored) => stored.map(|stored| stored.record),
                // Not ours to judge: a node that cannot read it says so, and it is written anew all the time.
                Err(ReadError::Corrupt { .. }) => None,
                Err(error @ ReadError::Unavailable { .. }) => return Err(error),
            };
            if let Some(ControlRecord::Member(member)) = record {
                self.log_until(|all| all.view(&node, member.view).is_none()).await?;
                let found = self.all.view(&node, member.view);
                self.found(found);
            }
        }
        Ok(())
    }

    async fn snapshots(&mut self) -> Result<(), ReadError> {
        let (ports, actors) = (self.ports, self.all.actors().cloned().collect::<Vec<_>>());
        let looks =
            actors.into_iter().map(|actor| async move { saved(ports, &actor).await.map(|saved| (actor, saved)) });
        let mut looks = stream::iter(looks).buffer_unordered(ACTORS_AT_ONCE);
        while let Some(look) = looks.next().await {
            if let (actor, Some((snapshot, commits))) = look? {
                let found = self.all.snapshot(&actor, &snapshot, &commits);
                self.found(found);
            }
        }
        Ok(())
    }

    async fn wakes(&mut self) -> Result<u64, ReadError> {
        let mut busy = 0;
        for actor in self.all.timed().cloned().collect::<Vec<_>>() {
            let mut judged = false;
            for look in 1..=LOOKS_MAX {
                let wake = self.ports.wakes.read(&actor).await?.and_then(|wake| wake.at);
                let behind = self.ports.events.read_fresh(&actor, self.all.head(&actor).at.sequence).await;
                let behind = match behind {
                    Ok(behind) => behind,
                    Err(ReadError::Corrupt { sequence, reason }) => {
                        self.found([Finding::UnreadableCommit { at: Sequence(sequence), reason }]);
                        break;
                    }
                    Err(error @ ReadError::Unavailable { .. }) => return Err(error),
                };
                if !behind.is_empty() {
                    for commit in &behind {
                        self.log_until(|all| !all.is_behind(&commit.record)).await?;
                        let found = self.all.commit(&actor, commit);
                        self.found(found);
                    }
                    continue;
                }
                // What was read may be old, once or twice.
                match self.all.wake(&actor, wake) {
                    Some(_) if look < LOOKS_MAX => sleep(AGAIN_AFTER).await,
                    found => {
                        self.found(found);
                        judged = true;
                        break;
                    }
                }
            }
            busy += u64::from(!judged);
        }
        Ok(busy)
    }
}

/// The actor's last snapshot, with its history from the snapshot's last commit on.
async fn saved(ports: &Ports, actor: &ActorAddress) -> Result<Option<(ActorSnapshot, Vec<StoredCommit>)>, ReadError> {
    let Some(snapshot) = ports.snapshots.load(actor, Sequence::MAX).await? else { return Ok(None) };
    let before = Sequence(snapshot.at.sequence.0.saturating_sub(1));
    match ports.events.read_fresh(actor, before).await {
        Ok(commits) => Ok(Some((snapshot, commits))),
        // It was told with the histories.
        Err(ReadError::Corrupt { .. }) => Ok(None),
        Err(error @ ReadError::Unavailable { .. }) => Err(error),
    }
}

#[expect(clippy::disallowed_methods, reason = "how long something is waited for decides nothing")]
fn from_now(wait: Duration) -> Instant {
    Instant::now() + wait
}
