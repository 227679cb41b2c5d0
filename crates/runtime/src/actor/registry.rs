//! The actor kinds a node knows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aether_domain::records::PayloadCodec;
use aether_domain::{ActorKind, InvalidId};
use bytes::Bytes;

use super::codec::CodecError;
use super::erased::{Kind, KindOf};
use super::model::Actor;
use super::settings::Settings;
use crate::message::Payload;

/// Why a kind cannot be registered: a mistake in its definition, or in the program that registers it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// [`Actor::KIND`] is no name.
    #[error("an actor kind has no valid name")]
    Name(#[from] InvalidId),
    /// Two types claim one kind, or one was registered twice.
    #[error("actor kind {kind:?} is registered already")]
    Twice {
        /// Which kind.
        kind: ActorKind,
    },
    /// One of a kind's settings is out of its range.
    #[error("the setting {setting} of actor kind {kind:?} must be {range}")]
    Setting {
        /// Which kind.
        kind: ActorKind,
        /// The field of [`Settings`](super::Settings).
        setting: &'static str,
        /// What it may be.
        range: &'static str,
    },
}

/// The actor kinds a node knows, by name.
#[derive(Clone, Default)]
pub struct KindRegistry {
    kinds: BTreeMap<ActorKind, Arc<dyn Kind>>,
}

impl KindRegistry {
    /// Knows no kind yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the kind of `A`.
    ///
    /// # Errors
    /// [`RegisterError`]; the registry is as before then.
    pub fn register<A: Actor>(&mut self) -> Result<(), RegisterError> {
        self.register_with::<A>(A::settings())
    }

    /// Adds the kind of `A`, run by other settings than its own.
    pub(crate) fn register_with<A: Actor>(&mut self, settings: Settings) -> Result<(), RegisterError> {
        let kind = ActorKind::new(A::KIND)?;
        if let Err((setting, range)) = settings.check() {
            return Err(RegisterError::Setting { kind, setting, range });
        }
        if self.kinds.contains_key(&kind) {
            return Err(RegisterError::Twice { kind });
        }
        self.kinds.insert(kind.clone(), Arc::new(KindOf::<A>::new(kind, settings)));
        Ok(())
    }

    /// The kinds, by name.
    pub fn names(&self) -> impl Iterator<Item = &ActorKind> {
        self.kinds.keys()
    }

    /// A command's bytes in `codec`: what a link sends when the actor turns out to be on another node.
    ///
    /// # Errors
    /// [`CodecError::Encode`] if this node does not know the kind or the command, or the codec cannot carry it.
    pub fn encode_command(
        &self,
        kind: &ActorKind,
        command: &str,
        payload: &Payload,
        codec: PayloadCodec,
    ) -> Result<Bytes, CodecError> {
        let known = self.kinds.get(kind).and_then(|known| Some((known, known.command(command)?)));
        let Some((known, place)) = known else {
            return Err(CodecError::Encode { reason: format!("{kind} with a command {command:?} is not known here") });
        };
        known.encode_command(place, payload, codec)
    }

    /// The kinds themselves, in the order of their names.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &Arc<dyn Kind>> {
        self.kinds.values()
    }

    pub(crate) fn get(&self, kind: &ActorKind) -> Option<&Arc<dyn Kind>> {
        self.kinds.get(kind)
    }
}

impl fmt::Debug for KindRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kinds.keys()).finish()
    }
}
