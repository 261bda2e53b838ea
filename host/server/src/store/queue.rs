//! The queue: which job starts next, who runs it, and how its run ends.
//!
//! # Who is next
//! The waiting jobs of one tenant and priority are a *lane*. A free slot takes the first job of that lane,
//! among those of the highest priority, which was served longest ago; the lane then goes behind all others. So
//! a tenant with any number of jobs delays another's first by one slot. Giving out holds the row of
//! `dispatch`, so that turns are the same however many processes there are.
//!
//! # Who runs it
//! A job that starts has a worker, an attempt number and a lease. The worker renews its leases; where it does
//! not, [`Store::recover`] lets the job wait again. Whatever is written of a run names its attempt: a run that
//! was given up changes nothing any more.
//!
//! # Order of locks
//! A job's row, then its lane's. Giving out goes the other way round, and passes over rows that are locked.

use super::{Query, Store, Work, int, maybe_int, millis, text};
use crate::error::Result;
use crate::job::{State, Submission, Usage};
use crate::tenant::Rules;
use crate::wake::News;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use std::time::Duration;

/// A job whose worker is lost so often takes its workers down with it.
const MOST_LOSSES: i64 = 3;
/// The longest wait before a retry.
const LONGEST_BACKOFF: i64 = 3_600_000;

/// A job that was given to a worker.
#[derive(Debug)]
pub struct Claimed {
    /// Its name.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Which start of it this is, from 1.
    pub attempt: i64,
    failures: i64,
    retries: i64,
    backoff: i64,
    /// What was submitted.
    pub submission: Submission,
    /// What it may do and use up.
    pub rules: Rules,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Its exit code was 0.
    Success,
    /// It failed, and is started again if it may be.
    Failure,
    /// It was cancelled.
    Revoked,
    /// Its worker leaves, and somebody else is to run it.
    GivenBack,
}

/// What is kept of a run's end.
#[derive(Clone, Debug)]
pub struct End {
    /// How it ended.
    pub verdict: Verdict,
    /// The limit that it hit.
    pub limit: Option<&'static str>,
    /// What went wrong.
    pub error: Option<String>,
    /// The program's.
    pub exit_code: Option<i64>,
    /// JSON.
    pub result: Option<String>,
    /// What it used.
    pub usage: Usage,
}

/// What the database says of a job whose lease was renewed.
pub(crate) struct Renewed {
    pub(crate) id: String,
    pub(crate) attempt: i64,
    pub(crate) cancel: bool,
}

