//! The machine, phase by phase: what fails, what is tried again, what goes back, and that nothing is left. Then the service
//! with mocked ports.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::ports::{Frame, WarmFrame, WarmTakenFrame, WarmVerdict};
use aether_domain::records::{ActorSnapshot, PayloadCodec, Position, WarmActor};
use aether_domain::testing::life;
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, Epoch, Monotonic, NodeRef, Sequence, ShardCount, ShardId, Slot,
    Version, WallTime,
};
use bytes::Bytes;

use super::book::{MovePhase, MoveRole, Now};
use super::bounds::{
    ARRIVING_BYTES_MAX, ARRIVING_SHARD_BYTES_MAX, HOLD, KEPT_FOR, LEAVING_BYTES_MAX, NOT_WAITED_FOR_BYTES_MAX,
    SENDS_MAX, UNACKNOWLEDGED_BYTES_MAX,
};
use super::machine::{Effect, Input, Machine};
use crate::view::{Route, View};

const SHARD: ShardId = ShardId(2);
const DRAIN: Epoch = Epoch(20);
/// So much that its acknowledgement is waited for.
const MUCH: usize = NOT_WAITED_FOR_BYTES_MAX + 1;

fn me() -> NodeRef {
    life("a", 1)
}
fn other() -> NodeRef {
    life("b", 2)
}

/// A warm actor of [`SHARD`] with that much state.
pub(super) fn warm(id: &str, bytes: usize) -> WarmActor {
    let key = ActorKey { kind: ActorKind::new("counter").expect("a kind"), id: ActorId::new(id).expect("an id") };
    let snapshot = ActorSnapshot {
        at: Position { sequence: Sequence(9), hash: 90 },
        version: Version(3),
        shard_epoch: Epoch(10),
        schema: 1,
        codec: PayloadCodec::Json,
        state: Bytes::from(vec![7; bytes]),
        origins: Vec::new(),
        messages: Vec::new(),
        timers: Vec::new(),
    };
    WarmActor { actor: ActorAddress { key, slot: Slot(0x8000) }, snapshot, grown_events: 0, grown_bytes: 0 }
}

/// Two members, four shards, this node's own but those named.
pub(super) fn view(epoch: u64, routes: &[(ShardId, Route)], arriving: &[(ShardId, Epoch)]) -> Arc<View> {
    let mut view = View::empty(me());
    view.epoch = Epoch(epoch);
    view.shards = ShardCount::new(4).expect("a power of two");
    let routes: BTreeMap<_, _> = routes.iter().cloned().collect();
    let mine = || Route::Mine { epoch: Epoch(10) };
    view.routes = view.shards.all().map(|shard| routes.get(&shard).cloned().unwrap_or_else(mine)).collect();
    view.lives.insert(other().incarnation);
    view.arriving = arriving.iter().copied().collect();
    Arc::new(view)
}

fn leaving(drain_epoch: Epoch) -> Route {
    Route::Leaving { epoch: Epoch(10), drain_epoch, to: other() }
}
fn remote(owner: NodeRef) -> Route {
    Route::Remote { owner }
}

struct Stage {
    machine: Machine,
    at: Monotonic,
}

impl Stage {
    fn new(view: Arc<View>) -> Self {
        let mut stage =
            Self { machine: Machine::new(Arc::clone(&view)), at: Monotonic::from_start(Duration::from_secs(9)) };
        stage.step(Input::View(view));
        stage
    }

    /// [`SHARD`] leaves for the other node.
    fn leaving() -> Self {
        let mut stage = Self::new(view(19, &[], &[]));
        assert_eq!(stage.step(Input::View(view(20, &[(SHARD, leaving(DRAIN))], &[]))), []);
        stage
    }

    /// [`SHARD`] is on its way here.
    fn arriving() -> Self {
        Self::new(view(20, &[(SHARD, remote(other()))], &[(SHARD, DRAIN)]))
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let now = Now { at: self.at, wall: WallTime { unix_millis: 1 } };
        self.machine.step(now, input)
    }

