//! A whole cluster in a test: real nodes over the in-memory hub, in virtual time, broken on purpose.
//!
//! What runs is what the product runs: the control plane, routers, links and shards of every node. Only the server is
//! imitated ([`MemoryHub`]), and so is time: it passes only when nobody has anything left to do, so that a minute takes a
//! fraction of a second. Everything is drawn from one seed, and everything runs on one thread: the same seed is the same
//! run, to the last record.
//!
//! What is asked through [`TestCluster::ask`] is written down, with what was answered, and
//! [`TestCluster::assert_invariants`] compares that with what is stored. What is asked otherwise counts as stored or not,
//! as it may.
//!
//! ```
//! use aether::prelude::*;
//! use aether::test_cluster::TestCluster;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Default, Serialize, Deserialize)]
//! # struct Account { balance: u64 }
//! # #[derive(Serialize, Deserialize)]
//! # enum Moved { In { amount: u64 } }
//! # impl Event for Moved {}
//! # #[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
//! # #[error("no")]
//! # struct No;
//! # #[derive(Clone, Serialize, Deserialize)]
//! # struct Deposit { amount: u64 }
//! # impl Command for Deposit { const NAME: &'static str = "deposit"; type Reply = u64; }
//! # impl Actor for Account {
//! #     const KIND: &'static str = "account";
//! #     type Id = u64;
//! #     type Event = Moved;
//! #     type Error = No;
//! #     type Commands = (Deposit,);
//! #     fn apply(&mut self, Moved::In { amount }: &Moved) { self.balance += amount; }
//! # }
//! # impl Handle<Deposit> for Account {
//! #     fn handle(&self, Deposit { amount }: Deposit, _: &Ctx<Self>) -> Decision<Self, Deposit> {
//! #         Ok(Self::emit(Moved::In { amount }).reply(|account| account.balance))
//! #     }
//! # }
//! TestCluster::seeded(7).nodes(3).actor::<Account>().run(async |cluster| {
//!     assert_eq!(cluster.ask::<Account, _, _>(42, Deposit { amount: 30 }).await, Ok(30));
//!     let owner = cluster.owner_of::<Account>(42).expect("every shard has an owner");
//!     cluster.kill(&owner).await;
//!     assert_eq!(cluster.ask::<Account, _, _>(42, Deposit { amount: 5 }).await, Ok(35));
//!     cluster.restart(&owner).await;
//!     cluster.assert_invariants().await;
//! });
//! ```
//!
//! # What a pause does not imitate
//! [`TestCluster::pause`] stops a node's clock and whatever it would send, store, read or hear, as a stopped process does.
//! What is in the node already may go on until it needs the outside, as if it had done so just before it was stopped. Its
//! threads are everybody's, so a handler that never ends stops the test, not a node.

mod builder;
mod clock;
mod faults;
mod places;
mod rest;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aether_domain::MessageId;
use aether_domain::ports::Answer;
use aether_domain::testing::history::{Book, Told};
use aether_domain::timing::Profile;
use aether_infra_memory::MemoryHub;
use aether_runtime::actor::{Actor, AskError, Command, Contains, Handle, codec, read_outcome};
use aether_runtime::message::{Outcome, Payload};
use bytes::Bytes;
use rand::RngExt as _;
use rand::rngs::SmallRng;
use serde::Serialize;
use tokio::time::Instant;

pub use builder::{NODES_MAX, TestClusterBuilder};
use clock::VirtualClock;

use crate::node::{Node, NodeBuilder};

/// How long an ask waits, as [`aether_runtime::actor_ref::ActorRef`]s do: longer than a node that died is missed.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// A cluster in virtual time. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub struct TestCluster {
    inner: Arc<Inner>,
}

struct Inner {
    hub: MemoryHub,
    seed: u64,
    profile: Profile,
    teach: Arc<dyn Fn(NodeBuilder) -> NodeBuilder + Send + Sync>,
    began: Instant,
    state: Mutex<State>,
}

