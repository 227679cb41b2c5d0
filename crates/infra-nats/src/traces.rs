//! What traces commands, in headers beside the messages that carry these: nothing is decided by it, and whatever cannot be
//! understood there is as if it were not there.

use std::sync::Arc;

use aether_domain::ports::{Frame, Traced};
use aether_domain::{CommandId, Incarnation, TraceParent};
use async_nats::HeaderMap;

/// W3C Trace Context's own header, of a client's request.
const TRACEPARENT: &str = "traceparent";

/// The same between nodes, where one message has many commands: one value for each that is traced, `ORIGIN.SEQUENCE TRACEPARENT`.
const TRACES: &str = "Aether-Traces";

/// The most commands of one message that are traced; more are not.
const TRACES_MAX: usize = 64;

/// The most bytes of a value: two numbers, their signs, a traceparent.
const VALUE_BYTES_MAX: usize = 20 + 1 + 20 + 1 + TraceParent::TEXT_BYTES;

/// What a client's request carries.
pub(crate) fn one(trace: TraceParent) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(TRACEPARENT, trace.to_string());
    headers
}

/// What traces a client's request.
pub(crate) fn of(headers: Option<&HeaderMap>) -> Traced {
    headers?.get(TRACEPARENT)?.as_str().parse().ok().map(Box::new)
}

/// What traces the commands among `frames`; nothing if none of them is traced.
pub(crate) fn behind(frames: &[Frame]) -> Option<HeaderMap> {
    let traced = frames.iter().filter_map(|frame| match frame {
        Frame::Ask(ask) => ask.request.trace.as_ref().map(|trace| (ask.id, trace)),
        _ => None,
    });
    let mut headers: Option<HeaderMap> = None;
    for (id, trace) in traced.take(TRACES_MAX) {
        headers.get_or_insert_with(HeaderMap::new).append(TRACES, written(id, **trace));
    }
    headers
}

/// How many bytes of a message they take, nearly: never less.
pub(crate) fn bytes(headers: Option<&HeaderMap>) -> usize {
    const FRAME_BYTES: usize = 32;
    headers.map_or(0, |headers| {
        FRAME_BYTES + headers.get_all(TRACES).count() * (TRACES.len() + ": ".len() + VALUE_BYTES_MAX + "\r\n".len())
    })
}

/// Gives the commands among `frames` what traces them.
pub(crate) fn give(headers: Option<&HeaderMap>, frames: &mut [Frame]) {
    let Some(headers) = headers else { return };
    for value in headers.get_all(TRACES).take(TRACES_MAX) {
        let Some((of, trace)) = read(value.as_str()) else { continue };
        for frame in &mut *frames {
            if let Frame::Ask(ask) = frame
                && ask.id == of
            {
                Arc::make_mut(&mut ask.request).trace = Some(Box::new(trace));
            }
        }
    }
}

/// One value.
pub(crate) fn written(of: CommandId, trace: TraceParent) -> String {
    format!("{}.{} {trace}", of.origin.0, of.sequence)
}

/// What one value says.
pub(crate) fn read(value: &str) -> Option<(CommandId, TraceParent)> {
    let (of, trace) = value.split_once(' ').filter(|_| value.len() <= VALUE_BYTES_MAX)?;
    let (origin, sequence) = of.split_once('.')?;
    let id = CommandId { origin: Incarnation(origin.parse().ok()?), sequence: sequence.parse().ok()? };
    Some((id, trace.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use aether_domain::ports::{AskFrame, Request};

    use crate::wire::v1::tests::samples::ask;

    use super::*;

    fn parent(span: u64) -> TraceParent {
        TraceParent::new(7, span, 1).expect("not 0")
    }

    fn asks(traced: impl IntoIterator<Item = bool>) -> Vec<Frame> {
        let asks = traced.into_iter().zip(1..).map(|(traced, sequence)| {
            let trace = traced.then(|| Box::new(parent(sequence)));
            let id = CommandId { origin: Incarnation(u64::MAX), sequence };
            let request = Request { trace, ..Request::clone(&ask().request) };
            Frame::Ask(AskFrame { id, request: request.into(), ..ask() })
        });
        asks.collect()
    }

    fn without(frames: &[Frame]) -> Vec<Frame> {
        asks(frames.iter().map(|_| false))
    }

    #[test]
    fn whoever_is_traced_is_so_at_the_other_end_and_nobody_else() {
        assert!(behind(&asks([false, false])).is_none());
        let sent = asks([true, false, true]);
        let (headers, mut arrived) = (behind(&sent), without(&sent));
        give(headers.as_ref(), &mut arrived);
        assert_eq!(arrived, sent);
        assert_eq!(of(Some(&one(parent(9)))), Some(Box::new(parent(9))));
        assert_eq!(of(headers.as_ref()), None);
    }

    #[test]
    fn no_more_are_traced_than_may_be_and_room_is_kept_for_them() {
        let sent = asks([true; TRACES_MAX + 5]);
        let headers = behind(&sent).expect("they are traced");
        assert_eq!(headers.get_all(TRACES).count(), TRACES_MAX);
        let value_bytes: usize = headers.get_all(TRACES).map(|value| TRACES.len() + 4 + value.as_str().len()).sum();
        assert!(bytes(Some(&headers)) >= "NATS/1.0\r\n\r\n".len() + value_bytes);
        let mut many = headers.clone();
        for _ in 0..1_000 {
            many.append(TRACES, "1.1 00-00000000000000000000000000000007-0000000000000001-01");
        }
        let mut arrived = without(&sent);
        give(Some(&many), &mut arrived);
        assert_eq!(arrived[..TRACES_MAX], sent[..TRACES_MAX]);
    }

    #[test]
    fn what_cannot_be_understood_is_as_if_it_were_not_there() {
        let good = parent(1).to_string();
        for value in [
            String::new(),
            good.clone(),
            format!("1 {good}"),
            format!("{}.1  {good}", u64::MAX),
            format!("{}.1 {good}-", u64::MAX),
            format!("{}.1 {}", u64::MAX, good.to_uppercase().replace('7', "x")),
            format!("{}9.1 {good}", u64::MAX),
            format!("{}.1 {good}{}", u64::MAX, "0".repeat(4_096)),
        ] {
            let (mut headers, mut frames) = (HeaderMap::new(), asks([false, false]));
            headers.append(TRACES, value.clone());
            headers.insert(TRACEPARENT, value.clone());
            give(Some(&headers), &mut frames);
            assert_eq!(frames, asks([false, false]), "{value}");
            assert!(value == good || of(Some(&headers)).is_none(), "{value}");
        }
    }
}
