//! How many shards stand for a place on the screen, so that all of them fit.

/// A map of shards in rows. A place stands for `each` shards in a row; places are letters, or halves of a letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grid {
    /// Places in a row.
    pub columns: usize,
    /// Rows of places.
    pub rows: usize,
    /// Shards of one place; a power of two.
    pub each: usize,
    /// Whether two rows of places share a row of the screen.
    pub halves: bool,
    /// Whether there is a blank between places.
    pub spaced: bool,
}

/// What a row of 1,024 shards has; what fits as well as others is near it.
const COLUMNS_USUAL: usize = 64;

/// What the most columns are: longer rows are not read.
const COLUMNS_MAX: usize = 256;

impl Grid {
    /// The map of so many shards that says most in so much room; without colours halves cannot be told apart.
    pub fn fit(total: usize, width: u16, height: u16, colour: bool) -> Self {
        let (width, height) = (usize::from(width), usize::from(height));
        if total == 0 || width == 0 || height == 0 {
            return Self::default();
        }
        let whole = Self::best(total, width, height, false);
        let halved = Self::best(total, width, height * 2, true);
        let mut grid = if colour && halved.each < whole.each { halved } else { whole };
        grid.spaced = !grid.halves && grid.columns * 2 <= width;
        grid
    }

    fn best(total: usize, width: usize, height: usize, halves: bool) -> Self {
        let columns = std::iter::successors(Some(1), |columns| Some(columns * 2));
        let columns = columns.take_while(|columns| *columns <= width.min(COLUMNS_MAX));
        let of = |columns: usize| {
            let each = total.div_ceil(columns * height).next_power_of_two();
            Self { columns, rows: total.div_ceil(each).div_ceil(columns), each, halves, spaced: false }
        };
        // Fewest shards a place; then the usual rows, or what is nearest.
        let rank = |grid: &Self| (grid.each, grid.columns.abs_diff(COLUMNS_USUAL));
        columns.map(of).min_by_key(rank).unwrap_or_default()
    }

    /// Columns of the screen.
    pub fn width(&self) -> u16 {
        let columns = if self.spaced { (self.columns * 2).saturating_sub(1) } else { self.columns };
        u16::try_from(columns).unwrap_or(u16::MAX)
    }

    /// Rows of the screen.
    pub fn height(&self) -> u16 {
        let rows = if self.halves { self.rows.div_ceil(2) } else { self.rows };
        u16::try_from(rows).unwrap_or(u16::MAX)
    }

    /// The shards of a place, of `total`.
    pub fn shards(&self, place: usize, total: usize) -> std::ops::Range<usize> {
        let first = (place * self.each).min(total);
        first..(first + self.each).min(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_says_as_much_as_there_is_room_for() {
        for (total, width, height, colour, columns, rows, each, halves, spaced) in [
            (1024, 74, 16, true, 64, 16, 1, false, false),
            (1024, 140, 30, true, 64, 16, 1, false, true),
            (1024, 34, 16, true, 32, 32, 1, true, false),
            (1024, 34, 16, false, 32, 16, 2, false, false),
            (65_536, 34, 16, true, 32, 32, 64, true, false),
            (65_536, 34, 16, false, 32, 16, 128, false, false),
            (65_536, 140, 32, false, 128, 32, 16, false, false),
            (3, 10, 10, true, 8, 1, 1, false, false),
            (1, 1, 1, true, 1, 1, 1, false, false),
        ] {
            let grid = Grid::fit(total, width, height, colour);
            assert_eq!(grid, Grid { columns, rows, each, halves, spaced }, "{total} in {width}×{height}");
        }
        assert_eq!(Grid::fit(0, 80, 24, true), Grid::default());
    }

    #[test]
    fn every_shard_has_a_place_in_the_room_there_is() {
        for total in [1, 2, 3, 63, 64, 100, 1000, 1024, 4096, 65_535, 65_536] {
            for (width, height) in [(1, 1), (2, 7), (31, 9), (34, 16), (64, 16), (300, 100)] {
                for colour in [false, true] {
                    let grid = Grid::fit(total, width, height, colour);
                    assert!(grid.width() <= width && grid.height() <= height, "{total} in {width}×{height}: {grid:?}");
                    assert!(grid.columns * grid.rows * grid.each >= total, "{total} in {width}×{height}: {grid:?}");
                    let last = grid.shards(grid.columns * grid.rows - 1, total);
                    assert!(last.end <= total);
                }
            }
        }
    }
}
