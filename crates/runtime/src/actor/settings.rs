//! How the actors of one kind are run.

use std::time::Duration;

use aether_domain::records::PayloadCodec;

/// The settings of an actor kind. Every node that has the kind should agree on them; none of them is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most commands of one actor that may wait at once; one more is answered `Busy`. At least 1.
    pub mailbox: usize,
    /// The most bytes of commands and undelivered events of one actor that may wait at once; beyond, `Busy`.
    pub mailbox_bytes: usize,
    /// How its events and replies are stored. Records already stored stay as they are and stay readable.
    pub codec: PayloadCodec,
    /// How long an actor nobody asks stays in memory.
    pub passivate_after: Duration,
}

impl Default for Settings {
    /// 1,024 commands, 4 MiB, JSON, ten minutes.
    fn default() -> Self {
        Self {
            mailbox: 1024,
            mailbox_bytes: 4 * 1024 * 1024,
            codec: PayloadCodec::Json,
            passivate_after: Duration::from_secs(600),
        }
    }
}