impl Store {
    /// Gives up to `slots` jobs to `worker`, for as long as `lease` unless it renews them.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn claim(&self, worker: &str, slots: usize, lease: Duration) -> Result<Vec<Claimed>> {
        let mut work = self.begin().await?;
        let query = self.query("UPDATE dispatch SET turn = turn + $1 RETURNING turn");
        let row = query.bind(slots as i64).fetch_one(&mut *work).await?;
        let mut turn = int(&row, "turn")? - slots as i64;
        let mut claimed = Vec::new();
        while claimed.len() < slots {
            let lanes = self.next_lanes(&mut work, slots - claimed.len()).await?;
            let before = claimed.len();
            for (tenant, priority) in lanes {
                turn += 1;
                let job = self
                    .start_first(&mut work, &tenant, priority, worker, lease)
                    .await?;
                self.serve(&mut work, &tenant, priority, turn, job.is_some())
                    .await?;
                claimed.extend(job);
            }
            if claimed.len() == before {
                break;
            }
        }
        work.commit().await?;
        Ok(claimed)
    }

    /// The lanes of the highest priority that have a job and whose tenants may run one more, in their turn.
    async fn next_lanes(&self, work: &mut Work, most: usize) -> Result<Vec<(String, i64)>> {
        // The lanes are locked before their jobs are looked for, so that no job can come in between unseen.
        let rows = self
            .query(
                "SELECT l.tenant, l.priority FROM lanes l JOIN tenants t ON t.id = l.tenant
                 WHERE l.next_at <= $now
                     AND (SELECT count(*) FROM jobs j WHERE j.tenant = l.tenant AND j.state = 'STARTED') < t.max_running
                 ORDER BY l.priority DESC, l.turn LIMIT $1 $hold",
            )
            .bind(most as i64)
            .fetch_all(&mut **work)
            .await?;
        let lane = |row| Ok((text(row, "tenant")?, int(row, "priority")?));
        let mut lanes = rows.iter().map(lane).collect::<Result<Vec<_>>>()?;
        let highest = lanes.first().map(|(_, priority)| *priority);
        lanes.retain(|(_, priority)| Some(*priority) == highest);
        Ok(lanes)
    }

    async fn start_first(
        &self,
        work: &mut Work,
        tenant: &str,
        priority: i64,
        worker: &str,
        lease: Duration,
    ) -> Result<Option<Claimed>> {
        let row = self
            .query(
                "UPDATE jobs SET state = 'STARTED', attempt = attempt + 1, worker = $3, lease = $now + $4, started = $now,
                     hit_limit = NULL, error = NULL, exit_code = NULL
                 WHERE id = (SELECT id FROM jobs
                     WHERE tenant = $1 AND priority = $2 AND state IN ('PENDING', 'RETRY') AND not_before <= $now
                         AND (expires IS NULL OR expires > $now)
                     ORDER BY not_before, id LIMIT 1 $skip)
                 RETURNING id, tenant, attempt, failures, retries, backoff,
                     (SELECT body FROM submissions WHERE job = jobs.id) AS body,
                     (SELECT rules FROM tenants WHERE tenants.id = jobs.tenant) AS rules",
            )
            .bind(tenant.to_owned())
            .bind(priority)
            .bind(worker.to_owned())
            .bind(millis(lease))
            .fetch_optional(&mut **work)
            .await?;
        row.as_ref().map(claimed).transpose()
    }

    /// Puts a lane behind all others.
    async fn serve(&self, work: &mut Work, tenant: &str, priority: i64, turn: i64, took: bool) -> Result<()> {
        self.query(
            "UPDATE lanes SET turn = $3, queued = queued - $4,
                 next_at = (SELECT not_before FROM jobs
                     WHERE tenant = $1 AND priority = $2 AND state IN ('PENDING', 'RETRY')
                         AND (expires IS NULL OR expires > $now)
                     ORDER BY not_before LIMIT 1)
             WHERE tenant = $1 AND priority = $2",
        )
        .bind(tenant.to_owned())
        .bind(priority)
        .bind(turn)
        .bind(i64::from(took))
        .execute(&mut **work)
        .await?;
        Ok(())
    }

    /// The job of that name waits now.
    pub(super) async fn enqueue(&self, work: &mut Work, tenant: &str, id: &str) -> Result<()> {
        self.query(
            "INSERT INTO lanes (tenant, priority, queued, next_at, turn)
             SELECT tenant, priority, 1, not_before, 0 FROM jobs WHERE id = $1 AND tenant = $2
             ON CONFLICT (tenant, priority) DO UPDATE SET queued = lanes.queued + 1,
                 next_at = CASE WHEN lanes.next_at < excluded.next_at THEN lanes.next_at ELSE excluded.next_at END",
        )
        .bind(id.to_owned())
        .bind(tenant.to_owned())
        .execute(&mut **work)
        .await?;
        Ok(())
    }

    /// The job of that name does not wait any more.
    pub(super) async fn dequeue(&self, work: &mut Work, id: &str) -> Result<()> {
        self.query(
            "UPDATE lanes SET queued = queued - 1
             WHERE tenant = (SELECT tenant FROM jobs WHERE id = $1)
                 AND priority = (SELECT priority FROM jobs WHERE id = $1)",
        )
        .bind(id.to_owned())
        .execute(&mut **work)
        .await?;
        Ok(())
    }

    /// How long until the next job may start, as far as the time alone decides: `None` if none waits.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn next_start(&self) -> Result<Option<Duration>> {
        let query = self.query("SELECT min(next_at) - $now AS millis FROM lanes WHERE next_at IS NOT NULL");
        let row = query.fetch_one(&self.readers).await?;
        let millis = maybe_int(&row, "millis")?;
        Ok(millis.map(|millis| Duration::from_millis(millis.max(0).unsigned_abs())))
    }

    /// Renews the leases of those jobs that still are `worker`'s, and says which these are.
    pub(crate) async fn renew(&self, worker: &str, ids: &[String], lease: Duration) -> Result<Vec<Renewed>> {
        let rows = self
            .query(
                "UPDATE jobs SET lease = $now + $3 WHERE id IN $ids AND worker = $2 AND state = 'STARTED'
                 RETURNING id, attempt, cancel",
            )
            .bind(serde_json::to_string(ids).unwrap_or_default())
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

    /// Writes how a run ended, with the output that is not written yet, if it was not given up before. Returns
    /// the job's state then.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn finish(
        &self,
        job: &Claimed,
        end: &End,
        seq: i64,
        pieces: &[(&'static str, String)],
    ) -> Result<Option<State>> {
        let again = match end.verdict {
            Verdict::GivenBack => Some(0),
            Verdict::Failure if job.failures < job.retries => Some(backoff(job.backoff, job.failures)),
            _ => None,
        };
        let state = match (&end.verdict, again) {
            (Verdict::Success, _) => State::Success,
            (Verdict::Failure, None) => State::Failure,
            (Verdict::Revoked, _) => State::Revoked,
            (Verdict::Failure, Some(_)) => State::Retry,
            (Verdict::GivenBack, _) => State::Pending,
        };
        let mut work = self.begin().await?;
        self.append_in(&mut work, job, seq, pieces).await?;
        // Who cancelled a job meanwhile does not want it to start again.
        let row = self
            .end(job, end, state, again)
            .fetch_optional(&mut *work)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let state = State::named(&text(&row, "state")?)?;
        if !state.is_final() {
            self.enqueue(&mut work, &job.tenant, &job.id).await?;
            self.tell(&mut work, "queue".into()).await?;
        }
        self.account(&mut work, &job.tenant, &end.usage).await?;
        let news = News::Job(job.id.as_str().into());
        self.tell(&mut work, news.payload()).await?;
        work.commit().await?;
        self.wake.tell(news);
        // A tenant that was at its quota may run another one.
        self.wake.queue.send_replace(());
        Ok(Some(state))
    }

    fn end(&self, job: &Claimed, end: &End, state: State, again: Option<i64>) -> Query {
        let failed = end.verdict == Verdict::Failure;
        self.query(
            "UPDATE jobs SET
                 state = CASE WHEN cancel = 1 AND $4 >= 0 THEN 'REVOKED' ELSE $3 END,
                 not_before = CASE WHEN $4 >= 0 THEN $now + $4 ELSE not_before END,
                 finished = CASE WHEN cancel = 1 OR $4 < 0 THEN $now END,
                 failures = failures + $5, worker = NULL, lease = NULL,
                 hit_limit = $6, error = $7, exit_code = $8, result = $9,
                 cpu_us = $10, wall_us = $11, memory = $12, output = $13
             WHERE id = $1 AND attempt = $2 AND state = 'STARTED'
             RETURNING state",
        )
        .bind(job.id.clone())
        .bind(job.attempt)
        .bind(state.name().to_owned())
        .bind(again.unwrap_or(-1))
        .bind(i64::from(failed))
        .bind(end.limit.map(str::to_owned))
        .bind(end.error.clone())
        .bind(end.exit_code)
        .bind(end.result.clone())
        .bind(micros(end.usage.cpu_time))
        .bind(micros(end.usage.wall_time))
        .bind(end.usage.memory)
        .bind(end.usage.output)
    }

    async fn account(&self, work: &mut Work, tenant: &str, usage: &Usage) -> Result<()> {
        self.query(
            "INSERT INTO usage (tenant, hour, runs, cpu_us, wall_us, output) VALUES ($1, $now / 3600000, 1, $2, $3, $4)
             ON CONFLICT (tenant, hour) DO UPDATE SET runs = usage.runs + 1, cpu_us = usage.cpu_us + excluded.cpu_us,
                 wall_us = usage.wall_us + excluded.wall_us, output = usage.output + excluded.output",
        )
        .bind(tenant.to_owned())
        .bind(micros(usage.cpu_time))
        .bind(micros(usage.wall_time))
        .bind(usage.output)
        .execute(&mut **work)
        .await?;
        Ok(())
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
        for id in lost.iter().chain(&expired) {
            self.tell(&mut work, News::Job(id.as_str().into()).payload())
                .await?;
        }
        self.tell(&mut work, "queue".into()).await?;
        work.commit().await?;
        for id in lost.iter().chain(&expired) {
            self.wake.tell(News::Job(id.as_str().into()));
        }
        self.wake.queue.send_replace(());
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
        let mut ids = Vec::new();
        for row in &rows {
            let (id, tenant) = (text(row, "id")?, text(row, "tenant")?);
            if text(row, "state")? == State::Retry.name() {
                self.enqueue(work, &tenant, &id).await?;
            }
            tracing::warn!(job = id, tenant, "its worker was lost");
            ids.push(id);
        }
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

fn claimed(row: &AnyRow) -> Result<Claimed> {
    Ok(Claimed {
        id: text(row, "id")?,
        tenant: text(row, "tenant")?,
        attempt: int(row, "attempt")?,
        failures: int(row, "failures")?,
        retries: int(row, "retries")?,
        backoff: int(row, "backoff")?,
        submission: super::jobs::parsed(row.try_get("body")?)?,
        rules: super::jobs::parsed(row.try_get("rules")?)?,
    })
}

/// Twice as long each time.
fn backoff(first: i64, failures: i64) -> i64 {
    let factor = 1_i64 << failures.clamp(0, 30);
    first.saturating_mul(factor).min(LONGEST_BACKOFF.max(first))
}

fn micros(seconds: f64) -> i64 {
    (seconds * 1e6) as i64
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_retry_waits_twice_as_long_up_to_an_hour() {
        let waits = [0, 1, 2, 11, 12, 99].map(|failures| super::backoff(1000, failures));
        assert_eq!(waits, [1000, 2000, 4000, 2_048_000, 3_600_000, 3_600_000]);
        assert_eq!(super::backoff(7_200_000, 1), 7_200_000);
    }
}
