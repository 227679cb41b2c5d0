//! The one place where xtask reads a clock: deadlines, and waiting for a state with a deadline.
//!
//! It deliberately offers no bare sleep: whoever waits says for what and until when.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often [`wait_for`] looks. Short enough not to show in a start-up of 13 ms twice over.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A moment on this process's monotonic clock after which waiting is pointless.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// The moment `span` from now.
    pub fn after(span: Duration) -> Self {
        Self(now() + span)
    }

    /// Whether the moment has come.
    pub fn passed(self) -> bool {
        now() >= self.0
    }

    /// What is left; zero once passed.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(now())
    }
}

/// Measures how long something takes. One is less than another that was started later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts counting now.
    pub fn start() -> Self {
        Self(now())
    }

    /// Time from then until `later` was started; zero if that was earlier.
    pub fn until(self, later: Self) -> Duration {
        later.0.saturating_duration_since(self.0)
    }

    /// One that was started so much later.
    #[must_use]
    pub fn later(self, span: Duration) -> Self {
        Self(self.0 + span)
    }

    /// Time since [`Stopwatch::start`].
    pub fn elapsed(self) -> Duration {
        now().saturating_duration_since(self.0)
    }
}

/// Looks until `look` answers a value, every 20 ms.
///
/// # Errors
/// The first error of `look` at once; or, when the deadline passes, an error naming `what` was waited for.
pub fn wait_for<T>(what: &str, deadline: Deadline, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let watch = Stopwatch::start();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if deadline.passed() {
            bail!("waited {:.1} s in vain for {what}", watch.elapsed().as_secs_f64());
        }
        std::thread::sleep(LOOK_EVERY.min(deadline.left()));
    }
}

#[expect(clippy::disallowed_methods, reason = "xtask drives real processes in real time; this is its clock adapter")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_what_was_found() {
        let mut looks = 0;
        let found = wait_for("the third look", Deadline::after(Duration::from_secs(5)), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(found.expect("the third look finds it"), 3);
    }

    #[test]
    fn waiting_in_vain_names_what_was_waited_for() {
        let waited = wait_for::<()>("godot", Deadline::after(Duration::ZERO), || Ok(None));
        assert!(waited.expect_err("nobody comes").to_string().contains("godot"));
    }
}
