//! The queue: which job starts next. `leases.rs` is about who runs it, `ends.rs` about how its run ends.
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
//! A tenant's row (who submits), jobs' rows, their lanes' by name, the tenants' usage by name. Giving out takes lanes
//! first, and passes over jobs that are locked.

use super::{Store, Work, int, json, maybe_int, maybe_text, millis, text};
use crate::error::Result;
use crate::job::{State, Submission};
use crate::tenant::Rules;
use serde::Serialize;
use sqlx::any::AnyRow;
use std::collections::VecDeque;
use std::time::Duration;

/// For so long a job waits for a worker that can read it; and before it is shown to one again that could not.
const UNREADABLE: i64 = 3_600_000;
const NEXT_LOOK: i64 = 10_000;
/// So often a claim looks for jobs in place of those that cannot be read.
const MOST_LOOKS: usize = 8;

/// A job that was given to a worker.
#[derive(Debug)]
pub struct Claimed {
    /// Its name.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Which start of it this is, from 1.
    pub attempt: i64,
    pub(super) failures: i64,
    pub(super) retries: i64,
    pub(super) backoff: i64,
    /// What was submitted.
    pub submission: Submission,
    /// What its packages are.
    pub(crate) lock: Option<String>,
    /// What its snapshot was made of.
    pub(crate) before: Option<String>,
    /// What it may do and use up.
    pub rules: Rules,
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
        let (mut claimed, mut changed) = (Vec::new(), false);
        let mut looks = 0..MOST_LOOKS;
        while claimed.len() < slots && looks.next().is_some() {
            let mut lanes = self.next_lanes(&mut work, slots - claimed.len()).await?;
            let rooms = lanes.iter().map(|lane| lane.room).collect::<Vec<_>>();
            let dealt = deal(&rooms, slots - claimed.len());
            if dealt.is_empty() {
                break;
            }
            changed = true;
            for &index in &dealt {
                turn += 1;
                lanes[index].turn = turn;
                lanes[index].wanted += 1;
            }
            let (mut started, mut refused) = (Vec::new(), 0);
            for lane in &mut lanes {
                let first = match lane.wanted {
                    0 => Started::default(),
                    _ => self.start_first(&mut work, lane, worker, lease).await?,
                };
                lane.took = first.jobs.len() + self.refuse(&mut work, &first.unreadable).await?;
                refused += first.unreadable.len();
                started.push(first.jobs);
            }
            lanes.retain(|lane| lane.wanted > 0);
            self.serve(&mut work, &lanes).await?;
            let before = claimed.len();
            claimed.extend(dealt.iter().filter_map(|&index| started[index].pop_front()));
            if claimed.len() == before && refused == 0 {
                break;
            }
        }
        if changed {
            work.commit().await?;
        }
        Ok(claimed)
    }

    /// The lanes of the highest priority that have a job and whose tenants may run one more, in their turn.
    async fn next_lanes(&self, work: &mut Work, most: usize) -> Result<Vec<Lane>> {
        // The lanes are locked before their jobs are looked for, so that no job can come in between unseen; and in
        // the order in which all lock them.
        let rows = self
            .query(
                "SELECT l.tenant, l.priority, l.turn, l.queued, next.room FROM lanes l JOIN
                     (SELECT n.tenant AS tenant, n.priority AS priority, t.max_running
                         - (SELECT count(*) FROM jobs j WHERE j.tenant = n.tenant AND j.state = 'STARTED') AS room
                     FROM lanes n JOIN tenants t ON t.id = n.tenant
                     WHERE n.next_at <= $now
                         AND (SELECT count(*) FROM jobs j WHERE j.tenant = n.tenant AND j.state = 'STARTED') < t.max_running
                         AND (t.cpu_us IS NULL OR t.cpu_us > (SELECT coalesce(sum(u.cpu_us), 0) FROM usage u
                             WHERE u.tenant = t.id AND u.hour > $now / 3600000 - t.cpu_hours))
                     ORDER BY n.priority DESC, n.turn LIMIT $1) next
                 ON next.tenant = l.tenant AND next.priority = l.priority ORDER BY l.tenant, l.priority $hold",
            )
            .bind(most as i64)
            .fetch_all(&mut **work)
            .await?;
        let lane = |row| {
            Ok(Lane {
                tenant: text(row, "tenant")?,
                priority: int(row, "priority")?,
                turn: int(row, "turn")?,
                room: int(row, "room")?.min(int(row, "queued")?),
                wanted: 0,
                took: 0,
            })
        };
        let mut lanes = rows.iter().map(lane).collect::<Result<Vec<_>>>()?;
        let highest = lanes.iter().map(|lane| lane.priority).max();
        lanes.retain(|lane| Some(lane.priority) == highest);
        lanes.sort_by_key(|lane| lane.turn);
        Ok(lanes)
    }

    /// Starts as many of a lane's first jobs as it is to.
    async fn start_first(
        &self,
        work: &mut Work,
        lane: &Lane,
        worker: &str,
        lease: Duration,
    ) -> Result<Started> {
        let rows = self
            .query(
                "WITH next AS MATERIALIZED (SELECT id FROM jobs
                     WHERE tenant = $1 AND priority = $2 AND state IN ('PENDING', 'RETRY') AND not_before <= $now
                         AND (expires IS NULL OR expires > $now)
                     ORDER BY not_before, id LIMIT $5 $skip)
                 UPDATE jobs SET state = 'STARTED', attempt = attempt + 1, worker = $3, lease = $now + $4, started = $now,
                     hit_limit = NULL, error = NULL, exit_code = NULL, wall_us = NULL
                 WHERE id IN (SELECT next.id FROM next)
                 RETURNING id, tenant, attempt, failures, retries, backoff, not_before,
                     (SELECT body FROM submissions WHERE job = jobs.id) AS body,
                     (SELECT lock FROM submissions WHERE job = jobs.id) AS lock,
                     (SELECT before FROM submissions WHERE job = jobs.id) AS before,
                     (SELECT rules FROM tenants WHERE tenants.id = jobs.tenant) AS rules",
            )
            .bind(lane.tenant.clone())
            .bind(lane.priority)
            .bind(worker.to_owned())
            .bind(millis(lease))
            .bind(lane.wanted as i64)
            .fetch_all(&mut **work)
            .await?;
        let mut started = Started::default();
        let mut jobs = Vec::new();
        for row in &rows {
            let id = text(row, "id")?;
            match read(row)? {
                Ok(job) => jobs.push((int(row, "not_before")?, id, job)),
                Err(why) => {
                    tracing::warn!(job = id, why, "a job cannot be read here and is left to others");
                    started.unreadable.push((id, why));
                }
            }
        }
        jobs.sort_by(|(time, id, _), (other_time, other, _)| (time, id).cmp(&(other_time, other)));
        started.jobs = jobs.into_iter().map(|(.., job)| job).collect();
        Ok(started)
    }

    /// Lets jobs wait again that have not really started, for somebody of a newer version; those that did so for too
    /// long fail. Returns how many these are.
    async fn refuse(&self, work: &mut Work, unreadable: &[(String, String)]) -> Result<usize> {
        if unreadable.is_empty() {
            return Ok(0);
        }
        let rows = self
            .query(
                "UPDATE jobs SET attempt = attempt - 1, worker = NULL, lease = NULL, started = NULL,
                     refused = coalesce(refused, $now), not_before = $now + $2, error = value->>1,
                     state = CASE WHEN refused <= $now - $3 THEN 'FAILURE' WHEN attempt > 1 THEN 'RETRY' ELSE 'PENDING' END,
                     finished = CASE WHEN refused <= $now - $3 THEN $now END
                 FROM $rows WHERE id = value->>0 RETURNING state",
            )
            .bind(json(&unreadable)?)
            .bind(NEXT_LOOK)
            .bind(UNREADABLE)
            .fetch_all(&mut **work)
            .await?;
        let mut failed = 0;
        for row in &rows {
            failed += usize::from(text(row, "state")? == State::Failure.name());
        }
        Ok(failed)
    }

    /// Puts lanes behind all others.
    async fn serve(&self, work: &mut Work, lanes: &[Lane]) -> Result<()> {
        self.query(
            "UPDATE lanes SET turn = CAST(value->>'turn' AS BIGINT), queued = queued - CAST(value->>'took' AS BIGINT),
                 next_at = (SELECT not_before FROM jobs
                     WHERE jobs.tenant = lanes.tenant AND jobs.priority = lanes.priority AND state IN ('PENDING', 'RETRY')
                         AND (expires IS NULL OR expires > $now)
                     ORDER BY not_before LIMIT 1)
             FROM $rows WHERE tenant = value->>'tenant' AND priority = CAST(value->>'priority' AS BIGINT)",
        )
        .bind(json(&lanes)?)
        .execute(&mut **work)
        .await?;
        Ok(())
    }

    /// Jobs of these names wait now.
    pub(super) async fn enqueue(&self, work: &mut Work, ids: &[&str]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        self.query(
            "INSERT INTO lanes (tenant, priority, queued, next_at, turn)
             SELECT tenant, priority, count(*), min(not_before), 0 FROM jobs WHERE id IN $ids
                 GROUP BY tenant, priority ORDER BY tenant, priority
             ON CONFLICT (tenant, priority) DO UPDATE SET queued = lanes.queued + excluded.queued,
                 next_at = CASE WHEN lanes.next_at < excluded.next_at THEN lanes.next_at ELSE excluded.next_at END",
        )
        .bind(json(&ids)?)
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
}

