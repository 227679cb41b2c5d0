//! Stored events and how older shapes of them are read.

#[cfg(doc)]
use aether_domain::records::EventRecord;
use aether_domain::records::PayloadCodec;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{self, CodecError};

/// A fact in an actor's history.
///
/// When the stored shape changes, raise [`Self::VERSION`] and teach [`Self::upcast`] the older shapes: history is never
/// rewritten. An event of a *newer* version than this build knows refuses the actor with a clear error, never a guess.
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The version of the shape this build writes, from 1.
    const VERSION: u32 = 1;

    /// What has happened, by a stable name of at most [`EventRecord::NAME_BYTES_MAX`] bytes: stored beside the event, so that
    /// others can ask for events of that name without being able to read them. Empty, and not stored, unless told: who asks
    /// for events by name is then given none of these.
    fn name(&self) -> &'static str {
        ""
    }

    /// Reads a stored event of any version up to [`Self::VERSION`]. A type with a version above 1 must write its own: the
    /// program does not compile without.
    ///
    /// # Errors
    /// [`CodecError`] if it cannot; the actor is then set aside with that reason.
    fn upcast(stored: Upcast<'_>) -> Result<Self, CodecError> {
        // Only a type that does not write its own comes here.
        const {
            assert!(
                Self::VERSION == 1,
                "this event's VERSION is not 1, and nothing reads its older versions: write `fn upcast` in its `impl Event`"
            );
        }
        if stored.version == Self::VERSION {
            return stored.read();
        }
        let (found, known) = (stored.version, Self::VERSION);
        Err(CodecError::Decode { reason: format!("no upcast from event version {found} to {known}") })
    }
}

/// A stored event, as it was written.
#[derive(Clone, Copy, Debug)]
pub struct Upcast<'a> {
    /// The version it was written at.
    pub version: u32,
    codec: PayloadCodec,
    bytes: &'a [u8],
}

impl<'a> Upcast<'a> {
    /// An event of that version, stored as `bytes`.
    pub fn new(version: u32, codec: PayloadCodec, bytes: &'a [u8]) -> Self {
        Self { version, codec, bytes }
    }
    /// Reads it as the present shape.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are not a `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, CodecError> {
        codec::decode(self.codec, self.bytes)
    }
    /// Reads it as an older shape and converts that.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are not an `Old`.
    pub fn read_as<Old: DeserializeOwned + Into<New>, New>(&self) -> Result<New, CodecError> {
        self.read::<Old>().map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize)]
    enum First {
        Paid { cents: u64 },
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Second {
        Paid { cents: u64, currency: String },
    }
    impl From<First> for Second {
        fn from(First::Paid { cents }: First) -> Self {
            Self::Paid { cents, currency: "EUR".into() }
        }
    }
    impl Event for Second {
        const VERSION: u32 = 2;
        fn upcast(stored: Upcast<'_>) -> Result<Self, CodecError> {
            if stored.version == 1 { stored.read_as::<First, _>() } else { stored.read() }
        }
    }

    #[test]
    fn an_older_shape_is_read_as_the_present_one() {
        for codec in [PayloadCodec::Json, PayloadCodec::Binary] {
            let stored = codec::encode(codec, &First::Paid { cents: 7 }).expect("it encodes");
            let read = Second::upcast(Upcast::new(1, codec, &stored)).expect("it is a first");
            assert_eq!(read, Second::Paid { cents: 7, currency: "EUR".into() });
        }
    }

    #[test]
    fn an_event_without_an_upcast_refuses_other_versions() {
        #[derive(Debug, Serialize, Deserialize)]
        struct Plain;
        impl Event for Plain {}
        let refused = Plain::upcast(Upcast::new(2, PayloadCodec::Json, b"null")).expect_err("it knows only version 1");
        assert!(refused.to_string().contains("from event version 2 to 1"), "{refused}");
    }
}
