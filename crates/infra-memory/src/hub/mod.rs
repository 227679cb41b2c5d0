//! The server for async code: one value that every node of a process connects to.
//!
//! It is [`Stores`] behind one short lock, plus who listens, plus switches that cut, lose and kill. With no switch
//! thrown it answers at once and never fails. Readers are fed by position from the stores and woken when something
//! changes, so a slow one loses nothing and holds nothing up. No lock is held across an await.

mod bus;
mod changes;
mod checkpoints;
mod claims;
mod dead_letters;
mod gateway;
mod inbox;
mod kept;
mod links;
mod namespaces;
mod ports;
mod snapshots;
mod switches;
mod updates;
mod wakes;

use aether_domain::records::Format;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aether_domain::ids::{Namespace, NodeId, NodeRef};
use aether_domain::ports::Ports;

use crate::fabric::{Manner, Stores};
use changes::Changes;
use checkpoints::Checkpoints;
use claims::ClaimListeners;
pub use gateway::GatewayCall;
use gateway::GatewayDesk;
use links::Inboxes;
use namespaces::Namespaces;
use ports::Connection;
use switches::Switches;
pub use switches::{Loss, Target};
use wakes::Wakes;

/// "The server": cheap to clone, all clones are the same one. Its state ends with the last clone and connection.
#[derive(Clone)]
pub struct MemoryHub {
    shared: Arc<Shared>,
}

struct Shared {
    server: Mutex<Server>,
    /// Whose all of this is, and what the other namespaces have.
    namespaces: Namespaces,
    /// Says that a control record was written or a switch was thrown.
    control_changed: Changes,
    /// Says that the log has grown or a switch was thrown.
    log_changed: Changes,
    /// Says that a history has grown or a switch was thrown.
    events_changed: Changes,
}

/// What lies behind the lock.
struct Server {
    stores: Stores,
    switches: Switches,
    inboxes: Inboxes,
    gateway: GatewayDesk,
    claims: ClaimListeners,
    checkpoints: Checkpoints,
    wakes: Wakes,
}

impl MemoryHub {
    /// An empty server that never fails by itself.
    pub fn new() -> Self {
        Self::imitating(Manner::R1, 0)
    }

