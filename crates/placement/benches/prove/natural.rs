//! Natural numbers of any size: what exact shares are made of when nothing may overflow and nothing need be fast.

use std::cmp::Ordering;

/// Digits to the base 2^32, the lowest first, none of them a leading 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Natural(Vec<u32>);

impl Natural {
    pub(crate) fn of(number: u64) -> Self {
        Self(vec![number as u32, (number >> 32) as u32]).trimmed()
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        let mut sum = Vec::new();
        let mut carry = 0_u64;
        for at in 0..=self.0.len().max(other.0.len()) {
            let digit = |number: &Self| u64::from(number.0.get(at).copied().unwrap_or(0));
            carry += digit(self) + digit(other);
            sum.push(carry as u32);
            carry >>= 32;
        }
        Self(sum).trimmed()
    }

    pub(crate) fn times(&self, other: &Self) -> Self {
        let mut product = vec![0_u32; self.0.len() + other.0.len()];
        for (at, a) in self.0.iter().enumerate() {
            let mut carry = 0_u64;
            for (b, digit) in other.0.iter().chain([&0]).zip(&mut product[at..]) {
                carry += u64::from(*a) * u64::from(*b) + u64::from(*digit);
                *digit = carry as u32;
                carry >>= 32;
            }
        }
        Self(product).trimmed()
    }

    /// How often `divisor` goes into it, at most `most` times, and whether nothing is left then. By trying.
    pub(crate) fn divided_by(&self, divisor: &Self, most: u64) -> (u64, bool) {
        let (mut fits, mut too_often) = (0, most + 1);
        while too_often - fits > 1 {
            let tried = fits.midpoint(too_often);
            if divisor.times(&Self::of(tried)) <= *self { fits = tried } else { too_often = tried }
        }
        (fits, divisor.times(&Self::of(fits)) == *self)
    }

    fn trimmed(mut self) -> Self {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}
