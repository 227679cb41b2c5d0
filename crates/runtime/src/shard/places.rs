//! Where in a list an item with a given hash is: an open-addressed table of places, three bytes each (five in a table of
//! many), and nothing else.
//!
//! The items stay in their list; the table asks for their hashes when it moves or grows.

/// The least number of cells, a power of two.
const CELLS_MIN: usize = 8;

/// Places by hash. Invariants: the number of cells is a power of two or 0, at most 7 of 8 are taken, and no free one lies
/// between an entry and the cell that its hash names.
#[derive(Default)]
pub(super) struct Places {
    /// Some bits of the hash of the item each cell names; 0 if it names none.
    tags: Box<[u8]>,
    /// The lower halves of the places.
    low: Box<[u16]>,
    /// The upper halves; none while the table is too small for there to be any.
    high: Box<[u16]>,
    taken: usize,
}

impl Places {
    /// The place of the item with that hash that is the one looked for.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        self.cell(hash, is_it).map(|cell| self.place(cell))
    }

    /// Adds the place of an item that is not there.
    pub(super) fn insert(&mut self, hash: u64, place: u32, hash_of: impl Fn(usize) -> u64) {
        if (self.taken + 1) * 8 > self.tags.len() * 7 {
            self.resize((self.tags.len() * 2).max(CELLS_MIN), hash_of);
        }
        self.put(hash, place);
        self.taken += 1;
    }

    /// Takes out the item at that place.
    pub(super) fn remove(&mut self, hash: u64, place: usize, hash_of: impl Fn(usize) -> u64) {
        let Some(mut gap) = self.cell(hash, |found| found == place) else { return };
        let mask = self.tags.len() - 1;
        let mut next = gap;
        loop {
            next = (next + 1) & mask;
            if self.tags[next] == 0 {
                break;
            }
            // It may fill the gap unless that lies before the cell its hash names.
            let home = hash_of(self.place(next)) as usize & mask;
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(gap) & mask) {
                self.set(gap, self.tags[next], self.place(next) as u32);
                gap = next;
            }
        }
        self.tags[gap] = 0;
        self.taken -= 1;
    }

    /// The item at that place is at another one now.
    pub(super) fn moved(&mut self, hash: u64, from: usize, to: u32) {
        if let Some(cell) = self.cell(hash, |found| found == from) {
            self.set(cell, self.tags[cell], to);
        }
    }

    /// Gives memory back that has not been needed for long.
    pub(super) fn shrink(&mut self, hash_of: impl Fn(usize) -> u64) {
        if self.tags.len() > CELLS_MIN && self.taken * 8 < self.tags.len() {
            self.resize((self.taken * 2).next_power_of_two().max(CELLS_MIN), hash_of);
        }
    }

    fn cell(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let mask = self.tags.len().checked_sub(1)?;
        let mut cell = hash as usize & mask;
        while self.tags[cell] != 0 {
            if self.tags[cell] == tag(hash) && is_it(self.place(cell)) {
                return Some(cell);
            }
            cell = (cell + 1) & mask;
        }
        None
    }

    fn place(&self, cell: usize) -> usize {
        let high = self.high.get(cell).copied().unwrap_or_default();
        usize::from(high) << 16 | usize::from(self.low[cell])
    }

    fn set(&mut self, cell: usize, tag: u8, place: u32) {
        (self.tags[cell], self.low[cell]) = (tag, (place & 0xFFFF) as u16);
        // A table without upper halves has fewer cells, so fewer items, than would need one.
        if let Some(high) = self.high.get_mut(cell) {
            *high = (place >> 16) as u16;
        }
    }

    fn put(&mut self, hash: u64, place: u32) {
        let mask = self.tags.len() - 1;
        let mut cell = hash as usize & mask;
        while self.tags[cell] != 0 {
            cell = (cell + 1) & mask;
        }
        self.set(cell, tag(hash), place);
    }

    fn resize(&mut self, cells: usize, hash_of: impl Fn(usize) -> u64) {
        let high = if cells > usize::from(u16::MAX) { cells } else { 0 };
        let (tags, low, high) = (vec![0; cells].into(), vec![0; cells].into(), vec![0; high].into());
        let before = std::mem::replace(self, Self { tags, low, high, taken: self.taken });
        for cell in (0..before.tags.len()).filter(|cell| before.tags[*cell] != 0) {
            let place = before.place(cell);
            self.put(hash_of(place), place as u32);
        }
    }
}

/// Bits of the hash that name no cell; never 0.
fn tag(hash: u64) -> u8 {
    (hash >> 56) as u8 | 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Few values, so that many share their first cells and their tags.
    fn hash(item: u16) -> u64 {
        u64::from(item % 5) | u64::from(item % 3) << 57
    }

    #[test]
    fn more_items_than_half_a_place_can_tell_apart_are_found_while_they_come_and_go() {
        let spread = |item: usize| (item as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut places = Places::default();
        for item in 0..200_000 {
            places.insert(spread(item), item as u32, spread);
        }
        let found = |places: &Places, item| places.find(spread(item), |place| place == item);
        assert!((0..200_000).all(|item| found(&places, item) == Some(item)));
        for item in (1_000..200_000).rev() {
            places.remove(spread(item), item, spread);
            places.shrink(spread);
        }
        assert!((0..200_000).all(|item| found(&places, item) == (item < 1_000).then_some(item)));
        assert!(places.high.is_empty() && places.low.len() < 9_000);
    }

    proptest! {
        #[test]
        fn whatever_comes_and_goes_every_item_is_found_where_it_is(steps in prop::collection::vec((any::<bool>(), 0u16..60), 1..300)) {
            let mut places = Places::default();
            let mut items: Vec<u16> = Vec::new();
            for (comes, item) in steps {
                let at = items.iter().position(|known| *known == item);
                match (comes, at) {
                    (true, None) => {
                        places.insert(hash(item), items.len() as u32, |place| hash(items[place]));
                        items.push(item);
                    }
                    (false, Some(at)) => {
                        places.remove(hash(item), at, |place| hash(items[place]));
                        let last = items.len() - 1;
                        if at != last {
                            places.moved(hash(items[last]), last, at as u32);
                        }
                        items.swap_remove(at);
                        places.shrink(|place| hash(items[place]));
                    }
                    _ => {}
                }
                for item in 0..60 {
                    let found = places.find(hash(item), |place| items[place] == item);
                    prop_assert_eq!(found, items.iter().position(|known| *known == item));
                }
                prop_assert_eq!(places.taken, items.len());
            }
        }
    }
}
