//! How far feeds have come.

use std::collections::BTreeMap;

use aether_domain::ports::{CheckpointStore, Expected, ReadError, WriteError};
use aether_domain::records::{Checkpoint, StoredCheckpoint};
use aether_domain::{FeedName, Revision};
use async_trait::async_trait;

use super::ports::{Connection, UNHEARD_AFTER};
use super::switches::Fate;
use super::{Loss, Target};
use crate::fabric::{Cause, WriteFailure};

/// Each feed's last record.
#[derive(Default)]
pub(super) struct Checkpoints {
    records: BTreeMap<FeedName, StoredCheckpoint>,
    /// The last revision given out.
    revision: Revision,
    /// Writes that are still on their way.
    late: Vec<(Checkpoint, Expected)>,
}

impl Checkpoints {
    fn write(&mut self, checkpoint: &Checkpoint, expected: Expected) -> Result<Revision, WriteFailure> {
        let present = self.records.get(&checkpoint.feed).map_or(Revision::ZERO, |stored| stored.revision);
        if present != expected.revision() {
            return Err(WriteFailure::Conflict { actual: Some(present) });
        }
        self.revision = self.revision.next();
        let stored = StoredCheckpoint { checkpoint: checkpoint.clone(), revision: self.revision };
        self.records.insert(checkpoint.feed.clone(), stored);
        Ok(self.revision)
    }

    /// Lets the writes that were held back arrive; answers how many of them were stored.
    pub(super) fn land_late(&mut self) -> usize {
        let late = std::mem::take(&mut self.late);
        late.iter().filter(|(checkpoint, expected)| self.write(checkpoint, *expected).is_ok()).count()
    }
}

#[async_trait]
impl CheckpointStore for Connection {
    async fn read(&self, feed: &FeedName) -> Result<Option<StoredCheckpoint>, ReadError> {
        Connection::read(self, |_| ()).await?;
        Ok(self.hub.lock().checkpoints.records.get(feed).cloned())
    }

    async fn write(&self, checkpoint: &Checkpoint, expected: Expected) -> Result<Revision, WriteError> {
        let unheard = {
            let mut server = self.hub.lock();
            match server.switches.write_fate(&self.node, Target::Checkpoints) {
                Fate::Run => return Ok(server.checkpoints.write(checkpoint, expected)?),
                Fate::Lose(loss) => {
                    match loss {
                        // Whether it was stored is just what the writer is not told.
                        Loss::Stored => drop(server.checkpoints.write(checkpoint, expected)),
                        Loss::NotStored => {}
                        Loss::Late => server.checkpoints.late.push((checkpoint.clone(), expected)),
                    }
                    return Err(WriteFailure::Unknown(Cause::NoAnswer).into());
                }
                Fate::InFlight => return Err(WriteFailure::Conflict { actual: None }.into()),
                Fate::Unavailable(cause) => return Err(WriteFailure::Unavailable(cause).into()),
                Fate::Unheard(cause) => cause,
            }
        };
        tokio::time::sleep(UNHEARD_AFTER).await;
        Err(WriteFailure::Unknown(unheard).into())
    }

    async fn all(&self) -> Result<Vec<StoredCheckpoint>, ReadError> {
        Connection::read(self, |_| ()).await?;
        Ok(self.hub.lock().checkpoints.records.values().cloned().collect())
    }
}
