//! The typed reference and the gateway, over real shards of two nodes.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::ports::{GatewayAnswer, ReadMode};
use aether_domain::records::PayloadCodec;
use aether_domain::testing::life;
use aether_domain::{Epoch, MessageId, Monotonic, Namespace, ShardCount};
use aether_infra_memory::{GatewayCall, Loss, MemoryHub, Target};
use aether_placement::ShardHash;
use aether_runtime::actor::{
    Actor, AskError, Command, Ctx, Decision, Event, Fate, Handle, KindRegistry, RegisterError, Settings,
};
use aether_runtime::actor_ref::ActorRef;
use aether_runtime::gateway;
use aether_runtime::router::{Router, RouterConfig};
use aether_runtime::shard::{HostConfig, ShardHost};
use aether_runtime::view::{Route, ServeLease, View};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::cluster::PausedClock;

#[derive(Default, Serialize, Deserialize)]
struct Tank {
    litres: u64,
}

#[derive(Serialize, Deserialize)]
enum TankEvent {
    Filled { litres: u64 },
}
impl Event for TankEvent {}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("only {free} litres fit")]
struct Overflows {
    free: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Fill {
    litres: u64,
}
impl Command for Fill {
    const NAME: &'static str = "fill";
    type Reply = u64;
}

#[derive(Clone, Serialize, Deserialize)]
struct Level;
impl Command for Level {
    const NAME: &'static str = "level";
    type Reply = u64;
}

impl Actor for Tank {
    const KIND: &'static str = "tank";
    type Id = u32;
    type Event = TankEvent;
    type Error = Overflows;
    type Commands = (Fill, Level);
    fn apply(&mut self, event: &TankEvent) {
        let TankEvent::Filled { litres } = event;
        self.litres += litres;
    }
    fn settings() -> Settings {
        // Stored in binary, though clients speak JSON.
        Settings { codec: PayloadCodec::Binary, mode: ReadMode::Leased, timeout: SHORT, ..Settings::default() }
    }
}
impl Handle<Fill> for Tank {
    fn handle(&self, fill: Fill, _: &Ctx<Self>) -> Decision<Self, Fill> {
        assert!(fill.litres != 13, "nobody fills 13 litres");
        let free = 100 - self.litres;
        if fill.litres > free {
            return Err(Overflows { free });
        }
        Ok(Self::emit(TankEvent::Filled { litres: fill.litres }).reply(|tank| tank.litres))
    }
}
impl Handle<Level> for Tank {
    fn handle(&self, _: Level, _: &Ctx<Self>) -> Decision<Self, Level> {
        Ok(Self::answer(self.litres))
    }
}

/// One node with real shards.
struct Node {
    router: Router,
    host: ShardHost,
    views: watch::Sender<Arc<View>>,
}

struct Pair {
    hub: MemoryHub,
    hash: ShardHash,
    nodes: [Node; 2],
    epoch: u64,
}

/// How long an ask of a tank waits that does not say.
const SHORT: Duration = Duration::from_secs(2);

/// Longer than anything.
const AGES: Duration = Duration::from_secs(u64::MAX);

const NAMES: [&str; 2] = ["a", "b"];

impl Pair {
    /// Two nodes that listen and serve clients; the first owns everything.
    async fn new() -> Self {
        let hub = MemoryHub::new();
        let hash = ShardHash::v1(7, &Namespace::new("tanks").expect("a namespace"));
        let nodes = NAMES.map(|name| {
            let (me, clock) = (life(name, 1), Arc::new(PausedClock::new()));
            let ports = hub.ports(&me.node);
            let mut kinds = KindRegistry::new();
            kinds.register::<Tank>().expect("a kind");
            let lease = Arc::new(ServeLease::default());
            lease.extend(Monotonic::from_start(Duration::from_secs(1_000_000)));
            let listening = watch::Sender::new(false);
            let standing = gateway::Standing { clock: clock.clone(), lease: Arc::clone(&lease), listening };
            let config = HostConfig::new(clock.clone(), &ports, kinds, 7, lease, ShardCount::DEFAULT);
            let (host, mut released) = ShardHost::new(config);
            tokio::spawn(async move { while released.recv().await.is_some() {} });
            let (views, view) = watch::channel(Arc::new(View::empty(me)));
            let local = Arc::new(host.clone());
            let router = Router::new(RouterConfig { clock, transport: ports.transport, local, view });
            let running = router.clone();
            tokio::spawn(async move { running.run(CancellationToken::new()).await });
            tokio::spawn(gateway::serve(ports.gateway, router.clone(), hash, standing, CancellationToken::new()));
            Node { router, host, views }
        });
        let mut pair = Self { hub, hash, nodes, epoch: 0 };
        pair.give_all("a");
        tokio::time::sleep(Duration::from_millis(1)).await;
        pair
    }

