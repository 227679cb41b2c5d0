//! Inputs and effects in few words: enough to follow a run, and to tell two runs apart.

use std::fmt;

use aether_domain::ports::{ControlUpdate, Expected, LogUpdate};
use aether_domain::records::{ControlKey, ControlRecord, LeaseState, StoredRecord};
use aether_runtime::control::{Effect, Input};

/// An input in few words.
pub(crate) struct In<'a>(pub(crate) &'a Input);
/// An effect in few words.
pub(crate) struct Out<'a>(pub(crate) &'a Effect);

struct Key<'a>(&'a ControlKey);
struct Record<'a>(&'a ControlRecord);
struct Stored<'a>(&'a StoredRecord);

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ControlKey::Lease => f.write_str("lease"),
            ControlKey::Member(node) => write!(f, "node.{node}"),
            ControlKey::Release(node) => write!(f, "rel.{node}"),
            ControlKey::TopologySnapshot => f.write_str("top.snap"),
            ControlKey::Placement => f.write_str("placement"),
            ControlKey::Orders => f.write_str("orders"),
        }
    }
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ControlRecord::Lease(lease) => {
                let resigned = if lease.state == LeaseState::Resigned { " resigned" } else { "" };
                write!(f, "lease of {}, term {}{resigned}", lease.holder, lease.term)
            }
            ControlRecord::Member(member) => {
                write!(f, "{} {:?} beat {} view {}", member.node, member.state, member.heartbeat, member.view)
            }
            ControlRecord::Release(report) => {
                let shards: usize = report.released.iter().map(|(shards, _)| shards.len()).sum();
                write!(f, "{} has released {shards}", report.node)
            }
            ControlRecord::Placement(record) => write!(f, "placement by {}", record.policy.strategy),
            ControlRecord::Orders(record) => write!(f, "orders {:?}", record.orders),
            ControlRecord::Snapshot(snapshot) => write!(f, "snapshot of epoch {}", snapshot.topology.epoch()),
        }
    }
}

impl fmt::Display for Stored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{} {}", self.0.revision, Record(&self.0.record))
    }
}

impl fmt::Display for In<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Input::Tick => f.write_str("tick"),
            Input::Control(ControlUpdate::Record(stored)) => write!(f, "saw {}", Stored(stored)),
            Input::Control(ControlUpdate::CaughtUp) => f.write_str("control caught up"),
            Input::Control(update) => write!(f, "control {update:?}"),
            Input::Log(LogUpdate::Entry(stored)) => write!(f, "log {} {}", stored.at.sequence, stored.entry.cause),
            Input::Log(update) => write!(f, "log {update:?}"),
            Input::Snapshot(snapshot) => write!(f, "snapshot of epoch {}", snapshot.epoch()),
            Input::SnapshotPassedOver(why) => write!(f, "snapshot passed over: {why}"),
            Input::LogCaughtUp => f.write_str("log caught up"),
            Input::Written { token, outcome } => write!(f, "written {:04x} {outcome:?}", token.0 >> 48),
            Input::ReadBack { token, found } => {
                write!(f, "read back {:04x} ", token.0 >> 48)?;
                match found {
                    None => f.write_str("nothing"),
                    Some(stored) => Stored(stored).fmt(f),
                }
            }
            Input::Spoiled { token, revision } => write!(f, "read back {:04x} spoiled at {revision}", token.0 >> 48),
            Input::Appended { token, outcome } => write!(f, "appended {:04x} {outcome:?}", token.0 >> 48),
            Input::LogRead { token, entries } => {
                write!(f, "log read {:04x} {:?}", token.0 >> 48, entries.as_ref().map(Vec::len))
            }
            Input::Unreachable(node) => write!(f, "unreachable {node}"),
            Input::Released(shard, epoch) => write!(f, "released {shard} of {epoch}"),
            Input::Carries(..) => f.write_str("load"),
            Input::Costs(_) => f.write_str("costs"),
            Input::Leave => f.write_str("leave"),
        }
    }
}

impl fmt::Display for Out<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Effect::Write { token, record, expected } => {
                let Expected::At(over) = *expected else {
                    return write!(f, "write {:04x} {} over nothing", token.0 >> 48, Record(record));
                };
                write!(f, "write {:04x} {} over {over}", token.0 >> 48, Record(record))
            }
            Effect::ReadBack { token, key } => write!(f, "read {:04x} {}", token.0 >> 48, Key(key)),
            Effect::Append { token, entry, after } => {
                let (epoch, term, cause) = (entry.epoch, entry.term, &entry.cause);
                write!(f, "append {:04x} epoch {epoch} term {term} behind {after}: {cause}", token.0 >> 48)
            }
            Effect::ReadLog { token, after } => write!(f, "read {:04x} log behind {after}", token.0 >> 48),
            Effect::Probe { node } => write!(f, "probe {node}"),
            Effect::Publish => f.write_str("publish"),
            Effect::ServeUntil(until) => write!(f, "serve until {:?}", until.since_start()),
            Effect::EndServing => f.write_str("end serving"),
            Effect::NewLife { me } => write!(f, "new life {me}"),
            Effect::TellAgain => f.write_str("tell again"),
            Effect::Leave => f.write_str("leave"),
            Effect::Stop(reason) => write!(f, "stop {reason:?}"),
            Effect::Note(note) => write!(f, "{note:?}"),
        }
    }
}
