//! Reading the log in batches, at the pace of whoever wants the entries.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::ports::{ReadError, TopologyLog};
use aether_domain::records::StoredEntry;
use aether_domain::{Epoch, Sequence};
use futures_util::stream;

use super::chain::{Chain, SubscriptionError};
use super::growth::Growth;
use super::{Since, TopologyEvents, TopologyRecord, seek};

/// The most entries that one subscriber holds.
pub const READ_BATCH: usize = 64;

/// How long to wait before a log is asked again that did not answer, or that answered with less than is there.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);

pub(super) fn read(log: Arc<dyn TopologyLog>, since: Since, known: Sequence, growth: Growth) -> TopologyEvents {
    let place = Place::Sought { since, known };
    let reader = Reader { log, growth, place, batch: VecDeque::new(), limit: READ_BATCH, waited: false };
    Box::pin(stream::unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        let told = reader.next().await;
        let goes_on = told.is_ok();
        Some((told, goes_on.then_some(reader)))
    }))
}

struct Reader {
    log: Arc<dyn TopologyLog>,
    growth: Growth,
    place: Place,
    /// At most [`READ_BATCH`].
    batch: VecDeque<StoredEntry>,
    /// How many to read: fewer, where one behind them cannot be understood.
    limit: usize,
    /// Whether growth was waited for since anything was read.
    waited: bool,
}

enum Place {
    Sought { since: Since, known: Sequence },
    Found(Chain),
}

impl Reader {
    async fn next(&mut self) -> Result<TopologyRecord, SubscriptionError> {
        loop {
            let chain = match &mut self.place {
                Place::Found(chain) => chain,
                Place::Sought { since, known } => {
                    match seek(self.log.as_ref(), *since, *known).await {
                        Ok(chain) => self.place = Place::Found(chain),
                        Err(ReadError::Corrupt { sequence, reason }) => return Err(corrupt(sequence, reason)),
                        Err(error) => unanswered(&error).await,
                    }
                    continue;
                }
            };
            if let Some(stored) = self.batch.pop_front() {
                if chain.take(&stored)? {
                    return Ok(stored.into());
                }
                continue;
            }
            let at = chain.at();
            match self.log.read(at, self.limit).await {
                Ok(entries) if entries.is_empty() => {
                    if self.waited {
                        // More is said to be there than this server shows: it lags behind, and is not hurried.
                        tokio::time::sleep(ASK_AGAIN_AFTER).await;
                    }
                    self.growth.behind(at).await;
                    self.waited = true;
                }
                Ok(entries) => {
                    self.batch = entries.into();
                    self.limit = READ_BATCH;
                    self.waited = false;
                }
                Err(ReadError::Corrupt { sequence, reason }) => match sequence.saturating_sub(at.0 + 1) {
                    0 => return Err(corrupt(sequence, reason)),
                    // What lies before it is told first.
                    sound => self.limit = usize::try_from(sound).unwrap_or(READ_BATCH).min(READ_BATCH),
                },
                Err(error) => unanswered(&error).await,
            }
        }
    }
}

async fn seek(log: &dyn TopologyLog, since: Since, known: Sequence) -> Result<Chain, ReadError> {
    Ok(match since {
        Since::Start => Chain::default(),
        Since::Epoch(epoch) => Chain::behind(seek::last_up_to(log, epoch).await?.as_ref(), epoch),
        Since::Recent(count) => Chain::behind(seek::before_last(log, known, count).await?.as_ref(), Epoch::ZERO),
        Since::Now => Chain::behind(seek::last(log, known).await?.as_ref(), Epoch::ZERO),
    })
}

fn corrupt(sequence: u64, reason: String) -> SubscriptionError {
    SubscriptionError::Corrupt { sequence: Sequence(sequence), reason }
}

pub(super) async fn unanswered(error: &ReadError) {
    tracing::debug!(error = error as &dyn std::error::Error, "the topology log does not answer a subscriber yet");
    tokio::time::sleep(ASK_AGAIN_AFTER).await;
}
