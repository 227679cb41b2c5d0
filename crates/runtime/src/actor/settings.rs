//! How the actors of one kind are run.

use std::time::Duration;

use aether_domain::ports::ReadMode;
use aether_domain::records::PayloadCodec;

use crate::router::bounds::TIMEOUT_MAX;

/// The settings of an actor kind. Every node that has the kind should agree on them; none of them is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most commands of one actor that may wait at once; one more is answered `Busy`. At least 1.
    pub mailbox: usize,
    /// The most bytes of commands and undelivered events of one actor that may wait at once; beyond, `Busy`. At least 1.
    pub mailbox_bytes: usize,
    /// How its events and replies are stored. Records already stored stay as they are and stay readable.
    pub codec: PayloadCodec,
    /// How long an actor nobody asks stays in memory: 100 ms to 366 days. It leaves at most a sixteenth of that, or 200 ms,
    /// later.
    pub passivate_after: Duration,
    /// After how many events since the last snapshot the state is written again, with the next record; 0: not for their
    /// number. A record without events counts as one. A quarter of it is enough for an actor that leaves memory or this node.
    pub snapshot_every: u32,
    /// The same by bytes of events; 0: not for their bytes. With both at 0 there are no snapshots.
    pub snapshot_bytes: u32,
    /// How fresh an answer that changes nothing must be, where whoever asks does not say.
    pub mode: ReadMode,
    /// How long an ask waits that does not say: 1 ms to 10 minutes.
    pub timeout: Duration,
    /// The most actors of this kind in the memory of one node; beyond, those that nobody has asked for long leave early,
    /// and if all have something under way, one more is answered `Busy`. At least 1; the node has a limit of its own too.
    pub residents_max: usize,
    /// The most bytes all actors of this kind may take in the memory of one node, by estimate: `size_of` the state and
    /// [`Actor::heap_bytes`](super::Actor::heap_bytes), and what the runtime adds. Beyond, as above. At least 1.
    pub resident_bytes_max: usize,
}

impl Settings {
    /// The first setting out of its range, and that range.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let within = |time: Duration, from: u64, to: Duration| time >= Duration::from_millis(from) && time <= to;
        let year = Duration::from_secs(366 * 24 * 3600);
        for (setting, holds, range) in [
            ("mailbox", self.mailbox > 0, "at least 1"),
            ("mailbox_bytes", self.mailbox_bytes > 0, "at least 1"),
            ("residents_max", self.residents_max > 0, "at least 1"),
            ("resident_bytes_max", self.resident_bytes_max > 0, "at least 1"),
            ("passivate_after", within(self.passivate_after, 100, year), "within 100 ms and 366 days"),
            ("timeout", within(self.timeout, 1, TIMEOUT_MAX), "within 1 ms and 10 minutes"),
        ] {
            if !holds {
                return Err((setting, range));
            }
        }
        Ok(())
    }
}

impl Default for Settings {
    /// 1,024 commands, 4 MiB, JSON, ten minutes, `Strict`, five seconds; a snapshot every 256 events or 1 MiB of them; no
    /// limits on residents but the node's.
    fn default() -> Self {
        Self {
            mailbox: 1024,
            mailbox_bytes: 4 * 1024 * 1024,
            codec: PayloadCodec::Json,
            passivate_after: Duration::from_secs(600),
            snapshot_every: 256,
            snapshot_bytes: 1024 * 1024,
            mode: ReadMode::Strict,
            timeout: Duration::from_secs(5),
            residents_max: usize::MAX,
            resident_bytes_max: usize::MAX,
        }
    }
}
