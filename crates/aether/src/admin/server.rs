//! Listening, within bounds: so many connections, so much patience, and a file that says where.
//!
//! What is served, and to whom, is the pages' business.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::middleware::{self, Next};
use axum::response::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::pages::Pages;
use super::places::{Place, Places};

/// How long a connection may be silent towards its client before it is closed; above every page's own limit.
pub const PATIENCE: Duration = Duration::from_secs(70);

/// How long a connection may take until its first request's head has come, whatever trickles in meanwhile: slow clients give
/// their places back soon.
pub const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// Why pages cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AdminRefused {
    /// The address cannot be had.
    #[error(
        "the admin pages cannot listen on {listen}: {}; end whatever uses that port, or set admin.listen to another \
         address (port 0 takes a free one)",
        cause
    )]
    Listen {
        /// The address asked for.
        listen: SocketAddr,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The announcement cannot be written.
    #[error(
        "the admin URL cannot be written to {}: {}; create the folder, make it writable, or set admin.announce to \
         another file",
        path.display(), cause
    )]
    Announce {
        /// The file asked for.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// An address that is ours, with nothing served there yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Takes the address.
    ///
    /// # Errors
    /// [`AdminRefused::Listen`] if it is taken or not this machine's.
    pub async fn bind(listen: SocketAddr) -> Result<Self, AdminRefused> {
        let refused = |cause| AdminRefused::Listen { listen, cause };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "the admin pages can be read from other machines: they show topology, not payloads");
        }
        Ok(Self { listener, address })
    }

    /// Where the pages will be, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until `stop`. Call it from a task of its own; a failing connection ends alone.
    pub async fn serve(self, pages: Pages, stop: CancellationToken) {
        let places = Places::new();
        let router = pages.into_router().layer(middleware::from_fn_with_state(places.clone(), keep_none_while_scarce));
        let listener = Bounded { inner: self.listener, places };
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "the admin pages are served no more");
        }
    }
}

/// Lets a connection end with its answer while others wait for its place.
async fn keep_none_while_scarce(State(places): State<Places>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if places.are_scarce() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What these pages answer to the bytes of one connection, until they have had nothing to say for `patience`.
///
/// In memory, on the caller's own thread: for tests, with a paused clock.
#[cfg(feature = "test-kit")]
pub async fn converse(pages: Pages, said: &[u8], patience: Duration) -> Vec<u8> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    struct Once(Option<DuplexStream>);

    impl axum::serve::Listener for Once {
        type Io = DuplexStream;
        type Addr = ();
        async fn accept(&mut self) -> (DuplexStream, ()) {
            match self.0.take() {
                Some(connection) => (connection, ()),
                None => std::future::pending().await,
            }
        }
        fn local_addr(&self) -> io::Result<()> {
            Ok(())
        }
    }

    let (ours, theirs) = tokio::io::duplex(16 * 1024);
    let (mut hear, mut say) = tokio::io::split(ours);
    let mut heard = Vec::new();
    let talk = async {
        // Whoever has hung up does not want to hear the rest.
        let saying = async { drop(say.write_all(said).await) };
        let hearing =
            async { while let Ok(Ok(1..)) = tokio::time::timeout(patience, hear.read_buf(&mut heard)).await {} };
        tokio::join!(saying, hearing)
    };
    tokio::select! {
        _ = async { axum::serve(Once(Some(theirs)), pages.into_router()).await } => {}
        _ = talk => {}
    }
    heard
}

/// Writes one URL a line to `path`, whole or not at all.
///
/// # Errors
/// [`AdminRefused::Announce`] if the folder is missing or cannot be written.
pub fn announce(path: &Path, urls: &[String]) -> Result<(), AdminRefused> {
    let refused = |cause| AdminRefused::Announce { path: path.to_path_buf(), cause };
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    std::fs::write(&beside, urls.join("\n") + "\n").map_err(refused)?;
    std::fs::rename(&beside, path).map_err(|cause| {
        // The rename's failure is what is reported; a leftover beside it is only untidy.
        drop(std::fs::remove_file(&beside));
        refused(cause)
    })
}

struct Bounded {
    inner: TcpListener,
    places: Places,
}

impl axum::serve::Listener for Bounded {
    type Io = Patient;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Patient, SocketAddr) {
        let (stream, address) = axum::serve::Listener::accept(&mut self.inner).await;
        let place = self.places.take().await;
        let left = Box::pin(sleep(HEAD_PATIENCE));
        (Patient { stream, left, head: Head::default(), place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// How far a request's head has come. Empty lines before it are none of it, as whoever reads it here has it.
#[derive(Debug, Default)]
struct Head {
    begun: bool,
    /// How many bytes of its end, an empty line, have been read in a row; all of them once it has ended.
    end: usize,
}

impl Head {
    const END: &[u8] = b"\r\n\r\n";

    fn has_ended(&self) -> bool {
        self.end == Self::END.len()
    }

    /// Takes the next bytes; answers whether the head ends among them.
    fn ends_in(&mut self, bytes: &[u8]) -> bool {
        if self.has_ended() {
            return false;
        }
        for byte in bytes {
            self.begun |= !matches!(byte, b'\r' | b'\n');
            if !self.begun {
                continue;
            }
            let goes_on = *byte == Self::END[self.end];
            self.end = if goes_on { self.end + 1 } else { usize::from(*byte == Self::END[0]) };
            if self.has_ended() {
                return true;
            }
        }
        false
    }
}

/// A connection that ends when its first request's head does not come within [`HEAD_PATIENCE`], or nothing has been written to it
/// for [`PATIENCE`], whatever trickles in; and when its place is needed before that head has come.
struct Patient {
    stream: TcpStream,
    left: Pin<Box<Sleep>>,
    head: Head,
    place: Place,
}

impl Patient {
    fn wrote(&mut self) {
        self.left.set(sleep(PATIENCE));
    }
}

impl AsyncRead for Patient {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.left.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = into.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, into);
        if this.head.ends_in(&into.filled()[before..]) {
            this.place.has_spoken();
            this.left.set(sleep(PATIENCE));
        }
        // Only where nothing has come: what was said and not read yet is no silence.
        if read.is_pending() && !this.head.has_ended() && this.place.is_needed(context) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        read
    }
}

impl AsyncWrite for Patient {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        if written.is_ready() {
            this.wrote();
        }
        written
    }
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_its_first_empty_line_however_it_comes() {
        for (text, ends) in [
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", true),
            ("a\r\r\n\r\n", true),
            ("a\r\n\r\r\n\r\n", true),
            ("\r\n\r\n", false),
            ("\r\n\r\n\r\n\r\na\r\n", false),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", true),
            ("a\r\n\r", false),
            ("a\n\n", false),
            ("", false),
        ] {
            assert_eq!(Head::default().ends_in(text.as_bytes()), ends, "{text:?}");
            let mut head = Head::default();
            let ended = text.bytes().filter(|byte| head.ends_in(&[*byte])).count();
            assert_eq!(ended, usize::from(ends), "{text:?}, byte by byte");
            assert!(!ends || !head.ends_in(b"\r\n\r\n"), "{text:?}: a head ends once");
        }
    }
}