    fn captured(&mut self, actors: Vec<WarmActor>) -> Vec<Effect> {
        self.step(Input::Captured { shard: SHARD, drain_epoch: DRAIN, actors })
    }
    fn released(&mut self) -> Vec<Effect> {
        self.step(Input::Released { shard: SHARD, drain_epoch: DRAIN })
    }
    fn taken(&mut self, chunk: u32, verdict: WarmVerdict) -> Vec<Effect> {
        let frame = WarmTakenFrame { shard: SHARD, drain_epoch: DRAIN, chunk, verdict };
        self.step(Input::Taken { from: other(), frame })
    }
    fn comes(&mut self, drain_epoch: Epoch, chunk: u32, actors: Vec<WarmActor>) -> Vec<Effect> {
        let frame = WarmFrame { shard: SHARD, drain_epoch, chunk, actors: Arc::new(actors) };
        self.step(Input::Warm { from: other(), frame })
    }
    /// So much time passes, as the machine wants to be told.
    fn pass(&mut self, time: Duration) -> Vec<Effect> {
        let until = self.at + time;
        let mut done = Vec::new();
        while let Some(at) = self.machine.wakes_at().filter(|at| *at <= until) {
            self.at = self.at.max(at);
            done.extend(self.step(Input::Tick));
        }
        self.at = until;
        done
    }

    fn phase(&self) -> MovePhase {
        self.machine.moves()[0].phase()
    }
    fn is_empty(&self) -> bool {
        self.machine.stats().held_bytes == 0 && self.machine.wakes_at().is_none()
    }
}

fn sent(effects: &[Effect]) -> Vec<(u32, usize)> {
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send { frame: Frame::Warm(warm), .. } => Some((warm.chunk, warm.actors.len())),
        _ => None,
    });
    sent.collect()
}

fn verdict(effects: &[Effect]) -> WarmVerdict {
    let verdicts = effects.iter().filter_map(|effect| match effect {
        Effect::Send { frame: Frame::WarmTaken(taken), .. } => Some(taken.verdict),
        _ => None,
    });
    let verdicts: Vec<_> = verdicts.collect();
    assert_eq!(verdicts.len(), 1, "{effects:?}");
    verdicts[0]
}

fn release() -> Effect {
    Effect::Release { shard: SHARD, drain_epoch: DRAIN }
}

/// How many actors are given to their shard, all at once: between two gifts it would run commands for actors still to come.
fn given(effects: &[Effect]) -> usize {
    assert!(effects.iter().filter(|effect| matches!(effect, Effect::Give { .. })).count() <= 1, "{effects:?}");
    let given = effects.iter().map(|effect| match effect {
        Effect::Give { shard, parts } => {
            assert_eq!(*shard, SHARD);
            parts.iter().map(Vec::len).sum()
        }
        _ => 0,
    });
    given.sum()
}

#[test]
fn a_shard_is_reported_when_what_was_captured_is_acknowledged_and_every_phase_is_seen() {
    let mut stage = Stage::leaving();
    assert_eq!(stage.phase(), MovePhase::Paused);
    assert_eq!(sent(&stage.captured(vec![warm("1", MUCH), warm("2", MUCH)])), [(0, 2)]);
    assert_eq!(stage.released(), []);
    assert_eq!(stage.phase(), MovePhase::Sent);
    stage.at = stage.at + Duration::from_millis(3);
    assert_eq!(stage.taken(0, WarmVerdict::Taken), [release()]);
    assert_eq!(stage.phase(), MovePhase::Acknowledged);
    stage.step(Input::View(view(21, &[(SHARD, remote(other()))], &[])));
    let moved = &stage.machine.moves()[0];
    let phases: Vec<_> = moved.reached.iter().map(|reached| reached.phase).collect();
    assert_eq!(phases, MovePhase::ALL[..5]);
    assert_eq!((moved.role, moved.actors, moved.retries), (MoveRole::Source, 2, 0));
    let took: Vec<_> = moved.durations().filter(|(_, took)| !took.is_zero()).collect();
    assert_eq!(took, [(MovePhase::Sent, Duration::from_millis(3))]);
    assert!(moved.listed.iter().all(|listed| listed.phase == MovePhase::Acknowledged && listed.version == Version(3)));
    assert!(stage.is_empty());
    assert_eq!((stage.machine.stats().completed, stage.machine.stats().acknowledged), (1, 2));
}

