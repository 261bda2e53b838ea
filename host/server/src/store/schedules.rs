//! Schedules, and their turns. Any number of processes take turns: each asks for the same job by the same key, which
//! is the schedule's name and the turn's time, so that there is one.

use super::files::Reference;
use super::jobs::parsed;
use super::{Store, int, json, maybe_int, maybe_text, text};
use crate::counts::Sweeps;
use crate::error::{Error, Result};
use crate::id;
use crate::schedule::{Missed, NewSchedule, Schedule, next};
use crate::time::Time;
use sqlx::any::AnyRow;

/// Schedules of a tenant.
const MOST: i64 = 1000;
/// Turns that are taken at once.
const AT_ONCE: i64 = 100;
/// A turn that is later is missed.
const IN_TIME: i64 = 60_000;

/// The columns of a [`Schedule`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, tenant, cron, timezone, missed, created, next_at, last_at, job, error, body, $now AS now FROM schedules ",
            $rest
        )
    };
}

impl Store {
    /// Makes a schedule.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Quota`].
    pub async fn add_schedule(&self, tenant: &str, new: &NewSchedule) -> Result<Schedule> {
        let (row, asked) = (
            self.query("SELECT $now AS now").fetch_one(&self.readers).await?,
            new.clone(),
        );
        let now = int(&row, "now")?;
        // A time that never comes is looked for through all years.
        let first = tokio::task::spawn_blocking(move || asked.check(now)).await;
        let first = first.unwrap_or_else(|_| Err(Error::Invalid("cron: it cannot be read".into())))?;
        let id = id::new("schedule");
        let mut work = self.begin().await?;
        self.hold(&mut work, tenant).await?;
        let added = self
            .query(
                "INSERT INTO schedules (id, tenant, cron, timezone, missed, body, created, next_at)
                 SELECT $1, $2, $3, $4, $5, $6, $now, $7 FROM tenants
                 WHERE id = $2 AND $8 > (SELECT count(*) FROM schedules WHERE tenant = $2)",
            )
            .bind(id.clone())
            .bind(tenant.to_owned())
            .bind(new.cron.clone())
            .bind(new.timezone.clone())
            .bind(name(new.missed).to_owned())
            .bind(json(&new.submission)?)
            .bind(first)
            .bind(MOST)
            .execute(&mut *work)
            .await?;
        if added.rows_affected() == 0 {
            return Err(Error::Quota(format!("a tenant has at most {MOST} schedules")));
        }
        let submission = &new.submission;
        let files = submission.files.values().chain(&submission.bundle);
        let files = files.map(|hash| Reference {
            job: id.clone(),
            role: "schedule",
            path: String::new(),
            tenant: tenant.to_owned(),
            hash: hash.clone(),
        });
        let files = files.collect::<Vec<_>>();
        if !files.is_empty() {
            self.files()?;
        }
        let known = self
            .known_files(&mut work, &files.iter().collect::<Vec<_>>())
            .await?;
        let is_there = |file: &&Reference| known.contains(&(file.tenant.clone(), file.hash.clone()));
        if let Some(missing) = files.iter().find(|file| !is_there(file)) {
            return Err(super::files::missing(&missing.hash));
        }
        let kept = known.iter().map(|(tenant, hash)| (&id, tenant, hash));
        self.query(
            "INSERT INTO schedule_files (schedule, tenant, hash)
             SELECT value->>0, value->>1, value->>2 FROM $rows",
        )
        .bind(json(&kept.collect::<Vec<_>>())?)
        .execute(&mut *work)
        .await?;
        work.commit().await?;
        self.schedule(tenant, &id).await
    }

    /// One schedule.
    ///
    /// # Errors
    /// [`Error::NotFound`], for other tenants' schedules too.
    pub async fn schedule(&self, tenant: &str, id: &str) -> Result<Schedule> {
        let query = self.query(select!("WHERE tenant = $1 AND id = $2"));
        let query = query.bind(tenant.to_owned()).bind(id.to_owned());
        let row = query.fetch_optional(&self.readers).await?;
        let row = row.ok_or(Error::NotFound("schedule"))?;
        let submission = Some(parsed(&text(&row, "body")?)?);
        Ok(Schedule {
            submission,
            ..schedule(&row)?
        })
    }