    fn give_all(&mut self, owner: &str) {
        self.epoch += 1;
        for name in NAMES {
            self.tell(name, owner);
        }
    }

    /// Lets one node know who owns everything now.
    fn tell(&self, name: &str, owner: &str) {
        let node = &self.nodes[NAMES.iter().position(|known| *known == name).expect("a node")];
        let mut view = View::empty(life(name, 1));
        view.epoch = Epoch(self.epoch);
        let route = if name == owner {
            Route::Mine { epoch: Epoch(self.epoch) }
        } else {
            Route::Remote { owner: life(owner, 1) }
        };
        view.routes = vec![route; 1024];
        view.lives.extend(NAMES.map(|name| life(name, 1).incarnation));
        let view = Arc::new(view);
        node.host.view_changed(&view);
        node.views.send_replace(view);
    }

    /// A tank, seen from one of the nodes.
    fn tank(&self, from: usize, id: u32) -> ActorRef<Tank> {
        ActorRef::new(self.nodes[from].router.clone(), &self.hash, &id).expect("an id")
    }

    async fn client(&self, id: &str, command: &str, payload: &'static str) -> GatewayAnswer {
        let call = GatewayCall {
            kind: "tank".into(),
            id: id.into(),
            command: command.into(),
            payload: payload.as_bytes().into(),
            message: None,
            mode: ReadMode::Strict,
            timeout: Duration::from_secs(3),
        };
        self.hub.gateway_ask(call).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_reference_is_typed_both_ways_wherever_its_actor_is() {
    let mut pair = Pair::new().await;
    for (id, owner, from) in [(1, "a", 0), (2, "a", 1), (3, "b", 0), (4, "b", 1)] {
        pair.give_all(owner);
        let tank = pair.tank(from, id);
        assert_eq!(tank.ask(Fill { litres: 60 }).await, Ok(60), "owner {owner}, asked from {from}");
        assert_eq!(tank.ask(Fill { litres: 50 }).await, Err(AskError::Rejected(Overflows { free: 40 })));
        assert_eq!(tank.ask(Level).await, Ok(60));
        let poisoned = tank.ask(Fill { litres: 13 }).await.expect_err("the handler panics");
        assert!(matches!(&poisoned, AskError::Poisoned { .. }) && !poisoned.maybe_applied(), "{poisoned:?}");
        for mode in [ReadMode::Leased, ReadMode::Log] {
            assert_eq!(tank.clone().mode(mode).ask(Level).await, Ok(60));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_is_the_same_after_a_move_and_a_message_id_counts_once() {
    let mut pair = Pair::new().await;
    let tank = pair.tank(0, 42);
    assert_eq!(tank.ask_with_id(MessageId(7), Fill { litres: 10 }).await, Ok(10));
    pair.give_all("b");
    assert_eq!(tank.ask(Fill { litres: 5 }).await, Ok(15));
    assert_eq!(tank.ask_with_id(MessageId(7), Fill { litres: 10 }).await, Ok(10), "its first reply");
    assert_eq!(pair.tank(1, 42).ask(Level).await, Ok(15));
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_a_message_is_the_same_wherever_it_is_asked_for_and_after_a_move() {
    let mut pair = Pair::new().await;
    assert_eq!(pair.tank(1, 42).ask_with_id(MessageId(7), Fill { litres: 10 }).await, Ok(10));
    assert_eq!(pair.tank(0, 42).ask_with_id(MessageId(8), Fill { litres: 95 }).await, Err(rejected(90)));
    for owner in ["a", "b", "a"] {
        pair.give_all(owner);
        for from in [0, 1] {
            let tank = pair.tank(from, 42);
            assert_eq!(tank.outcome_of::<Fill, _>(MessageId(7)).await, Ok(Fate::Applied(10)), "{owner} {from}");
            assert_eq!(tank.outcome_of::<Fill, _>(MessageId(8)).await, Ok(Fate::NotApplied), "{owner} {from}");
            let again = tank.ask_with_id(MessageId(8), Fill { litres: 1 }).await;
            assert!(matches!(&again, Err(AskError::Invalid { maybe_applied: false, .. })), "{again:?}");
            assert_eq!(tank.ask_with_id(MessageId(7), Fill { litres: 10 }).await, Ok(10), "its first reply");
            assert_eq!(tank.ask(Level).await, Ok(10));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_write_of_a_former_owner_cannot_make_an_outcome_untrue() {
    for lands_first in [true, false] {
        let mut pair = Pair::new().await;
        let (here, there) = (pair.tank(0, 42), pair.tank(1, 42));
        assert_eq!(here.ask(Fill { litres: 5 }).await, Ok(5));
        pair.hub.lose_next_ack(&life("a", 1).node, Target::Events, Loss::Late);
        pair.hub.cut(&life("a", 1).node);
        let doubtful = here.clone().timeout(Duration::from_millis(100));
        let asked = doubtful.ask_with_id(MessageId(7), Fill { litres: 10 }).await;
        assert!(matches!(&asked, Err(error) if error.maybe_applied()), "{asked:?}");
        pair.give_all("b");
        if lands_first {
            pair.hub.land_late_writes();
        }
        let told = there.outcome_of::<Fill, _>(MessageId(7)).await.expect("b serves it");
        pair.hub.land_late_writes();
        pair.hub.heal(&life("a", 1).node);
        let level = there.ask(Level).await.expect("b serves it");
        match told {
            Fate::Applied(reply) => assert_eq!((reply, level), (15, 15)),
            Fate::NotApplied => assert_eq!(level, 5),
            Fate::Forgotten => panic!("it has seen one message"),
        }
        assert_eq!(there.outcome_of::<Fill, _>(MessageId(7)).await, Ok(told), "it is final");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_waited_for_longer_than_its_time_is_not_run_by_the_node_it_waited_on() {
    let mut pair = Pair::new().await;
    pair.epoch += 1;
    pair.tell("a", "b");
    // b does not know yet that it is the owner: the command waits there.
    let asked = pair.tank(0, 42).timeout(Duration::from_millis(500)).ask(Fill { litres: 10 }).await;
    assert_eq!(asked, Err(AskError::Timeout { maybe_applied: true }));
    pair.tell("b", "b");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(pair.tank(1, 42).ask(Level).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_does_not_say_waits_as_long_as_its_kind_says() {
    let pair = Pair::new().await;
    pair.hub.kill(&life("a", 1));
    #[expect(clippy::disallowed_methods, reason = "the test's own time, which is paused")]
    let began = tokio::time::Instant::now();
    let asked = pair.tank(1, 42).ask(Level).await;
    assert_eq!(asked, Err(AskError::Timeout { maybe_applied: true }));
    let waited = began.elapsed();
    assert!(waited >= SHORT && waited < SHORT + Duration::from_millis(500), "{waited:?}");
}

#[test]
fn settings_out_of_their_range_are_refused_by_name() {
    macro_rules! refused {
        ($($kind:ident { $($field:ident: $value:expr),+ } $setting:literal $range:literal;)+) => { $( {
            #[derive(Default, Serialize, Deserialize)]
            struct $kind;
            impl Actor for $kind {
                const KIND: &'static str = "cask";
                type Id = u32;
                type Event = TankEvent;
                type Error = Overflows;
                type Commands = (Level,);
                fn apply(&mut self, _: &TankEvent) {}
                fn settings() -> Settings {
                    Settings { $($field: $value,)+ ..Settings::default() }
                }
            }
            impl Handle<Level> for $kind {
                fn handle(&self, _: Level, _: &Ctx<Self>) -> Decision<Self, Level> {
                    Ok(Self::answer(0))
                }
            }
            let refused = KindRegistry::new().register::<$kind>().expect_err("it is out of range");
            assert!(matches!(refused, RegisterError::Setting { setting: $setting, range: $range, .. }), "{refused:?}");
            assert!(refused.to_string().contains("the setting"), "{refused}");
        } )+ };
    }
    refused! {
        NoMail { mailbox: 0 } "mailbox" "at least 1";
        NoBytes { mailbox_bytes: 0 } "mailbox_bytes" "at least 1";
        Restless { passivate_after: Duration::ZERO } "passivate_after" "within 100 ms and 366 days";
        Eternal { passivate_after: AGES } "passivate_after" "within 100 ms and 366 days";
        Hasty { timeout: Duration::from_nanos(1) } "timeout" "within 1 ms and 10 minutes";
        Patient { timeout: AGES } "timeout" "within 1 ms and 10 minutes";
    }
}

fn rejected(free: u64) -> AskError<Overflows> {
    AskError::Rejected(Overflows { free })
}

#[tokio::test(start_paused = true)]
async fn a_told_command_is_run_and_a_deadline_is_kept() {
    let pair = Pair::new().await;
    for from in [0, 1] {
        pair.tank(from, 42).tell(Fill { litres: 10 }).expect("it is sent");
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(pair.tank(1, 42).ask(Level).await, Ok(20));
    pair.hub.kill(&life("a", 1));
    let asked = pair.tank(1, 42).timeout(Duration::from_millis(500)).ask(Level).await;
    assert_eq!(asked, Err(AskError::Timeout { maybe_applied: true }));
}

#[tokio::test(start_paused = true)]
async fn a_client_is_served_by_any_node_in_json() {
    let mut pair = Pair::new().await;
    for (round, owner) in ["a", "b"].into_iter().enumerate() {
        if round > 0 {
            pair.give_all(owner);
        }
        let id = format!("{round}");
        // Requests go to the nodes in turn, so each is met by the owner once and by the other once.
        for litres in ["30", "60"] {
            assert_eq!(pair.client(&id, "fill", r#"{"litres":30}"#).await, GatewayAnswer::Replied(litres.into()));
        }
        let rejected = GatewayAnswer::Rejected(r#"{"free":40}"#.into());
        assert_eq!(pair.client(&id, "fill", r#"{"litres":50}"#).await, rejected);
        assert_eq!(pair.client(&id, "level", "null").await, GatewayAnswer::Replied("60".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_client_gets_wrong_is_said_in_stable_words() {
    let mut pair = Pair::new().await;
    for (id, command, payload, expected) in [
        ("7", "empty", "null", "invalid"),
        ("7", "fill", "{", "invalid"),
        ("seven", "level", "null", "invalid"),
        ("", "level", "null", "invalid"),
        ("7", "fill", r#"{"litres":13}"#, "poisoned"),
    ] {
        match pair.client(id, command, payload).await {
            GatewayAnswer::Failed { code, maybe_applied, .. } => {
                assert_eq!((code, maybe_applied), (expected, false), "{id} {command} {payload}");
            }
            other => panic!("{id} {command} {payload}: {other:?}"),
        }
    }
    for node in &mut pair.nodes {
        let mut view = (**node.views.borrow()).clone();
        view.epoch = Epoch(9);
        view.routes.fill(Route::Nobody);
        node.views.send_replace(Arc::new(view));
    }
    let answer = pair.client("7", "level", "null").await;
    assert!(matches!(answer, GatewayAnswer::Failed { code: "timeout", .. }), "{answer:?}");
}
