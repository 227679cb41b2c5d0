//! This machine and this process.

use super::bytes;
use crate::program::doctor::facts::Facts;
use crate::program::doctor::finding::{Kind, Report};

pub(super) static KINDS: &[&Kind] = &[&FEW_FILES, &MEMORY];

static FEW_FILES: Kind = Kind::warning(
    "few-open-files",
    "A process may have too few files and connections open.",
    "The admin pages serve up to 256 connections at once; beyond the limit neither they nor NATS can be reached anew.",
    "`ulimit -n 4096` where it is started, or `LimitNOFILE=4096` in the unit (this is the limit of the shell that ran this)",
);
static MEMORY: Kind = Kind::warning(
    "memory-over-machine",
    "A node may hold more in memory than there is.",
    "It is ended by the system before it makes room by itself.",
    "set `memory.resident_bytes_max` and `memory.waiting_bytes_max` to less than this machine, or its control group, has",
);

/// The least number of open files: the connections that the admin pages serve, and as many for everything else.
const OPEN_FILES_MIN: u64 = 512;

pub(super) fn judge(facts: &Facts, report: &mut Report) {
    let host = &facts.host;
    if let Some(found) = host.open_files_max
        && found < OPEN_FILES_MIN
    {
        report.find(&FEW_FILES, format!("{found} open files are allowed here; {OPEN_FILES_MIN} are needed"));
    }
    let (Ok(told), Some(there)) = (&facts.told, host.memory_bytes) else { return };
    let memory = &told.settings.memory;
    let asked = memory.resident_bytes_max.saturating_add(memory.waiting_bytes_max) as u64;
    report.saw(
        "machine",
        format!("{} of memory, {} of them for actors and commands at most", bytes(there), bytes(asked)),
    );
    if asked > there {
        let found = format!(
            "memory.resident_bytes_max and memory.waiting_bytes_max are {} together, and there are {}",
            bytes(asked),
            bytes(there)
        );
        report.find(&MEMORY, found);
    }
}
