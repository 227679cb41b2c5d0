//! The loop that carries one death certificate to its end over the control store. It decides nothing.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::ports::{ControlStore, ReadError, WriteError};
use aether_domain::{Nonce, Revision};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::{Certificate, Verdict};
use crate::clock::Clock;
use crate::control::machine::IDLE_MAX;
use crate::control::{Effect, Input, WriteOutcome, watching};

/// Writes that the process known to its records as `supervisor` is dead: call it once that process has been reaped, and
/// never otherwise. Answers once that is certain, or after `within`.
///
/// `seed` is 64 bits of entropy, never used twice.
pub async fn certify(
    control: Arc<dyn ControlStore>,
    clock: Arc<dyn Clock>,
    supervisor: Nonce,
    seed: u64,
    within: Duration,
) -> Verdict {
    let mut certificate = Certificate::new(supervisor, seed, clock.now(), within);
    let mut watch = pin!(watching(Arc::clone(&control)));
    // At most one for each record of the process.
    let mut under_way = FuturesUnordered::new();
    loop {
        let wakes_in = certificate.wakes_at().map_or(IDLE_MAX, |at| at.since(clock.now())).min(IDLE_MAX);
        let input = tokio::select! {
            biased;
            Some(Some(input)) = under_way.next(), if !under_way.is_empty() => input,
            Some(update) = watch.next() => Input::Control(update),
            () = tokio::time::sleep(wakes_in) => Input::Tick,
        };
        for effect in certificate.step(clock.now(), input) {
            under_way.push(perform(Arc::clone(&control), effect));
        }
        if let Some(verdict) = certificate.verdict() {
            return verdict.clone();
        }
    }
}

async fn perform(control: Arc<dyn ControlStore>, effect: Effect) -> Option<Input> {
    match effect {
        Effect::Write { token, record, expected } => {
            let outcome = match control.write(&record, expected).await {
                Ok(revision) => WriteOutcome::Ok(revision),
                Err(WriteError::Conflict { actual }) => WriteOutcome::Conflict { actual },
                Err(WriteError::Unknown { .. }) => WriteOutcome::Unknown,
                Err(WriteError::Unavailable { .. }) => WriteOutcome::Unavailable,
            };
            Some(Input::Written { token, outcome })
        }
        Effect::ReadBack { token, key } => Some(match control.read(&key).await {
            Ok(found) => Input::ReadBack { token, found },
            Err(ReadError::Unavailable { .. }) => Input::ReadBack { token, found: None },
            Err(ReadError::Corrupt { sequence, .. }) => Input::Spoiled { token, revision: Revision(sequence) },
        }),
        // A certificate asks for nothing else.
        _ => None,
    }
}
