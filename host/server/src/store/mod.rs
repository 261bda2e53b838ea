//! What is kept: SQLite in one file, or PostgreSQL. The same statements serve both, with the words of
//! [`Dialect`] where they differ; times are the database's, so that the clocks of several machines may differ.

mod attempts;
mod ends;
mod files;
mod group;
mod jobs;
mod leases;
mod logs;
mod pool;
mod queue;
mod retention;
mod schedules;
mod secrets;
mod snapshots;
mod submit;
mod tenants;
mod workers;

pub use ends::{End, Verdict};
pub(crate) use files::{is_hash, over};
pub use jobs::Page;
pub use queue::Claimed;
pub use submit::Submitted;
pub use workers::WorkerInfo;

use crate::counts::Sweeps;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::job::State;
use crate::packages::PackageSource;
use crate::secret::Key;
use crate::wake::{News, Wake};
use ends::Ending;
use group::Group;
use logs::Appending;
use pool::Pool;
pub(crate) use pool::Work;
use serde::Serialize;
use sqlx::any::{AnyRow, install_default_drivers};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Any, AssertSqlSafe, Row, SqlSafeStr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use submit::Submitting;

/// In their order; what was released is never changed.
const MIGRATIONS: &[(&str, &str)] = &[
    ("first", include_str!("schema_1.sql")),
    ("processor time", include_str!("schema_2.sql")),
    ("secrets", include_str!("schema_3.sql")),
    ("names, attempts, workers", include_str!("schema_4.sql")),
    ("files", include_str!("schema_5.sql")),
    ("schedules, retention", include_str!("schema_6.sql")),
    ("packages", include_str!("schema_7.sql")),
    ("snapshots", include_str!("schema_8.sql")),
    ("refused jobs", include_str!("schema_9.sql")),
    ("snapshots for secrets", include_str!("schema_10.sql")),
];

/// The first statements of a connection.
const SQLITE: &[&str] = &[
    "PRAGMA busy_timeout = 10000",
    "PRAGMA journal_mode = WAL",
    // A crash of the machine may take the last moments, but no crash of a process does.
    "PRAGMA synchronous = NORMAL",
];
/// What is given up here does not go on there; and who vanishes in a transaction holds its rows for less than a lease.
const POSTGRES: &[&str] = &["SET statement_timeout = '12s'; SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '5s'"];
const HASTY: &[&str] = &[POSTGRES[0], "SET synchronous_commit = off"];

/// Where everything is kept.
#[derive(Clone)]
pub struct Store {
    dialect: Dialect,
    readers: Pool,
    /// SQLite has one writer at a time; a second connection would wait by sleeping.
    writers: Pool,
    /// For output: what a crash of the database takes from it is of runs that have not ended.
    hasty: Pool,
    submitting: Group<Submitting, Submitted>,
    ending: Group<Ending, Option<State>>,
    appending: Group<Vec<Appending>, ()>,
    /// Without one there are no secrets.
    key: Option<Key>,
    /// Without there are no files.
    files: Option<Files>,
    /// Without there are none.
    packages: Option<PackageSource>,
    pub(crate) wake: Wake,
    pub(crate) sweeps: Arc<Sweeps>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// Puts the dialect's words in: `$now`; `$skip` (rows that others have locked are passed over), `$hold`
    /// (the rows of the alias `l` are locked), `$key` (rows are locked, their key is not); `$ids` (the strings of
    /// the JSON list `$1`) and `$rows` (its elements, each as `value`).
    fn words(self, sql: &'static str) -> String {
        let [now, skip, hold, key, ids, rows] = match self {
            Dialect::Sqlite => [
                "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
                "",
                "",
                "",
                "(SELECT value FROM json_each($1))",
                "(SELECT value FROM json_each($1)) AS list",
            ],
            Dialect::Postgres => [
                "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
                "FOR UPDATE SKIP LOCKED",
                "FOR UPDATE OF l",
                "FOR NO KEY UPDATE",
                "(SELECT json_array_elements_text($1::json))",
                "json_array_elements($1::json) AS list(value)",
            ],
        };
        let words = [
            ("$now", now),
            ("$skip", skip),
            ("$hold", hold),
            ("$key", key),
            ("$ids", ids),
            ("$rows", rows),
        ];
        words
            .iter()
            .fold(sql.to_owned(), |sql, (word, meaning)| sql.replace(word, meaning))
    }
}

/// A statement with its arguments.
pub(crate) type Query = sqlx::query::Query<'static, Any, sqlx::any::AnyArguments>;

