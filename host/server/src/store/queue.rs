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
//! A tenant's row (who submits), jobs' rows, their lanes' by name, the tenants' usage by name. Giving out takes lanes
//! first, and passes over jobs that are locked.

use super::files::Reference;
use super::logs::Appending;
use super::{Store, Work, int, json, maybe_int, maybe_text, millis, text};
use crate::error::Result;
use crate::job::{JobFile, State, StoredFile, Submission, Usage};
use crate::tenant::Rules;
use crate::wake::News;
use futures::FutureExt;
use serde::Serialize;
use sqlx::any::AnyRow;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A job whose worker is lost so often takes its workers down with it.
const MOST_LOSSES: i64 = 3;
/// For so long a job waits for a worker that can read it; and before it is shown to one again that could not.
const UNREADABLE: i64 = 3_600_000;
const NEXT_LOOK: i64 = 10_000;
/// So often a claim looks for jobs in place of those that cannot be read.
const MOST_LOOKS: usize = 8;
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
    /// What its packages are.
    pub(crate) lock: Option<String>,
    /// What its snapshot was made of.
    pub(crate) before: Option<String>,
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
    /// What it left, each kept already.
    pub files: Vec<JobFile>,
    /// The snapshot that it was to make, kept already.
    pub snapshot: Option<StoredFile>,
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
        let ending = Ending {
            job: job.id.clone(),
            tenant: job.tenant.clone(),
            attempt: job.attempt,
            state: state.name(),
            again: again.unwrap_or(-1),
            failed: i64::from(end.verdict == Verdict::Failure),
            limit: end.limit,
            error: end.error.clone(),
            exit_code: end.exit_code,
            result: end.result.clone(),
            cpu_us: micros(end.usage.cpu_time),
            wall_us: micros(end.usage.wall_time),
            memory: end.usage.memory,
            output: end.usage.output,
            made: end.snapshot.as_ref().and_then(|file| made(job, file)),
            pieces: Appending::all(job, seq, pieces),
            files: end.files.iter().map(|file| left(job, file)).collect(),
        };
        let bytes = end.result.as_ref().map_or(0, String::len);
        let bytes = bytes + pieces.iter().map(|(_, text)| text.len()).sum::<usize>();
        let finish = |store, all| finish_all(store, all).boxed();
        self.ending.add(self, ending, bytes, finish).await
    }

    /// Ends runs that were not given up, and returns the states of their jobs.
    async fn end(&self, work: &mut Work, all: &[Ending]) -> Result<BTreeMap<String, State>> {
        // Who cancelled a job meanwhile does not want it to start again.
        let rows = self
            .query(
                "UPDATE jobs SET
                     state = CASE WHEN cancel = 1 AND r.again >= 0 THEN 'REVOKED' ELSE r.following END,
                     not_before = CASE WHEN r.again >= 0 THEN $now + r.again ELSE not_before END,
                     finished = CASE WHEN cancel = 1 OR r.again < 0 THEN $now END,
                     failures = failures + r.failed, worker = NULL, lease = NULL, refused = NULL,
                     hit_limit = r.limited, error = r.why, exit_code = r.code, result = r.returned,
                     cpu_us = r.cpu, wall_us = r.wall, memory = r.bytes, output = r.written
                 FROM (SELECT value->>'job' AS job, CAST(value->>'attempt' AS BIGINT) AS start, value->>'state' AS following,
                     CAST(value->>'again' AS BIGINT) AS again, CAST(value->>'failed' AS BIGINT) AS failed,
                     value->>'limit' AS limited, value->>'error' AS why, CAST(value->>'exit_code' AS BIGINT) AS code,
                     value->>'result' AS returned, CAST(value->>'cpu_us' AS BIGINT) AS cpu,
                     CAST(value->>'wall_us' AS BIGINT) AS wall, CAST(value->>'memory' AS BIGINT) AS bytes,
                     CAST(value->>'output' AS BIGINT) AS written FROM $rows) AS r
                 WHERE id = r.job AND attempt = r.start AND state = 'STARTED'
                 RETURNING id, state",
            )
            .bind(json(&all)?)
            .fetch_all(&mut **work)
            .await?;
        let state = |row| Ok((text(row, "id")?, State::named(&text(row, "state")?)?));
        rows.iter().map(state).collect()
    }

    /// Of a job's attempts the last one's files are its own.
    async fn replace_left(&self, work: &mut Work, ended: &[&Ending]) -> Result<()> {
        let again = ended
            .iter()
            .filter(|end| end.attempt > 1 || !end.files.is_empty());
        let again = again.map(|end| end.job.as_str()).collect::<Vec<_>>();
        if again.is_empty() {
            return Ok(());
        }
        self.forget_left(work, &again).await?;
        let files = ended.iter().flat_map(|end| &end.files).collect::<Vec<_>>();
        self.refer(work, &files).await
    }

    async fn account(&self, work: &mut Work, ended: &[&Ending]) -> Result<()> {
        let mut sums = BTreeMap::<_, [i64; 4]>::new();
        for end in ended {
            let sum = sums.entry(&end.tenant).or_default();
            for (sum, part) in sum.iter_mut().zip([1, end.cpu_us, end.wall_us, end.output]) {
                *sum += part;
            }
        }
        let rows = sums
            .iter()
            .map(|(tenant, [runs, cpu, wall, output])| (tenant, runs, cpu, wall, output));
        self.query(
            "INSERT INTO usage (tenant, hour, runs, cpu_us, wall_us, output)
             SELECT value->>0, $now / 3600000, CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT),
                 CAST(value->>3 AS BIGINT), CAST(value->>4 AS BIGINT) FROM $rows WHERE true
             ON CONFLICT (tenant, hour) DO UPDATE SET runs = usage.runs + excluded.runs,
                 cpu_us = usage.cpu_us + excluded.cpu_us, wall_us = usage.wall_us + excluded.wall_us,
                 output = usage.output + excluded.output",
        )
        .bind(json(&rows.collect::<Vec<_>>())?)
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

