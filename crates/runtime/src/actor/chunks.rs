//! A list that grows without moving what is in it and wastes no more than one piece of memory.

/// Items in one piece.
const CHUNK: usize = 32;

/// A list in pieces. Invariant: all but the last are full, and none is empty.
pub(crate) struct Chunks<T>(Vec<Vec<T>>);

impl<T> Chunks<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * CHUNK + last.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, item: T) {
        if let Some(last) = self.0.last_mut().filter(|last| last.len() < CHUNK) {
            last.push(item);
        } else {
            let mut chunk = Vec::with_capacity(CHUNK);
            chunk.push(item);
            self.0.push(chunk);
        }
    }

    /// Takes out the item at that place; the last one comes there. None if there is none.
    pub(crate) fn swap_remove(&mut self, place: usize) -> Option<T> {
        if place >= self.len() {
            return None;
        }
        let last = self.0.last_mut()?;
        let item = last.pop()?;
        if last.is_empty() {
            self.0.pop();
        }
        Some(if place == self.len() { item } else { std::mem::replace(&mut self[place], item) })
    }

    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.0.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }
}

impl<T> std::ops::Index<usize> for Chunks<T> {
    type Output = T;
    fn index(&self, place: usize) -> &T {
        &self.0[place / CHUNK][place % CHUNK]
    }
}

impl<T> std::ops::IndexMut<usize> for Chunks<T> {
    fn index_mut(&mut self, place: usize) -> &mut T {
        &mut self.0[place / CHUNK][place % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_what_a_list_does() {
        let (mut chunks, mut list) = (Chunks::new(), Vec::new());
        for nth in 0..300_usize {
            chunks.push(nth);
            list.push(nth);
        }
        for nth in 0..300_usize {
            let place = nth * 7919 % (list.len() + 1);
            let expected = (place < list.len()).then(|| list.swap_remove(place));
            assert_eq!(chunks.swap_remove(place), expected);
            assert_eq!((chunks.len(), chunks.is_empty()), (list.len(), list.is_empty()));
            assert!(chunks.iter().eq(&list));
        }
    }
}
