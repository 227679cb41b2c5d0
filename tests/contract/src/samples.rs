//! Records for cases to write: plain ones to race with, and odd ones to read back.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::assignment::{AssignmentEvent, CancelReason, PlannedMove, ShardState};
use aether_domain::cluster::{
    ClusterEvent, ClusterSettings, FailureReason, Member, NodeInfo, NodeStatus, OpenPlan, RebalanceCause, Trust,
};
use aether_domain::ids::{
    ActorAddress, ActorId, ActorKey, ActorKind, ClusterUid, CommandId, Epoch, Incarnation, MessageId, NodeRef, Nonce,
    PlanId, Sequence, ShardCount, ShardId, ShardSet, Slot, StrategyName, Tag, Term, Version, Zone,
};
use aether_domain::image::TopologyImage;
use aether_domain::lease::{LeadershipEvent, LeadershipLease, LossReason};
use aether_domain::orders::{Asked, Orders, RebalanceOrder, Wish};
use aether_domain::policy::{LoadPolicy, MoveCaps, Pin, PlacementPolicy, Strategy, TagRule, ZoneMode};
use aether_domain::ports::{
    Answer, AnswerFrame, AskFrame, Frame, ReadMode, Request, WarmFrame, WarmTakenFrame, WarmVerdict,
};
use aether_domain::records::{
    ActorSnapshot, CommandMark, CommitRecord, ControlRecord, DeadLetter, DesiredPlacement, Entry, EventRecord, Format,
    Health, LeaseRecord, LeaseState, Load, MemberRecord, MemberState, MissedTicks, OrdersRecord, OriginMarks,
    PayloadCodec, Position, ReleaseReport, StoredReply, Timer, TimerChange, TopologySnapshot, WarmActor,
};
use aether_domain::testing::life;
use aether_domain::time::WallTime;
use aether_domain::timing::Profile;
use aether_domain::topology::TopologyEvent;
use bytes::Bytes;

/// A lease of `holder`, told apart by its nonce.
pub(crate) fn lease(holder: &NodeRef, nonce: u64) -> ControlRecord {
    ControlRecord::Lease(LeaseRecord {
        term: Term(1),
        holder: holder.clone(),
        ttl: Duration::from_secs(10),
        nonce: Nonce(nonce),
        state: LeaseState::Held,
    })
}

/// A heartbeat of `node`.
pub(crate) fn member(node: &NodeRef, heartbeat: u64) -> ControlRecord {
    ControlRecord::Member(MemberRecord {
        node: node.clone(),
        state: MemberState::Alive,
        heartbeat,
        nonce: Nonce(heartbeat),
        heartbeat_every: Duration::from_secs(1),
        view: Epoch(3),
        load: Load { actors: 5, commands_per_second: 7 },
        info: NodeInfo::default(),
        admin_url: "http://127.0.0.1:8080".to_owned(),
        build: "0.1.0".to_owned(),
        supervisor: None,
        health: Health::default(),
        shard_loads: Vec::new(),
        reads: Format::FIRST,
        digest: 0,
    })
}

/// A release report of `node`.
pub(crate) fn release(node: &NodeRef, nonce: u64, released: Vec<(ShardSet, Epoch)>) -> ControlRecord {
    ControlRecord::Release(ReleaseReport { node: node.clone(), nonce: Nonce(nonce), released })
}

