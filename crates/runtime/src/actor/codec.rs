//! How commands, replies, rejections and events become bytes: JSON text, or the bincode 2 standard format.
//!
//! The only module that touches bincode. Both formats refuse trailing bytes and anything over a bound, so that bytes
//! from outside cannot make this process allocate more than a small multiple of their own size.

use std::cell::Cell;

use aether_domain::ports::SNAPSHOT_BYTES_MAX;
use aether_domain::records::PayloadCodec;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes one encoded value may have: 1 MiB.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// Room that a value is written into first is kept by its thread up to this size, and given back beyond it.
const ROOM_KEPT_BYTES: usize = 16 * 1024;

thread_local! {
    /// Where values are written before as much memory as they take is allotted to them. Taken while it is used: what users
    /// write may encode something on its way.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// How much memory one byte may claim, which is what bincode's limit counts: a small `u128` takes 16.
const MEMORY_A_BYTE: usize = 16;

/// Why a value did not become bytes, or bytes did not become a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The value cannot be written in that format, or is over the bound.
    #[error("cannot be encoded: {reason}")]
    Encode {
        /// What the format says.
        reason: String,
    },
    /// The bytes are not such a value, have others behind them, or are over the bound.
    #[error("cannot be decoded: {reason}")]
    Decode {
        /// What the format says.
        reason: String,
    },
}

fn too_large(bytes: usize, bytes_max: usize) -> String {
    format!("{bytes} bytes exceed the bound of {bytes_max}")
}

/// The bytes of a value.
///
/// # Errors
/// [`CodecError::Encode`] if the format cannot carry it or it exceeds [`VALUE_BYTES_MAX`].
pub fn encode<T: Serialize>(codec: PayloadCodec, value: &T) -> Result<Bytes, CodecError> {
    let mut room = ROOM.try_with(Cell::take).unwrap_or_default();
    let encoded = encode_into(&mut room, codec, value, VALUE_BYTES_MAX);
    if room.capacity() > ROOM_KEPT_BYTES {
        return encoded.map(|()| room.into());
    }
    let encoded = encoded.map(|()| Bytes::copy_from_slice(&room));
    room.clear();
    // A thread that ends keeps nothing.
    let _ = ROOM.try_with(|kept| kept.set(room));
    encoded
}

/// The bytes of an actor's state, at most [`SNAPSHOT_BYTES_MAX`], written into room for so many.
pub(crate) fn encode_state<T: Serialize>(codec: PayloadCodec, state: &T, room: usize) -> Result<Bytes, CodecError> {
    let mut bytes = Vec::with_capacity(room.min(SNAPSHOT_BYTES_MAX));
    encode_into(&mut bytes, codec, state, SNAPSHOT_BYTES_MAX)?;
    Ok(bytes.into())
}

fn encode_into<T: Serialize>(
    bytes: &mut Vec<u8>,
    codec: PayloadCodec,
    value: &T,
    bytes_max: usize,
) -> Result<(), CodecError> {
    let written = match codec {
        PayloadCodec::Json => serde_json::to_writer(&mut *bytes, value).map_err(|fault| fault.to_string()),
        PayloadCodec::Binary => {
            let written = bincode::serde::encode_into_std_write(value, bytes, bincode::config::standard());
            written.map(drop).map_err(|fault| fault.to_string())
        }
    };
    match written {
        Ok(()) if bytes.len() > bytes_max => Err(CodecError::Encode { reason: too_large(bytes.len(), bytes_max) }),
        Ok(()) => Ok(()),
        Err(reason) => Err(CodecError::Encode { reason }),
    }
}

/// The value of all these bytes.
///
/// # Errors
/// [`CodecError::Decode`] if they are not exactly one such value, or exceed [`VALUE_BYTES_MAX`].
pub fn decode<T: DeserializeOwned>(codec: PayloadCodec, bytes: &[u8]) -> Result<T, CodecError> {
    decode_within::<T, { MEMORY_A_BYTE * VALUE_BYTES_MAX }>(codec, bytes)
}

/// The state of all these bytes, at most [`SNAPSHOT_BYTES_MAX`].
pub(crate) fn decode_state<T: DeserializeOwned>(codec: PayloadCodec, bytes: &[u8]) -> Result<T, CodecError> {
    decode_within::<T, { MEMORY_A_BYTE * SNAPSHOT_BYTES_MAX }>(codec, bytes)
}

