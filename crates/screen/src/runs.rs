//! Sets of shards as pages write them: `0-340,512`.

/// The runs of such a text, first and last, as far as they are below `total`.
///
/// # Errors
/// It is no such text; the error says which part is not.
pub fn runs(text: &str, total: usize) -> Result<Vec<(usize, usize)>, String> {
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| format!("{part:?} is no run of shards"));
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last >= total {
            return Err(format!("{part:?} is no run of {total} shards"));
        }
        Ok((first, last))
    };
    text.split(',').filter(|part| !part.trim().is_empty()).map(part).collect()
}

/// How many shards a text names, if it is one.
pub(crate) fn count(text: &str) -> Option<usize> {
    let runs = runs(text, super::SHARDS_MAX).ok()?;
    Some(runs.iter().map(|(first, last)| last - first + 1).sum())
}

/// Whether a text names that shard.
pub(crate) fn names(text: &str, shard: usize) -> bool {
    runs(text, super::SHARDS_MAX).is_ok_and(|runs| runs.iter().any(|(first, last)| (*first..=*last).contains(&shard)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_and_what_is_none_is_said() {
        assert_eq!(runs("", 8), Ok(vec![]));
        assert_eq!(runs("0-2,5", 8), Ok(vec![(0, 2), (5, 5)]));
        for wrong in ["a", "3-1", "8", "0-8", "-1", "1-2-3", "99999999999999999999"] {
            assert!(runs(wrong, 8).is_err(), "{wrong}");
        }
        assert_eq!((count("0-2,5"), count("x"), names("0-2,5", 2), names("0-2,5", 3)), (Some(4), None, true, false));
    }
}
