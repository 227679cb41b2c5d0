//! What becomes of one command as spans that others collect: ask, route, execute, append.
//!
//! Only with the feature `otel`. A span is made where somebody collects spans (`tracing-opentelemetry`'s layer) and, for a
//! command that came from elsewhere, where its trace is recorded. Without the feature nothing here costs anything; what came
//! with a command is handed on all the same.

use std::future::Future;

use aether_domain::ActorKind;
use aether_domain::ports::Traced;

#[cfg(not(feature = "otel"))]
use self::without as made;

/// One step of a command, which lasts until this is dropped.
#[derive(Debug)]
pub struct Step(made::Span);

impl Step {
    /// A caller asks the command of that name of an actor of that kind: part of whatever the caller is in.
    pub fn ask(kind: &str, command: &str) -> Self {
        Self(made::ask(kind, command))
    }

    /// A node takes a client's request and finds out where it belongs.
    pub(crate) fn route(from: &Traced, kind: &str, command: &str) -> Self {
        Self(made::route(from, kind, command))
    }

    /// An actor's node has the command until it is answered.
    pub(crate) fn execute(from: &Traced, kind: &ActorKind, command: &str) -> Self {
        Self(made::execute(from, kind, command))
    }

    /// The store has a record with what came of it, and perhaps of others.
    pub(crate) fn append(from: &Traced, kind: &ActorKind, commands: usize) -> Self {
        Self(made::append(from, kind, commands))
    }

    /// Whether somebody collects it.
    pub(crate) fn is_seen(&self) -> bool {
        made::is_seen(&self.0)
    }

    /// What comes behind it, wherever that is, is told this: otherwise what it was told itself.
    pub fn told(&self, otherwise: Traced) -> Traced {
        made::told(&self.0).or(otherwise)
    }

    /// It is over.
    pub(crate) fn end(self) {
        made::end(self.0);
    }

    /// Whatever `future` does is part of it, and it ends with that.
    pub fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> + use<F> {
        made::around(self.0, future)
    }
}

#[cfg(feature = "otel")]
mod made {
    use std::future::Future;

    use aether_domain::ports::Traced;
    use aether_domain::{ActorKind, TraceParent};
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
    use tracing::Instrument as _;
    pub(super) use tracing::Span;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    pub(super) fn ask(kind: &str, command: &str) -> Span {
        tracing::info_span!(target: "aether::trace", "ask", otel.kind = "client", aether.kind = kind, aether.command = command)
    }

    pub(super) fn route(from: &Traced, kind: &str, command: &str) -> Span {
        behind(from, || {
            tracing::info_span!(
                target: "aether::trace", parent: None, "route",
                otel.kind = "server", aether.kind = kind, aether.command = command
            )
        })
    }

    pub(super) fn execute(from: &Traced, kind: &ActorKind, command: &str) -> Span {
        behind(from, || {
            tracing::info_span!(
                target: "aether::trace", parent: None, "execute",
                otel.kind = "server", aether.kind = kind.as_str(), aether.command = command
            )
        })
    }

    pub(super) fn append(from: &Traced, kind: &ActorKind, commands: usize) -> Span {
        behind(from, || {
            tracing::info_span!(
                target: "aether::trace", parent: None, "append",
                otel.kind = "client", aether.kind = kind.as_str(), aether.commands = commands
            )
        })
    }

    /// A span of a trace that is recorded.
    fn behind(from: &Traced, make: impl FnOnce() -> Span) -> Span {
        let Some(from) = from.as_deref().filter(|from| from.is_sampled()) else { return Span::none() };
        let span = make();
        let parent = SpanContext::new(
            TraceId::from_bytes(from.trace().to_be_bytes()),
            SpanId::from_bytes(from.span().to_be_bytes()),
            TraceFlags::new(from.flags()),
            true,
            TraceState::NONE,
        );
        // Where nobody collects spans it is not to be had.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent));
        span
    }

    pub(super) fn is_seen(span: &Span) -> bool {
        !span.is_disabled()
    }

    pub(super) fn told(span: &Span) -> Traced {
        if span.is_disabled() {
            return None;
        }
        let context = span.context();
        let span = context.span();
        let here = span.span_context();
        let (trace, id) =
            (u128::from_be_bytes(here.trace_id().to_bytes()), u64::from_be_bytes(here.span_id().to_bytes()));
        TraceParent::new(trace, id, here.trace_flags().to_u8()).map(Box::new)
    }

    pub(super) fn end(span: Span) {
        drop(span);
    }

    pub(super) fn around<F: Future>(span: Span, future: F) -> tracing::instrument::Instrumented<F> {
        future.instrument(span)
    }
}

#[cfg(not(feature = "otel"))]
mod without {
    use std::future::Future;

    use aether_domain::ActorKind;
    use aether_domain::ports::Traced;

    /// None.
    #[derive(Debug)]
    pub(super) struct Span;

    pub(super) fn ask(_: &str, _: &str) -> Span {
        Span
    }
    pub(super) fn route(_: &Traced, _: &str, _: &str) -> Span {
        Span
    }
    pub(super) fn execute(_: &Traced, _: &ActorKind, _: &str) -> Span {
        Span
    }
    pub(super) fn append(_: &Traced, _: &ActorKind, _: usize) -> Span {
        Span
    }
    pub(super) fn is_seen(_: &Span) -> bool {
        false
    }
    pub(super) fn told(_: &Span) -> Traced {
        None
    }
    pub(super) fn end(_: Span) {}
    pub(super) fn around<F: Future>(_: Span, future: F) -> F {
        future
    }
}