#[test]
fn little_is_not_waited_for_but_for_as_long_as_it_is_not_sent() {
    let mut stage = Stage::leaving();
    assert_eq!(sent(&stage.captured(vec![warm("1", MUCH / 2)])), [(0, 1)]);
    assert_eq!(stage.released(), [release()]);
    // What is not acknowledged is still sent again.
    assert_eq!(sent(&stage.pass(HOLD)), [(0, 1)]);
    assert_eq!(stage.taken(0, WarmVerdict::Taken), []);
    assert_eq!((stage.machine.stats().acknowledged, stage.machine.stats().left_out), (1, 0));
    // Nor is the last of much.
    let mut stage = Stage::leaving();
    assert_eq!(sent(&stage.captured(vec![warm("1", WarmFrame::BYTES_MAX - 500)])), [(0, 1)]);
    assert_eq!(sent(&stage.captured(vec![warm("2", MUCH / 2)])), [(1, 1)]);
    assert_eq!(stage.released(), [], "more than that is on its way");
    assert_eq!(stage.taken(0, WarmVerdict::Taken), [release()]);
    assert_eq!(stage.taken(1, WarmVerdict::Taken), []);
    assert_eq!(stage.machine.stats().acknowledged, 2);
    // Another shard's have taken all the room on the way.
    let (much, little) = ((ShardId(3), Epoch(20)), (SHARD, Epoch(20)));
    let mut stage = Stage::new(view(20, &[(much.0, leaving(much.1)), (little.0, leaving(little.1))], &[]));
    let of_much = |nth: usize| {
        let mut actor = warm(&nth.to_string(), 200 * 1024);
        actor.actor.slot = Slot(0xC000);
        actor
    };
    let actors = (0..30).map(of_much).collect();
    stage.step(Input::Captured { shard: much.0, drain_epoch: much.1, actors });
    assert_eq!(sent(&stage.captured(vec![warm("1", 60_000)])), []);
    assert_eq!(stage.released(), [], "nothing of it has been sent");
    let frame = WarmTakenFrame { shard: much.0, drain_epoch: much.1, chunk: 0, verdict: WarmVerdict::NoRoom };
    let done = stage.step(Input::Taken { from: other(), frame });
    assert_eq!((sent(&done), done.contains(&release())), (vec![(0, 1)], true));
}

#[test]
fn a_shard_without_actors_and_one_that_nothing_is_known_of_are_reported_at_once() {
    let mut stage = Stage::leaving();
    assert_eq!(stage.released(), [release()]);
    let unknown = Effect::Release { shard: ShardId(1), drain_epoch: Epoch(3) };
    assert_eq!(stage.step(Input::Released { shard: ShardId(1), drain_epoch: Epoch(3) }), [unknown]);
}

#[test]
fn a_part_that_is_not_acknowledged_is_sent_again_and_the_release_waits_for_50_ms_at_most() {
    let mut stage = Stage::leaving();
    stage.captured(vec![warm("1", MUCH)]);
    stage.released();
    let done = stage.pass(HOLD * 9 / 10);
    assert_eq!((sent(&done), done.contains(&release())), (vec![(0, 1)], false));
    assert!(stage.pass(HOLD / 10).contains(&release()));
    // It is still sent, so that the destination has it when it is given the shard; then it is given up.
    let done = stage.pass(Duration::from_secs(2));
    assert_eq!(sent(&done).len() as u32 + 2, SENDS_MAX);
    assert_eq!(stage.machine.moves()[0].retries, SENDS_MAX - 1);
    assert_eq!(stage.machine.stats().left_out, 1);
    // An answer that comes now says nothing new.
    assert_eq!(stage.taken(0, WarmVerdict::Taken), []);
    assert_eq!(stage.machine.stats().acknowledged, 0);
}

#[test]
fn a_destination_that_does_not_answer_is_waited_for_once_and_not_shard_by_shard() {
    let both = [(SHARD, leaving(DRAIN)), (ShardId(3), leaving(Epoch(21)))];
    let mut stage = Stage::leaving();
    stage.captured(vec![warm("1", MUCH)]);
    stage.released();
    assert!(stage.pass(HOLD).contains(&release()));
    stage.step(Input::View(view(21, &both, &[])));
    let mut second = warm("1", MUCH);
    second.actor.slot = Slot(0xC000);
    let (shard, drain_epoch) = (ShardId(3), Epoch(21));
    let captured = stage.step(Input::Captured { shard, drain_epoch, actors: vec![second] });
    assert_eq!(sent(&captured), [(0, 1)], "it is sent all the same");
    assert_eq!(stage.step(Input::Released { shard, drain_epoch }), [Effect::Release { shard, drain_epoch }]);
}

#[test]
fn nothing_waits_for_a_destination_that_is_known_to_be_gone() {
    let mut stage = Stage::leaving();
    stage.captured(vec![warm("1", MUCH)]);
    stage.step(Input::Unreachable { to: other() });
    assert_eq!(stage.released(), [release()]);
    // So it is if that is heard while it waits.
    let mut stage = Stage::leaving();
    stage.captured(vec![warm("1", MUCH)]);
    assert_eq!(stage.released(), []);
    assert_eq!(stage.step(Input::Unreachable { to: other() }), [release()]);
}

