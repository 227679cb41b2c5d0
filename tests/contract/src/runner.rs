//! Runs a table of cases over one backend and says which failed.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};

use crate::World;

/// How long one case may take on the slowest backend.
const CASE_LIMIT: Duration = Duration::from_secs(45);

/// How many cases run at a time.
const CASES_AT_ONCE: usize = 4;

/// What a case needs besides the ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// Nothing: every backend runs it.
    Nothing,
    /// Lost acknowledgements and cut connections on demand.
    Faults,
    /// A medium that carries bytes, so that wrong ones can be sent.
    RawBytes,
}

/// One promise and how it is checked.
#[derive(Clone, Copy)]
pub struct Case {
    /// Whose promise it is.
    pub port: &'static str,
    /// The promise as a sentence, with underscores.
    pub name: &'static str,
    /// What it takes.
    pub need: Need,
    /// Checks it; panics if it does not hold.
    pub check: fn(Arc<dyn World>) -> BoxFuture<'static, ()>,
}

/// How many cases every backend runs, at least.
const CASES_MIN: usize = 80;

/// Runs every case the backend can run, and prints how many these were.
///
/// # Panics
/// If a case failed or took longer than 45 s, the message names the backend and every such case; or if there are fewer than 80.
#[expect(clippy::print_stdout, reason = "how many cases a backend has passed, for whoever asks to see it")]
pub async fn run(world: Arc<dyn World>, cases: Vec<Case>) {
    let cases: Vec<Case> = cases.into_iter().filter(|case| world.can(case.need)).collect();
    let count = cases.len();
    let outcomes = stream::iter(cases)
        .map(|case| {
            let world = world.clone();
            async move {
                let outcome = tokio::time::timeout(CASE_LIMIT, tokio::spawn((case.check)(world))).await;
                match outcome {
                    Ok(Ok(())) => None,
                    Ok(Err(failure)) => Some((case, said(failure))),
                    Err(_) => Some((case, format!("not done within {CASE_LIMIT:?}"))),
                }
            }
        })
        .buffer_unordered(CASES_AT_ONCE);
    let failures: Vec<_> = outcomes.filter_map(std::future::ready).collect().await;
    let backend = world.backend();
    let mut report = String::new();
    for (case, why) in &failures {
        let _ = write!(report, "\n{backend} / {} / {}: {why}", case.port, case.name);
    }
    assert!(failures.is_empty(), "{} of {count} cases failed on {backend}:{report}", failures.len());
    assert!(count >= CASES_MIN, "only {count} cases ran on {backend}");
    println!("{backend}: {count} cases");
}

fn said(failure: tokio::task::JoinError) -> String {
    let Ok(panic) = failure.try_into_panic() else { return "ended without a word".to_owned() };
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panicked without a message").to_owned()
}
