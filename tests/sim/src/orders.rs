//! What operators ask while everything is broken: to pause, to cancel, to go on, that a node leaves, that the leader steps
//! down.
//!
//! It comes of dice of its own, so that a seed without any of it is what it was.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::Nonce;
use aether_domain::orders::{Asked, Orders, RebalanceOrder, Wish};
use aether_domain::records::{ControlRecord, OrdersRecord};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::act::Act;
use crate::world::World;

/// When operators ask something: in half of the seeds never.
pub(crate) fn draw(seed: u64, until: Duration) -> Vec<(Duration, Act)> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed ^ 0x000_0A5E);
    if dice.random_ratio(1, 2) {
        return Vec::new();
    }
    let millis = (until.as_millis() as u64).max(1);
    let times = dice.random_range(1..=12);
    (0..times)
        .map(|_| (Duration::from_millis(dice.random_range(0..millis)), Act::Order { bits: dice.next_u64() }))
        .collect()
}

impl World {
    /// An operator asks something, whatever was asked before; the record is written whole, as by one who has read it.
    pub(crate) fn order(&mut self, bits: u64) {
        let mut dice = ChaCha8Rng::seed_from_u64(bits);
        let asked = Asked::new("ann", "because");
        let said = match dice.random_range(0..10) {
            0..=6 => {
                let wish = [Wish::Pause, Wish::Cancel, Wish::Resume][dice.random_range(0..3)];
                self.orders.rebalance = Some(RebalanceOrder { wish, asked, id: Nonce(bits) });
                wish.name()
            }
            7 => {
                let running = (0..self.nodes.len()).filter(|node| self.nodes[*node].life().is_some());
                let running: Vec<usize> = running.collect();
                if running.is_empty() {
                    return;
                }
                let node = running[dice.random_range(0..running.len())];
                self.nodes[node].restart_after = Some(Duration::from_millis(dice.random_range(100..10_000)));
                let life = self.nodes[node].life().cloned();
                self.orders.drains.retain(|(drained, _)| Some(drained) != life.as_ref());
                self.orders.drains.extend(life.map(|life| (life, asked)));
                let surplus = self.orders.drains.len().saturating_sub(Orders::DRAINS_MAX);
                self.orders.drains.drain(..surplus);
                "drain"
            }
            _ => {
                self.orders.step_down = Some((self.checks.truth.leadership().term(), asked));
                "step down"
            }
        };
        self.count(&format!("asked to {said}"));
        self.write_orders(bits);
    }

    /// Operators let everything go on.
    pub(crate) fn no_orders(&mut self) {
        if self.orders != Orders::default() {
            let (wish, id) = (Wish::Resume, Nonce(u64::MAX));
            let rebalance = Some(RebalanceOrder { wish, asked: Asked::default(), id });
            self.orders = Orders { rebalance, ..Orders::default() };
            self.write_orders(u64::MAX);
        }
    }

    fn write_orders(&mut self, nonce: u64) {
        let record = OrdersRecord { nonce: Nonce(nonce), orders: Arc::new(self.orders.clone()) };
        self.fabric.write_over(self.now, &ControlRecord::Orders(record));
    }
}