#[test]
fn what_a_destination_will_not_have_is_not_waited_for() {
    for verdict in [WarmVerdict::NoRoom, WarmVerdict::Unwanted] {
        let mut stage = Stage::leaving();
        // More than may be on its way at once.
        let actors: Vec<_> = (0..30).map(|id| warm(&id.to_string(), 200 * 1024)).collect();
        let on_its_way = sent(&stage.captured(actors)).len();
        assert!(on_its_way < 30 && on_its_way * 200 * 1024 <= UNACKNOWLEDGED_BYTES_MAX);
        assert_eq!(stage.released(), []);
        for chunk in 0..on_its_way as u32 - 1 {
            assert_eq!(stage.taken(chunk, verdict), [], "others are on their way");
        }
        assert_eq!(stage.taken(on_its_way as u32 - 1, verdict), [release()]);
        assert_eq!(stage.machine.stats().left_out, 30);
    }
}

#[test]
fn so_much_is_on_its_way_at_once_and_the_rest_follows() {
    let mut stage = Stage::leaving();
    let actors: Vec<_> = (0..30).map(|id| warm(&id.to_string(), 200 * 1024)).collect();
    let mut on_its_way = sent(&stage.captured(actors));
    assert_eq!(stage.released(), []);
    let mut seen = 0;
    while let Some((chunk, _)) = on_its_way.pop() {
        seen += 1;
        let done = stage.taken(chunk, WarmVerdict::Taken);
        on_its_way.extend(sent(&done));
        assert_eq!(done.contains(&release()), seen == 30);
    }
    assert_eq!(seen, 30);
}

#[test]
fn what_is_too_large_or_too_much_is_left_out_and_counted() {
    let mut stage = Stage::leaving();
    assert_eq!(stage.captured(vec![warm("1", WarmFrame::BYTES_MAX)]), []);
    assert_eq!(stage.machine.stats().left_out, 1);
    let most = LEAVING_BYTES_MAX / (250 * 1024);
    let actors = (0..most + 10).map(|id| warm(&id.to_string(), 250 * 1024)).collect();
    stage.captured(actors);
    let stats = stage.machine.stats();
    assert!(stats.left_out > 10 && stats.held_bytes <= LEAVING_BYTES_MAX, "{stats:?}");
}

#[test]
fn a_cancelled_move_gives_back_what_was_captured_whatever_became_of_it() {
    for acknowledged in [false, true] {
        let mut stage = Stage::leaving();
        stage.captured(vec![warm("1", MUCH), warm("2", MUCH)]);
        stage.released();
        if acknowledged {
            stage.taken(0, WarmVerdict::Taken);
        }
        let done = stage.step(Input::View(view(21, &[(SHARD, Route::Mine { epoch: Epoch(21) })], &[])));
        assert_eq!(given(&done), 2);
        assert_eq!(stage.phase(), MovePhase::Failed);
        assert!(stage.is_empty());
        // Whatever the shard captures afterwards, because it has run behind, is its own again.
        assert_eq!(given(&stage.captured(vec![warm("3", MUCH)])), 1);
        let stats = stage.machine.stats();
        assert_eq!((stats.failed, stats.completed, stats.given_back), (1, 0, 3));
    }
}

#[test]
fn a_move_that_is_tried_again_takes_along_what_the_first_try_captured() {
    let mut stage = Stage::leaving();
    stage.captured(vec![warm("1", MUCH)]);
    stage.released();
    // Cancelled and asked for again, between two looks at the log.
    let again = stage.step(Input::View(view(23, &[(SHARD, leaving(Epoch(23)))], &[])));
    assert_eq!(sent(&again), [(0, 1)]);
    // The shard has not heard of that yet, and captures on under the first entry.
    assert_eq!(sent(&stage.captured(vec![warm("2", MUCH)])), [(1, 1)]);
    assert_eq!(stage.step(Input::Released { shard: SHARD, drain_epoch: Epoch(23) }), []);
    let frame = |chunk| WarmTakenFrame { shard: SHARD, drain_epoch: Epoch(23), chunk, verdict: WarmVerdict::Taken };
    assert_eq!(stage.step(Input::Taken { from: other(), frame: frame(0) }), []);
    let release = Effect::Release { shard: SHARD, drain_epoch: Epoch(23) };
    assert_eq!(stage.step(Input::Taken { from: other(), frame: frame(1) }), [release]);
    assert_eq!(stage.machine.moves().len(), 2);
}