    /// An empty server with that manner of refusing. What [`Manner::R3`] refuses now and then is drawn from `seed`.
    pub fn imitating(manner: Manner, seed: u64) -> Self {
        let server = Server {
            stores: Stores::default(),
            switches: Switches::new(manner, seed),
            inboxes: Inboxes::default(),
            gateway: GatewayDesk::default(),
            claims: ClaimListeners::default(),
            checkpoints: Checkpoints::default(),
            wakes: Wakes::default(),
        };
        let shared = Shared {
            server: Mutex::new(server),
            namespaces: Namespaces::new(manner, seed),
            control_changed: Changes::default(),
            log_changed: Changes::default(),
            events_changed: Changes::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The server as that namespace has it: what is stored and sent in one is in no other. The first namespace asked for is the
    /// hub's own, with whatever the hub holds; each other one begins empty and unbroken. A cut, a pause, an outage is one of all
    /// that there are; what happens once (a lost acknowledgement or message, an election) happens in the one it is asked of.
    #[must_use]
    pub fn within(&self, namespace: &Namespace) -> Self {
        self.shared.namespaces.of(namespace).unwrap_or_else(|| self.clone())
    }

    /// A connection for that node. Two connections of one node are cut and healed together.
    pub fn ports(&self, node: &NodeId) -> Ports {
        let connection = Arc::new(Connection::new(self.clone(), node.clone()));
        Ports {
            control: connection.clone(),
            log: connection.clone(),
            events: connection.clone(),
            snapshots: connection.clone(),
            wakes: connection.clone(),
            bus: connection.clone(),
            checkpoints: connection.clone(),
            dead_letters: connection.clone(),
            transport: connection.clone(),
            gateway: connection.clone(),
            claims: connection,
            // Values have no format: any will do.
            reads: Format::FIRST,
        }
    }

    /// Cuts a node off: its writes end in `Unknown` with nothing stored and its reads in `Unavailable`, its updates
    /// wait, and frames to it are lost. Its sends are refused.
    pub fn cut(&self, node: &NodeId) {
        self.throw(|switches| switches.cut(node));
    }

    /// Undoes [`Self::cut`]: what the node missed in the stores is told it; lost frames stay lost.
    pub fn heal(&self, node: &NodeId) {
        self.throw(|switches| switches.heal(node));
    }

    /// Lets nothing through to a node or from it until [`Self::resume`]: its operations begin and end, its updates and its
    /// messages come, when it goes on. Nothing is lost, and nobody is told: so it is with a process that is stopped.
    pub fn pause(&self, node: &NodeId) {
        self.throw(|switches| switches.pause(node, true));
    }

    /// Undoes [`Self::pause`].
    pub fn resume(&self, node: &NodeId) {
        self.throw(|switches| switches.pause(node, false));
    }

    /// From now on whatever travels to the server, from it, or between nodes takes up to `way_max`, in whole milliseconds
    /// drawn from the seed. Zero, as in the beginning: nobody waits for anything.
    pub fn distance(&self, way_max: Duration) {
        self.throw(|switches| switches.distance(way_max));
    }

    /// Takes the whole server away for everybody, or brings it back with all it holds.
    pub fn outage(&self, down: bool) {
        self.throw(|switches| switches.outage(down));
    }

    /// Makes that node's next write to `target` end in `Unknown`. Several calls queue up.
    pub fn lose_next_ack(&self, node: &NodeId, target: Target, loss: Loss) {
        self.throw_here(|switches| switches.lose_next_ack(node, target, loss));
    }

    /// Loses the next message that node sends, without a word to anybody. Several calls add up.
    pub fn lose_next_message(&self, node: &NodeId) {
        self.throw_here(|switches| switches.lose_next_message(node));
    }

    /// Lets the writes that [`Loss::Late`] held back arrive now, in order, under their own expectations.
    /// Answers how many of them were stored.
    pub fn land_late_writes(&self) -> usize {
        let mut server = self.lock();
        let late = server.switches.take_late();
        let stored = late.iter().filter(|op| server.stores.run(op).is_some_and(|outcome| outcome.is_ok())).count();
        let stored = stored + server.checkpoints.land_late();
        let stored = stored + server.wakes.land_late();
        drop(server);
        self.changed(Target::Control);
        self.changed(Target::Log);
        self.changed(Target::Events);
        stored
    }

    /// Leaves the streams without a leader for the next `operations` reads and writes: each is `Unavailable`.
    pub fn fail_over(&self, operations: u32) {
        self.throw_here(|switches| switches.fail_over(operations));
    }

    /// Takes away the inbox of that life, as when its process dies: its stream ends, and senders learn that nobody is
    /// there. What the life had written stays.
    pub fn kill(&self, life: &NodeRef) {
        let inbox = self.lock().inboxes.remove(life);
        if let Some(inbox) = inbox {
            inbox.close();
        }
    }

    /// What the stores hold now: the truth, past every switch, for tests to compare with.
    pub fn stores(&self) -> Stores {
        self.lock().stores.clone()
    }

    /// One way to the server or back, for something of that node and that kind: takes as long as it takes, and ends when
    /// the node runs.
    async fn way(&self, node: &NodeId, kind: &'static str) {
        let way = self.lock().switches.way(node, kind);
        if !way.is_zero() {
            tokio::time::sleep(way).await;
        }
        self.awake(node).await;
    }

    /// Waits while the node is paused; not at all otherwise.
    pub async fn awake(&self, node: &NodeId) {
        let mut thrown = self.shared.control_changed.watch();
        while self.lock().switches.is_paused(node) {
            thrown.changed().await;
        }
    }

    fn throw(&self, change: impl Fn(&mut Switches)) {
        for hub in self.shared.namespaces.others().iter().chain([self]) {
            hub.throw_here(&change);
        }
    }

    fn throw_here(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.lock().switches);
        self.changed(Target::Control);
        self.changed(Target::Log);
        self.changed(Target::Events);
    }

    fn lock(&self) -> MutexGuard<'_, Server> {
        // Nothing that runs under the lock leaves the server half changed, so a poisoned lock is as good as any.
        self.shared.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self, target: Target) {
        match target {
            Target::Control => self.shared.control_changed.tell(),
            Target::Log => self.shared.log_changed.tell(),
            Target::Events => self.shared.events_changed.tell(),
            // Nobody watches them: they are read again now and then.
            Target::Checkpoints | Target::Wakes => {}
        }
    }
}

impl Default for MemoryHub {
    fn default() -> Self {
        Self::new()
    }
}
