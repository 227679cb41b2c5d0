//! What is done to nodes from outside: kills, freezes, cuts, joins, drains, and their ends.

use std::time::Duration;

/// Whom something is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The node of that number, from 0.
    Node(usize),
    /// Whoever believes it leads, or anybody if nobody does.
    Leader,
    /// A running node drawn when the time comes.
    Anybody,
}

/// Something done to a node or to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Ends the process without warning. It starts again under the same id after that long, if at all.
    Crash {
        /// Whose.
        of: Target,
        /// When it starts again.
        restart_after: Option<Duration>,
    },
    /// Stops the process where it stands and lets it go on after that long.
    Freeze {
        /// Which.
        of: Target,
        /// For how long.
        lasts: Duration,
        /// Whether it is stopped between deciding something and sending it.
        half_way: bool,
    },
    /// Stops every process at the same instant, as when the machine under all of them is, for that long.
    FreezeAll {
        /// For how long.
        lasts: Duration,
    },
    /// Cuts a node off from the server for that long.
    Cut {
        /// Which.
        of: Target,
        /// For how long.
        lasts: Duration,
    },
    /// Cuts a node off for that long, and starts another process under its id elsewhere, as whoever runs it may do.
    Replace {
        /// Which.
        of: Target,
        /// For how long it is cut off.
        lasts: Duration,
        /// When the other one starts.
        after: Duration,
    },
    /// Takes the server away for that long.
    Outage {
        /// For how long.
        lasts: Duration,
    },
    /// Lets a node's watch and follower end, to be begun again.
    Reset {
        /// Whose.
        of: Target,
    },
    /// Asks a node to leave. It starts again after that long, if at all.
    Drain {
        /// Which.
        of: Target,
        /// How long after its end it starts again.
        restart_after: Option<Duration>,
    },
    /// Asks every node to leave. They start again after that long, if at all.
    DrainAll {
        /// How long after its end each starts again.
        restart_after: Option<Duration>,
    },
    /// Ends every process without warning. They start again after that long.
    CrashAll {
        /// When they start again.
        restart_after: Duration,
    },
    /// Sets a node's wall clock forward or back by one hour.
    JumpWall {
        /// Whose.
        of: Target,
        /// Forward.
        forward: bool,
    },
    /// Lets a control record be overwritten with something that nobody can understand.
    Spoil {
        /// Whose member record or release report; of the lease it does not matter.
        of: Target,
        /// Which of the three.
        what: Spoiled,
    },
    /// Lets a node take everything in later by `lag`, for that long: it is slow, not dead.
    Slow {
        /// Which.
        of: Target,
        /// How much later.
        lag: Duration,
        /// For how long.
        lasts: Duration,
    },
    /// Lets the others find a node unwell for that long: it beats, and does not do what it is there for.
    Gray {
        /// Which.
        of: Target,
        /// For how long.
        lasts: Duration,
    },
    /// Lets a node be unable to serve some of its shards, until they are given to somebody anew.
    Stick {
        /// Which.
        of: Target,
        /// How many of its shards.
        count: usize,
    },
    /// An operator wants another placement: which, comes of these bits.
    Place {
        /// What it is drawn from.
        bits: u64,
    },
    /// An operator asks something else of the cluster: what, comes of these bits.
    Order {
        /// What it is drawn from.
        bits: u64,
    },
    /// Ends half of the processes without warning, and asks one of the others to leave at the same instant. All start
    /// again after that long, if at all.
    Collapse {
        /// When they start again.
        restart_after: Option<Duration>,
    },
    /// Starts a process under a new id and with other timers than the cluster's.
    Stranger,
    /// Lets a node's follower miss one entry. It begins again after that long, if nobody has missed anything before.
    Skip {
        /// Whose.
        of: Target,
        /// When it begins again.
        after: Duration,
    },
    /// Lets the server lose the log's last entries although it had acknowledged them. Never drawn: nobody comes to rest
    /// after that.
    LoseEntries {
        /// How many.
        count: usize,
    },
    /// Starts some node of which no process runs.
    Join,
    /// Starts that node, if no process of it runs.
    Start(usize),
    /// Starts another process under that node's id, elsewhere.
    Rival(usize),
    /// Ends a freeze.
    Thaw(usize),
    /// Nobody finds that node unwell any more.
    Recover(usize),
    /// Ends a cut.
    Reconnect(usize),
    /// Ends an outage.
    Return,
    /// Ends a node's slowness.
    Quick(usize),
    /// Begins that node's watch and follower again.
    Again(usize),
}

/// A kind of control record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoiled {
    /// The lease.
    Lease,
    /// A member record.
    Member,
    /// A release report.
    Release,
}

impl Act {
    /// Its name, for counts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::Freeze { half_way: false, .. } => "freeze",
            Self::Freeze { half_way: true, .. } => "freeze half way",
            Self::FreezeAll { .. } => "freeze of all",
            Self::Cut { .. } => "cut",
            Self::Replace { .. } => "replacement",
            Self::Outage { .. } => "outage",
            Self::Reset { .. } => "watch reset",
            Self::Drain { .. } => "drain",
            Self::DrainAll { .. } => "drain of all",
            Self::CrashAll { .. } => "crash of all",
            Self::JumpWall { .. } => "clock jump",
            Self::Spoil { .. } => "spoiling",
            Self::Slow { .. } => "slowness",
            Self::Gray { .. } => "gray node",
            Self::Recover(_) => "recovery",
            Self::Stick { .. } => "stuck shards",
            Self::Place { .. } => "placement wanted",
            Self::Order { .. } => "order",
            Self::Collapse { .. } => "collapse",
            Self::Stranger => "stranger",
            Self::Skip { .. } => "skipped entry",
            Self::LoseEntries { .. } => "loss of entries",
            Self::Join => "join",
            Self::Start(_) => "start",
            Self::Rival(_) => "rival",
            Self::Thaw(_) => "thaw",
            Self::Reconnect(_) => "reconnect",
            Self::Return => "return",
            Self::Quick(_) => "end of slowness",
            Self::Again(_) => "new beginning",
        }
    }
}
