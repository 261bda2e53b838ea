//! Submissions: who may submit what, and jobs as they begin. What comes at once is one transaction.

use super::files::Reference;
use super::{Store, Work, int, json, maybe_int, text};
use crate::error::{Error, Result};
use crate::id;
use crate::job::{Job, State, Submission};
use crate::packages;
use crate::tenant::Rules;
use crate::time::Time;
use crate::wake::News;
use futures::FutureExt;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A bundle's name in its folder.
const BUNDLE: &str = "bundle.zip";

/// A submission that was taken.
#[derive(Debug)]
pub struct Submitted {
    /// The job.
    pub job: Job,
    /// It is new: no submission before had the same key.
    pub new: bool,
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
        match &submission.makes {
            Some(_) => Err(Error::Invalid(
                "makes: a snapshot is made with POST /v1/snapshots".into(),
            )),
            None => self.take(tenant, key, submission).await,
        }
    }

    /// Takes one that may make a snapshot.
    pub(super) async fn take(
        &self,
        tenant: &str,
        key: Option<&str>,
        submission: &Submission,
    ) -> Result<Submitted> {
        submission.check()?;
        let mut submitting = Submitting {
            id: id::new("job"),
            tenant: tenant.to_owned(),
            name: submission.name.clone(),
            key: key.map(str::to_owned),
            priority: submission.priority,
            delay: from_seconds(submission.delay),
            time_to_live: submission.time_to_live.map(from_seconds),
            retries: submission.retries,
            backoff: from_seconds(submission.backoff),
            body: json(submission)?,
            files: Vec::new(),
            lock: None,
            before: None,
        };
        if submission.session.is_some() && self.tenant(tenant).await?.quotas.rules.sessions == 0 {
            let message = "session: this tenant's rules allow none";
            return Err(Error::Invalid(message.into()));
        }
        if !submission.packages.is_empty() {
            let rules = self.tenant(tenant).await?.quotas.rules;
            packages::check(&submission.packages, &rules.packages)?;
            let lock = self.packages()?.lock(submission.packages.clone());
            submitting.lock = Some(lock.await?);
        }
        let reference = |role, path: &str, hash: &String| Reference {
            job: submitting.id.clone(),
            role,
            path: path.to_owned(),
            tenant: tenant.to_owned(),
            hash: hash.clone(),
        };
        let given = submission.files.iter();
        let given = given.map(|(path, hash)| reference("input", path, hash));
        let bundle = submission.bundle.iter();
        let files = given.chain(bundle.map(|hash| reference("bundle", BUNDLE, hash)));
        let mut files = files.collect::<Vec<_>>();
        if let Some(name) = &submission.snapshot {
            let kept = self.kept_snapshot(tenant, name).await?;
            if !submission.secrets.is_empty() {
                kept.check_secrets(name)?;
            }
            let rules = self.tenant(tenant).await?.quotas.rules;
            packages::check(&kept.packages, &rules.packages)?;
            files.push(reference("snapshot", "", &kept.hash));
            (submitting.lock, submitting.before) = (kept.lock, Some(kept.source));
        }
        submitting.files = files;
        if !submitting.files.is_empty() || submission.timeline {
            self.files()?;
        }
        let bytes = submitting.body.len();
        let submit = |store, all| submit_all(store, all).boxed();
        self.submitting.add(self, submitting, bytes, submit).await
    }

    /// The tenants that submit, held until the end of `work`: what they may submit, and how many jobs more.
    pub(super) async fn hold_tenants(
        &self,
        work: &mut Work,
        names: &BTreeSet<&str>,
    ) -> Result<BTreeMap<String, Room>> {
        let rows = self
            .query(
                "SELECT id, max_queued, rules, cpu_us, cpu_hours,
                     (SELECT CAST(coalesce(sum(cpu_us), 0) AS BIGINT) FROM usage
                         WHERE tenant = tenants.id AND hour > $now / 3600000 - tenants.cpu_hours) AS used_us,
                     (SELECT CAST(coalesce(sum(queued), 0) AS BIGINT) FROM lanes WHERE tenant = tenants.id) AS queued
                 FROM tenants WHERE id IN $ids ORDER BY id $key",
            )
            .bind(json(names)?)
            .fetch_all(&mut **work)
            .await?;
        let room = |row| {
            let (max_queued, used) = (int(row, "max_queued")?, int(row, "used_us")?);
            let room = Room {
                rules: serde_json::from_str(&text(row, "rules")?).ok(),
                max_queued,
                left: max_queued - int(row, "queued")?,
                cpu: maybe_int(row, "cpu_us")?.filter(|most| used >= *most),
                cpu_hours: int(row, "cpu_hours")?,
            };
            Ok((text(row, "id")?, room))
        };
        rows.iter().map(room).collect()
    }

    /// Which jobs were submitted with these keys: by tenant and key, the job and what was submitted.
    async fn with_keys(&self, work: &mut Work, all: &[Submitting]) -> Result<Keys> {
        let keys = all
            .iter()
            .filter_map(|job| Some((&job.tenant, job.key.as_ref()?)));
        let keys = keys.collect::<Vec<_>>();
        if keys.is_empty() {
            return Ok(Keys::new());
        }
        let rows = self
            .query(
                "SELECT id, tenant, idempotency_key, (SELECT body FROM submissions WHERE job = jobs.id) AS body
                 FROM $rows JOIN jobs ON tenant = value->>0 AND idempotency_key = value->>1",
            )
            .bind(json(&keys)?)
            .fetch_all(&mut **work)
            .await?;
        let known = |row| {
            let key = (text(row, "tenant")?, text(row, "idempotency_key")?);
            Ok((key, (text(row, "id")?, text(row, "body")?)))
        };
        rows.iter().map(known).collect()
    }

    /// Keeps new jobs, and returns their times: when they were made, may start, and expire.
    async fn insert(
        &self,
        work: &mut Work,
        all: &[&Submitting],
    ) -> Result<BTreeMap<String, [Option<i64>; 3]>> {
        if all.is_empty() {
            return Ok(BTreeMap::new());
        }
        let rows = self
            .query(
                "INSERT INTO jobs (id, tenant, name, state, priority, created, not_before, expires, idempotency_key, retries, backoff)
                 SELECT value->>'id', value->>'tenant', value->>'name', 'PENDING', CAST(value->>'priority' AS BIGINT), $now,
                     $now + CAST(value->>'delay' AS BIGINT), $now + CAST(value->>'time_to_live' AS BIGINT), value->>'key',
                     CAST(value->>'retries' AS BIGINT), CAST(value->>'backoff' AS BIGINT) FROM $rows WHERE true
                 RETURNING id, created, not_before, expires",
            )
            .bind(json(&all)?)
            .fetch_all(&mut **work)
            .await?;
        let bodies = all
            .iter()
            .map(|job| (&job.id, &job.body, &job.lock, &job.before))
            .collect::<Vec<_>>();
        self.query(
            "INSERT INTO submissions (job, body, lock, before)
             SELECT value->>0, value->>1, value->>2, value->>3 FROM $rows",
        )
        .bind(json(&bodies)?)
        .execute(&mut **work)
        .await?;
        let files = all.iter().flat_map(|job| &job.files).collect::<Vec<_>>();
        self.refer(work, &files).await?;
        let ids = all.iter().map(|job| job.id.as_str()).collect::<Vec<_>>();
        self.enqueue(work, &ids).await?;
        let times = |row| {
            let time = |column| maybe_int(row, column);
            Ok((
                text(row, "id")?,
                [time("created")?, time("not_before")?, time("expires")?],
            ))
        };
        rows.iter().map(times).collect()
    }
}

