//! Jobs as their tenants reach them. Each statement names the tenant, so that nobody reaches another's.

use super::{Query, Store, Work, int, maybe_int, maybe_text, text};
use crate::error::{Error, Result};
use crate::id;
use crate::job::{Job, State, Submission, Usage};
use crate::tenant::Rules;
use crate::time::Time;
use crate::wake::News;
use sqlx::any::AnyRow;
use sqlx::{Executor, Row};

/// The columns of a [`Job`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, state, priority, attempt, created, not_before, expires, started, finished, cancel, ",
            "hit_limit, error, exit_code, cpu_us, wall_us, memory, output FROM jobs ",
            $rest
        )
    };
}

/// A submission that was taken.
#[derive(Debug)]
pub struct Submitted {
    /// The job.
    pub job: Job,
    /// It is new: no submission before had the same key.
    pub new: bool,
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
    /// Takes a job. The same key and the same content again give the job that is there.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Quota`], and [`Error::Conflict`] for a key that was used for something else.
    pub async fn submit(
        &self,
        tenant: &str,
        key: Option<&str>,
        submission: &Submission,
    ) -> Result<Submitted> {
        submission.check()?;
        let body = serde_json::to_string(submission).map_err(|error| Error::Invalid(error.to_string()))?;
        let mut work = self.begin().await?;
        let row = self
            .query("SELECT max_queued, rules FROM tenants WHERE id = $1")
            .bind(tenant.to_owned())
            .fetch_optional(&mut *work)
            .await?;
        let row = row.ok_or(Error::NotFound("tenant"))?;
        let rules: Rules = parsed(&text(&row, "rules")?)?;
        if submission.priority > rules.priority {
            let message = format!("priority: {} is the highest of this tenant", rules.priority);
            return Err(Error::Invalid(message));
        }
        let id = id::new("job");
        let inserted = self
            .query(
                "INSERT INTO jobs (id, tenant, state, priority, created, not_before, expires, idempotency_key, retries, backoff)
                 VALUES ($1, $2, 'PENDING', $3, $now, $now + $4, $now + $5, $6, $7, $8)
                 ON CONFLICT (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING",
            )
            .bind(id.clone())
            .bind(tenant.to_owned())
            .bind(submission.priority)
            .bind(from_seconds(submission.delay))
            .bind(submission.time_to_live.map(from_seconds))
            .bind(key.map(str::to_owned))
            .bind(submission.retries)
            .bind(from_seconds(submission.backoff))
            .execute(&mut *work)
            .await?;
        if inserted.rows_affected() == 0 {
            return self
                .submitted_before(work, tenant, key.unwrap_or_default(), &body)
                .await;
        }
        self.query("INSERT INTO submissions (job, body) VALUES ($1, $2)")
            .bind(id.clone())
            .bind(body)
            .execute(&mut *work)
            .await?;
        self.enqueue(&mut work, tenant, &id).await?;
        self.check_queued(&mut work, tenant, int(&row, "max_queued")?)
            .await?;
        let job = self.job_in(&mut *work, tenant, &id).await?;
        self.tell(&mut work, "queue".into()).await?;
        work.commit().await?;
        self.wake.queue.send_replace(());
        Ok(Submitted { job, new: true })
    }

    async fn submitted_before(
        &self,
        mut work: Work,
        tenant: &str,
        key: &str,
        body: &str,
    ) -> Result<Submitted> {
        let row = self
            .query(
                "SELECT id, (SELECT body FROM submissions WHERE job = jobs.id) AS body
                 FROM jobs WHERE tenant = $1 AND idempotency_key = $2",
            )
            .bind(tenant.to_owned())
            .bind(key.to_owned())
            .fetch_one(&mut *work)
            .await?;
        if text(&row, "body")? != body {
            let message = "this Idempotency-Key was used for another submission";
            return Err(Error::Conflict(message.into()));
        }
        let job = self.job_in(&mut *work, tenant, &text(&row, "id")?).await?;
        Ok(Submitted { job, new: false })
    }

    async fn check_queued(&self, work: &mut Work, tenant: &str, most: i64) -> Result<()> {
        let row = self
            .query("SELECT CAST(sum(queued) AS BIGINT) AS queued FROM lanes WHERE tenant = $1")
            .bind(tenant.to_owned())
            .fetch_one(&mut **work)
            .await?;
        if int(&row, "queued")? > most {
            let message = format!("{most} jobs wait already, which is this tenant's quota (max_queued)");
            return Err(Error::Quota(message));
        }
        Ok(())
    }

    /// One job.
    ///
    /// # Errors
    /// [`Error::NotFound`], for other tenants' jobs too.
    pub async fn job(&self, tenant: &str, id: &str) -> Result<Job> {
        self.job_in(&self.readers, tenant, id).await
    }

    async fn job_in<'a>(
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

    /// Up to `limit` of a tenant's jobs, the youngest first, older than the job `before`.
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
        let rows = self
            .query(select!(
                "WHERE tenant = $1 AND id < $2 AND ($3 = '' OR state = $3) ORDER BY id DESC LIMIT $4"
            ))
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
        self.tell(&mut work, news.payload()).await?;
        work.commit().await?;
        self.wake.tell(news);
        Ok(job)
    }

    /// Starts a job again that has failed or was revoked.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] in any other state; [`Error::Quota`].
    pub async fn retry(&self, tenant: &str, id: &str) -> Result<Job> {
        let mut work = self.begin().await?;
        let again = self
            .query(
                "UPDATE jobs SET state = 'PENDING', not_before = $now, expires = NULL, failures = 0, losses = 0,
                     cancel = 0, finished = NULL, hit_limit = NULL, error = NULL, exit_code = NULL, result = NULL
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
        self.enqueue(&mut work, tenant, id).await?;
        let row = self
            .query("SELECT max_queued FROM tenants WHERE id = $1")
            .bind(tenant.to_owned())
            .fetch_one(&mut *work)
            .await?;
        self.check_queued(&mut work, tenant, int(&row, "max_queued")?)
            .await?;
        let job = self.job_in(&mut *work, tenant, id).await?;
        self.tell(&mut work, "queue".into()).await?;
        work.commit().await?;
        self.wake.queue.send_replace(());
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

fn from_seconds(seconds: f64) -> i64 {
    // It was checked to be at most a year.
    (seconds * 1000.0) as i64
}

fn job(row: &AnyRow) -> Result<Job> {
    let time = |column| Ok::<_, Error>(maybe_int(row, column)?.map(Time));
    let usage = match row.try_get::<Option<i64>, _>("wall_us")? {
        None => None,
        Some(wall) => Some(Usage {
            cpu_time: int(row, "cpu_us")? as f64 / 1e6,
            wall_time: wall as f64 / 1e6,
            memory: int(row, "memory")?,
            output: int(row, "output")?,
        }),
    };
    Ok(Job {
        id: text(row, "id")?,
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
        usage,
    })
}
