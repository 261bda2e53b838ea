//! A connection whose last answer arrives: TCP takes an answer back from a client that still sends what nobody
//! reads, as it does with a body that is too large.

use std::io::{ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// For a client to notice that its last answer is there.
const LINGER: Duration = Duration::from_secs(30);

/// Fails when nothing of an answer can be sent for some time; once it is shut down, reads and drops what still comes.
pub(crate) struct Linger {
    stream: TcpStream,
    until: Option<Pin<Box<Sleep>>>,
    /// For so long nothing may be taken.
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Linger {
    pub(crate) fn new(stream: TcpStream, patience: Duration) -> Linger {
        Linger {
            stream,
            until: None,
            patience,
            stalled: None,
        }
    }

    fn sent<T>(&mut self, cx: &mut Context<'_>, sent: Poll<Result<T>>) -> Poll<Result<T>> {
        if sent.is_ready() {
            self.stalled = None;
            return sent;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Linger {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Linger {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.sent(cx, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.sent(cx, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Linger { stream, until, .. } = &mut *self;
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

#[cfg(test)]
mod tests {
    use super::Linger;
    use std::io::ErrorKind;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// Two ends of a connection, of which the server's waits for so long.
    async fn connection(patience: Duration) -> (TcpStream, Linger) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, Linger::new(listener.accept().await.unwrap().0, patience))
    }

    #[tokio::test]
    async fn who_reads_nothing_of_its_answer_is_not_waited_for_for_ever() {
        let (_client, mut server) = connection(Duration::from_millis(300)).await;
        let error = server.write_all(&vec![0; 64 << 20]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_reads_is_sent_all_of_its_answer() {
        let (mut client, mut server) = connection(Duration::from_secs(60)).await;
        let sending = tokio::spawn(async move { server.write_all(&vec![0; 64 << 20]).await });
        client.read_exact(&mut vec![0; 64 << 20]).await.unwrap();
        sending.await.unwrap().unwrap();
    }
}
