//! What a job writes, on its way into the store: gathered for some milliseconds, as text.

use crate::store::{Claimed, Store};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc::{self, error::SendError};
use tokio::time::{Instant, timeout_at};

/// A short job's output is written with its end; who watches a long one sees its first line soon.
const FIRST_WAIT: Duration = Duration::from_millis(1);
/// Between further writes of one job's.
const NEXT_WAIT: Duration = Duration::from_millis(50);
/// Bytes that are not gathered any longer.
const ENOUGH: usize = 64 << 10;

/// A stream's end at the sandbox, where only the thread that writes waits for a store that is slower.
pub(crate) struct Stream {
    name: &'static str,
    sender: mpsc::Sender<Piece>,
    /// There was no room.
    waiting: Option<BoxFuture<'static, Result<mpsc::OwnedPermit<Piece>, SendError<()>>>>,
}

type Piece = (&'static str, Vec<u8>);

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sender = self.sender.clone();
        let waiting = self.waiting.get_or_insert_with(|| sender.reserve_owned().boxed());
        let permit = ready!(waiting.poll_unpin(context));
        self.waiting = None;
        let permit = permit.map_err(|_| io::ErrorKind::BrokenPipe)?;
        permit.send((self.name, bytes.to_owned()));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What is left when a job has ended: from which number on, and what.
pub(crate) struct Rest {
    pub(crate) seq: i64,
    pub(crate) pieces: Vec<(&'static str, String)>,
}

/// Both streams of a job, and who gathers what they carry until both are closed.
pub(crate) fn streams() -> (Stream, Stream, Gatherer) {
    let (sender, receiver) = mpsc::channel(8);
    let stream = |name| Stream {
        name,
        sender: sender.clone(),
        waiting: None,
    };
    (stream("stdout"), stream("stderr"), Gatherer { receiver })
}

pub(crate) struct Gatherer {
    receiver: mpsc::Receiver<Piece>,
}

impl Gatherer {
    pub(crate) async fn gather(mut self, store: &Store, job: &Claimed) -> Rest {
        let mut gathered = Gathered::default();
        let mut seq = 0;
        let mut wait = FIRST_WAIT;
        loop {
            let Some((stream, bytes)) = self.receiver.recv().await else {
                break;
            };
            gathered.add(stream, &bytes);
            let until = Instant::now() + wait;
            while gathered.size < ENOUGH {
                match timeout_at(until, self.receiver.recv()).await {
                    Ok(Some((stream, bytes))) => gathered.add(stream, &bytes),
                    Ok(None) => return gathered.rest(seq),
                    Err(_) => break,
                }
            }
            let pieces = gathered.take();
            match store.append(job, seq, &pieces).await {
                Ok(()) => seq += pieces.len() as i64,
                Err(error) => {
                    tracing::warn!(job = job.id, %error, "output has to wait for the database");
                    gathered.put_back(pieces);
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
            wait = NEXT_WAIT;
        }
        gathered.rest(seq)
    }
}

#[derive(Default)]
struct Gathered {
    pieces: Vec<(&'static str, String)>,
    size: usize,
    /// The beginning of a character, of either stream.
    begun: [Vec<u8>; 2],
}

impl Gathered {
    fn add(&mut self, stream: &'static str, bytes: &[u8]) {
        let begun = &mut self.begun[usize::from(stream == "stderr")];
        begun.extend_from_slice(bytes);
        let whole = begun.len() - unfinished(begun);
        let text = as_text(&begun[..whole]);
        begun.drain(..whole);
        self.push(stream, text);
    }

    fn push(&mut self, stream: &'static str, text: String) {
        self.size += text.len();
        match self.pieces.last_mut() {
            Some((last, before)) if *last == stream && before.len() < ENOUGH => before.push_str(&text),
            _ if text.is_empty() => {}
            _ => self.pieces.push((stream, text)),
        }
    }

    fn take(&mut self) -> Vec<(&'static str, String)> {
        self.size = 0;
        std::mem::take(&mut self.pieces)
    }

    fn put_back(&mut self, pieces: Vec<(&'static str, String)>) {
        for (stream, text) in pieces {
            self.push(stream, text);
        }
    }

    fn rest(mut self, seq: i64) -> Rest {
        for (stream, begun) in ["stdout", "stderr"]
            .into_iter()
            .zip(std::mem::take(&mut self.begun))
        {
            self.push(stream, as_text(&begun));
        }
        let pieces = self.take();
        Rest { seq, pieces }
    }
}

/// How many bytes at the end are the beginning of a character that may still be finished.
fn unfinished(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
        // After a wrong byte the end has to be looked at by itself.
        Err(_) => (1..=3.min(bytes.len()))
            .find(|n| {
                let end = &bytes[bytes.len() - n..];
                end[0] >= 0xc0 && std::str::from_utf8(end).is_err_and(|error| error.error_len().is_none())
            })
            .unwrap_or(0),
        Ok(_) => 0,
    }
}

/// Without NUL, which PostgreSQL's texts cannot have.
fn as_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(parts: &[&[u8]]) -> String {
        let mut gathered = Gathered::default();
        for part in parts {
            gathered.add("stdout", part);
        }
        let pieces = gathered.rest(0).pieces;
        pieces.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn a_character_may_come_in_pieces() {
        let text = "aä€𝄞!";
        for width in 1..5 {
            let parts = text.as_bytes().chunks(width).collect::<Vec<_>>();
            assert_eq!(text_of(&parts), text, "{width}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_and_nothing_waits_for_ever() {
        assert_eq!(text_of(&[b"a\xff\xe2\x82", b"\xac\0b"]), "a\u{fffd}€\u{fffd}b");
        assert_eq!(text_of(&[b"\xe2\x82"]), "\u{fffd}");
        assert_eq!(text_of(&[b"\x80\x80", b"x"]), "\u{fffd}\u{fffd}x");
    }

    #[test]
    fn streams_stay_in_their_order() {
        let mut gathered = Gathered::default();
        for (stream, text) in [("stdout", "a"), ("stdout", "b"), ("stderr", "c"), ("stdout", "d")] {
            gathered.add(stream, text.as_bytes());
        }
        let pieces = gathered.rest(0).pieces;
        let expected = [("stdout", "ab"), ("stderr", "c"), ("stdout", "d")];
        assert_eq!(pieces, expected.map(|(stream, text)| (stream, text.to_owned())));
    }
}
