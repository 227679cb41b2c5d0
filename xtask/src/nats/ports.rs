//! Ports for servers that must come back on the port they had.
//!
//! They are chosen below the range from which the system hands out ports to outgoing connections: while a server is
//! down, a client dialling it again and again could otherwise be given the server's own port. A chosen port can still
//! be lost to somebody else before it is used, so whoever asks must be ready to ask again.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Result, bail};

const FIRST: u16 = 15_000;
const COUNT: u16 = 16_000;

/// How many ports are probed before giving up.
const PROBES_MAX: u32 = 2_000;

/// Spreads the processes of one test run, which have neighbouring ids, over the range.
const STRIDE: u32 = 97;

static ASKED: AtomicU32 = AtomicU32::new(0);

/// A loopback port nobody listens on at this moment.
///
/// # Errors
/// Two thousand ports in a row are taken.
pub(super) fn free() -> Result<u16> {
    let start = std::process::id().wrapping_mul(STRIDE);
    for _ in 0..PROBES_MAX {
        let step = start.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from(step % u32::from(COUNT)).unwrap_or_default();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between {FIRST} and {} on the loopback interface", FIRST + COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_not_handed_out() {
        let mut held = Vec::new();
        for _ in 0..20 {
            let port = free().expect("a port");
            held.push(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("free as promised"));
        }
    }
}
