//! Who runs jobs. It is for people only: what a worker may do is decided by its jobs' leases.

use super::{Store, int, text};
use crate::error::Result;
use crate::job::{Figures, Hour};
use crate::time::Time;
use crate::worker::Presence;
use serde::Serialize;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

/// A process that runs jobs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WorkerInfo {
    /// Its name, which no other has.
    pub name: String,
    /// The machine that it runs on.
    pub host: String,
    /// Of vtwasm.
    pub version: String,
    /// Jobs that it runs at once.
    pub slots: i64,
    /// Jobs that it ran when it was seen last.
    pub running: i64,
    /// It takes no more jobs.
    pub leaving: bool,
    /// When it was started.
    #[schema(value_type = String, format = DateTime)]
    pub started: Time,
    /// When it was seen last. After a minute it is forgotten.
    #[schema(value_type = String, format = DateTime)]
    pub seen: Time,
}

impl Store {
    /// A worker says that it is there.
    pub(crate) async fn see(&self, presence: &Presence) -> Result<()> {
        self.query(
            "INSERT INTO workers (name, host, version, slots, running, leaving, started, seen)
             VALUES ($1, $2, $3, $4, $5, $6, $now, $now)
             ON CONFLICT (name) DO UPDATE SET running = excluded.running, leaving = excluded.leaving, seen = excluded.seen",
        )
        .bind(presence.name.clone())
        .bind(presence.host.clone())
        .bind(env!("CARGO_PKG_VERSION").to_owned())
        .bind(presence.slots as i64)
        .bind(presence.running as i64)
        .bind(i64::from(presence.leaving))
        .execute(&self.writers)
        .await?;
        self.query("DELETE FROM workers WHERE seen < $now - 60000")
            .execute(&self.writers)
            .await?;
        Ok(())
    }

    /// A worker says that it goes.
    pub(crate) async fn forget(&self, name: &str) -> Result<()> {
        let query = self.query("DELETE FROM workers WHERE name = $1");
        query.bind(name.to_owned()).execute(&self.writers).await?;
        Ok(())
    }

    /// Who was seen within the last minute, the longest there first.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn workers(&self) -> Result<Vec<WorkerInfo>> {
        let query = self.query(
            "SELECT name, host, version, slots, running, leaving, started, seen FROM workers
             WHERE seen >= $now - 60000 ORDER BY started, name LIMIT 1000",
        );
        let rows = query.fetch_all(&self.readers).await?;
        rows.iter().map(worker).collect()
    }

    /// The figures of a tenant; of all of them, if it is `*`.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn figures(&self, tenant: &str) -> Result<Figures> {
        let row = self
            .query(
                "SELECT (SELECT CAST(coalesce(sum(queued), 0) AS BIGINT) FROM lanes WHERE ($1 = '*' OR tenant = $1)) AS waiting,
                     (SELECT count(*) FROM jobs WHERE state = 'STARTED' AND ($1 = '*' OR tenant = $1)) AS running,
                     (SELECT CAST(coalesce(max($now - next_at), 0) AS BIGINT) FROM lanes
                         WHERE queued > 0 AND ($1 = '*' OR tenant = $1)) AS oldest",
            )
            .bind(tenant.to_owned())
            .fetch_one(&self.readers)
            .await?;
        let hours = self
            .query(
                "SELECT hour, CAST(sum(runs) AS BIGINT) AS runs, CAST(sum(cpu_us) AS BIGINT) AS cpu_us,
                     CAST(sum(wall_us) AS BIGINT) AS wall_us FROM usage
                 WHERE hour > $now / 3600000 - 24 AND ($1 = '*' OR tenant = $1) GROUP BY hour ORDER BY hour",
            )
            .bind(tenant.to_owned())
            .fetch_all(&self.readers)
            .await?;
        Ok(Figures {
            waiting: int(&row, "waiting")?,
            running: int(&row, "running")?,
            // A job that is delayed is not late.
            oldest: int(&row, "oldest")?.max(0) as f64 / 1e3,
            hours: hours.iter().map(hour).collect::<Result<_>>()?,
        })
    }
}

fn worker(row: &AnyRow) -> Result<WorkerInfo> {
    Ok(WorkerInfo {
        name: text(row, "name")?,
        host: text(row, "host")?,
        version: text(row, "version")?,
        slots: int(row, "slots")?,
        running: int(row, "running")?,
        leaving: int(row, "leaving")? != 0,
        started: Time(int(row, "started")?),
        seen: Time(int(row, "seen")?),
    })
}

fn hour(row: &AnyRow) -> Result<Hour> {
    Ok(Hour {
        begin: Time(int(row, "hour")? * 3_600_000),
        runs: int(row, "runs")?,
        cpu_time: int(row, "cpu_us")? as f64 / 1e6,
        wall_time: int(row, "wall_us")? as f64 / 1e6,
    })
}
