//! Rules that can be taken away, to see whether the simulation notices.
//!
//! In every build but one [`is_on`] is false whatever is asked, and the compiler drops what hangs on it. Built with
//! `--cfg aether_mutants`, one rule at a time may be taken away while the program runs: `cargo xtask mutants` does that,
//! and nothing else does. No product is built so.

#[cfg(aether_mutants)]
use std::time::Duration;

use crate::time::{Monotonic, WallTime};

macro_rules! mutants {
    ($($variant:ident = $name:literal, $rule:literal, $what:literal;)*) => {
        /// A rule taken away.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Mutant {
            $(#[doc = $what] $variant,)*
        }

        impl Mutant {
            /// Each with its name, the rule or invariant that it breaks, and what is done instead.
            pub const ALL: &[(Self, &'static str, &'static str, &'static str)] =
                &[$((Self::$variant, $name, $rule, $what),)*];
        }
    };
}

mutants! {
    AppendsWithoutCas = "append-without-cas", "R1", "the log takes an entry whatever its tail is";
    AppendsBlindly = "append-blind-retry", "R1", "after a conflict the same entry goes behind the tail there is now";
    FencesWithoutCas = "fence-without-cas", "R4", "a fence overwrites whatever is there";
    BeatsWithoutCas = "beat-without-cas", "R4", "a heartbeat overwrites whatever is there";
    FailsWithoutWaiting = "no-lsafe-wait", "R5", "a fenced node's shards are given away at once";
    RestartsWithoutWaiting = "restart-without-lsafe", "R5", "a new life's shards are given away before the old life has surely stopped";
    MovesBeforeRelease = "move-before-release", "R7", "a shard changes hands before its source has released it";
    OldReleaseCounts = "old-release-counts", "R7", "a release of an earlier drain of that shard counts";
    ServesFromAnswer = "serve-lease-from-answer", "R3", "the serve lease counts from the acknowledgement";
    LeadsFromAnswer = "lease-from-answer", "R3", "the leader's deadline counts from the acknowledgement";
    RenewsLate = "renew-late", "R3", "a leader past its deadline renews its lease";
    NeverStops = "leader-never-stops", "R3", "a leader does not stop itself at its deadline";
    CountsWhileDeaf = "silence-while-deaf", "section 3", "silence counts over time in which this node could not hear";
    WallClock = "wall-clock", "R17", "deadlines go by the wall clock";
    SkipsTermStarted = "no-term-started", "R2", "whoever holds the lease leads, before the log has the term";
    TermFromLease = "term-from-lease", "R2", "the next term is the lease's plus one";
    TermFromLog = "term-from-log", "R2", "the next term is the log's plus one";
    UnknownFails = "unknown-is-failure", "R13", "a heartbeat of unknown outcome is taken for not stored";
    UnknownSucceeds = "unknown-is-success", "R13", "a control write of unknown outcome is taken for stored";
    LivesOnFenced = "fence-ignored", "R6", "a fenced life goes on over its fence";
    PlansAgain = "plan-again", "section 7", "a plan is made beside the one under way";
    FailsInTwo = "failure-in-two-entries", "I2", "a failure is one entry and the assignment of its shards another";
    FoldsUnchecked = "fold-unchecked", "I6", "a fold takes an entry that does not follow the one before";
    JoinsAnyway = "other-settings", "section 3", "a node with other timers than the cluster's joins";
    TakesLivingId = "id-in-use", "section 6", "a starting node does not look whether its record is still";
    RunsRepeats = "no-dedupe", "R12", "a command that is in the history is run again";
    ForgetsFloor = "floor-ignored", "R18", "a command below its origin's floor is run as if it were new";
    CommitsWithoutCas = "commit-without-cas", "R8", "a history takes a record whatever its tail is";
    ReadsUnconfirmed = "read-unconfirmed", "R10", "an answer that changes nothing is given before a compare-and-set";
    LoadsAnyway = "later-owner-ignored", "R9", "a history that a later owner has written to is served";
    ServesWithoutLease = "answer-without-lease", "R11", "an answer from memory is given when the serve lease is over";
    InFlightSucceeds = "in-the-way-is-success", "R13", "another write in flight is taken for an acknowledgement";
    LostSucceeds = "lost-commit-is-success", "R13", "a commit of unknown outcome is taken for stored";
    TrustsWarm = "warm-trusted", "R10", "an actor that came with its shard answers before a compare-and-set of its own";
    LostFails = "lost-commit-is-failure", "R13", "a commit of unknown outcome is taken for not stored, and run again";
}

impl Mutant {
    /// Whether it is a rule of what becomes of commands: those are hunted beside the control plane's.
    pub fn is_of_commands(self) -> bool {
        self >= Self::RunsRepeats
    }
}

#[cfg(aether_mutants)]
static TAKEN: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(u8::MAX);

/// Whether that rule is taken away.
#[cfg(aether_mutants)]
#[inline]
pub fn is_on(mutant: Mutant) -> bool {
    TAKEN.load(std::sync::atomic::Ordering::Relaxed) == mutant as u8
}

/// Whether that rule is taken away: never, in this build.
#[cfg(not(aether_mutants))]
#[inline]
pub const fn is_on(_: Mutant) -> bool {
    false
}

/// Takes that rule away, or none, for the whole process; false if this build has every rule for good.
pub fn take_away(mutant: Option<Mutant>) -> bool {
    #[cfg(aether_mutants)]
    TAKEN.store(mutant.map_or(u8::MAX, |mutant| mutant as u8), std::sync::atomic::Ordering::Relaxed);
    let _ = mutant;
    cfg!(aether_mutants)
}

/// Two clocks that are further apart than this were not only fast or slow: one was set.
#[cfg(aether_mutants)]
const SET: Duration = Duration::from_secs(600);

/// What a machine takes for the time: the reading of its boot-time clock, in every build but one.
#[derive(Debug, Default)]
pub struct Clock {
    #[cfg(aether_mutants)]
    began: Option<(Monotonic, WallTime)>,
}

impl Clock {
    /// The time of a step.
    #[cfg(not(aether_mutants))]
    #[inline]
    pub fn reads(&mut self, now: Monotonic, _: WallTime) -> Monotonic {
        now
    }

    /// The time of a step; without R17 it goes along when somebody sets the wall clock.
    #[cfg(aether_mutants)]
    pub fn reads(&mut self, now: Monotonic, wall: WallTime) -> Monotonic {
        let (first, then) = *self.began.get_or_insert((now, wall));
        let (passed, on_wall) =
            (now.since(first), Duration::from_millis(wall.unix_millis.saturating_sub(then.unix_millis)));
        let set = on_wall.abs_diff(passed) > SET;
        if is_on(Mutant::WallClock) && set { first + on_wall } else { now }
    }
}
