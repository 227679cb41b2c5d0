//! The timers of a cluster, as types that refuse a combination without a second chance.
//!
//! Durations only: when something happens is decided by the machines that are handed a clock reading.

use std::time::Duration;

/// How much faster or slower than another node's a local clock may tick: 5 %, in percent.
pub const CLOCK_RATE_PERCENT: u32 = 5;

/// Why timers do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingFault {
    /// A holder that misses one renewal must have time for a second.
    #[error("renewing every {renew_every:?} leaves no second chance within {ttl:?}: renew at most every {at_most:?}")]
    NoSecondChance {
        /// The interval between two renewals.
        renew_every: Duration,
        /// How long its holder may act on one renewal.
        ttl: Duration,
        /// The longest interval that would do: half of that.
        at_most: Duration,
    },
    /// Suspicion must not come before a healthy node's own serve lease is over.
    #[error("a node would be suspected after {suspect_after:?}, before its serve lease of {serve_lease:?} is over")]
    SuspectsTheLiving {
        /// Silence before suspicion.
        suspect_after: Duration,
        /// How long a heartbeat lets its sender serve.
        serve_lease: Duration,
    },
}

fn second_chance(renew_every: Duration, ttl: Duration) -> Result<(), TimingFault> {
    let at_most = ttl / 2;
    if renew_every > at_most || renew_every.is_zero() {
        return Err(TimingFault::NoSecondChance { renew_every, ttl, at_most });
    }
    Ok(())
}

/// `after` on a clock that may run [`CLOCK_RATE_PERCENT`] fast, plus a fixed 250 ms.
fn safely_over(after: Duration) -> Duration {
    after * (100 + CLOCK_RATE_PERCENT) / 100 + Duration::from_millis(250)
}

/// The timers of the leadership lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimings {
    /// Invariant: `self_stop()` is at least twice `renew_every`.
    ttl: Duration,
    renew_every: Duration,
}

impl LeaseTimings {
    /// Checks that a holder has a second chance to renew before it stops by itself.
    ///
    /// # Errors
    /// [`TimingFault::NoSecondChance`] if `renew_every` is zero or more than half of [`Self::self_stop`].
    pub fn new(ttl: Duration, renew_every: Duration) -> Result<Self, TimingFault> {
        let timings = Self { ttl, renew_every };
        second_chance(renew_every, timings.self_stop())?;
        Ok(timings)
    }
    /// How long a renewal lasts, counted from when it was sent.
    pub fn ttl(self) -> Duration {
        self.ttl
    }
    /// How often the holder renews.
    pub fn renew_every(self) -> Duration {
        self.renew_every
    }
    /// How long after sending its last stored renewal a holder stops by itself: before anyone may take over.
    pub fn self_stop(self) -> Duration {
        (self.ttl * (100 - CLOCK_RATE_PERCENT) / 100).saturating_sub(Duration::from_millis(250))
    }
    /// How long others wait, from when they first saw the lease's last change, before they contend.
    pub fn takeover(self) -> Duration {
        safely_over(self.ttl)
    }
}

/// The timers of membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberTimings {
    /// Invariants: `serve_lease >= 2 * heartbeat_every`, `suspect_after > serve_lease`.
    heartbeat_every: Duration,
    serve_lease: Duration,
    suspect_after: Duration,
}

impl MemberTimings {
    /// Checks that a node has a second chance to beat and is not suspected while it may still serve.
    ///
    /// # Errors
    /// [`TimingFault`], naming the pair that does not fit.
    pub fn new(heartbeat_every: Duration, serve_lease: Duration, suspect_after: Duration) -> Result<Self, TimingFault> {
        second_chance(heartbeat_every, serve_lease)?;
        if suspect_after <= serve_lease {
            return Err(TimingFault::SuspectsTheLiving { suspect_after, serve_lease });
        }
        Ok(Self { heartbeat_every, serve_lease, suspect_after })
    }
    /// How often a node beats (H).
    pub fn heartbeat_every(self) -> Duration {
        self.heartbeat_every
    }
    /// How long a stored heartbeat lets its sender serve, counted from when it was sent (L).
    pub fn serve_lease(self) -> Duration {
        self.serve_lease
    }
    /// How long others wait, from when they first saw a heartbeat, until its sender has surely stopped serving (Lsafe).
    pub fn serve_lease_over(self) -> Duration {
        safely_over(self.serve_lease)
    }
    /// Silence before a node is suspected (F).
    pub fn suspect_after(self) -> Duration {
        self.suspect_after
    }
    /// Silence before it is asked whether anybody is there: a heartbeat is overdue.
    pub fn ask_after(self) -> Duration {
        self.heartbeat_every * 5 / 4
    }
    /// How often it is asked again.
    pub fn ask_every(self) -> Duration {
        (self.heartbeat_every * 2 / 5).min(Duration::from_millis(350))
    }
    /// How long nobody must have been there before that is evidence: a node that has lost its server is back on another
    /// within that time.
    pub fn nobody_for(self) -> Duration {
        self.heartbeat_every.min(Duration::from_secs(1))
    }
    /// The silence of a leader whom nobody finds before its lease is taken: two heartbeats are missing.
    pub fn desert_after(self) -> Duration {
        self.heartbeat_every * 2
    }
}

