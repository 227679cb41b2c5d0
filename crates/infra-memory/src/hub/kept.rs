//! Small records by key under compare-and-set, as the server keeps them.

use std::collections::BTreeMap;

use aether_domain::ids::Revision;
use aether_domain::ports::Expected;

use super::ports::{Connection, UNHEARD_AFTER};
use super::switches::Fate;
use super::{Loss, Server, Target};
use crate::fabric::{Cause, WriteFailure};

/// The last record of each key.
pub(super) struct Kept<K, V> {
    pub(super) records: BTreeMap<K, (V, Revision)>,
    /// The last revision given out.
    revision: Revision,
    /// Writes that are still on their way.
    late: Vec<(K, V, Expected)>,
}

impl<K: Ord, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self { records: BTreeMap::new(), revision: Revision::ZERO, late: Vec::new() }
    }
}

impl<K: Ord, V> Kept<K, V> {
    fn write(&mut self, key: K, value: V, expected: Expected) -> Result<Revision, WriteFailure> {
        let present = self.records.get(&key).map_or(Revision::ZERO, |(_, revision)| *revision);
        if present != expected.revision() {
            return Err(WriteFailure::Conflict { actual: Some(present) });
        }
        self.revision = self.revision.next();
        self.records.insert(key, (value, self.revision));
        Ok(self.revision)
    }

    /// Lets the writes that were held back arrive; answers how many of them were stored.
    pub(super) fn land_late(&mut self) -> usize {
        let late = std::mem::take(&mut self.late);
        late.into_iter().filter_map(|(key, value, expected)| self.write(key, value, expected).ok()).count()
    }
}

impl Connection {
    /// Writes one of them as the switches let it.
    pub(super) async fn keep<K: Ord + Send, V: Send>(
        &self,
        target: Target,
        kept: impl FnOnce(&mut Server) -> &mut Kept<K, V> + Send,
        key: K,
        value: V,
        expected: Expected,
    ) -> Result<Revision, WriteFailure> {
        self.hub.way(&self.node, "write").await;
        let outcome = self.keep_now(target, kept, key, value, expected).await;
        self.hub.way(&self.node, "write").await;
        outcome
    }

    async fn keep_now<K: Ord + Send, V: Send>(
        &self,
        target: Target,
        kept: impl FnOnce(&mut Server) -> &mut Kept<K, V> + Send,
        key: K,
        value: V,
        expected: Expected,
    ) -> Result<Revision, WriteFailure> {
        let unheard = {
            let mut server = self.hub.lock();
            match server.switches.write_fate(&self.node, target) {
                Fate::Run => return kept(&mut server).write(key, value, expected),
                Fate::Lose(loss) => {
                    let kept = kept(&mut server);
                    match loss {
                        // Whether it was stored is just what the writer is not told.
                        Loss::Stored => drop(kept.write(key, value, expected)),
                        Loss::NotStored => {}
                        Loss::Late => kept.late.push((key, value, expected)),
                    }
                    return Err(WriteFailure::Unknown(Cause::NoAnswer));
                }
                Fate::InFlight => return Err(WriteFailure::Conflict { actual: None }),
                Fate::Unavailable(cause) => return Err(WriteFailure::Unavailable(cause)),
                Fate::Unheard(cause) => cause,
            }
        };
        tokio::time::sleep(UNHEARD_AFTER).await;
        Err(WriteFailure::Unknown(unheard))
    }
}
