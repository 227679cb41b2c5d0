//! Callers from outside: each call begins when it is time for it, whatever became of the one before, and is noted with how
//! long it took.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use xtask::clock::Stopwatch;

use crate::Prober;

/// How long a call is waited for. Longer than anything that is measured with it.
const CALL_MAX: Duration = Duration::from_secs(30);

/// One call that is over.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it began.
    pub began: Stopwatch,
    /// How long it took.
    pub took: Duration,
    /// What the caller was told instead of an answer.
    pub failed: Option<String>,
}

/// Calls that go on until they are ended.
#[derive(Debug)]
pub struct Calls {
    over: Arc<AtomicBool>,
    noted: Arc<Mutex<Vec<Call>>>,
    /// Begins them, and ends with the last of them.
    caller: JoinHandle<()>,
}

impl Prober {
    /// Begins to ask these accounts one after the other, again and again, `every` so often. Every answer is a strict read.
    pub fn call(&self, accounts: Vec<u64>, every: Duration) -> Calls {
        let (over, noted) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (client, ended, calls) = (self.client.clone(), Arc::clone(&over), Arc::clone(&noted));
        let caller = self.runtime.spawn(async move {
            let mut ticks = tokio::time::interval(every);
            let mut under_way = JoinSet::new();
            for account in accounts.into_iter().cycle() {
                ticks.tick().await;
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                while under_way.try_join_next().is_some() {}
                let (client, calls): (_, Arc<Mutex<Vec<Call>>>) = (client.clone(), Arc::clone(&calls));
                under_way.spawn(async move {
                    let began = Stopwatch::start();
                    let said =
                        client.ask_json("account", &account.to_string(), "audit", &json!({}), None, CALL_MAX).await;
                    let call = Call { began, took: began.elapsed(), failed: said.err().map(|error| error.to_string()) };
                    calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
                });
            }
            under_way.join_all().await;
        });
        Calls { over, noted, caller }
    }

    /// Ends the calls and waits for those that are under way.
    pub fn hang_up(&self, calls: Calls) -> Vec<Call> {
        calls.over.store(true, Ordering::Relaxed);
        // What has panicked has noted no call, and is missed in their number.
        let _ = self.runtime.block_on(calls.caller);
        std::mem::take(&mut calls.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The longest that all but so many in a hundred of these calls took; nothing of none.
pub fn all_but(percent: usize, calls: &[Call]) -> Duration {
    let mut took: Vec<_> = calls.iter().map(|call| call.took).collect();
    took.sort_unstable();
    let last = (took.len() * (100 - percent)).div_ceil(100).saturating_sub(1);
    took.get(last).copied().unwrap_or_default()
}

/// The times in which none of these calls was answered, each from one answer to the next: since when, and how long.
pub fn silences(calls: &[Call]) -> Vec<(Stopwatch, Duration)> {
    let answered = calls.iter().filter(|call| call.failed.is_none());
    let mut answered: Vec<_> = answered.map(|call| call.began.later(call.took)).collect();
    answered.sort_unstable();
    answered.windows(2).map(|pair| (pair[0], pair[0].until(pair[1]))).collect()
}

/// Whether every one of these calls was answered.
///
/// # Errors
/// Some were not: how many of how many, and what the first was told.
pub fn all_answered(calls: &[Call]) -> Result<()> {
    let mut failed = calls.iter().filter_map(|call| Some((call, call.failed.as_ref()?)));
    let first = failed.next();
    let count = failed.count() + usize::from(first.is_some());
    let said = first.map(|(call, why)| format!("{why}, after {:?}", call.took)).unwrap_or_default();
    ensure!(count == 0, "{count} of {} calls failed, the first with: {said}", calls.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_lasts_from_one_answer_to_the_next_whichever_call_it_answers() {
        let begin = Stopwatch::start();
        let call = |began: u64, took: u64, failed: bool| Call {
            began: begin.later(Duration::from_millis(began)),
            took: Duration::from_millis(took),
            failed: failed.then(|| "refused".to_owned()),
        };
        for (calls, expected) in [
            (vec![], vec![]),
            (vec![call(0, 5, false)], vec![]),
            // The second call is answered before the first, and a failure is no answer.
            (vec![call(2, 3, false), call(0, 9, false), call(4, 2, true), call(6, 10, false)], vec![(5, 4), (9, 7)]),
        ] {
            let silent = silences(&calls).into_iter();
            let silent: Vec<_> =
                silent.map(|(since, took)| (begin.until(since).as_millis(), took.as_millis())).collect();
            assert_eq!(silent, expected);
        }
    }
}