/// A snapshot of a topology of that many shards, which two lives have by turns, each shard since an entry of its own.
pub(crate) fn snapshot(shards: u32, epoch: Epoch, nonce: u64) -> ControlRecord {
    let shards = ShardCount::new(shards).expect("a power of two");
    let (a, b) = (life("a", u64::MAX), life(&"n".repeat(32), 9));
    let member = |node: &NodeRef, status| {
        let trust = if status == NodeStatus::Active { Trust::Relieved } else { Trust::Full };
        Member { node: node.clone(), status, info: odd_info(), since: epoch, trust }
    };
    let image = TopologyImage {
        uid: ClusterUid(u128::MAX),
        settings: ClusterSettings { shards, hash: u8::MAX, hash_seed: u64::MAX, profile: Profile::Seed },
        members: vec![member(&a, NodeStatus::Active), member(&b, NodeStatus::Draining)],
        policy: Arc::new(odd_policy()),
        plan: Some(OpenPlan { id: PlanId(u64::MAX), cause: RebalanceCause::Repair, planned: u32::MAX, moved: 1 }),
        order: Some((odd_order(), epoch)),
        leadership: LeadershipLease::Held { leader: a.clone(), term: Term(u64::MAX) },
        shards: shards
            .all()
            .map(|shard| match shard.index() % 3 {
                0 => ShardState::Owned { owner: a.incarnation, epoch: Epoch(epoch.0 - shard.index() as u64) },
                1 => ShardState::Owned { owner: b.incarnation, epoch },
                _ => ShardState::Draining {
                    from: b.incarnation,
                    to: a.incarnation,
                    epoch: Epoch::ZERO,
                    drain_epoch: epoch,
                },
            })
            .collect(),
        pending: shards.all().step_by(3).map(|shard| (shard, a.clone(), life("z", 1))).collect(),
        epoch,
        at: Position { sequence: Sequence(epoch.0), hash: u64::MAX },
    };
    let topology = Arc::new(image.topology().expect("a topology"));
    ControlRecord::Snapshot(TopologySnapshot { nonce: Nonce(nonce), topology })
}

/// A policy of a cluster of any size with something in each of its places, at its bounds.
fn odd_policy() -> PlacementPolicy {
    let rule = TagRule { shards: ShardId(0).into(), tags: odd_info().tags };
    PlacementPolicy {
        strategy: Strategy { name: StrategyName::new("s".repeat(32)).expect("a name"), version: u16::MAX },
        zones: ZoneMode::Equal,
        pins: vec![Pin { shard: ShardId(0), node: life(&"n".repeat(32), 1).node }],
        rules: vec![rule; PlacementPolicy::RULES_MAX],
        caps: MoveCaps { total: u16::MAX, per_source: 1, per_target: u16::MAX, per_second: 1 },
        return_grace: PlacementPolicy::RETURN_GRACE_MAX,
        load: Some(LoadPolicy { trigger: 1_000, stop: 100, cap: 1_000, budget: 1, dwell: PlacementPolicy::DWELL_MAX }),
    }
}

/// What an operator wants, told apart by its nonce.
pub(crate) fn placement(nonce: u64) -> ControlRecord {
    ControlRecord::Placement(DesiredPlacement { nonce: Nonce(nonce), policy: Arc::new(odd_policy()) })
}

/// As many, and as long, as there can be.
fn odd_orders() -> ControlRecord {
    let asked = Asked::new(&"\u{1f980}".repeat(Asked::BY_CHARS_MAX), &"\u{1f980}".repeat(Asked::WHY_CHARS_MAX));
    let drains = (0..Orders::DRAINS_MAX).map(|nth| (life(&format!("{nth:0>32}"), 1), asked.clone()));
    let orders = Orders {
        rebalance: Some(odd_order()),
        drains: drains.collect(),
        step_down: Some((Term(u64::MAX), asked.clone())),
    };
    ControlRecord::Orders(OrdersRecord { nonce: Nonce(1), orders: Arc::new(orders) })
}

fn odd_order() -> RebalanceOrder {
    let why = "\u{1f980}".repeat(Asked::WHY_CHARS_MAX);
    RebalanceOrder { wish: Wish::Cancel, asked: Asked::new("", &why), id: Nonce(u64::MAX) }
}

