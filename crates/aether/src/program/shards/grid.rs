//! The map of shards as letters, in 80 columns: a letter a shard, or of many shards a letter for as many as fit.

use aether_domain::{ShardCount, ShardId, ShardSet};

use crate::program::ink::{Ink, Tone};
use crate::program::pages::Shards;

/// Letters on a line.
const COLUMNS: usize = 64;
/// The most lines, unless everything is asked for.
const LINES_MAX: usize = 32;
/// What stands for an owner, in the order of their names.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
/// What stands for every owner beyond.
const BEYOND: char = '+';
/// What stands for shards without an owner.
const NOBODY: char = '!';

/// What stands at one place: who has most of its shards, whether one of them moves, and whether one has no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nobody,
    Owned { owner: usize, moving: bool },
}

impl Place {
    fn letter(self) -> char {
        match self {
            Self::Nobody => NOBODY,
            Self::Owned { owner, moving } => match LETTERS.chars().nth(owner) {
                Some(letter) if moving => letter.to_ascii_uppercase(),
                Some(letter) => letter,
                None => BEYOND,
            },
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Nobody => Tone::Bad,
            Self::Owned { moving: true, .. } => Tone::Warning,
            Self::Owned { .. } => Tone::Plain,
        }
    }
}

/// The grid with its legend.
///
/// # Errors
/// The page does not say whose the shards are.
pub(super) fn lines(shards: &Shards, wide: bool, ink: Ink) -> anyhow::Result<String> {
    let count = ShardCount::new(u32::try_from(shards.total).unwrap_or(u32::MAX))?.get();
    let each = if wide { 1 } else { count.div_ceil(COLUMNS * LINES_MAX) };
    let owners: Vec<ShardSet> = shards.owners.values().map(|runs| runs.parse()).collect::<Result<_, _>>()?;
    let (orphaned, moving): (ShardSet, ShardSet) = (shards.orphaned.parse()?, shards.moving.parse()?);
    let mut owner_of = vec![None; count];
    for (owner, owned) in owners.iter().enumerate() {
        owned.iter().filter(|shard| shard.index() < count).for_each(|shard| owner_of[shard.index()] = Some(owner));
    }
    let moving: Vec<bool> = marked(&moving, count);
    let orphaned: Vec<bool> = marked(&orphaned, count);
    let places: Vec<_> = (0..count)
        .step_by(each)
        .map(|first| {
            let those = first..first + each;
            if orphaned[those.clone()].contains(&true) {
                return Some(Place::Nobody);
            }
            let owner = most(&owner_of[those.clone()], owners.len())?;
            Some(Place::Owned { owner, moving: moving[those].contains(&true) })
        })
        .collect();
    let mut lines = vec![legend(shards, each)];
    lines.extend(places.chunks(COLUMNS).zip((0..).step_by(COLUMNS * each)).map(|(places, first): (_, usize)| {
        let letters: String = places.iter().map(|place| painted(*place, ink)).collect();
        format!("{first:>6}  {letters}")
    }));
    Ok(lines.join("\n"))
}

/// Of shards that are not shown, a dot.
fn painted(place: Option<Place>, ink: Ink) -> String {
    place.map_or_else(|| ".".to_owned(), |place| ink.paint(place.tone(), &place.letter().to_string()))
}

fn marked(set: &ShardSet, count: usize) -> Vec<bool> {
    let mut marked = vec![false; count];
    set.iter().map(ShardId::index).filter(|shard| *shard < count).for_each(|shard| marked[shard] = true);
    marked
}

/// Who has most of them; of equals the first.
fn most(owners: &[Option<usize>], all: usize) -> Option<usize> {
    let mut counts = vec![0_usize; all];
    owners.iter().flatten().for_each(|owner| counts[*owner] += 1);
    let best = counts.iter().copied().max().filter(|best| *best > 0)?;
    counts.iter().position(|count| *count == best)
}

fn legend(shards: &Shards, each: usize) -> String {
    let named = shards.owners.keys().zip(LETTERS.chars()).map(|(owner, letter)| format!("{letter} {owner}"));
    let mut named: Vec<_> = named.collect();
    if shards.owners.len() > LETTERS.len() {
        named.push(format!("{BEYOND} any other"));
    }
    let what = match each {
        1 => "a letter is a shard, a capital one moves".to_owned(),
        _ => format!("a letter is who has most of {each} shards, a capital one if any moves"),
    };
    format!("epoch {}: {what}, {NOBODY} has no owner: {}", shards.epoch, named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(total: u64, owners: &[(&str, &str)], orphaned: &str, moving: &str) -> Shards {
        Shards {
            epoch: 9,
            total,
            owners: owners.iter().map(|(owner, runs)| ((*owner).to_owned(), (*runs).to_owned())).collect(),
            orphaned: orphaned.to_owned(),
            moving: moving.to_owned(),
        }
    }

    #[test]
    fn a_letter_is_a_shard_with_its_line_s_first_number_before_it() {
        let shown = lines(&shards(128, &[("n1", "0-62,65-127"), ("n2", "63")], "64", "0,63"), false, Ink::NONE);
        let expected = "\
epoch 9: a letter is a shard, a capital one moves, ! has no owner: a n1, b n2
     0  AaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaB
    64  !aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        assert_eq!(shown.expect("runs"), expected);
    }

    #[test]
    fn of_65536_shards_a_letter_is_32_and_one_without_an_owner_is_never_lost_among_them() {
        let many = shards(65_536, &[("n1", "0-32767"), ("n2", "32768-65534")], "65535", "40");
        let shown = lines(&many, false, Ink::NONE).expect("runs");
        let lines_of: Vec<_> = shown.lines().collect();
        assert_eq!(lines_of.len(), 1 + LINES_MAX);
        assert!(lines_of.iter().skip(1).all(|line| line.len() == 8 + COLUMNS), "{shown}");
        assert!(lines_of[0].contains("most of 32 shards"), "{shown}");
        assert_eq!(&lines_of[1][8..12], "aAaa");
        assert_eq!((&lines_of[16][8..], &lines_of[17][8..10]), ("a".repeat(64).as_str(), "bb"));
        assert!(lines_of[32].ends_with("b!"), "{shown}");
        let wide = lines(&many, true, Ink::NONE).expect("runs");
        assert_eq!(wide.lines().count(), 1 + 1024);
    }

    #[test]
    fn owners_beyond_the_alphabet_share_a_sign_and_what_is_not_shown_is_a_dot() {
        let names: Vec<_> = (0..28).map(|nth| (format!("n{nth:02}"), nth.to_string())).collect();
        let owners: Vec<_> = names.iter().map(|(name, runs)| (name.as_str(), runs.as_str())).collect();
        let shown = lines(&shards(32, &owners, "", ""), false, Ink::NONE).expect("runs");
        assert!(shown.ends_with("abcdefghijklmnopqrstuvwxyz++...."), "{shown}");
        assert!(shown.contains("z n25, + any other"), "{shown}");
    }
}
