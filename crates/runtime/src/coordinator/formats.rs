//! The format that the log, and everything behind it, may be written in.
//!
//! It only ever grows, with an entry that is written in it: whoever has read that entry may write in it too. A leader takes
//! the newest one that every member reads, so what a member meets it can read; and whoever cannot read it cannot read that
//! entry either, so it follows the log no further, tells nobody of itself, and serves nothing.

use aether_domain::cluster::Member;
use aether_domain::records::Format;
use aether_domain::topology::Topology;

use crate::control::Sightings;

/// The newest format that every member says it reads, as far as is known, those included who are members no more by the entry
/// that is to be written: whoever leaves with it must be able to read that.
pub(super) fn agreed(before: &Topology, after: &Topology, sightings: &Sightings) -> Format {
    let reads = |member: &Member| {
        let seen = sightings.member(&member.node.node).filter(|seen| seen.record.node == member.node);
        seen.map_or(Format::FIRST, |seen| seen.record.reads)
    };
    let members = before.cluster().members().chain(after.cluster().members());
    members.filter(|member| member.status.owns()).map(reads).min().unwrap_or_default()
}
