//! What applications' own values are read from: commands, events, replies and states, in both codecs.

use std::collections::BTreeMap;

use aether_domain::records::PayloadCodec;
use aether_runtime::actor::codec::{decode, encode};
use serde::{Deserialize, Serialize};

use super::{BYTES_MAX, USUAL};
use crate::{Allowance, Decoded, Shape, Target, again};

/// With one of everything that serde knows.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Value {
    flag: bool,
    small: i8,
    large: u128,
    letter: char,
    text: String,
    bytes: Vec<u8>,
    maybe: Option<Box<Value>>,
    table: BTreeMap<String, (u16, i64)>,
    shape: Shaped,
    many: Vec<Shaped>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shaped {
    Point,
    Circle(u32),
    Box { width: u64, height: Option<u64> },
}

pub(super) fn targets() -> Vec<Target> {
    // A length may claim 16 bytes for each byte of 32 KiB here, and serde reserves up to 1 MiB for what is in a sequence.
    let allowance = Allowance { times: 64, room: 3 * 1024 * 1024 };
    let target = |name, allowance, read| Target {
        name,
        shape: Shape::Plain,
        golden: &[],
        allowance,
        bytes_max: BYTES_MAX,
        read,
    };
    vec![
        target("value-binary", allowance, (|bytes| value(PayloadCodec::Binary, bytes)) as fn(&[u8]) -> Decoded),
        target("value-json", USUAL, |bytes| value(PayloadCodec::Json, bytes)),
    ]
}

fn value(codec: PayloadCodec, bytes: &[u8]) -> Decoded {
    let read = move |bytes: &[u8]| decode::<Value>(codec, bytes).map_err(|fault| fault.to_string());
    let value = read(bytes)?;
    let write =
        move |value: &Value| encode(codec, value).map(|bytes| bytes.to_vec()).map_err(|fault| fault.to_string());
    Ok(Box::new(move || again(&value, write, read)))
}