struct State {
    dice: SmallRng,
    nodes: BTreeMap<String, Seat>,
    /// How many processes have been started.
    lives: u64,
    book: Book<String, Bytes>,
    /// How many names were given to what is asked.
    names: u64,
    trace: Vec<String>,
}

/// One node: its process, if it runs, and what is done to it.
struct Seat {
    node: Option<Node>,
    clock: Arc<VirtualClock>,
    paused: bool,
    cut: bool,
}

impl TestCluster {
    /// Begins to describe a cluster; everything that happens by chance is drawn from `seed`.
    pub fn seeded(seed: u64) -> TestClusterBuilder {
        TestClusterBuilder::new(seed)
    }

    /// The server behind the nodes, to break more than this type does.
    pub fn hub(&self) -> &MemoryHub {
        &self.inner.hub
    }

    /// A running node.
    ///
    /// # Panics
    /// If it does not run.
    pub fn node(&self, id: &str) -> Node {
        let node = self.lock().nodes.get(id).and_then(|seat| seat.node.clone());
        node.unwrap_or_else(|| panic!("{id} does not run"))
    }

    /// The nodes that run, by id; paused and cut ones too.
    pub fn running(&self) -> Vec<String> {
        let state = self.lock();
        state.nodes.iter().filter(|(_, seat)| seat.node.is_some()).map(|(id, _)| id.clone()).collect()
    }

    /// Asks an actor through one of the nodes that are well, and writes it down with its answer.
    ///
    /// # Errors
    /// As [`aether_runtime::actor_ref::ActorRef::ask`], after 30 s of virtual time at the latest.
    pub async fn ask<A, C, I>(&self, id: A::Id, command: C) -> Result<C::Reply, AskError<A::Error>>
    where
        A: Handle<C>,
        C: Command,
        A::Commands: Contains<C, I>,
    {
        let message = self.next_name();
        self.ask_with_id::<A, C, I>(message, id, command).await
    }

    /// As [`Self::ask`], under the test's own name for it: asked again under it, it must count once.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn ask_with_id<A, C, I>(
        &self,
        message: MessageId,
        id: A::Id,
        command: C,
    ) -> Result<C::Reply, AskError<A::Error>>
    where
        A: Handle<C>,
        C: Command,
        A::Commands: Contains<C, I>,
    {
        let through = self.one_that_is_well().await;
        self.ask_through::<A, C, I>(&through, message, id, command).await
    }

    /// As [`Self::ask_with_id`], through that node, whatever is done to it: one that is paused answers when it goes on.
    ///
    /// # Errors
    /// As [`Self::ask`].
    ///
    /// # Panics
    /// If it does not run.
    pub async fn ask_through<A, C, I>(
        &self,
        node: &str,
        message: MessageId,
        id: A::Id,
        command: C,
    ) -> Result<C::Reply, AskError<A::Error>>
    where
        A: Handle<C>,
        C: Command,
        A::Commands: Contains<C, I>,
    {
        let asked = self.node(node);
        let actor = asked.actor::<A>(id).timeout(ASK_TIMEOUT);
        let name = actor.address().key.to_string();
        let call = self.lock().book.call(name.clone(), message.0);
        self.note(format!("{node} asks {name} {} {:x}", C::NAME, message.0));
        self.inner.hub.awake(asked.id()).await;
        let outcome = actor.ask_outcome(Some(message), command).await;
        self.inner.hub.awake(asked.id()).await;
        let (told, answer) = told::<A, C>(outcome);
        self.note(format!("{node} hears {:x}: {told:?}", message.0));
        self.lock().book.told(call, told);
        answer
    }

    /// A name that nothing was asked under yet.
    pub fn next_name(&self) -> MessageId {
        let mut state = self.lock();
        state.names += 1;
        MessageId((u128::from(self.inner.seed) << 64) | u128::from(state.names))
    }

    /// Lets virtual time pass, with everything that happens meanwhile.
    pub async fn advance(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// How much virtual time has passed since the cluster began.
    pub fn elapsed(&self) -> Duration {
        self.inner.began.elapsed()
    }

    /// Who leads, as the running node that is furthest ahead sees it; nobody if the term is over.
    pub fn leader(&self) -> Option<String> {
        let status = self.furthest()?;
        let term = status.topology.leadership();
        term.leader().map(|leader| leader.node.to_string())
    }

    /// A number below `bound`, drawn from the seed, for the test's own choices.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn draw(&self, bound: u64) -> u64 {
        self.lock().dice.random_range(0..bound)
    }

    /// Everything that happened, in order: what was done and asked, then every entry and record that is stored. Two runs of
    /// one seed say the same.
    pub fn trace(&self) -> Vec<String> {
        let mut trace = self.lock().trace.clone();
        let stores = self.inner.hub.stores();
        trace.extend(stores.entries(aether_domain::Sequence::ZERO).iter().map(|entry| format!("{entry:?}")));
        trace.extend(stores.histories().map(|(actor, commits)| format!("{}: {commits:?}", actor.key)));
        trace
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, what: String) {
        let millis = self.elapsed().as_millis();
        self.lock().trace.push(format!("{millis:>8} {what}"));
    }

    /// One of the nodes that run and can be heard, drawn from the seed; waits for one if there is none.
    async fn one_that_is_well(&self) -> String {
        loop {
            {
                let mut state = self.lock();
                let well = |seat: &&Seat| seat.node.is_some() && !seat.cut && !seat.paused;
                let count = state.nodes.values().filter(well).count();
                if count > 0 {
                    let nth = state.dice.random_range(0..count);
                    let found = state.nodes.iter().filter(|(_, seat)| well(seat)).nth(nth);
                    return found.map(|(id, _)| id.clone()).unwrap_or_default();
                }
            }
            self.advance(Duration::from_millis(100)).await;
        }
    }
}