/// As heavy, and with as many tags, as a node can be.
fn odd_info() -> NodeInfo {
    let tags = (0..NodeInfo::TAGS_MAX).map(|nth| Tag::new(format!("{nth:0>32}")).expect("a tag"));
    NodeInfo { weight: u32::MAX, zone: Some(Zone::new("z".repeat(32)).expect("a zone")), tags: tags.collect() }
}

/// One control record of every shape, each under a key of its own or later in this order.
pub(crate) fn odd_control_records() -> Vec<ControlRecord> {
    let longest = life(&"n".repeat(32), 9);
    let odd = NodeRef { node: life("a-_9", 1).node, incarnation: Incarnation(u64::MAX) };
    let mut records = vec![
        lease(&odd, u64::MAX),
        ControlRecord::Lease(LeaseRecord {
            term: Term(u64::MAX),
            holder: longest.clone(),
            ttl: Duration::from_millis(2),
            nonce: Nonce(1 << 63),
            state: LeaseState::Resigned,
        }),
        release(&longest, 1, vec![]),
        release(&odd, u64::MAX - 1, odd_releases()),
        placement(1),
        ControlRecord::Placement(DesiredPlacement { nonce: Nonce(u64::MAX), policy: Arc::default() }),
        odd_orders(),
        ControlRecord::Orders(OrdersRecord { nonce: Nonce(2), orders: Arc::default() }),
        snapshot(1, Epoch(1), u64::MAX),
        snapshot(65_536, Epoch(u64::MAX), 0),
    ];
    for (nth, state) in MemberState::NAMES.map(|(state, _)| state).into_iter().enumerate() {
        records.push(ControlRecord::Member(MemberRecord {
            node: odd.clone(),
            state,
            heartbeat: u64::MAX - nth as u64,
            nonce: Nonce(u64::MAX / 3 + nth as u64),
            heartbeat_every: Duration::from_millis(250),
            view: Epoch(u64::MAX),
            load: Load { actors: u32::MAX, commands_per_second: u32::MAX },
            info: odd_info(),
            admin_url: "http://[::1]:8080/\u{e9}\"\\".to_owned(),
            build: "\u{0}\n\u{1f980}".to_owned(),
            supervisor: None,
            health: Health::default(),
            shard_loads: (0..MemberRecord::SHARD_LOADS_MAX as u16)
                .map(|nth| (ShardId(u16::MAX - nth), u32::MAX))
                .collect(),
            reads: Format(u8::MAX),
            digest: u128::MAX,
        }));
    }
    let empty = MemberRecord {
        node: longest,
        state: MemberState::Starting,
        heartbeat: 0,
        nonce: Nonce(0),
        heartbeat_every: Duration::from_secs(30),
        view: Epoch::ZERO,
        load: Load::default(),
        info: NodeInfo::default(),
        admin_url: String::new(),
        build: String::new(),
        supervisor: None,
        health: Health::default(),
        shard_loads: Vec::new(),
        reads: Format::FIRST,
        digest: 0,
    };
    records.push(ControlRecord::Member(empty));
    records
}

fn odd_releases() -> Vec<(ShardSet, Epoch)> {
    let every_other: ShardSet = (0..1024).step_by(2).map(ShardId).collect();
    let ends = [ShardId(0), ShardId(u16::MAX)].into_iter().collect();
    vec![(every_other, Epoch(u64::MAX)), (ends, Epoch(1)), (ShardSet::default(), Epoch::ZERO)]
}

/// A small entry behind `before`, told apart by its nonce. Its events need make no sense: a store does not judge them.
pub(crate) fn entry(nonce: u64, before: Position) -> Entry {
    let leader = life("a", 1);
    Entry {
        format: Format::FIRST,
        cluster: ClusterUid(1),
        epoch: Epoch(before.sequence.0 + 1),
        term: Term(1),
        leader: leader.clone(),
        nonce: Nonce(nonce),
        prev_hash: before.hash,
        cause: format!("entry {nonce}"),
        at: WallTime { unix_millis: 1_700_000_000_000 },
        events: vec![LeadershipEvent::TermStarted { term: Term(nonce), leader }.into()],
    }
}

