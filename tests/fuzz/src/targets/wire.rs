//! What is stored and sent by way of NATS.

use aether_infra_nats::decoders::{ALL, Framing};

use super::{BYTES_MAX, USUAL};
use crate::{Allowance, Target};

macro_rules! golden {
    ($file:literal) => {
        golden!($file, None)
    };
    ($file:literal, $nth:expr) => {
        (concat!("crates/infra-nats/src/wire/v1/golden/", $file), $nth)
    };
}

/// A length prefix reserves 64 bytes for each byte of a body of its size at most, rounded up to four times as many, and may
/// stand in what another one has reserved for. The format's lengths cannot be held against what is left without unsafe code
/// of ours, and what is in a sequence takes up to 60 times its bytes in memory.
const OF_AN_ENVELOPE: Allowance = Allowance { times: 2 * 4 * 64, ..USUAL };

pub(super) fn targets() -> Vec<Target> {
    let of = |(name, framing, read): &_| {
        let golden: &[_] = match *name {
            "entry" => &[golden!("entry.json.txt")],
            "commit-json" => &[golden!("commit.json.txt")],
            "commit-binary" => &[golden!("commit.hex.txt")],
            "lease" => &[golden!("lease.json.txt")],
            "member" => &[golden!("member.json.txt")],
            "release" => &[golden!("release.json.txt")],
            "placement" => &[golden!("placement.json.txt")],
            "orders" => &[golden!("orders.json.txt")],
            "topology-snapshot" => &[golden!("snapshot.hex.txt")],
            "checkpoint" => &[golden!("checkpoint.json.txt")],
            "dead-letter" => &[golden!("dead_letter.json.txt")],
            "claim" => &[golden!("claims.hex.txt")],
            "wake" => &[golden!("wakes.hex.txt")],
            "actor-snapshot" => &[golden!("actor_snapshot.hex.txt")],
            "manifest" => &[golden!("snapshot_chunks.hex.txt", Some(1))],
            "chunk" => &[golden!("snapshot_chunks.hex.txt", Some(0))],
            "frames" => &[golden!("frames.hex.txt"), golden!("warm_frames.hex.txt")],
            "stored-or-sent" => &[
                golden!("lease.json.txt"),
                golden!("member.json.txt"),
                golden!("checkpoint.json.txt"),
                golden!("commit.json.txt"),
                golden!("dead_letter.json.txt"),
                golden!("wakes.hex.txt"),
                golden!("claims.hex.txt"),
                golden!("frames.hex.txt"),
                golden!("snapshot_chunks.hex.txt"),
            ],
            _ => &[],
        };
        let allowance = match (*name, *framing) {
            // 65,536 shards in one run, each with its owner and entries.
            ("topology-snapshot", _) => Allowance { room: 16 * 1024 * 1024, ..OF_AN_ENVELOPE },
            // Without a sequence.
            ("claim" | "wake" | "chunk", _) => USUAL,
            (_, Framing::Envelope(_) | Framing::Frame) => OF_AN_ENVELOPE,
            // A run of shards names 65,536 of them in seven bytes, and each of them may be pinned.
            ("placement" | "entry" | "stored-or-sent", _) => Allowance { room: 6 * 1024 * 1024, ..USUAL },
            _ => USUAL,
        };
        Target { name, shape: Into::into(*framing), golden, allowance, bytes_max: BYTES_MAX, read: *read }
    };
    ALL.iter().map(of).collect()
}
