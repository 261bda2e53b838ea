//! Connections to the database. Each operation ends within [`LONGEST`], whatever the network does.
//!
//! sqlx has a pool of its own, which asks a connection that comes back whether it is still there: a round trip for
//! each operation, and without an end: behind a network that is cut silently, its place is lost for as long as TCP hopes.

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use sqlx::any::{AnyConnectOptions, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::{
    Any, AnyConnection, ConnectOptions, Connection as _, Either, Error, Execute, Executor, SqlStr, raw_sql,
};
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// For one operation: a connection, and all statements until it comes back. The database's own limits are shorter
/// (`settings` of the pools), so that what is given up here does not go on there.
const LONGEST: Duration = Duration::from_secs(15);
/// For a connection to show that it is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// Who rested for longer is asked whether it is still there.
const FRESH: Duration = Duration::from_secs(1);
/// Who rests for longer is closed.
const REST: Duration = Duration::from_secs(600);

/// Up to so many connections. Clones share everything.
#[derive(Clone)]
pub(super) struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    options: AnyConnectOptions,
    /// The first statements of each connection.
    settings: &'static [&'static str],
    /// The last one that came back is taken first. None is in a transaction, or in the middle of a statement.
    idle: Mutex<Vec<Idle>>,
    places: Arc<Semaphore>,
    /// Connections that could not be had, and statements without an answer or with a bad one.
    failures: AtomicU64,
}

struct Idle {
    connection: AnyConnection,
    since: Instant,
}