#[test]
fn nothing_is_left_at_the_source_however_a_move_ends() {
    for end in [remote(other()), remote(life("c", 3)), Route::Nobody, Route::Mine { epoch: Epoch(30) }] {
        let mut stage = Stage::leaving();
        stage.captured(vec![warm("1", 100)]);
        stage.step(Input::View(view(31, &[(SHARD, end)], &[])));
        assert!(stage.is_empty());
    }
    // Another life of this node, and one that nobody ends.
    let mut stage = Stage::leaving();
    stage.captured(vec![warm("1", 100)]);
    let mut later = View::clone(&view(31, &[(SHARD, leaving(DRAIN))], &[]));
    later.me = life("a", 7);
    later.routes = vec![Route::Nobody; 4];
    stage.step(Input::View(Arc::new(later)));
    assert!(stage.is_empty());
    let mut stage = Stage::leaving();
    stage.captured(vec![warm("1", 100)]);
    stage.released();
    stage.pass(KEPT_FOR * 2);
    assert!(stage.is_empty());
}

#[test]
fn what_arrives_waits_for_its_shard_and_is_given_to_it_with_the_view_that_says_so() {
    let mut stage = Stage::arriving();
    assert_eq!(verdict(&stage.comes(DRAIN, 0, vec![warm("1", 100)])), WarmVerdict::Taken);
    assert_eq!(verdict(&stage.comes(DRAIN, 1, vec![warm("2", 100)])), WarmVerdict::Taken);
    // A part that comes twice counts once.
    assert_eq!(verdict(&stage.comes(DRAIN, 1, vec![warm("2", 100)])), WarmVerdict::Taken);
    assert!(stage.machine.stats().held_bytes > 0);
    let done = stage.step(Input::View(view(22, &[(SHARD, Route::Mine { epoch: Epoch(22) })], &[])));
    assert_eq!(given(&done), 2);
    assert!(stage.is_empty());
    let moved = &stage.machine.moves()[0];
    assert_eq!((moved.role, moved.phase(), moved.actors), (MoveRole::Destination, MovePhase::Completed, 2));
    // What comes late goes to the shard at once.
    assert_eq!(given(&stage.comes(DRAIN, 2, vec![warm("3", 100)])), 1);
}

#[test]
fn what_comes_before_its_entry_is_kept_and_what_nobody_waits_for_is_not() {
    // This node has not read the entry yet.
    let mut stage = Stage::new(view(15, &[(SHARD, remote(other()))], &[]));
    assert_eq!(verdict(&stage.comes(DRAIN, 0, vec![warm("1", 100)])), WarmVerdict::Taken);
    stage.step(Input::View(view(20, &[(SHARD, remote(other()))], &[(SHARD, DRAIN)])));
    assert!(!stage.is_empty());
    // An older entry's, a stranger's, one of another shard, one that is not on its way here.
    assert_eq!(verdict(&stage.comes(Epoch(17), 0, vec![warm("1", 100)])), WarmVerdict::Unwanted);
    let frame = WarmFrame { shard: SHARD, drain_epoch: DRAIN, chunk: 1, actors: Arc::new(vec![warm("1", 100)]) };
    assert_eq!(verdict(&stage.step(Input::Warm { from: life("z", 99), frame: frame.clone() })), WarmVerdict::Unwanted);
    for shard in [ShardId(3), ShardId(900)] {
        let frame = WarmFrame { shard, ..frame.clone() };
        assert_eq!(verdict(&stage.step(Input::Warm { from: other(), frame })), WarmVerdict::Unwanted);
    }
    let mut stage = Stage::new(view(25, &[(SHARD, remote(other()))], &[]));
    assert_eq!(verdict(&stage.comes(DRAIN, 0, vec![warm("1", 100)])), WarmVerdict::Unwanted);
    assert!(stage.is_empty());
}