    /// A tenant's schedules, or all if it is `*`, the oldest first, after that of the name `after`: up to 1000, without
    /// what they submit.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn schedules(&self, tenant: &str, after: &str) -> Result<Vec<Schedule>> {
        let query = self.query(
            "SELECT id, tenant, cron, timezone, missed, created, next_at, last_at, job, error FROM schedules
             WHERE ($1 = '*' OR tenant = $1) AND id > $2 ORDER BY id LIMIT $3",
        );
        let query = query.bind(tenant.to_owned()).bind(after.to_owned()).bind(MOST);
        let rows = query.fetch_all(&self.readers).await?;
        rows.iter().map(schedule).collect()
    }

    /// Ends a schedule. Its jobs stay.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn remove_schedule(&self, tenant: &str, id: &str) -> Result<()> {
        let query = self.query("DELETE FROM schedules WHERE tenant = $1 AND id = $2");
        let query = query.bind(tenant.to_owned()).bind(id.to_owned());
        match query.execute(&self.writers).await?.rows_affected() {
            0 => Err(Error::NotFound("schedule")),
            _ => Ok(()),
        }
    }

    /// Takes the turns that are due. Any process does it, every second. Returns how many there were.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn take_turns(&self) -> Result<usize> {
        let query = self.query(select!("WHERE next_at <= $now ORDER BY next_at LIMIT $1"));
        let rows = query.bind(AT_ONCE).fetch_all(&self.readers).await?;
        let mut taken = 0;
        for row in &rows {
            taken += usize::from(self.take_turn(row).await?);
        }
        Ok(taken)
    }

    /// Returns whether it was taken; not if somebody of a newer version is to do it.
    async fn take_turn(&self, row: &AnyRow) -> Result<bool> {
        let (id, tenant, turn, now) = (
            text(row, "id")?,
            text(row, "tenant")?,
            int(row, "next_at")?,
            int(row, "now")?,
        );
        let schedule = schedule(row)?;
        let late = now - turn > IN_TIME;
        let (job, error) = if late && schedule.missed == Missed::Skip {
            (None, Some("nobody was there to take this turn".into()))
        } else {
            let key = format!("{id} {turn}");
            match serde_json::from_str(&text(row, "body")?) {
                Ok(submission) => match self.submit(&tenant, Some(&key), &submission).await {
                    Ok(submitted) => (Some(submitted.job.id), None),
                    Err(error @ (Error::Database(_) | Error::Io { .. })) => return Err(error),
                    Err(error) => (None, Some(error.to_string())),
                },
                Err(_) if !late => return Ok(false),
                Err(error) => {
                    let message = format!("this version of the service cannot read what it submits: {error}");
                    (None, Some(message))
                }
            }
        };
        let without = usize::from(job.is_none());
        if let Some(error) = &error {
            tracing::warn!(schedule = id, tenant, error, "a turn without a job");
        }
        let following = next(&schedule.cron, &schedule.timezone, if late { now } else { turn });
        let query = self.query(
            "UPDATE schedules SET next_at = $3, last_at = $2, job = $4, error = $5 WHERE id = $1 AND next_at = $2",
        );
        let query = query.bind(id).bind(turn).bind(following.unwrap_or(None));
        let noted = query.bind(job).bind(error).execute(&self.writers).await?;
        // Another process may have taken it meanwhile.
        Sweeps::add(&self.sweeps.turns[without], noted.rows_affected());
        Ok(true)
    }
}

fn name(missed: Missed) -> &'static str {
    match missed {
        Missed::Skip => "skip",
        Missed::One => "one",
    }
}

fn schedule(row: &AnyRow) -> Result<Schedule> {
    let time = |column| Ok::<_, Error>(maybe_int(row, column)?.map(Time));
    Ok(Schedule {
        id: text(row, "id")?,
        tenant: text(row, "tenant")?,
        cron: text(row, "cron")?,
        timezone: text(row, "timezone")?,
        missed: match text(row, "missed")?.as_str() {
            "one" => Missed::One,
            _ => Missed::Skip,
        },
        created: Time(int(row, "created")?),
        next: time("next_at")?,
        last: time("last_at")?,
        job: maybe_text(row, "job")?,
        error: maybe_text(row, "error")?,
        submission: None,
    })
}