/// A submission on its way.
#[derive(Clone, Serialize)]
pub(super) struct Submitting {
    id: String,
    tenant: String,
    name: Option<String>,
    key: Option<String>,
    priority: i64,
    /// Milliseconds, as all here.
    delay: i64,
    time_to_live: Option<i64>,
    retries: i64,
    backoff: i64,
    #[serde(skip)]
    body: String,
    #[serde(skip)]
    files: Vec<Reference>,
    #[serde(skip)]
    lock: Option<String>,
    #[serde(skip)]
    before: Option<String>,
}

/// What a tenant may submit.
pub(super) struct Room {
    /// None: a newer version has written them.
    rules: Option<Rules>,
    max_queued: i64,
    /// How many jobs more.
    left: i64,
    /// The microseconds that it may use in so many hours, if they are used.
    cpu: Option<i64>,
    cpu_hours: i64,
}

impl Room {
    pub(super) fn take(&self, count: i64) -> Result<i64> {
        if let Some(most) = self.cpu {
            let message = format!(
                "the {} s of processor time are used that this tenant has in {} h (its quota cpu_time)",
                most as f64 / 1e6,
                self.cpu_hours
            );
            return Err(Error::Quota(message));
        }
        if self.left < count {
            let message = format!(
                "{} jobs wait already, which is this tenant's quota (max_queued)",
                self.max_queued
            );
            return Err(Error::Quota(message));
        }
        Ok(self.left - count)
    }
}