/// A named set of timers; every node of a cluster uses the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Heartbeat 1 s, serve lease 3 s, suspicion 6 s; lease 10 s renewed every 3 s.
    #[default]
    Default,
    /// Heartbeat 250 ms, serve lease 900 ms, suspicion 2 s; lease 2 s renewed every 500 ms. For one datacentre.
    Fast,
    /// Heartbeat 30 s, serve lease 60 s, suspicion 90 s; lease 10 s renewed every 3 s. The figures first asked for.
    Seed,
}

impl Profile {
    /// Every profile with its stable name.
    pub const NAMES: [(Self, &'static str); 3] =
        [(Self::Default, "default"), (Self::Fast, "fast"), (Self::Seed, "seed")];

    /// The profile's name in configuration: `default`, `fast` or `seed`.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(profile, _)| *profile == self).map_or("default", |(_, name)| name)
    }
    /// The profile of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, named)| *named == name).map(|(profile, _)| *profile)
    }
    /// The leadership lease's timers.
    pub fn lease(self) -> LeaseTimings {
        let (ttl, renew_every) = match self {
            Self::Default | Self::Seed => (Duration::from_secs(10), Duration::from_secs(3)),
            Self::Fast => (Duration::from_secs(2), Duration::from_millis(500)),
        };
        LeaseTimings { ttl, renew_every }
    }
    /// What is said for the default timers, in this profile's own time: with the fast ones half of it.
    pub fn own_time(self, time: Duration) -> Duration {
        match self {
            Self::Default | Self::Seed => time,
            Self::Fast => time / 2,
        }
    }
    /// Membership's timers.
    pub fn member(self) -> MemberTimings {
        let (heartbeat_every, serve_lease, suspect_after) = match self {
            Self::Default => (1_000, 3_000, 6_000),
            Self::Fast => (250, 900, 2_000),
            Self::Seed => (30_000, 60_000, 90_000),
        };
        MemberTimings {
            heartbeat_every: Duration::from_millis(heartbeat_every),
            serve_lease: Duration::from_millis(serve_lease),
            suspect_after: Duration::from_millis(suspect_after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_passes_its_own_checks() {
        for (profile, _) in Profile::NAMES {
            let (lease, member) = (profile.lease(), profile.member());
            assert_eq!(LeaseTimings::new(lease.ttl(), lease.renew_every()), Ok(lease));
            let again = MemberTimings::new(member.heartbeat_every(), member.serve_lease(), member.suspect_after());
            assert_eq!(again, Ok(member));
            assert!(lease.self_stop() < lease.ttl() && lease.ttl() < lease.takeover());
            assert!(lease.renew_every() < lease.self_stop());
            // Whether anybody is there has been asked often enough before a silence ends a life for it.
            let asked = member.ask_after() + member.nobody_for() + member.ask_every();
            assert!(member.ask_every() * 2 < member.nobody_for() && asked < member.serve_lease());
            assert!(member.ask_after() < member.desert_after() && member.desert_after() <= member.serve_lease());
            assert_eq!(Profile::named(profile.name()), Some(profile));
        }
    }

    #[test]
    fn a_renewal_without_a_second_chance_is_refused() {
        let (ttl, every) = (Duration::from_secs(10), Duration::from_secs(6));
        assert!(matches!(LeaseTimings::new(ttl, every), Err(TimingFault::NoSecondChance { .. })));
        // Half of the TTL is not enough if the holder stops by itself long before the TTL is over.
        let (ttl, every) = (Duration::from_millis(400), Duration::from_millis(200));
        let fault = TimingFault::NoSecondChance {
            renew_every: every,
            ttl: Duration::from_millis(130),
            at_most: Duration::from_millis(65),
        };
        assert_eq!(LeaseTimings::new(ttl, every), Err(fault));
        assert!(LeaseTimings::new(Duration::from_secs(1), Duration::from_millis(350)).is_ok());
        assert!(LeaseTimings::new(Duration::from_secs(1), Duration::from_millis(351)).is_err());
        let refused = MemberTimings::new(Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(3));
        assert!(matches!(refused, Err(TimingFault::SuspectsTheLiving { .. })));
    }

    #[test]
    fn the_default_serve_lease_is_surely_over_after_3_4_seconds() {
        assert_eq!(Profile::Default.member().serve_lease_over(), Duration::from_millis(3_400));
    }
}