/// A lane that is next.
#[derive(Serialize)]
struct Lane {
    tenant: String,
    priority: i64,
    turn: i64,
    /// How many jobs of it may start.
    room: i64,
    /// How many slots it got, and how many jobs have started.
    wanted: usize,
    took: usize,
}

/// What a lane has given.
#[derive(Default)]
struct Started {
    jobs: VecDeque<Claimed>,
    /// Jobs, each with why it cannot be read.
    unreadable: Vec<(String, String)>,
}

/// Gives slots to lanes in turns, as many as each has room for: which lane gets each slot.
fn deal(rooms: &[i64], slots: usize) -> Vec<usize> {
    let most = rooms.iter().copied().max().unwrap_or(0);
    let rounds = (0..most).flat_map(|round| (0..rooms.len()).filter(move |&lane| rooms[lane] > round));
    rounds.take(slots).collect()
}

/// A job that is claimed; or why this version cannot read it, in words for its tenant.
fn read(row: &AnyRow) -> Result<Result<Claimed, String>> {
    let (body, rules) = (maybe_text(row, "body")?, text(row, "rules")?);
    let why = |what: &str, error: serde_json::Error| {
        let version = env!("CARGO_PKG_VERSION");
        format!("waits for a worker of a newer version, as that of {version} cannot read {what}: {error}")
    };
    let submission = serde_json::from_str(&body.unwrap_or_default());
    let rules = serde_json::from_str(&rules).map_err(|error| why("its tenant's rules", error));
    let read = submission.map_err(|error| why("it", error));
    let (submission, rules) = match (read, rules) {
        (Ok(submission), Ok(rules)) => (submission, rules),
        (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
    };
    Ok(Ok(Claimed {
        id: text(row, "id")?,
        tenant: text(row, "tenant")?,
        attempt: int(row, "attempt")?,
        failures: int(row, "failures")?,
        retries: int(row, "retries")?,
        backoff: int(row, "backoff")?,
        submission,
        lock: maybe_text(row, "lock")?,
        before: maybe_text(row, "before")?,
        rules,
    }))
}

#[cfg(test)]
mod tests {
    #[test]
    fn slots_are_dealt_in_turns_to_those_who_have_room() {
        assert_eq!(super::deal(&[3, 1, 2], 9), [0, 1, 2, 0, 2, 0]);
        assert_eq!(super::deal(&[5, 5], 3), [0, 1, 0]);
        assert!(super::deal(&[], 3).is_empty() && super::deal(&[0], 3).is_empty());
    }
}