impl Pool {
    /// Connects when it is asked to.
    pub(super) fn new(
        address: &str,
        connections: usize,
        settings: &'static [&'static str],
    ) -> Result<Pool, Error> {
        let options = address.parse::<AnyConnectOptions>()?.disable_statement_logging();
        Ok(Pool {
            inner: Arc::new(Inner {
                options,
                settings,
                idle: Mutex::default(),
                places: Arc::new(Semaphore::new(connections)),
                failures: AtomicU64::new(0),
            }),
        })
    }

    /// A connection that is ours until it is dropped.
    pub(super) async fn take(&self) -> Result<Connection, Error> {
        let until = Instant::now() + LONGEST;
        let taken = timeout_at(until, async {
            let place = self.inner.places.clone().acquire_owned().await;
            let place = place.map_err(|_| Error::PoolClosed)?;
            let connection = match self.idle().await {
                Some(connection) => connection,
                None => self.inner.connect().await?,
            };
            Ok(Connection {
                held: Some((connection, place)),
                pool: self.clone(),
                until,
                is_open: false,
                is_busy: false,
                is_broken: false,
            })
        });
        let taken = taken.await.unwrap_or_else(|_| Err(late()));
        taken.inspect_err(|_| self.inner.fail())
    }

    /// How often it failed.
    pub(super) fn failures(&self) -> u64 {
        self.inner.failures.load(Ordering::Relaxed)
    }

    pub(super) fn is(&self, other: &Pool) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Begins a transaction by these words.
    pub(super) async fn begin(&self, words: &'static str) -> Result<Work, Error> {
        let mut connection = self.take().await?;
        // Whatever comes of it.
        connection.is_open = true;
        connection.execute(raw_sql(words)).await?;
        Ok(Work { connection })
    }

    async fn idle(&self) -> Option<AnyConnection> {
        loop {
            let Idle {
                mut connection,
                since,
            } = self.inner.lock().pop()?;
            if since.elapsed() < FRESH || matches!(timeout(SIGN_OF_LIFE, connection.ping()).await, Ok(Ok(())))
            {
                return Some(connection);
            }
            self.inner.lock().clear();
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().expect("no code panics with the lock")
    }

    fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for a database that starts.
    async fn connect(&self) -> Result<AnyConnection, Error> {
        loop {
            match AnyConnection::connect_with(&self.options).await {
                Ok(mut connection) => {
                    for setting in self.settings {
                        raw_sql(*setting).execute(&mut connection).await?;
                    }
                    return Ok(connection);
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(Error::Database(error)) if error.is_transient_in_connect_phase() => {}
                Err(error) => return Err(error),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn keep(&self, connection: AnyConnection) {
        let mut idle = self.lock();
        let since = Instant::now();
        idle.retain(|idle| since - idle.since < REST);
        idle.push(Idle { connection, since });
    }
}

/// One connection, for one operation. What it was in the middle of when it is dropped is undone.
pub(crate) struct Connection {
    /// There until it is dropped.
    held: Option<(AnyConnection, OwnedSemaphorePermit)>,
    pool: Pool,
    until: Instant,
    /// In a transaction.
    is_open: bool,
    /// In the middle of a statement.
    is_busy: bool,
    /// Not to be used again, nor are those that were there when it was.
    is_broken: bool,
}

impl Connection {
    /// The connection without bounds.
    pub(super) fn raw(&mut self) -> &mut AnyConnection {
        let (connection, _) = self.held.as_mut().expect("it is there until it is dropped");
        connection
    }

    /// A statement is asked, until when.
    fn begun(&mut self) -> Instant {
        self.is_busy = true;
        self.until
    }

    /// It was answered, or not.
    fn answered<T>(&mut self, answer: Result<Result<T, Error>, Elapsed>) -> Result<T, Error> {
        let Ok(answer) = answer else {
            self.is_broken = true;
            self.pool.inner.fail();
            return Err(late());
        };
        self.is_busy = false;
        answer.map_err(|error| {
            self.pool.inner.fail();
            self.seen(error)
        })
    }

    /// Tells apart whose fault it is: a statement's own is left as a fault of the database.
    fn seen(&mut self, error: Error) -> Error {
        match error {
            Error::Database(error) if error.code().is_some_and(|code| is_away(&code)) => {
                self.is_broken = true;
                Error::Io(io::Error::other(error))
            }
            Error::Io(_) | Error::Protocol(_) | Error::Tls(_) | Error::WorkerCrashed => {
                self.is_broken = true;
                error
            }
            error => error,
        }
    }
}

/// Whether this is PostgreSQL's word for a server or a connection that ends, or for a statement that took too long.
fn is_away(code: &str) -> bool {
    code.len() == 5 && (code.starts_with("57") || code == "25P03" || code == "55P03")
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some((mut connection, place)) = self.held.take() else {
            return;
        };
        let inner = self.pool.inner.clone();
        if self.is_broken {
            inner.lock().clear();
        } else if !self.is_open && !self.is_busy {
            inner.keep(connection);
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let is_open = self.is_open;
            runtime.spawn(async move {
                let undone = async {
                    match is_open {
                        true => raw_sql("ROLLBACK").execute(&mut connection).await.map(drop),
                        false => connection.ping().await,
                    }
                };
                if matches!(timeout(SIGN_OF_LIFE, undone).await, Ok(Ok(()))) {
                    inner.keep(connection);
                }
                drop(place);
            });
        }
    }
}

fn late() -> Error {
    let message = format!("the database did not answer within {} s", LONGEST.as_secs());
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, message))
}

/// A transaction: committed on purpose, or undone.
pub(crate) struct Work {
    connection: Connection,
}

impl Work {
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        self.connection.execute(raw_sql("COMMIT")).await?;
        self.connection.is_open = false;
        Ok(())
    }
}

impl Deref for Work {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Work {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

type Answer = Either<AnyQueryResult, AnyRow>;

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Any;

    /// All of it is there before the first row is given.
    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Answer, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let all = async move {
            let until = self.begun();
            let all = self.raw().fetch_many(query).try_collect::<Vec<_>>();
            let all = timeout_at(until, all).await;
            match self.answered(all) {
                Ok(all) => all.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            }
        };
        all.into_stream().flat_map(stream::iter).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let one = async move {
            let until = self.begun();
            let one = timeout_at(until, self.raw().fetch_optional(query)).await;
            self.answered(one)
        };
        one.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        self.raw().prepare_with(sql, parameters)
    }
}

impl<'c> Executor<'c> for &'c Pool {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Answer, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let all = async move {
            match self.take().await {
                Ok(mut connection) => connection.fetch_many(query).collect().await,
                Err(error) => vec![Err(error)],
            }
        };
        all.into_stream().flat_map(stream::iter).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        async move { self.take().await?.fetch_optional(query).await }.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        async move { self.take().await?.prepare_with(sql, parameters).await }.boxed()
    }
}
