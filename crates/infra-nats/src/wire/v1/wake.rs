//! When an actor has to be looked at, in the binary envelope. Whose wake it is says the subject.

use aether_domain::WallTime;
use wincode::{SchemaRead, SchemaWrite};

use super::envelope::{self, Body, Kind};
use super::{Encoded, WireFault, bounded};

/// The most bytes of a wake: one number.
const WAKE_BYTES_MAX: usize = 64;

#[derive(SchemaWrite, SchemaRead)]
struct WakeB1 {
    at_ms: Option<u64>,
}

impl Body<'_> for WakeB1 {
    const KIND: Kind = Kind::Wake;
}

/// The wake as it is stored.
pub(crate) fn encode_wake(at: Option<WallTime>) -> Result<Encoded, WireFault> {
    envelope::encode(&WakeB1 { at_ms: at.map(|at| at.unix_millis) }, WAKE_BYTES_MAX)
}

/// When the actor has to be looked at, if at all.
pub(crate) fn decode_wake(bytes: &[u8]) -> Result<Option<WallTime>, WireFault> {
    bounded(bytes.len(), WAKE_BYTES_MAX)?;
    let body: WakeB1 = envelope::decode(bytes)?;
    Ok(body.at_ms.map(|unix_millis| WallTime { unix_millis }))
}