/// One entry with every kind of event and the extremes of every number.
pub(crate) fn odd_entry(before: Position) -> Entry {
    let (a, b) = (life("a", 1), NodeRef { node: life(&"z".repeat(32), 1).node, incarnation: Incarnation(u64::MAX) });
    let shards: ShardSet = [0, 1, 2, 512, 1023, u16::MAX].into_iter().map(ShardId).collect();
    let mut events: Vec<TopologyEvent> = vec![
        ClusterEvent::ClusterCreated { uid: ClusterUid(u128::MAX), settings: ClusterSettings::default() }.into(),
        ClusterEvent::NodeJoined { node: a.clone(), info: odd_info() }.into(),
        ClusterEvent::NodeRestarted { node: b.clone(), previous: Incarnation(1), info: NodeInfo::default() }.into(),
        ClusterEvent::NodeDraining { node: a.clone() }.into(),
        ClusterEvent::NodeLeft { node: a.clone() }.into(),
        ClusterEvent::NodeSuspected { node: b.clone(), by: vec![a.node.clone(), b.node.clone()] }.into(),
        ClusterEvent::NodeRelieved { node: b.clone() }.into(),
        ClusterEvent::NodeTrusted { node: b.clone() }.into(),
        ClusterEvent::PlacementAdopted { policy: Arc::new(odd_policy()) }.into(),
        ClusterEvent::PlacementRejected { strategy: odd_policy().strategy, why: "\u{1f980}".repeat(200) }.into(),
        ClusterEvent::RebalancingOrdered { order: odd_order() }.into(),
        ClusterEvent::RebalancingCompleted { plan: PlanId(u64::MAX), moved: u32::MAX }.into(),
        LeadershipEvent::TermStarted { term: Term(u64::MAX), leader: b.clone() }.into(),
        AssignmentEvent::ShardAssigned { shards: shards.clone(), to: a.clone() }.into(),
        AssignmentEvent::ShardMigrationStarted { shards: shards.clone(), from: a.clone(), to: b.clone() }.into(),
        AssignmentEvent::ShardMigrated { shards: shards.clone(), from: a.clone(), to: b.clone() }.into(),
        AssignmentEvent::ShardsOrphaned { shards: shards.clone() }.into(),
    ];
    for (reason, _) in FailureReason::NAMES {
        events.push(ClusterEvent::NodeFailed { node: b.clone(), reason }.into());
    }
    for (cause, _) in RebalanceCause::NAMES {
        let moves = vec![PlannedMove { shards: shards.clone(), from: a.clone(), to: b.clone() }];
        events.push(ClusterEvent::RebalancingTriggered { plan: PlanId(7), cause, moves }.into());
    }
    for (reason, _) in LossReason::NAMES {
        events.push(LeadershipEvent::LeadershipLost { term: Term(2), leader: a.clone(), reason }.into());
    }
    for (reason, _) in CancelReason::NAMES {
        let (shards, from, to) = (shards.clone(), a.clone(), b.clone());
        events.push(AssignmentEvent::ShardMigrationFailed { shards, from, to, reason }.into());
    }
    Entry {
        format: Format::FIRST,
        cluster: ClusterUid(u128::MAX - 1),
        epoch: Epoch(u64::MAX),
        term: Term(u64::MAX),
        leader: b,
        nonce: Nonce(u64::MAX),
        prev_hash: before.hash,
        cause: "\u{fc}ber \"all\" \\ \u{1f980}\n".to_owned(),
        at: WallTime { unix_millis: 1 << 52 },
        events,
    }
}