#[test]
fn nothing_is_left_at_the_destination_however_a_move_ends() {
    for end in [remote(other()), Route::Nobody] {
        let mut stage = Stage::arriving();
        stage.comes(DRAIN, 0, vec![warm("1", 100)]);
        assert_eq!(given(&stage.step(Input::View(view(21, &[(SHARD, end)], &[])))), 0);
        assert!(stage.is_empty());
        assert_eq!((stage.phase(), stage.machine.stats().refused), (MovePhase::Failed, 1));
    }
    // The source died, and this node was given the shard all the same: what it had sent is as good as ever.
    let mut stage = Stage::arriving();
    stage.comes(DRAIN, 0, vec![warm("1", 100)]);
    let mut given_away = View::clone(&view(21, &[(SHARD, Route::Mine { epoch: Epoch(21) })], &[]));
    given_away.lives.remove(&other().incarnation);
    assert_eq!(given(&stage.step(Input::View(Arc::new(given_away)))), 1);
    // Nobody ends it.
    let mut stage = Stage::arriving();
    stage.comes(DRAIN, 0, vec![warm("1", 100)]);
    stage.pass(KEPT_FOR);
    assert!(stage.is_empty());
    // A later try takes the place of an earlier one.
    let mut stage = Stage::new(view(15, &[(SHARD, remote(other()))], &[]));
    stage.comes(DRAIN, 0, vec![warm("1", 100)]);
    stage.comes(Epoch(24), 0, vec![warm("1", 100), warm("2", 100)]);
    assert_eq!(verdict(&stage.comes(DRAIN, 1, vec![warm("3", 100)])), WarmVerdict::Unwanted);
    let done = stage.step(Input::View(view(25, &[(SHARD, Route::Mine { epoch: Epoch(25) })], &[])));
    assert_eq!(given(&done), 2);
}

#[test]
fn a_destination_keeps_so_much_and_refuses_the_rest() {
    let mut stage = Stage::arriving();
    let mut chunk = 0;
    let mut fill = |stage: &mut Stage| loop {
        let told = verdict(&stage.comes(DRAIN, chunk, vec![warm(&chunk.to_string(), 250 * 1024)]));
        chunk += 1;
        if told != WarmVerdict::Taken {
            return told;
        }
    };
    assert_eq!(fill(&mut stage), WarmVerdict::NoRoom);
    let held = stage.machine.stats().held_bytes;
    assert!(held <= ARRIVING_SHARD_BYTES_MAX && held + 256 * 1024 > ARRIVING_SHARD_BYTES_MAX);
    const { assert!(ARRIVING_SHARD_BYTES_MAX < ARRIVING_BYTES_MAX) };
}

mod service {
    use aether_domain::ports::{Delivery, SendError, Transport, Updates};
    use async_trait::async_trait;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::clock::{BootClock, Clock};
    use crate::handover::service::{Handover, MockShards, Shards, keep_time};

    mockall::mock! {
        Way {}
        #[async_trait]
        impl Transport for Way {
            async fn listen(&self, me: &NodeRef) -> Result<Updates<Delivery>, SendError>;
            async fn send(&self, from: &NodeRef, to: &NodeRef, frames: Vec<Frame>) -> Result<(), SendError>;
        }
    }

    struct Desk {
        handover: Arc<Handover>,
        told: mpsc::UnboundedReceiver<Told>,
        _shards: Arc<dyn Shards>,
        closing: CancellationToken,
        tasks: TaskTracker,
    }

    #[derive(Debug, PartialEq, Eq)]
    enum Told {
        Released,
        Warm(usize),
        Sent(usize),
    }

    impl Desk {
        /// The transport fails so often before it sends.
        fn new(failures: usize) -> Self {
            let (tell, told) = mpsc::unbounded_channel();
            let (mut way, mut shards) = (MockWay::new(), MockShards::new());
            let sent = tell.clone();
            way.expect_send()
                .times(..=failures)
                .returning(|_, _, _| Err(SendError::Unavailable { cause: "cut".into() }));
            way.expect_send().returning(move |from, to, frames| {
                assert_eq!((from, to), (&me(), &other()));
                sent.send(Told::Sent(frames.len())).expect("somebody listens");
                Ok(())
            });
            let (released, warm) = (tell.clone(), tell);
            shards.expect_released().returning(move |shard, drain_epoch| {
                assert_eq!((shard, drain_epoch), (SHARD, DRAIN));
                released.send(Told::Released).expect("somebody listens");
            });
            shards.expect_warm().returning(move |shard, parts| {
                assert_eq!(shard, SHARD);
                warm.send(Told::Warm(parts.iter().map(Vec::len).sum())).expect("somebody listens");
            });
            let shards: Arc<dyn Shards> = Arc::new(shards);
            let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
            let clock: Arc<dyn Clock> = Arc::new(BootClock);
            let handover = Handover::new(clock, Arc::new(way), Arc::downgrade(&shards), tasks.clone());
            let handover = Arc::new(handover);
            tasks.spawn(keep_time(Arc::downgrade(&handover), closing.clone()));
            Self { handover, told, _shards: shards, closing, tasks }
        }