/// A run's end on its way.
#[derive(Clone, Serialize)]
pub(super) struct Ending {
    job: String,
    #[serde(skip)]
    tenant: String,
    attempt: i64,
    state: &'static str,
    /// Milliseconds until its next start; -1: there is none.
    again: i64,
    failed: i64,
    limit: Option<&'static str>,
    error: Option<String>,
    exit_code: Option<i64>,
    result: Option<String>,
    cpu_us: i64,
    wall_us: i64,
    memory: i64,
    output: i64,
    #[serde(skip)]
    pieces: Vec<Appending>,
    #[serde(skip)]
    files: Vec<Reference>,
    #[serde(skip)]
    pub(super) made: Option<Made>,
}

/// A snapshot that a run has made.
#[derive(Clone, Serialize)]
pub(super) struct Made {
    tenant: String,
    name: String,
    hash: String,
    source: String,
    /// JSON.
    packages: String,
    lock: Option<String>,
    job: String,
}

fn made(job: &Claimed, file: &StoredFile) -> Option<Made> {
    let submission = &job.submission;
    Some(Made {
        tenant: job.tenant.clone(),
        name: submission.makes.clone()?,
        hash: file.sha256.clone(),
        source: submission.source.clone(),
        packages: json(&submission.packages).ok()?,
        lock: job.lock.clone(),
        job: job.id.clone(),
    })
}

fn left(job: &Claimed, file: &JobFile) -> Reference {
    Reference {
        job: job.id.clone(),
        role: "output",
        path: file.path.clone(),
        tenant: job.tenant.clone(),
        hash: file.sha256.clone(),
    }
}

async fn finish_all(store: Store, mut all: Vec<Ending>) -> Result<Vec<Result<Option<State>>>> {
    let pieces = all
        .iter_mut()
        .flat_map(|end| std::mem::take(&mut end.pieces))
        .collect::<Vec<_>>();
    let mut work = store.begin().await?;
    store.append_in(&mut work, &pieces).await?;
    let states = store.end(&mut work, &all).await?;
    let again = states.iter().filter(|(_, state)| !state.is_final());
    let again = again.map(|(id, _)| id.as_str()).collect::<Vec<_>>();
    store.keep_attempts(&mut work, &again).await?;
    store.enqueue(&mut work, &again).await?;
    let ended = all
        .iter()
        .filter(|end| states.contains_key(&end.job))
        .collect::<Vec<_>>();
    store.account(&mut work, &ended).await?;
    store.replace_left(&mut work, &ended).await?;
    let is_done = |end: &&&Ending| states.get(&end.job) == Some(&State::Success);
    let done = ended.iter().filter(is_done).copied().collect::<Vec<_>>();
    store.keep_snapshots(&mut work, &done).await?;
    let mut news = states
        .keys()
        .map(|id| News::Job(id.as_str().into()))
        .collect::<Vec<_>>();
    if !again.is_empty() {
        news.push(News::Queue);
    }
    store.tell(&mut work, &news).await?;
    work.commit().await?;
    news.into_iter().for_each(|news| store.wake.tell(news));
    // A tenant that was at its quota may run another one.
    store.wake.tell(News::Queue);
    Ok(all.iter().map(|end| Ok(states.get(&end.job).copied())).collect())
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

/// Twice as long each time.
fn backoff(first: i64, failures: i64) -> i64 {
    let factor = 1_i64 << failures.clamp(0, 30);
    first.saturating_mul(factor).min(LONGEST_BACKOFF.max(first))
}

pub(super) fn micros(seconds: f64) -> i64 {
    (seconds * 1e6) as i64
}

#[cfg(test)]
mod tests {
    #[test]
    fn slots_are_dealt_in_turns_to_those_who_have_room() {
        assert_eq!(super::deal(&[3, 1, 2], 9), [0, 1, 2, 0, 2, 0]);
        assert_eq!(super::deal(&[5, 5], 3), [0, 1, 0]);
        assert!(super::deal(&[], 3).is_empty() && super::deal(&[0], 3).is_empty());
    }

    #[test]
    fn each_retry_waits_twice_as_long_up_to_an_hour() {
        let waits = [0, 1, 2, 11, 12, 99].map(|failures| super::backoff(1000, failures));
        assert_eq!(waits, [1000, 2000, 4000, 2_048_000, 3_600_000, 3_600_000]);
        assert_eq!(super::backoff(7_200_000, 1), 7_200_000);
    }
}
