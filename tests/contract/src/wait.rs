//! Waiting for a state, with a deadline.

use std::future::Future;
use std::time::Duration;

use aether_domain::ports::Updates;
use futures_util::StreamExt;

/// How long any state may take to come about on the slowest backend.
const STATE_LIMIT: Duration = Duration::from_secs(15);

/// How long between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Looks until `look` finds what it seeks.
///
/// # Panics
/// If it does not within 15 s.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    within(what, looking).await
}

/// Waits for a future.
///
/// # Panics
/// If it takes more than 15 s.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(STATE_LIMIT, future).await;
    waited.unwrap_or_else(|_| panic!("waited {STATE_LIMIT:?} for {what}"))
}

/// The next thing a stream says.
///
/// # Panics
/// If nothing comes within 15 s, or the stream ends.
pub(crate) async fn next<T>(what: &str, updates: &mut Updates<T>) -> T {
    within(what, updates.next()).await.unwrap_or_else(|| panic!("the stream ended before {what}"))
}

/// Asserts that a stream says nothing more, as far as a short wait can tell. Only a proof of presence is certain: use
/// it where something wrong would come at once.
pub(crate) async fn silent<T: std::fmt::Debug>(what: &str, updates: &mut Updates<T>) {
    let said = tokio::time::timeout(Duration::from_millis(100), updates.next()).await;
    assert!(said.is_err(), "{what}, but there came {:?}", said.ok().flatten());
}
