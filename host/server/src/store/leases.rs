//! Leases: who runs a job says so again and again; where it does not, the job waits for another.

use super::{Store, Work, int, json, millis, text};
use crate::error::Result;
use crate::job::State;
use crate::wake::News;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use std::time::Duration;

/// A job whose worker is lost so often takes its workers down with it.
const MOST_LOSSES: i64 = 3;

/// What the database says of a job whose lease was renewed.
pub(crate) struct Renewed {
    pub(crate) id: String,
    pub(crate) attempt: i64,
    pub(crate) cancel: bool,
}

impl Store {
    /// Renews the leases of those jobs that still are `worker`'s, and says which these are.
    pub(crate) async fn renew(&self, worker: &str, ids: &[String], lease: Duration) -> Result<Vec<Renewed>> {
        // Both lock rows of many jobs, in any order.
        let _no_ends = self.ending.turn().await;
        let rows = self
            .query(
                "UPDATE jobs SET lease = $now + $3 WHERE id IN $ids AND worker = $2 AND state = 'STARTED'
                 RETURNING id, attempt, cancel",
            )
            .bind(json(&ids)?)
            .bind(worker.to_owned())
            .bind(millis(lease))
            .fetch_all(&self.writers)
            .await?;
        let renewed = |row: &AnyRow| {
            Ok(Renewed {
                id: text(row, "id")?,
                attempt: int(row, "attempt")?,
                cancel: int(row, "cancel")? != 0,
            })
        };
        rows.iter().map(renewed).collect()
    }

    /// Lets jobs wait again whose workers are lost, and revokes those that waited for too long. Any worker
    /// does it, from time to time. Returns how many there were.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn recover(&self) -> Result<usize> {
        // Most often there is nothing, and nothing to lock for.
        let row = self
            .query(
                "SELECT (SELECT count(*) FROM jobs WHERE state = 'STARTED' AND lease <= $now)
                     + (SELECT count(*) FROM jobs WHERE state IN ('PENDING', 'RETRY') AND expires <= $now) AS found",
            )
            .fetch_one(&self.readers)
            .await?;
        if int(&row, "found")? == 0 {
            return Ok(0);
        }
        let mut work = self.begin().await?;
        // As who gives out jobs: two would lock lanes in any order.
        let query = self.query("UPDATE dispatch SET turn = turn");
        query.execute(&mut *work).await?;
        let lost = self.recover_lost(&mut work).await?;
        let expired = self.revoke_expired(&mut work).await?;
        let ids = lost.iter().chain(&expired);
        let mut news = ids.map(|id| News::Job(id.as_str().into())).collect::<Vec<_>>();
        news.push(News::Queue);
        self.tell(&mut work, &news).await?;
        work.commit().await?;
        news.into_iter().for_each(|news| self.wake.tell(news));
        Ok(lost.len() + expired.len())
    }

    async fn recover_lost(&self, work: &mut Work) -> Result<Vec<String>> {
        let rows = self
            .query(
                "UPDATE jobs SET losses = losses + 1, worker = NULL, lease = NULL, not_before = $now,
                     state = CASE WHEN cancel = 1 THEN 'REVOKED' WHEN losses + 1 >= $1 THEN 'FAILURE' ELSE 'RETRY' END,
                     finished = CASE WHEN cancel = 1 OR losses + 1 >= $1 THEN $now END,
                     error = 'its worker was lost'
                 WHERE id IN (SELECT id FROM jobs WHERE state = 'STARTED' AND lease <= $now
                     ORDER BY lease LIMIT 1000 $skip)
                 RETURNING id, tenant, state",
            )
            .bind(MOST_LOSSES)
            .fetch_all(&mut **work)
            .await?;
        let (mut ids, mut again) = (Vec::new(), Vec::new());
        for row in &rows {
            let (id, tenant) = (text(row, "id")?, text(row, "tenant")?);
            tracing::warn!(job = id, tenant, "its worker was lost");
            if text(row, "state")? == State::Retry.name() {
                again.push(id.clone());
            }
            ids.push(id);
        }
        let again = again.iter().map(String::as_str).collect::<Vec<_>>();
        self.keep_attempts(work, &again).await?;
        self.enqueue(work, &again).await?;
        Ok(ids)
    }

    async fn revoke_expired(&self, work: &mut Work) -> Result<Vec<String>> {
        let rows = self
            .query(
                "UPDATE jobs SET state = 'REVOKED', finished = $now, error = 'its time to live was over before it started'
                 WHERE id IN (SELECT id FROM jobs WHERE state IN ('PENDING', 'RETRY') AND expires <= $now
                     ORDER BY expires LIMIT 1000 $skip)
                 RETURNING id, tenant, priority",
            )
            .fetch_all(&mut **work)
            .await?;
        let mut ids = Vec::new();
        let mut lanes = BTreeMap::<_, i64>::new();
        for row in &rows {
            ids.push(text(row, "id")?);
            *lanes
                .entry((text(row, "tenant")?, int(row, "priority")?))
                .or_default() += 1;
        }
        for ((tenant, priority), gone) in lanes {
            self.query("UPDATE lanes SET queued = queued - $3 WHERE tenant = $1 AND priority = $2")
                .bind(tenant)
                .bind(priority)
                .bind(gone)
                .execute(&mut **work)
                .await?;
        }
        Ok(ids)
    }
}
