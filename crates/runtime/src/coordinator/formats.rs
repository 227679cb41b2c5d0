//! The format that the log, and everything behind it, may be written in.
//!
//! It only ever grows, with an entry that is written in it: whoever has read that entry may write in it too. A leader takes
//! the newest one that every member reads, so what a member meets it can read; and whoever cannot read it cannot read that
//! entry either, so it follows the log no further, tells nobody of itself, and serves nothing.

use aether_domain::cluster::Member;
use aether_domain::records::Format;
use aether_domain::topology::Topology;

use crate::control::Sightings;

/// The newest format that every member says it reads, as far as is known; those included whom the entry that is to be written lets
/// go: they must be able to read that it does. Whoever is over reads nothing any more.
pub(super) fn agreed(before: &Topology, after: &Topology, sightings: &Sightings) -> Format {
    let seen = |member: &Member| {
        let seen = sightings.member(&member.node.node).filter(|seen| seen.record.node == member.node);
        seen.map(|seen| (seen.record.reads, seen.record.state.is_over()))
    };
    let stays = after.cluster().members().filter(|member| member.status.owns());
    let stays = stays.map(|member| seen(member).map_or(Format::FIRST, |(reads, _)| reads));
    let lives = before.cluster().members().filter(|member| member.status.owns());
    let lives = lives.filter_map(|member| seen(member).filter(|(_, over)| !over)).map(|(reads, _)| reads);
    stays.chain(lives).min().unwrap_or_default()
}
