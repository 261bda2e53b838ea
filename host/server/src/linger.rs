//! A connection whose last answer arrives: TCP takes an answer back from a client that still sends what nobody
//! reads, as it does with a body that is too large.

use std::io::Result;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// For a client to notice that its last answer is there.
const LINGER: Duration = Duration::from_secs(30);

/// Once it is shut down, it reads and drops what still comes, for some time.
pub(crate) struct Linger {
    stream: TcpStream,
    until: Option<Pin<Box<Sleep>>>,
}

impl Linger {
    pub(crate) fn new(stream: TcpStream) -> Linger {
        Linger { stream, until: None }
    }
}

impl AsyncRead for Linger {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Linger {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Linger { stream, until } = &mut *self;
        let mut stream = Pin::new(stream);
        let until = match until {
            Some(until) => until,
            None => {
                ready!(stream.as_mut().poll_shutdown(cx))?;
                until.insert(Box::pin(tokio::time::sleep(LINGER)))
            }
        };
        let mut bytes = [std::mem::MaybeUninit::uninit(); 4096];
        loop {
            if until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut dropped = ReadBuf::uninit(&mut bytes);
            ready!(stream.as_mut().poll_read(cx, &mut dropped))?;
            if dropped.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
