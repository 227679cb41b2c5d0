//! Histories of builds of other days, read by today's over a real nats-server: from their start, and from snapshots.
//!
//! The files in `golden` are stored records, one a line: the value of the checksum header and the payload of JSON ones, the
//! bytes of binary ones. They were written once, at event versions 1 and 2, and by a build that is still to come at version 3;
//! a build that cannot read them could not read what applications have stored.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aether::prelude::*;
use aether_domain::records::PayloadCodec;
use aether_domain::testing::life;
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, CommandId, Epoch, Namespace, NodeRef, ShardCount, Slot,
};
use aether_infra_nats::NatsPorts;
use aether_runtime::actor::{KindRegistry, read_outcome};
use aether_runtime::clock::{BootClock, Clock as _};
use aether_runtime::message::{Payload, Responder, Work};
use aether_runtime::shard::{HostConfig, HostStats, ShardHost};
use aether_runtime::view::{Route, ServeLease, View};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use xtask::nats::{NatsServer, ServerOptions};

/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was paid, by currency.
type Totals = BTreeMap<String, u64>;

/// How a build of some day writes what was paid.
trait Day: Event {
    /// The version of the ledger's state.
    const STATE: u32;
    fn paid_now(cents: u64) -> Self;
    fn paid(&self) -> (&str, u64);
}

#[derive(Serialize, Deserialize)]
enum First {
    Paid { cents: u64 },
}
impl Event for First {}
impl Day for First {
    const STATE: u32 = 1;
    fn paid_now(cents: u64) -> Self {
        Self::Paid { cents }
    }
    fn paid(&self) -> (&str, u64) {
        let Self::Paid { cents } = self;
        ("EUR", *cents)
    }
}

/// The one of today.
#[derive(Serialize, Deserialize)]
enum Second {
    Paid { cents: u64, currency: String },
}
impl From<First> for Second {
    fn from(First::Paid { cents }: First) -> Self {
        Self::Paid { cents, currency: "EUR".into() }
    }
}
impl Event for Second {
    const VERSION: u32 = 2;
    fn name(&self) -> &'static str {
        "paid"
    }
    fn upcast(stored: Upcast<'_>) -> Result<Self, CodecError> {
        if stored.version == 1 { stored.read_as::<First, _>() } else { stored.read() }
    }
}
impl Day for Second {
    const STATE: u32 = 2;
    fn paid_now(cents: u64) -> Self {
        Self::Paid { cents, currency: "USD".into() }
    }
    fn paid(&self) -> (&str, u64) {
        let Self::Paid { cents, currency } = self;
        (currency, *cents)
    }
}

