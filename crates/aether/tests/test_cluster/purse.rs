//! Purses that give to each other: what is in all of them together never changes.
//!
//! A gift leaves one purse as an event, at once or when a reminder is due, and a feed puts it into the other: so a storm
//! passes through histories, reminders and feeds, and one number at the end says whether anything was lost or doubled on
//! the whole way.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aether::prelude::*;
use aether::test_cluster::TestCluster;
use aether_domain::records::StoredCommit;
use aether_runtime::actor::codec;
use serde::{Deserialize, Serialize};

const PURSES: u64 = 8;
/// What is in each in the beginning.
const BORN: i64 = 1_000;
/// How long a gift may be on its way once nothing is broken any more: a feed's owner has to be missed, and a handler that
/// failed waits up to 10 s.
const ARRIVES_WITHIN: Duration = Duration::from_secs(120);

/// How long whoever is careless waits for an answer.
const IMPATIENCE: Duration = Duration::from_millis(250);

#[derive(Serialize, Deserialize)]
pub(crate) struct Purse {
    balance: i64,
}
impl Default for Purse {
    fn default() -> Self {
        Self { balance: BORN }
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Passed {
    /// `due`: which promise it keeps.
    Gave { to: u64, amount: i64, due: Option<u64> },
    /// `gift`: the place of the event that it comes from.
    Took { amount: i64, gift: (u64, u32) },
}
impl Event for Passed {}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("a purse refuses nothing")]
pub(crate) struct Never;

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Give {
    to: u64,
    amount: i64,
    due: Option<u64>,
}
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct GiveLater {
    give: Give,
    after_millis: u64,
}
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Take {
    amount: i64,
    gift: (u64, u32),
}

impl Command for Give {
    const NAME: &'static str = "give";
    type Reply = ();
}
impl Command for GiveLater {
    const NAME: &'static str = "give-later";
    type Reply = ();
}
impl Command for Take {
    const NAME: &'static str = "take";
    type Reply = ();
}

impl Actor for Purse {
    const KIND: &'static str = "purse";
    type Id = u64;
    type Event = Passed;
    type Error = Never;
    type Commands = (Give, GiveLater, Take);
    fn apply(&mut self, event: &Passed) {
        match event {
            Passed::Gave { amount, .. } => self.balance -= amount,
            Passed::Took { amount, .. } => self.balance += amount,
        }
    }
}
impl Handle<Give> for Purse {
    fn handle(&self, Give { to, amount, due }: Give, _: &Ctx<Self>) -> Decision<Self, Give> {
        Ok(Self::emit(Passed::Gave { to, amount, due }))
    }
}
impl Handle<GiveLater> for Purse {
    fn handle(&self, GiveLater { give, after_millis }: GiveLater, _: &Ctx<Self>) -> Decision<Self, GiveLater> {
        let name = format!("due-{}", give.due.unwrap_or_default());
        Ok(Self::nothing().remind_as(name, Duration::from_millis(after_millis), &give))
    }
}
impl Handle<Take> for Purse {
    fn handle(&self, Take { amount, gift }: Take, _: &Ctx<Self>) -> Decision<Self, Take> {
        Ok(Self::emit(Passed::Took { amount, gift }))
    }
}

/// Under which name whoever passes gifts on asks for one to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// The gift's own, so that it is taken once.
    OfTheGift,
    /// A new one each time that it has not been answered soon: a fault of the application, which a storm must find.
    Careless,
}

/// What came of all gifts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Given {
    /// How many went from purse to purse.
    pub(crate) gifts: u64,
    /// How many of them a reminder gave.
    pub(crate) promises: u64,
    /// How many times another node went on with passing them on.
    pub(crate) takeovers: u64,
}

impl AddAssign for Given {
    fn add_assign(&mut self, more: Self) {
        self.gifts += more.gifts;
        self.promises += more.promises;
        self.takeovers += more.takeovers;
    }
}

/// Gifts that were asked for, and what they come to.
pub(crate) struct Gifts<'a> {
    cluster: &'a TestCluster,
    names: Names,
    /// What was acknowledged to come later.
    promised: RefCell<BTreeSet<u64>>,
    passing: Arc<Passing>,
}

/// Who passes gifts on.
#[derive(Default)]
struct Passing {
    /// Whose life's feed was the last to be given an event; 0 before the first.
    last: AtomicU64,
    takeovers: AtomicU64,
}

impl Passing {
    /// An event is with that life's feed.
    fn is_with(&self, life: u64) {
        let before = self.last.swap(life, Ordering::Relaxed);
        self.takeovers.fetch_add(u64::from(![0, life].contains(&before)), Ordering::Relaxed);
    }
}

impl<'a> Gifts<'a> {
    pub(crate) fn new(cluster: &'a TestCluster, names: Names) -> Self {
        Self { cluster, names, promised: RefCell::default(), passing: Arc::default() }
    }