impl Store {
    /// Opens the file, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn sqlite(file: &Path) -> Result<Store> {
        let path = file
            .to_str()
            .ok_or_else(|| Error::Address("the path is not UTF-8".into()))?;
        // What would end the path in an address.
        let path = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let url = format!("sqlite://{path}?mode=rwc");
        install_default_drivers();
        let writers = Pool::new(&url, 1, SQLITE)?;
        let readers = Pool::new(&url, 4, SQLITE)?;
        let store = Store::new(Dialect::Sqlite, [readers, writers.clone(), writers.clone()]);
        store.migrate(&writers).await?;
        Ok(store)
    }

    /// Connects to PostgreSQL: `postgres://user:password@host:port/database`.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Address`].
    pub async fn postgres(url: &str) -> Result<Store> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(Error::Address("it begins with postgres://".into()));
        }
        install_default_drivers();
        let pool = Pool::new(url, 16, POSTGRES)?;
        let hasty = Pool::new(url, 2, HASTY)?;
        let store = Store::new(Dialect::Postgres, [pool.clone(), pool, hasty]);
        // However long it takes.
        store.migrate(&Pool::new(url, 1, &[])?).await?;
        store.wake.listen(url).await?;
        Ok(store)
    }

    fn new(dialect: Dialect, [readers, writers, hasty]: [Pool; 3]) -> Store {
        Store {
            dialect,
            readers,
            writers,
            hasty,
            submitting: Group::default(),
            ending: Group::default(),
            appending: Group::default(),
            key: None,
            files: None,
            packages: None,
            wake: Wake::new(),
            sweeps: Arc::default(),
        }
    }

    async fn migrate(&self, pool: &Pool) -> Result<()> {
        let migrations = MIGRATIONS.iter().zip(1..).map(|((name, sql), version)| {
            let sql = sql.into_sql_str();
            Migration::new(version, (*name).into(), MigrationType::Simple, sql, false)
        });
        Migrator::with_migrations(migrations.collect())
            .run(pool.take().await?.raw())
            .await
            .map_err(|error| Error::Database(error.into()))
    }

    /// A store whose jobs may have packages.
    pub fn with_packages(self, packages: PackageSource) -> Store {
        Store {
            packages: Some(packages),
            ..self
        }
    }

    pub(crate) fn packages(&self) -> Result<&PackageSource> {
        let none = "this service has no packages";
        self.packages.as_ref().ok_or_else(|| Error::Conflict(none.into()))
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn ping(&self) -> Result<()> {
        self.query("SELECT 1").execute(&self.readers).await?;
        Ok(())
    }

    /// How often the database has failed here.
    pub(crate) fn database_errors(&self) -> u64 {
        let Store {
            readers,
            writers,
            hasty,
            ..
        } = self;
        let own = |pool: &Pool, others: &[&Pool]| match others.iter().any(|other| pool.is(other)) {
            true => 0,
            false => pool.failures(),
        };
        readers.failures() + own(writers, &[readers]) + own(hasty, &[readers, writers])
    }

    /// Whether other processes tell of their work by themselves.
    pub(crate) fn is_told(&self) -> bool {
        self.dialect == Dialect::Postgres
    }

    fn query(&self, sql: &'static str) -> Query {
        sqlx::query(AssertSqlSafe(self.dialect.words(sql)))
    }

    async fn begin(&self) -> Result<Work> {
        self.begin_at(&self.writers).await
    }

    async fn begin_at(&self, pool: &Pool) -> Result<Work> {
        // A transaction of SQLite that reads first cannot always go on to write.
        let begin = match self.dialect {
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        };
        Ok(pool.begin(begin).await?)
    }

    /// Tells other processes, once `work` is committed. Who is in this one is told by the caller.
    async fn tell(&self, work: &mut Work, news: &[News]) -> Result<()> {
        if self.dialect == Dialect::Postgres {
            // The function's own type is none that a row of `Any` can have.
            self.query("SELECT count(CAST(pg_notify('vtwasm', list.value) AS TEXT)) FROM json_array_elements_text($1::json) AS list(value)")
                .bind(json(&self.wake.payloads(news))?)
                .execute(&mut **work)
                .await?;
        }
        Ok(())
    }
}

/// A statement's argument.
fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Invalid(error.to_string()))
}

/// A column that is there and of that type: the schema is ours.
fn int(row: &AnyRow, column: &str) -> Result<i64> {
    Ok(row.try_get(column)?)
}

fn text(row: &AnyRow, column: &str) -> Result<String> {
    Ok(row.try_get(column)?)
}

fn maybe_int(row: &AnyRow, column: &str) -> Result<Option<i64>> {
    Ok(row.try_get(column)?)
}

fn maybe_text(row: &AnyRow, column: &str) -> Result<Option<String>> {
    Ok(row.try_get(column)?)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
