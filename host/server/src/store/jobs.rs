//! Jobs as their tenants reach them. Each statement names the tenant, so that nobody reaches another's.

use super::{Query, Store, int, maybe_int, maybe_text, text};
use crate::error::{Error, Result};
use crate::job::{Job, State, Usage};
use crate::time::Time;
use crate::wake::News;
use sqlx::Executor;
use sqlx::any::AnyRow;

/// The columns of a [`Job`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, tenant, name, state, priority, attempt, created, not_before, expires, started, finished, cancel, ",
            "hit_limit, error, exit_code, cpu_us, wall_us, memory, output FROM jobs ",
            $rest
        )
    };
}

/// A part of a listing.
#[derive(Debug)]
pub struct Page {
    /// The youngest first.
    pub jobs: Vec<Job>,
    /// There are older ones.
    pub more: bool,
}

impl Store {
    /// One job.
    ///
    /// # Errors
    /// [`Error::NotFound`], for other tenants' jobs too.
    pub async fn job(&self, tenant: &str, id: &str) -> Result<Job> {
        self.job_in(&self.readers, tenant, id).await
    }

    pub(super) async fn job_in<'a>(
        &self,
        at: impl Executor<'a, Database = sqlx::Any>,
        tenant: &str,
        id: &str,
    ) -> Result<Job> {
        let row = self
            .query(select!("WHERE tenant = $1 AND id = $2"))
            .bind(tenant.to_owned())
            .bind(id.to_owned())
            .fetch_optional(at)
            .await?;
        job(&row.ok_or(Error::NotFound("job"))?)
    }

    /// Up to `limit` of a tenant's jobs, or of all if it is `*`, the youngest first, older than the job `before`.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn jobs(
        &self,
        tenant: &str,
        state: Option<State>,
        before: Option<&str>,
        limit: i64,
    ) -> Result<Page> {
        let listed = match tenant {
            "*" => {
                select!("WHERE $1 = '*' AND id < $2 AND ($3 = '' OR state = $3) ORDER BY id DESC LIMIT $4")
            }
            _ => {
                select!("WHERE tenant = $1 AND id < $2 AND ($3 = '' OR state = $3) ORDER BY id DESC LIMIT $4")
            }
        };
        let rows = self
            .query(listed)
            .bind(tenant.to_owned())
            // Behind every id.
            .bind(before.unwrap_or("k").to_owned())
            .bind(state.map_or("", State::name).to_owned())
            .bind(limit + 1)
            .fetch_all(&self.readers)
            .await?;
        let more = rows.len() as i64 > limit;
        let kept = rows.iter().take(usize::try_from(limit).unwrap_or(0));
        Ok(Page {
            jobs: kept.map(job).collect::<Result<_>>()?,
            more,
        })
    }

    /// What a job returned, as JSON: nothing if it has not succeeded, or returned nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn result(&self, tenant: &str, id: &str) -> Result<Option<String>> {
        let row = self
            .query("SELECT result FROM jobs WHERE tenant = $1 AND id = $2")
            .bind(tenant.to_owned())
            .bind(id.to_owned())
            .fetch_optional(&self.readers)
            .await?;
        maybe_text(&row.ok_or(Error::NotFound("job"))?, "result")
    }

    /// Sees that a job does not start any more, or that it ends soon if it runs.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if it is over.
    pub async fn cancel(&self, tenant: &str, id: &str) -> Result<Job> {
        let mut work = self.begin().await?;
        let waiting = self
            .query(
                "UPDATE jobs SET state = 'REVOKED', finished = $now, error = 'it was cancelled'
                 WHERE tenant = $1 AND id = $2 AND state IN ('PENDING', 'RETRY')",
            )
            .bind(tenant.to_owned())
            .bind(id.to_owned())
            .execute(&mut *work)
            .await?;
        let mut news = News::Job(id.into());
        if waiting.rows_affected() == 1 {
            self.dequeue(&mut work, id).await?;
        } else {
            let running = self
                .query("UPDATE jobs SET cancel = 1 WHERE tenant = $1 AND id = $2 AND state = 'STARTED'")
                .bind(tenant.to_owned())
                .bind(id.to_owned())
                .execute(&mut *work)
                .await?;
            if running.rows_affected() == 0 {
                let job = self.job_in(&mut *work, tenant, id).await?;
                let message = format!("the job is over: {}", job.state.name());
                return Err(Error::Conflict(message));
            }
            news = News::Cancel(id.into());
        }
        let job = self.job_in(&mut *work, tenant, id).await?;
        let news = [news];
        self.tell(&mut work, &news).await?;
        work.commit().await?;
        let [news] = news;
        self.wake.tell(news);
        Ok(job)
    }

    /// Starts a job again that has failed or was revoked.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] in any other state; [`Error::Quota`].
    pub async fn retry(&self, tenant: &str, id: &str) -> Result<Job> {
        let mut work = self.begin().await?;
        let held = self.hold_tenants(&mut work, &[tenant].into()).await?;
        held.get(tenant).ok_or(Error::NotFound("tenant"))?.take(1)?;
        // It is undone below, if this is another tenant's job, or not over.
        self.keep_attempts(&mut work, &[id]).await?;
        let again = self
            .query(
                "UPDATE jobs SET state = 'PENDING', not_before = $now, expires = NULL, failures = 0, losses = 0,
                     cancel = 0, refused = NULL, finished = NULL, hit_limit = NULL, error = NULL, exit_code = NULL, result = NULL
                 WHERE tenant = $1 AND id = $2 AND state IN ('FAILURE', 'REVOKED')",
            )
            .bind(tenant.to_owned())
            .bind(id.to_owned())
            .execute(&mut *work)
            .await?;
        if again.rows_affected() == 0 {
            let job = self.job_in(&mut *work, tenant, id).await?;
            let message = format!(
                "only FAILURE and REVOKED can be retried; this job is {}",
                job.state.name()
            );
            return Err(Error::Conflict(message));
        }
        self.forget_left(&mut work, &[id]).await?;
        self.enqueue(&mut work, &[id]).await?;
        let job = self.job_in(&mut *work, tenant, id).await?;
        self.tell(&mut work, &[News::Queue]).await?;
        work.commit().await?;
        self.wake.tell(News::Queue);
        Ok(job)
    }

    /// How many jobs there are in each state, for metrics.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn queue_lengths(&self) -> Result<[i64; 2]> {
        let query: Query = self.query(
            "SELECT (SELECT CAST(coalesce(sum(queued), 0) AS BIGINT) FROM lanes) AS waiting,
                 (SELECT count(*) FROM jobs WHERE state = 'STARTED') AS running",
        );
        let row = query.fetch_one(&self.readers).await?;
        Ok([int(&row, "waiting")?, int(&row, "running")?])
    }
}