    /// Lets purses give, so many times.
    pub(crate) async fn give(&self, times: u64) {
        let cluster = self.cluster;
        for _ in 0..times {
            let (name, from, to) = (cluster.next_name(), cluster.draw(PURSES), cluster.draw(PURSES));
            let (due, later) = (cluster.draw(u64::MAX), cluster.draw(2) == 0);
            let give = Give { to, amount: 1 + cluster.draw(9).cast_signed(), due: later.then_some(due) };
            let after_millis = cluster.draw(5_000);
            for _ in 0..6 {
                let answer = if later {
                    let give = GiveLater { give: give.clone(), after_millis };
                    cluster.ask_with_id::<Purse, _, _>(name, from, give).await
                } else {
                    cluster.ask_with_id::<Purse, _, _>(name, from, give.clone()).await
                };
                if answer.is_ok() {
                    self.promised.borrow_mut().extend(give.due);
                    break;
                }
                cluster.advance(Duration::from_millis(200)).await;
            }
            cluster.advance(Duration::from_millis(cluster.draw(60))).await;
        }
    }

    /// Passes them on: on every life of a node a feed that works or stands by.
    pub(crate) async fn pass_on(&self) {
        let mut lives = 0;
        loop {
            for id in self.cluster.running() {
                let node = self.cluster.node(&id);
                if node.feeds().is_empty() {
                    lives += 1;
                    let (taker, passing, life, names) = (node.clone(), Arc::clone(&self.passing), lives, self.names);
                    // Seldom, so that much comes again after a change of whoever works on it.
                    let checkpoint_every = Duration::from_secs(5);
                    let steal_after = Duration::from_secs(2);
                    let options = FeedOptions { steal_after, checkpoint_every, ..FeedOptions::default() };
                    // A node that has just ended takes none.
                    let _ = node.subscribe::<Purse>("gifts", options, move |event| {
                        passing.is_with(life);
                        pass(taker.clone(), names, event)
                    });
                }
            }
            self.cluster.advance(Duration::from_millis(250)).await;
        }
    }

    /// Waits until every gift has arrived.
    ///
    /// # Errors
    /// One was taken twice, one never came, or a promise was broken.
    pub(crate) async fn arrived(&self) -> Result<Given, String> {
        let until = self.cluster.elapsed() + ARRIVES_WITHIN;
        loop {
            let passages = Passages::of(self.cluster)?;
            let stands = passages.at_rest(&self.promised.borrow());
            match stands {
                Ok(()) => {
                    let takeovers = self.passing.takeovers.load(Ordering::Relaxed);
                    let (gifts, promises) = (passages.given.len() as u64, passages.kept.len() as u64);
                    return Ok(Given { gifts, promises, takeovers });
                }
                Err(wrong) if self.cluster.elapsed() > until => return Err(wrong),
                Err(_) => self.cluster.advance(Duration::from_millis(500)).await,
            }
        }
    }
}

async fn pass(node: Node, names: Names, recorded: Recorded<Passed>) -> Result<(), aether_domain::ports::BoxError> {
    let Passed::Gave { to, amount, .. } = recorded.event else { return Ok(()) };
    let (sequence, index) = (recorded.place.sequence.0, recorded.place.index);
    let (purse, take) = (node.actor::<Purse>(to), Take { amount, gift: (sequence, index) });
    match names {
        Names::OfTheGift => {
            let name = MessageId(u128::from(sequence) << 32 | u128::from(index) | 1 << 127);
            purse.ask_with_id(name, take).await?;
        }
        Names::Careless => purse.timeout(IMPATIENCE).ask(take).await?,
    }
    Ok(())
}

/// What all purses' histories say.
#[derive(Default)]
struct Passages {
    sum: i64,
    given: BTreeMap<(u64, u32), i64>,
    taken: BTreeMap<(u64, u32), i64>,
    kept: BTreeSet<u64>,
}

impl Passages {
    /// Of everything that is stored.
    ///
    /// # Errors
    /// Something is there twice: that never may be.
    fn of(cluster: &TestCluster) -> Result<Self, String> {
        let mut all = Self { sum: PURSES.cast_signed() * BORN, ..Self::default() };
        let stores = cluster.hub().stores();
        let purses = stores.histories().filter(|(actor, _)| actor.key.kind.as_str() == Purse::KIND);
        for StoredCommit { record, at } in purses.flat_map(|(_, commits)| commits) {
            for (index, event) in (0..).zip(&record.events) {
                let passed = codec::decode(record.codec, &event.payload).map_err(|error| error.to_string())?;
                match passed {
                    Passed::Gave { amount, due, .. } => {
                        all.sum -= amount;
                        all.given.insert((at.sequence.0, index), amount);
                        if due.is_some_and(|due| !all.kept.insert(due)) {
                            return Err(format!("a promise was kept twice: {due:?}"));
                        }
                    }
                    Passed::Took { amount, gift } => {
                        all.sum += amount;
                        if all.taken.insert(gift, amount).is_some() {
                            return Err(format!("gift {}.{} was taken twice", gift.0, gift.1));
                        }
                    }
                }
            }
        }
        Ok(all)
    }

    fn at_rest(&self, promised: &BTreeSet<u64>) -> Result<(), String> {
        let whole = PURSES.cast_signed() * BORN;
        if self.sum != whole || self.given != self.taken {
            let missing: Vec<_> = self.given.keys().filter(|gift| !self.taken.contains_key(gift)).take(3).collect();
            return Err(format!("all purses together hold {}, not {whole}; not taken: {missing:?}", self.sum));
        }
        match promised.difference(&self.kept).next() {
            Some(due) => Err(format!("what was promised as {due:x} was never given")),
            None => Ok(()),
        }
    }
}