/// The actor of that kind and id; its slot is a plain function of them.
pub(crate) fn actor(kind: &str, id: &str) -> ActorAddress {
    let key = ActorKey {
        kind: ActorKind::new(kind).expect("the case names a valid kind"),
        id: ActorId::new(id).expect("the case names a valid id"),
    };
    let sum = id.bytes().fold(0u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    ActorAddress { key, slot: Slot(sum) }
}

/// A commit of one small event behind `before`, told apart by its nonce.
pub(crate) fn commit(nonce: u64, base: Version, before: Position) -> CommitRecord {
    CommitRecord {
        shard_epoch: Epoch(1),
        owner: Incarnation(7),
        nonce: Nonce(nonce),
        base,
        prev_sequence: before.sequence,
        prev_hash: before.hash,
        at: WallTime { unix_millis: 1_700_000_000_000 },
        codec: PayloadCodec::Json,
        commands: vec![],
        events: vec![EventRecord {
            schema: 1,
            name: "".into(),
            payload: Bytes::from(format!("{{\"deposited\":{nonce}}}")),
        }],
        timers: vec![],
    }
}

/// The first commit of a history.
pub(crate) fn first_commit(nonce: u64) -> CommitRecord {
    commit(nonce, Version::ZERO, Position::default())
}

/// Every change of a timer there is.
fn timers(payload: Bytes) -> Vec<TimerChange> {
    let set = |name: &str, every, missed| {
        let due = WallTime { unix_millis: 1_700_000_000_001 };
        TimerChange::Set(Timer {
            name: name.into(),
            due,
            every,
            missed,
            command: "refill".into(),
            payload: payload.clone(),
        })
    };
    vec![
        set("once", None, MissedTicks::Once),
        set("often", Some(Duration::from_millis(1)), MissedTicks::All),
        set("ü", Some(Duration::from_secs(3600)), MissedTicks::Skip),
        TimerChange::Cancelled { name: "once".into() },
        TimerChange::Fired { name: "often".into(), next: Some(WallTime { unix_millis: u64::MAX }) },
        TimerChange::Fired { name: "ü".into(), next: None },
    ]
}

/// Timers of every shape.
pub(crate) fn open_timers() -> Vec<Timer> {
    let set = |change| if let TimerChange::Set(timer) = change { Some(timer) } else { None };
    timers(Bytes::from_static(b"{}")).into_iter().filter_map(set).collect()
}

/// Commits of every shape, to be appended one behind the other: positions are filled in by whoever appends.
pub(crate) fn odd_commits() -> Vec<CommitRecord> {
    let mark = |sequence, message, reply: Bytes| CommandMark {
        id: CommandId { origin: Incarnation(u64::MAX), sequence },
        floor: sequence / 2,
        message,
        reply,
    };
    let binary: Bytes = (0..=u8::MAX).collect::<Vec<_>>().into();
    let confirm = CommitRecord { events: vec![], ..first_commit(1) };
    let empty_payload = CommitRecord {
        codec: PayloadCodec::Binary,
        commands: vec![mark(1, None, Bytes::new())],
        events: vec![EventRecord { schema: u32::MAX, name: "".into(), payload: Bytes::new() }],
        ..first_commit(2)
    };
    let json = CommitRecord {
        commands: vec![
            mark(u64::MAX, Some(MessageId(u128::MAX)), Bytes::from_static(b"{\"ok\":\"\xc3\xbc \\\" \"}")),
            mark(3, Some(MessageId(0)), Bytes::from_static(b"null")),
        ],
        events: vec![
            EventRecord {
                schema: 1,
                name: "grown \"ü\"".into(),
                payload: Bytes::from_static(b"{ \"spaced\" : [ 1, 2.50, -0 ] }"),
            },
            EventRecord { schema: 2, name: "".into(), payload: Bytes::from_static(b"18446744073709551615") },
        ],
        timers: timers(Bytes::from_static(b"{\"litres\":3}")),
        ..first_commit(u64::MAX)
    };
    let full = CommitRecord {
        shard_epoch: Epoch(u64::MAX),
        owner: Incarnation(u64::MAX),
        codec: PayloadCodec::Binary,
        commands: (0..CommitRecord::COMMANDS_MAX as u64)
            .map(|nth| mark(nth + 1, None, vec![0xff; CommitRecord::REPLY_BYTES_MAX].into()))
            .collect(),
        events: (0..200).map(|_| EventRecord { schema: 1, name: "filled".into(), payload: binary.clone() }).collect(),
        timers: timers(binary.clone()),
        ..first_commit(4)
    };
    vec![confirm, empty_payload, json, full]
}

/// A frame told apart by its number.
pub(crate) fn ask(sequence: u64) -> Frame {
    Frame::Ask(ask_of(sequence, Bytes::from(format!("{{\"amount\":{sequence}}}"))))
}

/// A command with that payload.
pub(crate) fn ask_of(sequence: u64, payload: Bytes) -> AskFrame {
    let request = Request {
        actor: actor("account", "anna"),
        command: "deposit".into(),
        payload,
        codec: PayloadCodec::Json,
        message: None,
        mode: ReadMode::Strict,
        trace: None,
    };
    AskFrame {
        id: CommandId { origin: Incarnation(3), sequence },
        floor: 1,
        request: request.into(),
        view: Epoch(9),
        budget: Duration::from_secs(5),
        attempt: 1,
        sending: 1,
        wants_answer: true,
    }
}

/// A frame of every shape.
pub(crate) fn odd_frames() -> Vec<Frame> {
    let odd_id = CommandId { origin: Incarnation(u64::MAX), sequence: u64::MAX };
    let odd = Request {
        actor: actor("k-_9", "\u{fc}ber/ .>*\u{1f980}"),
        command: "".into(),
        payload: Bytes::new(),
        codec: PayloadCodec::Binary,
        message: Some(MessageId(u128::MAX)),
        mode: ReadMode::Log,
        trace: None,
    };
    let mut frames = vec![Frame::Ask(AskFrame {
        id: odd_id,
        floor: u64::MAX,
        request: odd.into(),
        view: Epoch(u64::MAX),
        budget: Duration::from_millis(1),
        attempt: u8::MAX,
        sending: 1,
        wants_answer: false,
    })];
    let mut leased = ask_of(1, (0..=u8::MAX).collect::<Vec<_>>().into());
    Arc::make_mut(&mut leased.request).mode = ReadMode::Leased;
    frames.push(Frame::Ask(leased));
    let (some, none) = (Some(life("b", 1).node), None);
    let retry_after = Duration::from_millis(250);
    let answers = [
        Answer::Replied(Bytes::new()),
        Answer::Looked(Bytes::from_static(b"0")),
        Answer::Replied((0..=u8::MAX).collect::<Vec<_>>().into()),
        Answer::Rejected(Bytes::from_static(b"{\"no\":\"money\"}")),
        Answer::NotOwner { owner: some.clone() },
        Answer::NotOwner { owner: none.clone() },
        Answer::Moving { to: some },
        Answer::Moving { to: none },
        Answer::Behind,
        Answer::Unavailable { retry_after, maybe_applied: true },
        Answer::Unavailable { retry_after: Duration::ZERO, maybe_applied: false },
        Answer::Busy,
        Answer::Expired { maybe_applied: true },
        Answer::Expired { maybe_applied: false },
        Answer::Poisoned { reason: "\u{1f980} \"quoted\"".to_owned(), maybe_applied: true },
        Answer::Invalid { reason: String::new(), maybe_applied: false },
        Answer::Quarantined { reason: "prev_hash of 12".to_owned(), maybe_applied: true },
    ];
    let answered = |answer| Frame::Answer(AnswerFrame { id: odd_id, sending: u32::MAX, view: Epoch(u64::MAX), answer });
    frames.extend(answers.into_iter().map(answered));
    let (shard, drain_epoch, chunk) = (ShardId(u16::MAX), Epoch(u64::MAX), u32::MAX);
    let verdicts = [WarmVerdict::Taken, WarmVerdict::NoRoom, WarmVerdict::Unwanted];
    let taken = |verdict| Frame::WarmTaken(WarmTakenFrame { shard, drain_epoch, chunk, verdict });
    frames.extend(verdicts.map(taken));
    for actors in [Vec::new(), warm_actors()] {
        frames.push(Frame::Warm(WarmFrame { shard, drain_epoch, chunk, actors: Arc::new(actors) }));
    }
    frames
}

/// A warm actor that is odd wherever it can be, and one with as much state as there may be.
fn warm_actors() -> Vec<WarmActor> {
    let reply = StoredReply { codec: PayloadCodec::Binary, bytes: (0..=u8::MAX).collect::<Vec<_>>().into() };
    let odd = ActorSnapshot {
        at: Position { sequence: Sequence(u64::MAX), hash: u64::MAX },
        version: Version(u64::MAX),
        shard_epoch: Epoch(u64::MAX),
        schema: u32::MAX,
        codec: PayloadCodec::Binary,
        state: Bytes::new(),
        origins: vec![OriginMarks {
            origin: Incarnation(u64::MAX),
            floor: u64::MAX,
            applied: vec![(u64::MAX, reply.clone())],
        }],
        messages: vec![(MessageId(u128::MAX), reply)],
        timers: Vec::new(),
    };
    let mut large = ActorSnapshot { origins: Vec::new(), messages: Vec::new(), ..odd.clone() };
    let odd = WarmActor {
        actor: actor("k-_9", "\u{fc}ber/ .>*\u{1f980}"),
        snapshot: odd,
        grown_events: u32::MAX,
        grown_bytes: u32::MAX,
    };
    large.state = vec![7; WarmFrame::BYTES_MAX - odd.bytes() - 1024].into();
    vec![odd, WarmActor { actor: actor("account", "anna"), snapshot: large, grown_events: 0, grown_bytes: 0 }]
}

/// Behind nothing.
pub(crate) const NOTHING: Sequence = Sequence::ZERO;

/// Dead letters with something odd in each place.
pub(crate) fn letters() -> Vec<DeadLetter> {
    let plain = DeadLetter {
        actor: ActorAddress {
            key: ActorKey {
                kind: ActorKind::new("account").expect("a kind"),
                id: ActorId::new("alice").expect("an id"),
            },
            slot: Slot(0xa5b),
        },
        command: "withdraw".to_owned(),
        id: CommandId { origin: Incarnation(0x4d2), sequence: 17 },
        message: None,
        codec: PayloadCodec::Json,
        payload: Some(Bytes::from_static(b"{\"amount\":12}")),
        reason: "a panic without words".to_owned(),
        maybe_applied: false,
        by: life("n1", 0x4d2),
        at: WallTime { unix_millis: 1_700_000_000_000 },
    };
    let odd_id = ActorId::new("\u{fc}ber/ .>*\n\0\"\\").expect("an id");
    vec![
        DeadLetter {
            actor: ActorAddress { key: ActorKey { id: odd_id, ..plain.actor.key.clone() }, slot: Slot(u16::MAX) },
            message: Some(MessageId(u128::MAX)),
            codec: PayloadCodec::Binary,
            payload: Some(Bytes::from_static(b"AE\0\xff")),
            reason: "\u{1F980}\n\"".to_owned(),
            maybe_applied: true,
            ..plain.clone()
        },
        DeadLetter { payload: None, ..plain.clone() },
        DeadLetter {
            payload: Some(Bytes::from(vec![0xff; DeadLetter::PAYLOAD_BYTES_MAX])),
            reason: "\u{1}".repeat(DeadLetter::REASON_BYTES_MAX),
            ..plain.clone()
        },
        DeadLetter { payload: Some(Bytes::from_static(b" {} ")), command: String::new(), ..plain.clone() },
        plain,
    ]
}
