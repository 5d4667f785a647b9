//! The reading half of a socket, which tells when the other side has first said something.
//!
//! That a connection is made says little: the other side's kernel makes it. It may stand in the queue of a process that is
//! frozen, or of one that ends and will never look at it. An HTTP/2 server speaks first thing (RFC 9113, 3.4).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::oneshot;

/// The reading half of a socket, and who waits for its first bytes.
pub(super) struct Heard {
    stream: OwnedReadHalf,
    first: Option<oneshot::Sender<()>>,
}

impl Heard {
    /// The half, and what resolves when something has come in.
    pub(super) fn new(stream: OwnedReadHalf) -> (Self, oneshot::Receiver<()>) {
        let (first, heard) = oneshot::channel();
        (Self { stream, first: Some(first) }, heard)
    }
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if buffer.filled().len() > before
            && let Some(first) = self.first.take()
        {
            // Nobody waits any more when it took too long.
            let _ = first.send(());
        }
        Poll::Ready(read)
    }
}
