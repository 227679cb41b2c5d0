//! What makes the histories of kinds readable to people: their types, where a program knows them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use aether_domain::Version;
use aether_domain::records::{EventRecord, PayloadCodec, StoredCommit};
use aether_runtime::actor::{Actor, CodecError, Event as _, Upcast};
use serde_json::Value;

/// The kinds whose events and states this program can read.
///
/// `aether actor history` shows events that are JSON as they are, whatever their kind. Events that are binary, and the state at
/// a version, take the kind's type. A program of an application's own is the `aether` program with its kinds:
///
/// ```no_run
/// use aether::demo::bank::Account;
/// use aether::program::{Readers, main_with};
///
/// fn main() -> std::process::ExitCode {
///     main_with(Readers::none().with::<Account>())
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Readers {
    kinds: BTreeMap<&'static str, Reader>,
}

#[derive(Clone, Copy, Debug)]
struct Reader {
    event: fn(PayloadCodec, &EventRecord) -> Result<Value, String>,
    state: fn(&[StoredCommit], Version) -> Result<Value, String>,
}

impl Readers {
    /// Of no kind.
    pub fn none() -> Self {
        Self::default()
    }

    /// Of that kind too.
    #[must_use]
    pub fn with<A: Actor>(mut self) -> Self {
        self.kinds.insert(A::KIND, Reader { event: event::<A>, state: state::<A> });
        self
    }

    /// An event as JSON, in the present shape; nothing if the kind is not known.
    pub(super) fn event(&self, kind: &str, codec: PayloadCodec, event: &EventRecord) -> Option<Result<Value, String>> {
        Some((self.kinds.get(kind)?.event)(codec, event))
    }

    /// The state after that many events of a whole history, as JSON; nothing if the kind is not known.
    pub(super) fn state(&self, kind: &str, commits: &[StoredCommit], at: Version) -> Option<Result<Value, String>> {
        Some((self.kinds.get(kind)?.state)(commits, at))
    }
}

fn read<A: Actor>(codec: PayloadCodec, stored: &EventRecord) -> Result<A::Event, String> {
    let (found, known) = (stored.schema, A::Event::VERSION);
    if found > known {
        return Err(format!("an event of version {found} is newer than this program, which knows {known}"));
    }
    A::Event::upcast(Upcast::new(found, codec, &stored.payload)).map_err(|fault: CodecError| fault.to_string())
}

fn event<A: Actor>(codec: PayloadCodec, stored: &EventRecord) -> Result<Value, String> {
    serde_json::to_value(read::<A>(codec, stored)?).map_err(|fault| fault.to_string())
}

fn state<A: Actor>(commits: &[StoredCommit], at: Version) -> Result<Value, String> {
    let events =
        commits.iter().flat_map(|commit| commit.record.events.iter().map(|event| (commit.record.codec, event)));
    let mut state = A::default();
    for ((codec, stored), version) in events.zip(1_u64..=at.0) {
        let event = read::<A>(codec, stored).map_err(|fault| format!("event {version}: {fault}"))?;
        // What users write may panic.
        let applied = catch_unwind(AssertUnwindSafe(|| state.apply(&event)));
        applied.map_err(|_| format!("event {version} makes the actor panic"))?;
    }
    serde_json::to_value(state).map_err(|fault| format!("the state is no JSON: {fault}"))
}
