//! A stream of server-sent events, line by line. It knows nothing of connections.

use std::io::{self, BufRead, Read};

/// The most bytes of one line, and of what one event says in all its lines: the largest entry of the log, in JSON, is far
/// below it.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// What to resume behind, if anything was said since the stream began.
    pub id: Option<String>,
    /// Its type; empty if none was said.
    pub event: String,
    /// What it says.
    pub data: String,
}

/// The next event of the stream; nothing once it has ended.
///
/// # Errors
/// It cannot be read on, or a line is longer than any event is, or an event is.
pub fn next(stream: &mut impl BufRead) -> io::Result<Option<Message>> {
    let (mut message, mut data): (Message, Option<String>) = (Message::default(), None);
    loop {
        let mut line = Vec::new();
        let read = stream.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        if line.pop() != Some(b'\n') {
            // Cut off in the middle, or too long: what is known of it must not be taken for the whole.
            return if (read as u64) < LINE_BYTES_MAX { Ok(None) } else { Err(io::ErrorKind::InvalidData.into()) };
        }
        let line = String::from_utf8(line).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let line = line.strip_suffix('\r').unwrap_or(&line);
        if line.is_empty() {
            if let Some(data) = data {
                message.data = data;
                return Ok(Some(message));
            }
            message.event.clear();
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => message.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut message.event),
            "data" => data = Some(joined(data, value)?),
            // A comment keeps the connection alive; anything else is not known.
            _ => {}
        }
    }
}

/// What an event says with one line more.
fn joined(before: Option<String>, line: &str) -> io::Result<String> {
    let Some(mut all) = before else { return Ok(line.to_owned()) };
    if (all.len() + 1 + line.len()) as u64 > LINE_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    all.push('\n');
    all.push_str(line);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(Option<String>, String, String)> {
        let mut stream = text.as_bytes();
        let mut all = Vec::new();
        while let Some(Message { id, event, data }) = next(&mut stream).expect("readable") {
            all.push((id, event, data));
        }
        all
    }

    #[test]
    fn events_are_told_whole_with_their_ids_and_comments_are_passed_over() {
        let text =
            ":\n\nid: 7\nevent: topology\ndata: {\"a\":1}\n\n: alive\n\nid:8\r\ndata:x\r\ndata: y\r\n\r\nretry: 5\n\n";
        assert_eq!(
            all(text),
            [
                (Some("7".into()), "topology".into(), "{\"a\":1}".into()),
                (Some("8".into()), String::new(), "x\ny".into())
            ]
        );
    }

    #[test]
    fn what_was_cut_off_is_not_told() {
        for text in ["", "id: 7", "id: 7\ndata: {\"a\":", "id: 7\ndata: {}\n"] {
            assert_eq!(all(text), [], "{text:?}");
        }
    }

    #[test]
    fn an_event_whose_lines_do_not_end_is_given_up_and_comments_are_not_counted() {
        let line = format!("data: {}\n", "x".repeat(1 << 20));
        let comment = format!(": {}\n", "x".repeat(1 << 20));
        let fits = [comment.repeat(20), line.repeat(15), "\n".to_owned()].concat();
        let told = next(&mut fits.as_bytes()).expect("it fits").expect("an event");
        assert_eq!(told.data.len(), 15 * ((1 << 20) + 1) - 1);
        let error = next(&mut line.repeat(17).as_bytes()).expect_err("it is too much");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_line_without_an_end_is_given_up() {
        struct Endless;
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(b'x');
                Ok(buffer.len())
            }
        }
        let error = next(&mut io::BufReader::with_capacity(1 << 20, Endless)).expect_err("it never ends");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
