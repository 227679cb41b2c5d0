//! A few things in a row, in place: states are copied and compared by the million.

/// At most `N` things in order. What lies behind the last is always `None`, so that equal rows are equal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row<T, const N: usize>([Option<T>; N]);

impl<T: Copy, const N: usize> Row<T, N> {
    pub(crate) fn new() -> Self {
        Self([None; N])
    }
    pub(crate) fn len(&self) -> u8 {
        self.iter().count() as u8
    }
    pub(crate) fn has_room(&self) -> bool {
        self.0.last().is_some_and(Option::is_none)
    }
    pub(crate) fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.0.iter().map_while(|item| *item)
    }
    /// The first `count`.
    pub(crate) fn first(&self, count: u8) -> impl Iterator<Item = T> + '_ {
        self.iter().take(count.into())
    }
    pub(crate) fn get(&self, place: u8) -> Option<T> {
        self.0.get(usize::from(place)).copied().flatten()
    }
    /// Adds one; without room nothing happens, which is for the bounds to prevent.
    pub(crate) fn push(&mut self, item: T) {
        if let Some(free) = self.0.iter_mut().find(|place| place.is_none()) {
            *free = Some(item);
        }
    }
    pub(crate) fn take(&mut self, place: u8) -> Option<T> {
        let taken = self.get(place)?;
        self.0[usize::from(place)..].rotate_left(1);
        if let Some(last) = self.0.last_mut() {
            *last = None;
        }
        Some(taken)
    }
}
