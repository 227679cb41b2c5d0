//! Whose each shard is, for drawing.

use crate::model::Shards;
use crate::runs::runs;
use crate::text::Text;

/// The most shards that a cluster can have.
pub const SHARDS_MAX: usize = 65_536;

/// Stands for no owner.
pub const NOBODY: u16 = u16::MAX;

/// Whose each shard is, and whether it is on its way.
///
/// Invariant: `owner` and `moving` have one place for each shard, and each owner is [`NOBODY`] or one of `owners`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    owners: Vec<Text>,
    owner: Vec<u16>,
    moving: Vec<bool>,
}

impl Map {
    /// What that page says.
    ///
    /// # Errors
    /// It says of more shards than there can be, or names them wrongly.
    pub fn of(page: &Shards) -> Result<Self, String> {
        if page.total > SHARDS_MAX {
            return Err(format!("it has {} shards, and there can be {SHARDS_MAX}", page.total));
        }
        let mut map = Self { owners: Vec::new(), owner: vec![NOBODY; page.total], moving: vec![false; page.total] };
        for (name, owned) in page.owners.iter().take(usize::from(NOBODY)) {
            // Fewer than 65,535 of them.
            let index = u16::try_from(map.owners.len()).unwrap_or(NOBODY);
            for (first, last) in runs(owned, page.total)? {
                map.owner[first..=last].fill(index);
            }
            map.owners.push(Text::new(name));
        }
        for (first, last) in runs(&page.moving, page.total)? {
            map.moving[first..=last].fill(true);
        }
        for (first, last) in runs(&page.orphaned, page.total)? {
            map.owner[first..=last].fill(NOBODY);
        }
        Ok(map)
    }

    /// How many shards there are.
    pub fn len(&self) -> usize {
        self.owner.len()
    }

    /// Whether there are none yet.
    pub fn is_empty(&self) -> bool {
        self.owner.is_empty()
    }

    /// The owners, by the numbers that [`Self::owner`] answers.
    pub fn owners(&self) -> &[Text] {
        &self.owners
    }

    /// Whose that shard is; [`NOBODY`] if it has no owner, or there is no such shard.
    pub fn owner(&self, shard: usize) -> u16 {
        self.owner.get(shard).copied().unwrap_or(NOBODY)
    }

    /// Its name.
    pub fn owner_name(&self, shard: usize) -> Option<&Text> {
        self.owners.get(usize::from(self.owner(shard)))
    }

    /// Whether it is on its way.
    pub fn is_moving(&self, shard: usize) -> bool {
        self.moving.get(shard).is_some_and(|moving| *moving)
    }
}
