//! Group commit: what comes while one transaction is under way is done by the next, together. Nothing waits
//! for company: who comes alone is done alone, at once.

use super::Store;
use crate::error::{Error, Result};
use futures::future::BoxFuture;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::time::timeout;

/// The most that one transaction does, in things and in bytes of theirs.
const MOST: usize = 128;
const MOST_BYTES: usize = 8 << 20;

/// For an answer: what waits by then is not done any more.
const LONGEST: Duration = Duration::from_secs(30);

/// What does many things in one transaction: an answer for each, in their order.
type Do<T, R> = fn(Store, Vec<T>) -> BoxFuture<'static, Result<Vec<Result<R>>>>;

/// Those who wait for the next transaction. Clones share everything.
pub(super) struct Group<T, R> {
    queue: Arc<Mutex<VecDeque<Waiting<T, R>>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl<T, R> Clone for Group<T, R> {
    fn clone(&self) -> Group<T, R> {
        Group {
            queue: self.queue.clone(),
            turn: self.turn.clone(),
        }
    }
}

impl<T, R> Default for Group<T, R> {
    fn default() -> Group<T, R> {
        Group {
            queue: Arc::default(),
            turn: Arc::default(),
        }
    }
}

struct Waiting<T, R> {
    thing: T,
    bytes: usize,
    answer: oneshot::Sender<Result<R>>,
}

impl<T: Clone + Send + 'static, R: Send + 'static> Group<T, R> {
    /// Does `thing`, which is of so many bytes, with those that wait as well. Once it is begun, it is done even if
    /// the caller leaves meanwhile.
    pub(super) async fn add(&self, store: &Store, thing: T, bytes: usize, all: Do<T, R>) -> Result<R> {
        let late = |_| Err(failed("the database is not done with what came before"));
        timeout(LONGEST, self.add_to(store, thing, bytes, all))
            .await
            .unwrap_or_else(late)
    }

    async fn add_to(&self, store: &Store, thing: T, bytes: usize, all: Do<T, R>) -> Result<R> {
        let (answer, mut answered) = oneshot::channel();
        let waiting = Waiting { thing, bytes, answer };
        self.lock().push_back(waiting);
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => return answer.unwrap_or_else(|_| Err(failed("its transaction was given up"))),
                turn = self.turn() => {
                    let waiting = self.next();
                    let store = store.clone();
                    // Not a part of the caller, who may leave.
                    tokio::spawn(async move {
                        done(&store, waiting, all).await;
                        drop(turn);
                    });
                }
            }
        }
    }

    /// Until this is dropped, nothing of the group is done.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting<T, R>>> {
        self.queue.lock().expect("no code panics with the lock")
    }

    fn next(&self) -> Vec<Waiting<T, R>> {
        let mut queue = self.lock();
        queue.retain(|waiting| !waiting.answer.is_closed());
        let mut bytes = 0;
        let fits = |waiting: &&Waiting<T, R>| {
            bytes += waiting.bytes;
            bytes <= MOST_BYTES
        };
        // The first one is done whatever its size.
        let count = queue.iter().skip(1).take(MOST - 1).take_while(fits).count() + 1;
        let count = count.min(queue.len());
        queue.drain(..count).collect()
    }
}

async fn done<T: Clone, R>(store: &Store, mut waiting: Vec<Waiting<T, R>>, all: Do<T, R>) {
    let alone = waiting.len() < 2;
    let things = waiting
        .iter()
        .map(|waiting| waiting.thing.clone())
        .collect::<Vec<_>>();
    if things.is_empty() {
        return;
    }
    let error = match all(store.clone(), things).await {
        Ok(answers) => {
            for (waiting, answer) in waiting.into_iter().zip(answers) {
                let _ = waiting.answer.send(answer);
            }
            return;
        }
        Err(error) => error,
    };
    if alone {
        let waiting = waiting.pop().map(|waiting| waiting.answer.send(Err(error)));
        drop(waiting);
    } else if matches!(error, Error::Database(sqlx::Error::Database(_))) {
        // One that the database does not take must not be the others' fault. (That it is away is another error.)
        for one in waiting {
            Box::pin(done(store, vec![one], all)).await;
        }
    } else {
        let text = match &error {
            Error::Database(source) => source.to_string(),
            other => other.to_string(),
        };
        for waiting in waiting {
            let _ = waiting.answer.send(Err(failed(&text)));
        }
    }
}

fn failed(why: &str) -> Error {
    sqlx::Error::Protocol(why.to_owned()).into()
}
