//! A machine with a hand on its clock and its view.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::ports::{Answer, ReadMode, Request};
use aether_domain::records::PayloadCodec;
use aether_domain::testing::life;
use aether_domain::{ActorAddress, ActorId, ActorKey, ActorKind, Epoch, Monotonic, ShardCount, ShardId, Slot};
use bytes::Bytes;

use super::super::super::ask::{Target, Try};
use super::super::super::budget::NodeBudget;
use super::super::super::window::sequence;
use super::super::{Effect, Input, ShardAsks};
use crate::view::{Route, View};

pub(super) const SHARD: ShardId = ShardId(3);
pub(super) const LONG: Duration = Duration::from_secs(30);

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Where the shard is, in tests: at `me`, at a node by that letter, or nowhere.
pub(super) fn target(name: &str) -> Target {
    match name {
        "me" => Target::Here,
        "-" => Target::Nowhere,
        other => Target::There(life(other, 1)),
    }
}

/// The machine with a hand on its clock and its view, and everything it asked for.
pub(super) struct Desk {
    pub(super) asks: ShardAsks<u32>,
    pub(super) budget: Arc<NodeBudget>,
    pub(super) view: View,
    pub(super) now: Monotonic,
    /// Every sending and delivery: where to, which sequence (the `nth`), and the whole try.
    pub(super) sent: Vec<(Target, u64, Try)>,
    pub(super) done: BTreeMap<u32, Vec<Answer>>,
    /// What became of the tells that were not sent.
    pub(super) untold: Vec<Answer>,
}

impl Desk {
    pub(super) fn new(at: &str) -> Self {
        let me = life("me", 1);
        let budget = Arc::<NodeBudget>::default();
        let asks = ShardAsks::new(SHARD, me.incarnation, budget.clone());
        let (view, now) = (View::empty(me), Monotonic::from_start(ms(1_000_000)));
        let mut desk = Self { asks, budget, view, now, sent: Vec::new(), done: BTreeMap::new(), untold: Vec::new() };
        desk.see(5, at);
        desk
    }

    pub(super) fn step(&mut self, input: Input<u32>) {
        let mut effects = Vec::new();
        self.asks.step(self.now, &self.view, input, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send { to, attempt } => {
                    self.sent.push((Target::There(to), attempt.id.sequence >> 16, attempt));
                }
                Effect::Deliver { attempt } => self.sent.push((Target::Here, attempt.id.sequence >> 16, attempt)),
                Effect::Complete { token, answer } => self.done.entry(token).or_default().push(answer),
                Effect::Untold { answer } => self.untold.push(answer),
            }
        }
    }

    /// A view of that epoch with the shard at `at`; every node it ever named lives, but those after a minus.
    pub(super) fn see(&mut self, epoch: u64, at: &str) {
        let (at, dead) = at.split_once(" without ").unwrap_or((at, ""));
        let route = match target(at) {
            Target::Here => Route::Mine { epoch: Epoch(epoch) },
            Target::There(owner) => Route::Remote { owner },
            Target::Nowhere => Route::Nobody,
        };
        self.view.epoch = Epoch(epoch);
        self.view.shards = ShardCount::new(8).expect("a power of two");
        self.view.routes = vec![route; 8];
        self.view.lives.extend(["a", "b", "c"].map(|name| life(name, 1).incarnation));
        if !dead.is_empty() {
            self.view.lives.remove(&life(dead, 1).incarnation);
        }
        self.step(Input::Look);
    }

    pub(super) fn ask(&mut self, token: u32) {
        self.ask_for(token, LONG, 10);
    }

    pub(super) fn ask_for(&mut self, token: u32, timeout: Duration, bytes: usize) {
        let deadline = self.now + timeout;
        self.step(Input::Ask { token: Some(token), request: request(bytes), deadline });
    }

    pub(super) fn tell(&mut self) {
        let deadline = self.now + LONG;
        self.step(Input::Ask { token: None, request: request(10), deadline });
    }

    /// An answer to the last sending.
    pub(super) fn answer(&mut self, nth: u64, from: &str, known: u64, answer: Answer) {
        let sending = self.asks.asks.get(sequence(nth, SHARD)).map_or(1, |ask| ask.sendings);
        self.answer_to(nth, sending, from, known, answer);
    }

    pub(super) fn answer_to(&mut self, nth: u64, sending: u32, from: &str, known: u64, answer: Answer) {
        let sequence = sequence(nth, SHARD);
        self.step(Input::Answered { sequence, sending, from: target(from), view: Epoch(known), answer });
    }

    pub(super) fn pass(&mut self, by: Duration) {
        self.now = self.now + by;
        self.step(Input::Look);
    }

    /// What was sent since last asked: `b1` is the first sequence to b.
    pub(super) fn sends(&mut self) -> String {
        let name = |target: &Target| match target {
            Target::Here => "me".to_string(),
            Target::There(to) => to.node.to_string(),
            Target::Nowhere => "-".into(),
        };
        self.sent.drain(..).map(|(to, nth, _)| format!("{}{nth}", name(&to))).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn outcome(&self, token: u32) -> Option<&Answer> {
        self.done.get(&token).map(|answers| {
            assert_eq!(answers.len(), 1, "ask {token} was answered more than once: {answers:?}");
            &answers[0]
        })
    }

    /// Nothing is outstanding and every budget is given back.
    pub(super) fn is_idle(&self) -> bool {
        self.asks.outstanding() == 0
            && self.asks.asks.len() == 0
            && self.asks.asks.next_wake().is_none()
            && (self.asks.held, self.asks.held_bytes) == (0, 0)
            && (self.budget.held_bytes(), self.budget.outstanding_bytes()) == (0, 0)
    }
}

/// Of the actor that is asked.
pub(super) const SLOT: Slot = Slot(0);

pub(super) fn request(bytes: usize) -> Arc<Request> {
    let key = ActorKey { kind: ActorKind::new("account").expect("a kind"), id: ActorId::new("alice").expect("an id") };
    Arc::new(Request {
        trace: None,
        actor: ActorAddress { key, slot: SLOT },
        command: "deposit".into(),
        payload: Bytes::from(vec![b'x'; bytes]),
        codec: PayloadCodec::Json,
        message: None,
        mode: ReadMode::Strict,
    })
}

pub(super) fn replied() -> Answer {
    Answer::Replied(Bytes::from_static(b"70"))
}
pub(super) fn rejected() -> Answer {
    Answer::Rejected(Bytes::from_static(b"no"))
}
pub(super) fn not_owner() -> Answer {
    Answer::NotOwner { owner: None }
}
pub(super) fn moving() -> Answer {
    Answer::Moving { to: None }
}
pub(super) fn unavailable(retry_after: u64, maybe_applied: bool) -> Answer {
    Answer::Unavailable { retry_after: ms(retry_after), maybe_applied }
}
