//! What can be done to a cluster.

use aether_domain::NodeId;
use aether_infra_memory::{Loss, Target};

use super::clock::VirtualClock;
use super::{Seat, TestCluster};
use crate::node::Node;

impl TestCluster {
    /// Ends a node's process at once, as `kill -9` does: what it has not stored is gone, and nobody is told.
    ///
    /// # Panics
    /// If it does not run.
    pub async fn kill(&self, id: &str) {
        self.note(format!("kill {id}"));
        let node = {
            let mut state = self.lock();
            state.nodes.get_mut(id).and_then(|seat| seat.node.take()).unwrap_or_else(|| panic!("{id} does not run"))
        };
        // What it had begun to send or store ends nowhere.
        self.inner.hub.cut(node.id());
        self.lift_pause(id);
        let life = node.life();
        node.kill().await;
        self.inner.hub.kill(&life);
    }

    /// Starts a killed node again, as a new process that knows nothing. It joins by itself.
    ///
    /// # Panics
    /// If it runs.
    pub async fn restart(&self, id: &str) {
        assert!(!self.running().iter().any(|running| running == id), "{id} runs");
        self.launch(id).await;
    }

    /// Adds a node that has never been there, or has left. It joins by itself.
    ///
    /// # Panics
    /// If there is one of that id.
    pub async fn add(&self, id: &str) {
        assert!(!self.lock().nodes.contains_key(id), "there is {id} already");
        self.launch(id).await;
    }

    /// Lets a node hand over everything, leave and end; at most 20 s of virtual time.
    ///
    /// # Panics
    /// If it does not run.
    pub async fn drain(&self, id: &str) {
        self.note(format!("drain {id}"));
        let node = self.node(id);
        node.drain().await;
        self.lock().nodes.remove(id);
    }

    /// Stops a node where it is, as SIGSTOP does, until [`Self::resume`]: see the module on what is not imitated.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pause(&self, id: &str) {
        self.note(format!("pause {id}"));
        let node = self.node(id);
        if let Some(seat) = self.lock().nodes.get_mut(id) {
            seat.clock.stop();
            seat.paused = true;
        }
        self.inner.hub.pause(node.id());
    }

    /// Lets a paused node go on: it finds its clock far ahead and everything sent to it meanwhile.
    ///
    /// # Panics
    /// If it does not run.
    pub fn resume(&self, id: &str) {
        self.note(format!("resume {id}"));
        let _runs = self.node(id);
        self.lift_pause(id);
    }

    /// Cuts a node off from the server and from every other node, until [`Self::heal`].
    ///
    /// # Panics
    /// If it does not run.
    pub fn cut(&self, id: &str) {
        self.note(format!("cut {id}"));
        self.inner.hub.cut(self.node(id).id());
        self.mark_cut(id, true);
    }

    /// Undoes [`Self::cut`]. What the node missed in the stores it is told; messages to it stay lost.
    ///
    /// # Panics
    /// If it does not run.
    pub fn heal(&self, id: &str) {
        self.note(format!("heal {id}"));
        self.inner.hub.heal(self.node(id).id());
        self.mark_cut(id, false);
    }

    /// The outcome of that node's next commit will be unknown to it; what becomes of it in truth says `loss`.
    ///
    /// # Panics
    /// If it does not run.
    pub fn lose_commit(&self, id: &str, loss: Loss) {
        self.note(format!("lose a commit of {id}: {loss:?}"));
        self.inner.hub.lose_next_ack(self.node(id).id(), Target::Events, loss);
    }

    /// Loses the next message that node sends.
    ///
    /// # Panics
    /// If it does not run.
    pub fn lose_message(&self, id: &str) {
        self.note(format!("lose a message of {id}"));
        self.inner.hub.lose_next_message(self.node(id).id());
    }

    /// Lets the writes arrive that [`Loss::Late`] held back; answers how many of them were stored.
    pub fn land_late_writes(&self) -> usize {
        let stored = self.inner.hub.land_late_writes();
        self.note(format!("late writes land: {stored} stored"));
        stored
    }

    /// Takes the server away from everybody, or brings it back with all it holds.
    pub fn outage(&self, down: bool) {
        self.note(format!("outage: {down}"));
        self.inner.hub.outage(down);
    }

    /// Undoes whatever was done: every node runs, nobody is cut or paused, the server is there, late writes have landed.
    pub async fn end_faults(&self) {
        self.outage(false);
        let ids: Vec<_> = self.lock().nodes.keys().cloned().collect();
        for id in &ids {
            if self.running().contains(id) {
                self.lift_pause(id);
                self.heal(id);
            } else {
                self.restart(id).await;
            }
        }
        self.land_late_writes();
    }

    pub(super) async fn launch(&self, id: &str) {
        self.note(format!("start {id}"));
        let clock = VirtualClock::beginning(self.inner.began);
        let life = {
            let mut state = self.lock();
            state.lives += 1;
            state.lives
        };
        // Another stream of chance for each process.
        let seed = self.inner.seed ^ life.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.inner.hub.heal(&name(id));
        self.inner.hub.resume(&name(id));
        let builder = Node::builder(id).namespace("test").profile(self.inner.profile).in_memory(&self.inner.hub);
        let builder = (self.inner.teach)(builder).staged(clock.clone(), seed);
        let node = builder.launch().await.unwrap_or_else(|error| panic!("{id} cannot start: {error}"));
        let seat = Seat { node: Some(node), clock, paused: false, cut: false };
        self.lock().nodes.insert(id.to_owned(), seat);
    }

    fn lift_pause(&self, id: &str) {
        if let Some(seat) = self.lock().nodes.get_mut(id) {
            seat.clock.go_on();
            seat.paused = false;
        }
        self.inner.hub.resume(&name(id));
    }

    fn mark_cut(&self, id: &str, cut: bool) {
        if let Some(seat) = self.lock().nodes.get_mut(id) {
            seat.cut = cut;
        }
    }
}

fn name(id: &str) -> NodeId {
    NodeId::new(id).unwrap_or_else(|error| panic!("{id} is no node's name: {error}"))
}
