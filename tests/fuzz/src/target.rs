//! A decoder under test, and what becomes of one input.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use aether_infra_nats::decoders::Framing;
use xxhash_rust::xxh3::xxh3_64;

pub use aether_infra_nats::decoders::{Decoded, meant as again};

/// What stands around the bytes that are tried, made right so that a decoder looks further than a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nothing, or a checksum that the target adds itself.
    Plain,
    /// The binary envelope of that kind.
    Envelope(u8),
    /// The envelope of a message that has them as its only frame.
    Frame,
    /// The checksum at the end of a frame of a map.
    MapFrame,
}

/// The most bytes that a decoder may ask for, all it holds at one moment together: `times` what it is given, and `room`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// For each byte.
    pub times: u64,
    /// For anything.
    pub room: u64,
}

/// One decoder.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and its corpus's.
    pub name: &'static str,
    /// What stands around its bytes.
    pub shape: Shape,
    /// Files of the workspace whose bytes, as text, begin its corpus, and which message of each; all without a number.
    pub golden: &'static [(&'static str, Option<usize>)],
    /// The most it may ask of memory.
    pub allowance: Allowance,
    /// The most bytes it is tried with.
    pub bytes_max: usize,
    /// Itself.
    pub read: fn(&[u8]) -> Decoded,
}

/// What became of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has a meaning, or none. The number tells one way there from another.
    Fine {
        /// Whether it has a meaning.
        meant: bool,
        /// Which way.
        way: u64,
        /// How much of its allowance of memory it took, in per cent.
        memory: u64,
    },
    /// A promise is broken: how.
    Broken(String),
}

/// A refusal, for whatever reason.
///
/// # Errors
/// Always: that is what it is for.
pub fn refused(why: impl Display) -> Decoded {
    Err(why.to_string())
}

impl Shape {
    /// The whole message.
    pub fn wrap(self, input: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => input.to_vec(),
            Self::Envelope(kind) => envelope(kind, input),
            Self::Frame => {
                // From n1/1, one frame of so many bytes.
                let mut body = vec![2, b'n', b'1', 1, 1];
                match input.len() {
                    short @ 0..=250 => body.push(short as u8),
                    long => {
                        body.push(252);
                        body.extend((long as u32).to_le_bytes());
                    }
                }
                body.extend_from_slice(input);
                envelope(1, &body)
            }
            Self::MapFrame => {
                let mut frame = input.to_vec();
                frame.extend(xxh3_64(input).to_le_bytes());
                frame
            }
        }
    }

    /// What is tried of a whole message.
    pub fn unwrap(self, message: &[u8]) -> &[u8] {
        match self {
            Self::Plain | Self::Frame => message,
            Self::Envelope(_) => message.get(HEAD_BYTES..).unwrap_or_default(),
            Self::MapFrame => &message[..message.len().saturating_sub(8)],
        }
    }
}

const HEAD_BYTES: usize = 13;

/// As `docs/FORMATS.md` has it.
fn envelope(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'A', b'E', 1, kind, 0];
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(crc32c::crc32c_append(crc32c::crc32c(&bytes), body).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

impl From<Framing> for Shape {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Plain,
            Framing::Envelope(kind) => Self::Envelope(kind),
            Framing::Frame => Self::Frame,
        }
    }
}

impl Target {
    /// Tries one input.
    pub fn try_with(&self, input: &[u8]) -> Verdict {
        let message = self.shape.wrap(input);
        let mut outcome = None;
        let counted = allocation_counter::measure(|| {
            outcome = Some(catch_unwind(AssertUnwindSafe(|| (self.read)(&message))));
        });
        let decoded = match outcome {
            Some(Ok(decoded)) => decoded,
            Some(Err(panic)) => return Verdict::Broken(format!("panic: {}", said(&*panic))),
            None => return Verdict::Broken("it was not tried".to_owned()),
        };
        let most = self.allowance.times * message.len() as u64 + self.allowance.room;
        if counted.bytes_max > most {
            let (asked, given) = (counted.bytes_max, message.len());
            return Verdict::Broken(format!("memory: {asked} bytes asked for, {given} given, at most {most} allowed"));
        }
        let memory = counted.bytes_max * 100 / most.max(1);
        let allocations = (counted.count_total.min(32), counted.bytes_total.checked_ilog2());
        match decoded {
            Err(why) => Verdict::Fine { meant: false, way: way(&why, allocations), memory },
            Ok(check) => match catch_unwind(AssertUnwindSafe(check)) {
                Ok(Ok(())) => Verdict::Fine { meant: true, way: way("", allocations), memory },
                Ok(Err(why)) => Verdict::Broken(format!("meaning: {why}")),
                Err(panic) => Verdict::Broken(format!("panic: {}", said(&*panic))),
            },
        }
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a word").to_owned()
}

/// A reason up to what it quotes, without numbers; and how memory was asked for.
fn way(why: &str, allocations: (u64, Option<u32>)) -> u64 {
    let said = why.bytes().take(80).take_while(|byte| !matches!(byte, b'"' | b'`'));
    let mut words: Vec<u8> = said.filter(|byte| byte.is_ascii_alphabetic() || *byte == b' ').collect();
    words.extend(allocations.0.to_le_bytes());
    words.extend(allocations.1.unwrap_or(0).to_le_bytes());
    xxh3_64(&words)
}