/// One that is still to come.
#[derive(Serialize, Deserialize)]
struct Third {
    paid: u64,
}
impl Event for Third {
    const VERSION: u32 = 3;
    fn upcast(stored: Upcast<'_>) -> Result<Self, CodecError> {
        let paid = |Second::Paid { cents, .. }: Second| Self { paid: cents };
        if stored.version == 3 { stored.read() } else { Second::upcast(stored).map(paid) }
    }
}
impl Day for Third {
    const STATE: u32 = 2;
    fn paid_now(cents: u64) -> Self {
        Self { paid: cents }
    }
    fn paid(&self) -> (&str, u64) {
        ("XAU", self.paid)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct Ledger<D, const BINARY: bool> {
    totals: Totals,
    #[serde(skip)]
    day: PhantomData<fn() -> D>,
}
impl<D, const BINARY: bool> Default for Ledger<D, BINARY> {
    fn default() -> Self {
        Self { totals: Totals::new(), day: PhantomData }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("never")]
struct Never;

#[derive(Clone, Serialize, Deserialize)]
struct Pay {
    cents: u64,
}
impl Command for Pay {
    const NAME: &'static str = "pay";
    type Reply = u64;
}
/// Pays a cent, so many times at once.
#[derive(Clone, Serialize, Deserialize)]
struct PayOften {
    times: u64,
}
impl Command for PayOften {
    const NAME: &'static str = "pay_often";
    type Reply = u64;
}
#[derive(Clone, Serialize, Deserialize)]
struct Total {}
impl Command for Total {
    const NAME: &'static str = "total";
    type Reply = Totals;
}

impl<D: Day, const BINARY: bool> Actor for Ledger<D, BINARY> {
    const KIND: &'static str = "ledger";
    const SNAPSHOT: u32 = D::STATE;
    type Id = u64;
    type Event = D;
    type Error = Never;
    type Commands = (Pay, PayOften, Total);
    fn apply(&mut self, event: &D) {
        let (currency, cents) = event.paid();
        *self.totals.entry(currency.into()).or_default() += cents;
    }
    fn settings() -> Settings {
        let codec = if BINARY { PayloadCodec::Binary } else { PayloadCodec::Json };
        Settings { codec, snapshot_every: 3, ..Settings::default() }
    }
}
impl<D, const BINARY: bool> Ledger<D, BINARY> {
    fn sum(&self) -> u64 {
        self.totals.values().sum()
    }
}
impl<D: Day, const BINARY: bool> Handle<Pay> for Ledger<D, BINARY> {
    fn handle(&self, pay: Pay, _: &Ctx<Self>) -> Decision<Self, Pay> {
        Ok(Self::emit(D::paid_now(pay.cents)).reply(Self::sum))
    }
}
impl<D: Day, const BINARY: bool> Handle<PayOften> for Ledger<D, BINARY> {
    fn handle(&self, pay: PayOften, _: &Ctx<Self>) -> Decision<Self, PayOften> {
        Ok(Self::emit_all((0..pay.times).map(|_| D::paid_now(1))).reply(Self::sum))
    }
}
impl<D: Day, const BINARY: bool> Handle<Total> for Ledger<D, BINARY> {
    fn handle(&self, _: Total, _: &Ctx<Self>) -> Decision<Self, Total> {
        Ok(Self::answer(self.totals.clone()))
    }
}

/// A node's shards on a nats-server, without a cluster around them.
struct Desk<A> {
    host: ShardHost,
    me: NodeRef,
    sequence: AtomicU64,
    kind: PhantomData<fn() -> A>,
}

/// The only ledger there is.
fn ledger() -> ActorAddress {
    let key = ActorKey { kind: ActorKind::new("ledger").expect("a kind"), id: ActorId::new("7").expect("an id") };
    ActorAddress { key, slot: Slot(0xa5b0) }
}

fn namespace() -> Namespace {
    Namespace::new("t").expect("a namespace")
}

async fn ports(server: &NatsServer) -> NatsPorts {
    aether_infra_nats::connect(&NatsConfig::new([server.url()]), &namespace()).await.expect("ports")
}

impl<A: Actor<Id = u64>> Desk<A> {
    /// A life of its own that owns every shard under `epoch`.
    async fn open(server: &NatsServer, epoch: u64) -> Self {
        let me = life("n1", epoch);
        let mut kinds = KindRegistry::new();
        kinds.register::<A>().expect("the ledger is well defined");
        let lease = Arc::new(ServeLease::default());
        lease.extend(BootClock.now() + 10 * PATIENCE);
        let (ports, clock, seed) = (ports(server).await.ports, Arc::new(BootClock), me.incarnation.0);
        let (host, _) = ShardHost::new(HostConfig::new(clock, &ports, kinds, seed, lease, ShardCount::DEFAULT));
        let mut view = View::empty(me.clone());
        view.routes = vec![Route::Mine { epoch: Epoch(epoch) }; ShardCount::DEFAULT.get()];
        host.view_changed(&Arc::new(view));
        Self { host, me, sequence: AtomicU64::new(0), kind: PhantomData }
    }

    async fn ask<C: Command>(&self, command: C, message: Option<MessageId>) -> Result<C::Reply, AskError<A::Error>> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let work = Work {
            trace: None,
            id: CommandId { origin: self.me.incarnation, sequence },
            floor: sequence,
            actor: ledger(),
            command: Cow::Borrowed(C::NAME),
            payload: Payload::Typed(Box::new(command)),
            message,
            mode: ReadMode::Leased,
            deadline: BootClock.now() + PATIENCE,
            attempt: 1,
        };
        let (respond, answer) = oneshot::channel();
        self.host.deliver(work, Responder::Waiting(respond));
        read_outcome::<A, C>(tokio::time::timeout(PATIENCE, answer).await.expect("in time").expect("it is answered"))
    }

    /// Waits until that many snapshots have been saved.
    async fn saved(&self, count: u64) -> HostStats {
        let waited = tokio::time::timeout(PATIENCE, async {
            while self.host.stats().snapshots_saved < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.expect("they are saved");
        self.host.stats()
    }
}

fn totals(expected: &[(&str, u64)]) -> Totals {
    expected.iter().map(|(currency, cents)| ((*currency).to_owned(), *cents)).collect()
}

/// Stores what a golden file holds, and nothing else, as the ledger's history.
async fn restore(server: &NatsServer, golden: &str) {
    drop(ports(server).await);
    let js = async_nats::jetstream::new(async_nats::connect(server.url()).await.expect("a plain client"));
    for line in golden.lines() {
        let mut headers = async_nats::HeaderMap::new();
        let payload: Bytes = if let Some((checksum, json)) = line.split_once(' ') {
            headers.insert("Aether-Crc32c", checksum);
            json.to_owned().into()
        } else {
            let byte = |at| u8::from_str_radix(&line[at..at + 2], 16).expect("hex");
            (0..line.len()).step_by(2).map(byte).collect()
        };
        let stored = js.publish_with_headers(SUBJECT, headers, payload).await.expect("sent");
        stored.await.expect("stored");
    }
}

/// Where the ledger's history is.
const SUBJECT: &str = "aether.t.ev.a.5b0.ledger.7";

async fn reads_what_was_stored_on_other_days<const BINARY: bool>(golden: &str, future: &str) {
    let server = NatsServer::start(ServerOptions::default()).expect("a server");
    restore(&server, golden).await;
    let today = Desk::<Ledger<Second, BINARY>>::open(&server, 9).await;
    assert_eq!(today.ask(Total {}, None).await, Ok(totals(&[("EUR", 350), ("USD", 1050)])));
    // What was asked under a name of the application's in the first days was answered so then.
    assert_eq!(today.ask(Pay { cents: 250 }, Some(MessageId(7))).await, Ok(350));
    assert_eq!(today.ask(Pay { cents: 5 }, None).await, Ok(1405));

    let server = NatsServer::start(ServerOptions::default()).expect("a server");
    restore(&server, future).await;
    let today = Desk::<Ledger<Second, BINARY>>::open(&server, 9).await;
    for _ in 0..2 {
        match today.ask(Total {}, None).await {
            Err(AskError::Quarantined { reason, maybe_applied: false }) => {
                let says = "an event of version 3 is newer than this build, which knows 2";
                assert!(reason.contains(says), "{reason}");
            }
            other => panic!("a build of today cannot read it, but answered {other:?}"),
        }
    }
    let history = ports(&server).await.ports.events.read(&ledger(), aether_domain::Sequence::ZERO).await;
    assert_eq!(history.expect("it reads").len(), future.lines().count(), "nothing was added to it");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_histories_of_other_days_lead_to_the_same_states_or_a_clear_refusal() {
    let (golden, future) = (include_str!("golden/ledger-json.txt"), include_str!("golden/future-json.txt"));
    reads_what_was_stored_on_other_days::<false>(golden, future).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_histories_of_other_days_lead_to_the_same_states_or_a_clear_refusal() {
    let (golden, future) = (include_str!("golden/ledger-binary.txt"), include_str!("golden/future-binary.txt"));
    reads_what_was_stored_on_other_days::<true>(golden, future).await;
}

/// One day's build writes, the next one goes on; the state's own shape has changed in between.
async fn a_build_goes_on_where_the_one_before_has_stopped<const BINARY: bool>() {
    let server = NatsServer::start(ServerOptions::default()).expect("a server");
    let first = Desk::<Ledger<First, BINARY>>::open(&server, 1).await;
    assert_eq!(first.ask(Pay { cents: 100 }, None).await, Ok(100));
    assert_eq!(first.ask(Pay { cents: 250 }, Some(MessageId(7))).await, Ok(350));
    assert_eq!(first.ask(PayOften { times: 4 }, None).await, Ok(354));
    first.saved(1).await;
    let second = Desk::<Ledger<Second, BINARY>>::open(&server, 2).await;
    assert_eq!(second.ask(Pay { cents: 250 }, Some(MessageId(7))).await, Ok(350));
    assert_eq!(second.ask(Pay { cents: 1000 }, None).await, Ok(1354));
    assert_eq!(second.saved(1).await.snapshots_used, 0, "the state of the first day has another shape");
    let again = Desk::<Ledger<Second, BINARY>>::open(&server, 3).await;
    assert_eq!(again.ask(Total {}, None).await, Ok(totals(&[("EUR", 354), ("USD", 1000)])));
    assert_eq!(again.ask(Pay { cents: 250 }, Some(MessageId(7))).await, Ok(350));
    assert_eq!(again.host.stats().snapshots_used, 1);
    // The day after tomorrow has the same state, and other events.
    let third = Desk::<Ledger<Third, BINARY>>::open(&server, 4).await;
    assert_eq!(third.ask(Pay { cents: 1 }, None).await, Ok(1355));
    let back = Desk::<Ledger<Second, BINARY>>::open(&server, 5).await;
    let refused = back.ask(Total {}, None).await;
    assert!(matches!(refused, Err(AskError::Quarantined { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_build_goes_on_where_the_one_before_has_stopped() {
    a_build_goes_on_where_the_one_before_has_stopped::<false>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_build_goes_on_where_the_one_before_has_stopped() {
    a_build_goes_on_where_the_one_before_has_stopped::<true>().await;
}

/// What JetStream has been asked until now, as far as it was not told yet.
async fn until_now(client: &async_nats::Client, asked: &mut async_nats::Subscriber) -> Vec<String> {
    const MARK: &str = "$JS.API.STREAM.MSG.GET.mark";
    client.publish(MARK, "".into()).await.expect("sent");
    let until_now =
        asked.map(|message| message.subject.to_string()).take_while(|subject| std::future::ready(subject != MARK));
    tokio::time::timeout(PATIENCE, until_now.collect()).await.expect("the mark comes")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_of_a_hundred_thousand_events_is_loaded_by_two_reads() {
    const RECORDS: u64 = 100;
    const EVENTS: u64 = 1000;
    let server = NatsServer::start(ServerOptions::default()).expect("a server");
    let writer = Desk::<Ledger<Second, true>>::open(&server, 1).await;
    for record in 1..=RECORDS {
        assert_eq!(writer.ask(PayOften { times: EVENTS }, None).await, Ok(record * EVENTS));
    }
    writer.saved(RECORDS).await;
    let client = async_nats::connect(server.url()).await.expect("a plain client");
    let mut reads = client.subscribe("$JS.API.*.>").await.expect("subscribed");
    client.flush().await.expect("the server knows");
    let reader = Desk::<Ledger<Second, true>>::open(&server, 2).await;
    until_now(&client, &mut reads).await;
    #[expect(clippy::disallowed_methods, reason = "how long it takes is only told")]
    let began = std::time::Instant::now();
    assert_eq!(reader.ask(Total {}, None).await, Ok(totals(&[("USD", RECORDS * EVENTS)])));
    let took = began.elapsed();
    let mut seen = until_now(&client, &mut reads).await;
    // A shard's wakes are read by and by.
    seen.retain(|subject| !subject.contains("AETHER_t_WKE"));
    assert_eq!(seen, ["$JS.API.DIRECT.GET.AETHER_t_SNP", "$JS.API.DIRECT.GET.AETHER_t_EVT_0"], "in {took:?}");
    assert_eq!(reader.host.stats().snapshots_used, 1);
}