        fn view(&self, view: &Arc<View>) {
            let follows = self.handover.view_changed(view);
            self.handover.perform(follows);
        }

        async fn next(&mut self) -> Told {
            let next = tokio::time::timeout(Duration::from_secs(10), self.told.recv()).await;
            next.expect("within 10 s").expect("the mocks live")
        }

        async fn close(self) {
            self.closing.cancel();
            self.tasks.close();
            self.tasks.wait().await;
        }
    }

    fn taken() -> WarmTakenFrame {
        WarmTakenFrame { shard: SHARD, drain_epoch: DRAIN, chunk: 0, verdict: WarmVerdict::Taken }
    }

    #[tokio::test]
    async fn what_is_captured_is_sent_and_the_release_follows_the_acknowledgement() {
        let mut desk = Desk::new(0);
        desk.view(&view(20, &[(SHARD, leaving(DRAIN))], &[]));
        desk.handover.captured(SHARD, DRAIN, vec![warm("1", MUCH)]);
        assert_eq!(desk.next().await, Told::Sent(1));
        desk.handover.released(SHARD, DRAIN);
        desk.handover.taken(&other(), taken());
        assert_eq!(desk.next().await, Told::Released);
        desk.close().await;
    }

    #[tokio::test]
    async fn what_could_not_be_sent_is_sent_again() {
        let mut desk = Desk::new(1);
        desk.view(&view(20, &[(SHARD, leaving(DRAIN))], &[]));
        desk.handover.captured(SHARD, DRAIN, vec![warm("1", MUCH)]);
        assert_eq!(desk.next().await, Told::Sent(1));
        assert_eq!(desk.handover.stats().retries, 1);
        desk.close().await;
    }

    #[tokio::test]
    async fn a_transport_that_never_sends_holds_a_release_up_for_a_moment_only() {
        let mut desk = Desk::new(1000);
        desk.view(&view(20, &[(SHARD, leaving(DRAIN))], &[]));
        desk.handover.captured(SHARD, DRAIN, vec![warm("1", MUCH)]);
        desk.handover.released(SHARD, DRAIN);
        assert_eq!(desk.next().await, Told::Released);
        // And when the move is given up, the actors go back.
        desk.view(&view(21, &[(SHARD, Route::Mine { epoch: Epoch(21) })], &[]));
        assert_eq!(desk.next().await, Told::Warm(1));
        assert_eq!(desk.handover.stats().held_bytes, 0);
        desk.close().await;
    }

    #[tokio::test]
    async fn what_arrives_is_acknowledged_and_given_to_its_shard() {
        let mut desk = Desk::new(0);
        desk.view(&view(20, &[(SHARD, remote(other()))], &[(SHARD, DRAIN)]));
        let actors = Arc::new(vec![warm("1", 100)]);
        desk.handover.warm(&other(), WarmFrame { shard: SHARD, drain_epoch: DRAIN, chunk: 0, actors });
        assert_eq!(desk.next().await, Told::Sent(1));
        desk.view(&view(21, &[(SHARD, Route::Mine { epoch: Epoch(21) })], &[]));
        assert_eq!(desk.next().await, Told::Warm(1));
        desk.close().await;
    }