fn decode_within<T: DeserializeOwned, const MEMORY_BYTES_MAX: usize>(
    codec: PayloadCodec,
    bytes: &[u8],
) -> Result<T, CodecError> {
    let refuse = |reason| Err(CodecError::Decode { reason });
    let bytes_max = MEMORY_BYTES_MAX / MEMORY_A_BYTE;
    if bytes.len() > bytes_max {
        return refuse(too_large(bytes.len(), bytes_max));
    }
    match codec {
        PayloadCodec::Json => serde_json::from_slice(bytes).or_else(|fault| refuse(fault.to_string())),
        PayloadCodec::Binary => {
            // A length that lies claims no more than what it stands in pays for.
            let read = if bytes.len() <= SMALL {
                decode_binary::<T, { MEMORY_A_BYTE * SMALL }>(bytes)
            } else if bytes.len() <= MIDDLE {
                decode_binary::<T, { MEMORY_A_BYTE * MIDDLE }>(bytes)
            } else {
                decode_binary::<T, MEMORY_BYTES_MAX>(bytes)
            };
            match read {
                Ok((value, read)) if read == bytes.len() => Ok(value),
                Ok((_, read)) => refuse(format!("{} bytes behind the value", bytes.len() - read)),
                Err(fault) => refuse(fault.to_string()),
            }
        }
    }
}

/// Values are read by their size, since what one may claim is part of the format's type.
const SMALL: usize = 1024;
const MIDDLE: usize = 32 * SMALL;

fn decode_binary<T: DeserializeOwned, const MEMORY_BYTES_MAX: usize>(
    bytes: &[u8],
) -> Result<(T, usize), bincode::error::DecodeError> {
    bincode::serde::decode_from_slice(bytes, bincode::config::standard().with_limit::<MEMORY_BYTES_MAX>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [PayloadCodec; 2] = [PayloadCodec::Json, PayloadCodec::Binary];

    #[test]
    fn a_value_is_read_as_it_was_written() {
        for codec in BOTH {
            let value = (7u64, "ü".to_string(), vec![Some(-1i32), None]);
            let bytes = encode(codec, &value).expect("it encodes");
            assert_eq!(decode::<(u64, String, Vec<Option<i32>>)>(codec, &bytes), Ok(value));
        }
    }

    #[test]
    fn values_that_encode_others_or_panic_or_are_refused_leave_nothing_in_what_is_written_next() {
        struct Within(u64);
        impl Serialize for Within {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let inner = encode(PayloadCodec::Binary, &self.0).map_err(serde::ser::Error::custom)?;
                let done = serializer.serialize_bytes(&inner);
                assert_ne!(self.0, 7, "seven panics once it is written");
                if self.0 == 9 { Err(serde::ser::Error::custom("nine is refused")) } else { done }
            }
        }
        for codec in BOTH {
            assert!(std::panic::catch_unwind(|| encode(codec, &Within(7))).is_err());
            assert!(encode(codec, &Within(9)).is_err());
            let bytes = encode(codec, &Within(200)).expect("it encodes");
            assert_eq!(decode::<Vec<u8>>(codec, &bytes), Ok(vec![200]), "{codec:?}");
        }
    }

    #[test]
    fn the_binary_format_is_frozen() {
        let bytes = encode(PayloadCodec::Binary, &(300u64, "ab", Some(-1i8))).expect("it encodes");
        assert_eq!(&bytes[..], [251, 44, 1, 2, b'a', b'b', 1, 255]);
    }

    #[test]
    fn bytes_behind_the_value_are_refused() {
        for codec in BOTH {
            let mut bytes = encode(codec, &7u64).expect("it encodes").to_vec();
            bytes.push(b',');
            assert!(decode::<u64>(codec, &bytes).is_err(), "{codec:?} took {bytes:?}");
        }
    }

    #[test]
    fn a_length_that_lies_allocates_nothing() {
        let claims = [253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(decode::<Vec<u64>>(PayloadCodec::Binary, &claims).is_err());
        assert!(decode::<String>(PayloadCodec::Binary, &claims).is_err());
    }

    #[test]
    fn many_small_numbers_are_read_back_though_they_are_larger_in_memory() {
        let numbers = vec![1_u128; VALUE_BYTES_MAX - 8];
        let bytes = encode(PayloadCodec::Binary, &numbers).expect("a byte each");
        assert_eq!(decode::<Vec<u128>>(PayloadCodec::Binary, &bytes).map(|read| read.len()), Ok(numbers.len()));
    }

    #[test]
    fn values_of_every_size_are_read_back_though_each_byte_claims_as_much_as_it_can() {
        for count in [1, 100, SMALL - 2, SMALL, SMALL + 9, MIDDLE - 3, MIDDLE, MIDDLE + 9] {
            let numbers = vec![1_u128; count];
            let bytes = encode(PayloadCodec::Binary, &numbers).expect("it fits");
            assert_eq!(decode(PayloadCodec::Binary, &bytes), Ok(numbers), "{count}");
        }
    }

    #[test]
    fn what_exceeds_the_bound_is_refused_both_ways() {
        let large = "x".repeat(VALUE_BYTES_MAX + 1);
        for codec in BOTH {
            assert!(matches!(encode(codec, &large), Err(CodecError::Encode { .. })));
            assert!(matches!(decode::<String>(codec, large.as_bytes()), Err(CodecError::Decode { .. })));
        }
    }
}
