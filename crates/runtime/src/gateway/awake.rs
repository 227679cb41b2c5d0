//! Whether a client's request may have waited in this process while the process did not run.
//!
//! A frozen process still owns its sockets. What was sent to it meanwhile is read when it wakes, with nothing that says
//! how old it is; its sender has long given up, asked another node, and perhaps been refused there. Run now, it would
//! be applied after all. So it is refused: by a node whose serve lease is over, and by one that finds that it has not
//! looked at its clock for a while. This asks no other clock and waits for nobody.

use std::time::Duration;

use aether_domain::Monotonic;

/// How often the clock is looked at when nothing else happens.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A process that has not looked for this long did not run. Well below any client's time-out.
const ASLEEP_MIN: Duration = Duration::from_millis(500);
/// How long after waking what is read may be old: the time to empty a socket.
const DOUBT: Duration = Duration::from_millis(200);

/// When this process last ran, and until when it doubts what it reads.
#[derive(Debug)]
pub(super) struct Awake {
    looked: Monotonic,
    doubt_until: Monotonic,
}

impl Awake {
    /// Awake as of now.
    pub(super) fn since(now: Monotonic) -> Self {
        Self { looked: now, doubt_until: Monotonic::ZERO }
    }

    /// Looks at the clock; whether what is read at this moment was sent a moment ago.
    pub(super) fn look(&mut self, now: Monotonic) -> bool {
        if now.since(self.looked) >= ASLEEP_MIN {
            self.doubt_until = now + DOUBT;
        }
        self.looked = now;
        now >= self.doubt_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_just_after_waking_may_be_old() {
        let at = |millis| Monotonic::from_start(Duration::from_millis(millis));
        let mut awake = Awake::since(at(1_000));
        for (millis, fresh) in [
            (1_100, true),
            (1_599, true),
            // Half a second without a look: asleep.
            (2_099, false),
            (2_150, false),
            (2_298, false),
            (2_299, true),
            (2_400, true),
            (32_400, false),
            (32_601, true),
        ] {
            assert_eq!(awake.look(at(millis)), fresh, "at {millis} ms");
        }
    }
}
