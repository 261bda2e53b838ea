//! Tenants' snapshots. Each is a file of its tenant's, which a job has left that was to make it; nobody puts one.

use super::ends::Ending;
use super::jobs::parsed;
use super::{Store, Work, int, json, maybe_text, text};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::snapshot::{NewSnapshot, StoredSnapshot};
use crate::time::Time;
use sqlx::any::AnyRow;

/// Of a tenant.
const MOST: i64 = 100;

/// What a job is given that asks for one.
pub(super) struct Kept {
    pub(super) hash: String,
    pub(super) source: String,
    pub(super) packages: Vec<String>,
    pub(super) lock: Option<String>,
    for_secrets: bool,
}

impl Kept {
    /// Whether a job with secrets may start from it.
    pub(super) fn check_secrets(&self, name: &str) -> Result<()> {
        if self.for_secrets {
            return Ok(());
        }
        let message = format!(
            "snapshot: {name} is none for a job with secrets; make it again with a token of the scope `secrets`"
        );
        Err(Error::Invalid(message))
    }
}

impl Store {
    /// Submits the job that makes a snapshot. Only one that was asked for by who may give secrets is for jobs that have
    /// some: what ran in it can read them.
    ///
    /// # Errors
    /// As of [`Store::submit`].
    pub async fn make_snapshot(&self, tenant: &str, new: &NewSnapshot, for_secrets: bool) -> Result<Job> {
        let submission = new.submission(for_secrets)?;
        self.files()?;
        let query = self.query("SELECT count(*) AS others FROM snapshots WHERE tenant = $1 AND name <> $2");
        let query = query.bind(tenant.to_owned()).bind(new.name.clone());
        if int(&query.fetch_one(&self.readers).await?, "others")? >= MOST {
            return Err(Error::Quota(format!("a tenant has at most {MOST} snapshots")));
        }
        Ok(self.take(tenant, None, &submission).await?.job)
    }

    /// A tenant's snapshots, by name.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn snapshots(&self, tenant: &str) -> Result<Vec<StoredSnapshot>> {
        let rows = self
            .query(
                "SELECT s.name AS name, s.created AS created, s.job AS job, s.packages AS packages, s.hash AS hash, f.bytes AS bytes
                 FROM snapshots s JOIN files f ON f.tenant = s.tenant AND f.hash = s.hash
                 WHERE s.tenant = $1 ORDER BY s.name",
            )
            .bind(tenant.to_owned())
            .fetch_all(&self.readers)
            .await?;
        let snapshot = |row: &AnyRow| {
            Ok(StoredSnapshot {
                name: text(row, "name")?,
                created: Time(int(row, "created")?),
                job: text(row, "job")?,
                packages: parsed(&text(row, "packages")?)?,
                sha256: text(row, "hash")?,
                bytes: int(row, "bytes")?,
            })
        };
        rows.iter().map(snapshot).collect()
    }

    /// Forgets a snapshot. Jobs that were submitted with it still have it.
    ///
    /// # Errors
    /// [`Error::NotFound`], for other tenants' too.
    pub async fn remove_snapshot(&self, tenant: &str, name: &str) -> Result<()> {
        let query = self.query("DELETE FROM snapshots WHERE tenant = $1 AND name = $2 RETURNING hash");
        let query = query.bind(tenant.to_owned()).bind(name.to_owned());
        let row = query.fetch_optional(&self.writers).await?;
        let hash = text(&row.ok_or(Error::NotFound("snapshot"))?, "hash")?;
        match self.remove_file(tenant, &hash).await {
            // It goes after those who still have it.
            Err(Error::Conflict(_) | Error::NotFound(_)) => Ok(()),
            removed => removed,
        }
    }

    /// A tenant's snapshot, for a job that is submitted.
    pub(super) async fn kept_snapshot(&self, tenant: &str, name: &str) -> Result<Kept> {
        let query = self.query(
            "SELECT hash, source, packages, lock, for_secrets FROM snapshots WHERE tenant = $1 AND name = $2",
        );
        let query = query.bind(tenant.to_owned()).bind(name.to_owned());
        let row = query.fetch_optional(&self.readers).await?;
        let row = row.ok_or_else(|| {
            let message =
                format!("snapshot: there is no snapshot {name}; make it first, with POST /v1/snapshots");
            Error::Invalid(message)
        })?;
        Ok(Kept {
            hash: text(&row, "hash")?,
            source: text(&row, "source")?,
            packages: parsed(&text(&row, "packages")?)?,
            lock: maybe_text(&row, "lock")?,
            for_secrets: int(&row, "for_secrets")? != 0,
        })
    }

    /// Notes what jobs have made that have succeeded. The file of one that is replaced goes when no job has it.
    pub(super) async fn keep_snapshots(&self, work: &mut Work, ended: &[&Ending]) -> Result<()> {
        let made = ended.iter().filter_map(|end| end.made.as_ref());
        let made = made.collect::<Vec<_>>();
        if made.is_empty() {
            return Ok(());
        }
        let made = json(&made)?;
        self.query(
            "UPDATE files SET used = 0 FROM $rows JOIN snapshots s ON s.tenant = value->>'tenant' AND s.name = value->>'name'
             WHERE files.tenant = s.tenant AND files.hash = s.hash AND s.hash <> value->>'hash'",
        )
        .bind(made.clone())
        .execute(&mut **work)
        .await?;
        // Somebody may have removed the file meanwhile.
        self.query(
            "INSERT INTO snapshots (tenant, name, hash, source, packages, lock, job, created, for_secrets)
             SELECT f.tenant, value->>'name', f.hash, value->>'source', value->>'packages', value->>'lock', value->>'job', $now,
                 CAST(value->>'for_secrets' AS BIGINT)
                 FROM $rows JOIN files f ON f.tenant = value->>'tenant' AND f.hash = value->>'hash' WHERE true
             ON CONFLICT (tenant, name) DO UPDATE SET hash = excluded.hash, source = excluded.source,
                 packages = excluded.packages, lock = excluded.lock, job = excluded.job, created = excluded.created,
                 for_secrets = excluded.for_secrets",
        )
        .bind(made)
        .execute(&mut **work)
        .await?;
        Ok(())
    }
}