/// JSON that was checked when it was written.
pub(super) fn parsed<T: serde::de::DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(error.into()).into())
}

fn job(row: &AnyRow) -> Result<Job> {
    let time = |column| Ok::<_, Error>(maybe_int(row, column)?.map(Time));
    Ok(Job {
        id: text(row, "id")?,
        tenant: text(row, "tenant")?,
        name: maybe_text(row, "name")?,
        state: State::named(&text(row, "state")?)?,
        priority: int(row, "priority")?,
        attempt: int(row, "attempt")?,
        created: Time(int(row, "created")?),
        not_before: Time(int(row, "not_before")?),
        expires: time("expires")?,
        started: time("started")?,
        finished: time("finished")?,
        cancel_requested: int(row, "cancel")? != 0,
        limit: maybe_text(row, "hit_limit")?,
        error: maybe_text(row, "error")?,
        exit_code: maybe_int(row, "exit_code")?,
        usage: usage(row)?,
    })
}

/// What a start used, if it is over.
pub(super) fn usage(row: &AnyRow) -> Result<Option<Usage>> {
    let Some(wall) = maybe_int(row, "wall_us")? else {
        return Ok(None);
    };
    Ok(Some(Usage {
        cpu_time: int(row, "cpu_us")? as f64 / 1e6,
        wall_time: wall as f64 / 1e6,
        memory: int(row, "memory")?,
        output: int(row, "output")?,
    }))
}