/// By tenant and key, a job and what was submitted.
type Keys = BTreeMap<(String, String), (String, String)>;

/// What becomes of a submission.
enum Fate {
    New,
    /// It is this job's again.
    Known(String),
    Refused(Error),
}

async fn submit_all(store: Store, all: Vec<Submitting>) -> Result<Vec<Result<Submitted>>> {
    let mut work = store.begin().await?;
    let names = all.iter().map(|job| job.tenant.as_str()).collect();
    let mut rooms = store.hold_tenants(&mut work, &names).await?;
    let mut known = store.with_keys(&mut work, &all).await?;
    let files = all.iter().flat_map(|job| &job.files).collect::<Vec<_>>();
    let files = store.known_files(&mut work, &files).await?;
    let fates = all
        .iter()
        .map(|job| fate(job, &mut rooms, &mut known, &files))
        .collect::<Vec<_>>();
    let new = all
        .iter()
        .zip(&fates)
        .filter(|(_, fate)| matches!(fate, Fate::New));
    let new = new.map(|(job, _)| job).collect::<Vec<_>>();
    let mut times = store.insert(&mut work, &new).await?;
    let mut known = BTreeMap::new();
    for (job, fate) in all.iter().zip(&fates) {
        if let Fate::Known(id) = fate {
            known.insert(id.clone(), store.job_in(&mut *work, &job.tenant, id).await?);
        }
    }
    if !new.is_empty() {
        store.tell(&mut work, &[News::Queue]).await?;
    }
    work.commit().await?;
    store.wake.tell(News::Queue);
    let mut answers = Vec::new();
    for (job, fate) in all.iter().zip(fates) {
        answers.push(match fate {
            Fate::Refused(error) => Err(error),
            Fate::Known(id) => {
                let job = known.get(&id).cloned().ok_or(Error::NotFound("job"));
                job.map(|job| Submitted { job, new: false })
            }
            Fate::New => {
                let [created, not_before, expires] = times.remove(&job.id).unwrap_or_default();
                Ok(Submitted {
                    job: waiting(job, created.unwrap_or(0), not_before.unwrap_or(0), expires),
                    new: true,
                })
            }
        });
    }
    Ok(answers)
}

fn fate(
    job: &Submitting,
    rooms: &mut BTreeMap<String, Room>,
    known: &mut Keys,
    files: &BTreeSet<(String, String)>,
) -> Fate {
    let Some(room) = rooms.get_mut(&job.tenant) else {
        return Fate::Refused(Error::NotFound("tenant"));
    };
    let key = job.key.clone().map(|key| (job.tenant.clone(), key));
    if let Some((id, body)) = key.as_ref().and_then(|key| known.get(key)) {
        if *body == job.body {
            return Fate::Known(id.clone());
        }
        let message = "this Idempotency-Key was used for another submission";
        return Fate::Refused(Error::Conflict(message.into()));
    }
    let Some(rules) = &room.rules else {
        let message = "this version of the service cannot read the tenant's rules; one that is newer does";
        return Fate::Refused(Error::Conflict(message.into()));
    };
    if job.priority > rules.priority {
        let message = format!("priority: {} is the highest of this tenant", rules.priority);
        return Fate::Refused(Error::Invalid(message));
    }
    let is_there = |file: &&Reference| files.contains(&(file.tenant.clone(), file.hash.clone()));
    if let Some(missing) = job.files.iter().find(|file| !is_there(file)) {
        return Fate::Refused(super::files::missing(&missing.hash));
    }
    match room.take(1) {
        Err(error) => return Fate::Refused(error),
        Ok(left) => room.left = left,
    }
    if let Some(key) = key {
        known.insert(key, (job.id.clone(), job.body.clone()));
    }
    Fate::New
}

/// A job that was just submitted.
fn waiting(job: &Submitting, created: i64, not_before: i64, expires: Option<i64>) -> Job {
    Job {
        id: job.id.clone(),
        tenant: job.tenant.clone(),
        name: job.name.clone(),
        state: State::Pending,
        priority: job.priority,
        attempt: 0,
        created: Time(created),
        not_before: Time(not_before),
        expires: expires.map(Time),
        started: None,
        finished: None,
        cancel_requested: false,
        limit: None,
        error: None,
        exit_code: None,
        usage: None,
    }
}

fn from_seconds(seconds: f64) -> i64 {
    // It was checked to be at most a year.
    (seconds * 1000.0) as i64
}
