//! The rules of the protocol, each of which can be taken away, and the bounds of a world.

/// A rule of docs/PROTOCOL.md, by what it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// R1: an entry is appended behind the one its writer knows to be the last, or not at all.
    LogBehindTheLast,
    /// R3: a serve lease counts from when its heartbeat was sent.
    LeaseFromSending,
    /// R4: a fence replaces exactly the record that was watched; a life is over only by it.
    FenceByCompareAndSet,
    /// R5: a fenced life's shards are given away only once its serve lease is surely over.
    WaitForLease,
    /// R5: whoever says that a process is dead has seen it end.
    DeadOnlyAfterDeath,
    /// R7: a shard moves only after its source has released it.
    WaitForRelease,
    /// R8: a record is appended behind the one its writer knows to be the last, or not at all.
    CommitBehindTheLast,
    /// R9: whoever meets a record of a later owner loads nothing.
    LaterOwnerStops,
    /// R10: no read is answered before a compare-and-set has succeeded.
    ConfirmBeforeRead,
    /// Amendment 1 of R10: one of this very instance, since it was loaded.
    ConfirmSinceLoad,
    /// Amendment 2 of R10: a refusal is a read.
    RefusalIsRead,
    /// R11: a read from memory needs a serve lease that holds.
    ReadUnderLease,
    /// R12: what the history holds is not done again.
    Dedupe,
    /// R13, amendment 7: after a conflict the own record is looked for everywhere behind the expectation.
    LookThroughHistory,
    /// R13: a lost answer is no failure.
    UnknownIsNoFailure,
    /// Section 11: while the log says that redistribution is paused, no move begins but off a node that leaves.
    PauseHolds,
    /// Section 6: a node that leaves is let go once it owns nothing.
    LetGoWithNothing,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 17] = [
        Self::LogBehindTheLast,
        Self::LeaseFromSending,
        Self::FenceByCompareAndSet,
        Self::WaitForLease,
        Self::DeadOnlyAfterDeath,
        Self::WaitForRelease,
        Self::CommitBehindTheLast,
        Self::LaterOwnerStops,
        Self::ConfirmBeforeRead,
        Self::ConfirmSinceLoad,
        Self::RefusalIsRead,
        Self::ReadUnderLease,
        Self::Dedupe,
        Self::LookThroughHistory,
        Self::UnknownIsNoFailure,
        Self::PauseHolds,
        Self::LetGoWithNothing,
    ];
}

/// Which rules hold: all, but perhaps one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    without: Option<Rule>,
}

impl Rules {
    /// The whole protocol.
    pub const ALL: Self = Self { without: None };

    /// The protocol without that rule.
    pub fn without(rule: Rule) -> Self {
        Self { without: Some(rule) }
    }
    /// Whether the rule holds.
    pub fn hold(self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}

/// How much may happen in a world. Everything is counted from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many ticks the clock makes; a lease lasts [`Bounds::LEASE`] of them.
    pub ticks: u8,
    /// How many heartbeats A sends.
    pub heartbeats: u8,
    /// How many commands are asked.
    pub commands: u8,
    /// How many records the history may have.
    pub records: u8,
    /// How many entries the log may have.
    pub entries: u8,
    /// How often an actor leaves memory by itself.
    pub passivations: u8,
    /// Whether there is a second leader, who is elected some time after the first.
    pub second_leader: bool,
    /// Whether A and the first leader may die.
    pub deaths: bool,
    /// Whether A has a supervisor, which writes that it is dead.
    pub supervised: bool,
    /// Whether a move may be begun.
    pub moves: bool,
    /// Whether a move may be given up.
    pub cancels: bool,
    /// How many words an operator says on redistribution: a pause, that it goes on, and so on in turn. Leaders hear them at once.
    pub words: u8,
    /// Whether A may be asked to leave.
    pub leaves: bool,
}

impl Bounds {
    /// How many ticks a serve lease lasts.
    pub const LEASE: u8 = 2;
    /// The most entries any world has.
    pub const ENTRIES_MAX: usize = 7;
    /// The most records any world has.
    pub const RECORDS_MAX: usize = 4;
    /// The most appends, and answers to them, under way at once.
    pub const UNDER_WAY_MAX: usize = 2;
}