    #[tokio::test]
    async fn whatever_phase_a_move_has_come_to_when_it_is_given_up_its_actors_go_back_and_the_next_try_takes_them_along()
     {
        for phase in [MovePhase::Paused, MovePhase::Captured, MovePhase::Sent, MovePhase::Acknowledged] {
            // While it is captured and no more, nothing can be sent.
            let mut desk = Desk::new(usize::from(phase == MovePhase::Captured));
            desk.view(&view(20, &[(SHARD, leaving(DRAIN))], &[]));
            if phase >= MovePhase::Captured {
                desk.handover.captured(SHARD, DRAIN, vec![warm("1", MUCH)]);
            }
            if phase >= MovePhase::Sent {
                assert_eq!(desk.next().await, Told::Sent(1), "{phase:?}");
                desk.handover.released(SHARD, DRAIN);
            }
            if phase == MovePhase::Acknowledged {
                desk.handover.taken(&other(), taken());
                assert_eq!(desk.next().await, Told::Released);
            }
            let reached = desk.handover.moves()[0].phase();
            assert!(reached <= phase, "{reached:?} at {phase:?}");
            desk.view(&view(21, &[(SHARD, Route::Mine { epoch: Epoch(21) })], &[]));
            if phase >= MovePhase::Captured {
                assert_eq!(desk.next().await, Told::Warm(1), "{phase:?}: they go back");
            }
            assert_eq!(desk.handover.moves()[0].phase(), MovePhase::Failed, "{phase:?}");
            assert_eq!(desk.handover.stats().held_bytes, 0, "{phase:?}: nothing is left");
            // The next try.
            let again = Epoch(23);
            desk.view(&view(23, &[(SHARD, leaving(again))], &[]));
            desk.handover.captured(SHARD, again, vec![warm("1", MUCH)]);
            assert_eq!(desk.next().await, Told::Sent(1), "{phase:?}: it is tried again");
            desk.handover.taken(&other(), WarmTakenFrame { drain_epoch: again, ..taken() });
            desk.view(&view(25, &[(SHARD, remote(other()))], &[]));
            assert_eq!(desk.handover.moves()[0].phase(), MovePhase::Completed, "{phase:?}");
            assert_eq!(desk.handover.stats().held_bytes, 0, "{phase:?}: nothing is left");
            desk.close().await;
        }
    }

    #[tokio::test]
    async fn a_destination_that_will_not_have_them_or_is_gone_holds_no_release_up() {
        for verdict in [Some(WarmVerdict::NoRoom), Some(WarmVerdict::Unwanted), None] {
            let mut desk = Desk::new(0);
            desk.view(&view(20, &[(SHARD, leaving(DRAIN))], &[]));
            desk.handover.captured(SHARD, DRAIN, vec![warm("1", MUCH)]);
            assert_eq!(desk.next().await, Told::Sent(1));
            match verdict {
                Some(verdict) => desk.handover.taken(&other(), WarmTakenFrame { verdict, ..taken() }),
                None => desk.handover.unreachable(&other()),
            }
            desk.handover.released(SHARD, DRAIN);
            assert_eq!(desk.next().await, Told::Released, "{verdict:?}");
            desk.view(&view(21, &[(SHARD, remote(other()))], &[]));
            let stats = desk.handover.stats();
            assert_eq!((stats.acknowledged, stats.completed, stats.held_bytes), (0, 1, 0), "{verdict:?}: {stats:?}");
            desk.close().await;
        }
    }

    #[tokio::test]
    async fn an_acknowledgement_that_is_lost_is_given_again_and_the_actors_once() {
        let mut desk = Desk::new(1);
        desk.view(&view(20, &[(SHARD, remote(other()))], &[(SHARD, DRAIN)]));
        let frame = || WarmFrame { shard: SHARD, drain_epoch: DRAIN, chunk: 0, actors: Arc::new(vec![warm("1", 100)]) };
        desk.handover.warm(&other(), frame());
        // Its sender has not heard of it, and sends it again.
        tokio::task::yield_now().await;
        desk.handover.warm(&other(), frame());
        assert_eq!(desk.next().await, Told::Sent(1));
        desk.view(&view(21, &[(SHARD, Route::Mine { epoch: Epoch(21) })], &[]));
        assert_eq!(desk.next().await, Told::Warm(1));
        assert_eq!((desk.handover.stats().arrived, desk.handover.stats().held_bytes), (1, 0));
        desk.close().await;
    }

    #[tokio::test]
    async fn what_has_arrived_for_a_move_that_is_given_up_never_reaches_the_shard_and_is_forgotten() {
        let mut desk = Desk::new(0);
        desk.view(&view(20, &[(SHARD, remote(other()))], &[(SHARD, DRAIN)]));
        let actors = Arc::new(vec![warm("1", 100)]);
        desk.handover.warm(&other(), WarmFrame { shard: SHARD, drain_epoch: DRAIN, chunk: 0, actors });
        assert_eq!(desk.next().await, Told::Sent(1));
        assert!(desk.handover.stats().held_bytes > 0);
        desk.view(&view(21, &[(SHARD, remote(other()))], &[]));
        assert_eq!((desk.handover.moves()[0].phase(), desk.handover.stats().held_bytes), (MovePhase::Failed, 0));
        // Nor when the shard comes after all, later.
        desk.view(&view(30, &[(SHARD, Route::Mine { epoch: Epoch(30) })], &[]));
        desk.closing.cancel();
        desk.tasks.close();
        desk.tasks.wait().await;
        assert_eq!(desk.told.try_recv().ok(), None, "nobody was given anything");
    }
}
