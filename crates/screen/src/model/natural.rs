//! The order in which people expect ids.

/// The natural order of ids: numbers in them count as numbers, so `n2` comes before `n10`.
pub fn natural(one: &str, other: &str) -> std::cmp::Ordering {
    let parts = |text: &str| {
        let mut parts: Vec<(String, u128)> = vec![(String::new(), 0)];
        let mut in_number = false;
        for c in text.chars() {
            let digit = c.to_digit(10);
            if in_number && digit.is_none() {
                parts.push((String::new(), 0));
            }
            in_number = digit.is_some();
            // The last is always there.
            let Some(last) = parts.last_mut() else { continue };
            match digit {
                Some(digit) => last.1 = last.1.saturating_mul(10).saturating_add(digit.into()),
                None => last.0.push(c),
            }
        }
        parts
    };
    parts(one).cmp(&parts(other)).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_with_numbers_are_in_the_order_of_the_numbers() {
        let mut ids = vec!["n10", "n2", "n1", "a-10-b", "a-9-c", "a", "n01", ""];
        ids.sort_by(|one, other| natural(one, other));
        assert_eq!(ids, ["", "a", "a-9-c", "a-10-b", "n01", "n1", "n2", "n10"]);
    }
}