impl std::fmt::Debug for TestCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seed, running, passed) = (self.inner.seed, self.running(), self.elapsed());
        f.debug_struct("TestCluster")
            .field("seed", &seed)
            .field("running", &running)
            .field("passed", &passed)
            .finish_non_exhaustive()
    }
}

/// What an asker is told.
type Answered<A, C> = Result<<C as Command>::Reply, AskError<<A as Actor>::Error>>;

/// What an outcome means for the book, and to the asker.
fn told<A: Handle<C>, C: Command>(outcome: Outcome) -> (Told<Bytes>, Answered<A, C>) {
    let stored = A::settings().codec;
    let told = match &outcome {
        Outcome::Replied(reply) => Told::Done(bytes_of::<C::Reply>(reply, stored)),
        Outcome::Looked(reply) => Told::Seen { value: bytes_of::<C::Reply>(reply, stored), fresh: true },
        Outcome::Rejected(no) => Told::Seen { value: bytes_of::<A::Error>(no, stored), fresh: true },
        Outcome::Other(answer) if maybe_applied(answer) => Told::Unsure,
        Outcome::Other(_) => Told::No,
    };
    (told, read_outcome::<A, C>(outcome))
}

fn bytes_of<T: Serialize + 'static>(payload: &Payload, stored: aether_domain::records::PayloadCodec) -> Bytes {
    match payload {
        Payload::Encoded(_, bytes) => bytes.clone(),
        Payload::Typed(value) => {
            let written = value.downcast_ref::<T>().and_then(|value| codec::encode(stored, value).ok());
            written.unwrap_or_default()
        }
    }
}

fn maybe_applied(answer: &Answer) -> bool {
    matches!(
        answer,
        Answer::Unavailable { maybe_applied: true, .. }
            | Answer::Expired { maybe_applied: true }
            | Answer::Poisoned { maybe_applied: true, .. }
            | Answer::Invalid { maybe_applied: true, .. }
            | Answer::Quarantined { maybe_applied: true, .. }
    )
}
