//! The place of something in a trace that others keep: W3C Trace Context, as far as it has to travel.

use std::fmt;
use std::str::FromStr;

/// Which trace something is part of, and what in it comes before: what W3C Trace Context writes as a `traceparent`.
///
/// Nothing is decided by it. It is kept in a box where most have none.
///
/// ```
/// use aether_domain::TraceParent;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent: TraceParent = text.parse()?;
/// assert_eq!((parent.to_string().as_str(), parent.is_sampled()), (text, true));
/// assert!("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01".parse::<TraceParent>().is_err());
/// # Ok::<(), aether_domain::InvalidTraceParent>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// Not 0.
    trace: u128,
    /// Not 0.
    span: u64,
    flags: u8,
}

/// It is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that is no traceparent of W3C Trace Context")]
pub struct InvalidTraceParent;

impl TraceParent {
    /// How many bytes its text has.
    pub const TEXT_BYTES: usize = 55;

    /// The span of that number in the trace of that one; nothing if one of them is 0.
    pub fn new(trace: u128, span: u64, flags: u8) -> Option<Self> {
        (trace != 0 && span != 0).then_some(Self { trace, span, flags })
    }

    /// The trace.
    pub fn trace(self) -> u128 {
        self.trace
    }

    /// The span that comes before.
    pub fn span(self) -> u64 {
        self.span
    }

    /// The flags, of which the lowest says whether the trace is recorded.
    pub fn flags(self) -> u8 {
        self.flags
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    /// Reads a text of exactly [`Self::TEXT_BYTES`], or of a later version what of it must be as in this one.
    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let (head, rest) = text.split_at_checked(Self::TEXT_BYTES).ok_or(InvalidTraceParent)?;
        let mut parts = head.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let lower = part.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
            if lower { u128::from_str_radix(part, 16).ok() } else { None }
        };
        let read = (|| Some((hex(2)?, hex(32)?, hex(16)?, hex(2)?)))();
        let (version, trace, span, flags) = read.ok_or(InvalidTraceParent)?;
        let whole = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
        if version == 0xff || !whole {
            return Err(InvalidTraceParent);
        }
        // They have as many digits as these types.
        Self::new(trace, span as u64, flags as u8).ok_or(InvalidTraceParent)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_w3c_calls_invalid_is_no_traceparent() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(good.parse::<TraceParent>().map(|parent| parent.to_string()), Ok(good.to_owned()));
        let later = good.replacen("00", "cc", 1) + "-what-the-future-will-be-like";
        assert_eq!(later.parse::<TraceParent>(), good.parse());
        for bad in [
            String::new(),
            good[..54].to_owned(),
            format!("{good}-"),
            format!("{good}."),
            good.replacen("00", "ff", 1),
            good.to_uppercase(),
            good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            good.replace('-', "_"),
            good.replacen("4b", "+b", 1),
            "\u{fc}".repeat(60),
            later.replace("-what", ".what"),
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(InvalidTraceParent), "{bad}");
        }
    }
}
