//! Finding the place of an epoch in the log.
//!
//! Epochs grow along the log, and usually an epoch is its entry's sequence; that guess is tried first. Otherwise the
//! place is searched: doubling steps, then halves. A read may be stale, and then the place found is too early, never too
//! late.

use aether_domain::ports::{ReadError, TopologyLog};
use aether_domain::records::StoredEntry;
use aether_domain::{Epoch, Sequence};

/// The last entry that is not behind `epoch`; nothing if there is none.
pub(super) async fn last_up_to(log: &dyn TopologyLog, epoch: Epoch) -> Result<Option<StoredEntry>, ReadError> {
    if epoch == Epoch::ZERO {
        return Ok(None);
    }
    let guess = first_behind(log, epoch.0 - 1).await?.filter(|stored| stored.entry.epoch == epoch);
    match guess {
        Some(stored) => Ok(Some(stored)),
        None => last_that(log, 0, |stored| stored.entry.epoch <= epoch).await,
    }
}

/// The last entry there is; `known` is the sequence of one that there is.
pub(super) async fn last(log: &dyn TopologyLog, known: Sequence) -> Result<Option<StoredEntry>, ReadError> {
    // Asked from before the known one, so that there is an entry to answer with even if nothing is behind it.
    last_that(log, known.0.saturating_sub(1), |_| true).await
}

/// The entry before the last `count` ones; nothing if there are not more.
pub(super) async fn before_last(
    log: &dyn TopologyLog,
    known: Sequence,
    count: u64,
) -> Result<Option<StoredEntry>, ReadError> {
    match last(log, known).await?.map(|last| last.at.sequence.0.saturating_sub(count)) {
        None | Some(0) => Ok(None),
        Some(wanted) => Ok(first_behind(log, wanted - 1).await?.filter(|stored| stored.at.sequence.0 <= wanted)),
    }
}

/// The last entry behind `from` for which `holds`, which holds up to some entry and for none after it.
async fn last_that(
    log: &dyn TopologyLog,
    from: u64,
    holds: impl Fn(&StoredEntry) -> bool,
) -> Result<Option<StoredEntry>, ReadError> {
    let mut found: Option<StoredEntry> = None;
    let mut step = 1_u64;
    // Where it is known not to hold; at most 64 doublings away.
    let mut end = loop {
        let at = found.as_ref().map_or(from, |stored| stored.at.sequence.0);
        let probe = if found.is_none() { at } else { at.saturating_add(step - 1) };
        match first_behind(log, probe).await?.filter(&holds) {
            Some(stored) if probe < u64::MAX => found = Some(stored),
            _ => break probe,
        }
        step = step.saturating_mul(2);
    };
    while let Some(last) = &found {
        let begin = last.at.sequence.0;
        if begin >= end {
            break;
        }
        let middle = begin + (end - begin) / 2;
        match first_behind(log, middle).await?.filter(&holds) {
            Some(stored) => found = Some(stored),
            None => end = middle,
        }
    }
    Ok(found)
}

async fn first_behind(log: &dyn TopologyLog, after: u64) -> Result<Option<StoredEntry>, ReadError> {
    Ok(log.read(Sequence(after), 1).await?.into_iter().next())
}
