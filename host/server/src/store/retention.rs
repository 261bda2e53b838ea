//! Jobs that are done with go after some time, with all that belongs to them.

use super::{Store, json, text};
use crate::counts::Sweeps;
use crate::error::Result;
use std::time::Duration;

/// So many are removed at once.
const AT_ONCE: i64 = 500;

impl Store {
    /// Removes jobs that were over for longer than their tenant's quota says, or `keep` where it says nothing: some
    /// hundreds at most. Any process does it, from time to time. Returns how many.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn sweep_jobs(&self, keep: Option<Duration>) -> Result<usize> {
        let rows = self
            .query(
                "SELECT j.id AS id FROM tenants t JOIN jobs j ON j.tenant = t.id
                 WHERE j.finished IS NOT NULL AND j.finished <= $now - coalesce(t.keep_ms, $1) LIMIT $2",
            )
            .bind(keep.map(super::millis))
            .bind(AT_ONCE)
            .fetch_all(&self.readers)
            .await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let found = rows
            .iter()
            .map(|row| text(row, "id"))
            .collect::<Result<Vec<_>>>()?;
        let mut work = self.begin().await?;
        // Not one that somebody starts again just now, nor another process removes.
        let rows = self
            .query("SELECT id FROM jobs WHERE id IN $ids AND finished IS NOT NULL ORDER BY id $skip")
            .bind(json(&found)?)
            .fetch_all(&mut *work)
            .await?;
        let ids = rows
            .iter()
            .map(|row| text(row, "id"))
            .collect::<Result<Vec<_>>>()?;
        for statement in [
            "DELETE FROM logs WHERE job IN $ids",
            "DELETE FROM job_files WHERE job IN $ids",
            "DELETE FROM submissions WHERE job IN $ids",
            "DELETE FROM jobs WHERE id IN $ids",
        ] {
            let query = self.query(statement).bind(json(&ids)?);
            query.execute(&mut *work).await?;
        }
        work.commit().await?;
        Sweeps::add(&self.sweeps.jobs, ids.len());
        Ok(ids.len())
    }
}
