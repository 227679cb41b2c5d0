//! Namespaces of one hub: each has stores and inboxes of its own, as each has streams and subjects of its own on NATS.
//!
//! Most hubs have one: the first that is named. So whoever breaks or looks at a hub need not say which namespace is meant.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use aether_domain::ids::Namespace;

use super::MemoryHub;
use crate::fabric::Manner;

pub(super) struct Namespaces {
    manner: Manner,
    seed: u64,
    first: OnceLock<Namespace>,
    others: Mutex<BTreeMap<Namespace, MemoryHub>>,
}

impl Namespaces {
    pub(super) fn new(manner: Manner, seed: u64) -> Self {
        Self { manner, seed, first: OnceLock::new(), others: Mutex::default() }
    }

    /// What that namespace has; nothing if it is the hub's own.
    pub(super) fn of(&self, namespace: &Namespace) -> Option<MemoryHub> {
        if self.first.get_or_init(|| namespace.clone()) == namespace {
            return None;
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || MemoryHub::imitating(self.manner, self.seed);
        Some(others.entry(namespace.clone()).or_insert_with(new).clone())
    }

    /// The hubs of all namespaces but the first.
    pub(super) fn others(&self) -> Vec<MemoryHub> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
