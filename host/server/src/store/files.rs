//! Tenants' files: whose they are, which jobs have them, and when they go. Their bytes are kept by [`Files`].
//!
//! A place is noted as free before anything is put there, and is a file's once that is committed, so that no crash
//! leaves bytes which nobody knows of. Who adds or removes a tenant's files holds its row.

use super::{Store, Work, int, json, text};
use crate::counts::Sweeps;
use crate::error::{Error, Result};
use crate::files::{Files, Given, Received};
use crate::id;
use crate::job::{JobFile, ListedFile, StoredFile};
use crate::time::Time;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use hyper::body::Bytes;
use serde::Serialize;
use sqlx::any::AnyRow;
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

/// What is in a file.
pub(crate) type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// So many are removed at once.
const AT_ONCE: i64 = 500;
/// Of these, at the same time: a bucket is far away.
const REMOVED_AT_ONCE: usize = 16;
/// After which what is being put is given up.
const PUTTING: i64 = 3_600_000;

/// The role of what tells of a start's threads; its path is the start's number.
pub(super) const TIMELINE: &str = "timeline";

/// A file that a job was given, or has left.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reference {
    pub(crate) job: String,
    pub(crate) role: &'static str,
    pub(crate) path: String,
    pub(crate) tenant: String,
    pub(crate) hash: String,
}

impl Store {
    /// A store that keeps files.
    pub fn with_files(self, files: Files) -> Store {
        Store {
            files: Some(files),
            ..self
        }
    }

    /// Where their bytes are.
    pub(crate) fn files(&self) -> Result<&Files> {
        let none = "this service keeps no files: its operator gives it a folder with --files";
        self.files.as_ref().ok_or_else(|| Error::Conflict(none.into()))
    }

    /// How many bytes of files a tenant has, and may have.
    pub(crate) async fn stored(&self, tenant: &str) -> Result<[i64; 2]> {
        self.stored_at(&self.readers, tenant).await
    }

    async fn stored_at<'a>(
        &self,
        at: impl sqlx::Executor<'a, Database = sqlx::Any>,
        tenant: &str,
    ) -> Result<[i64; 2]> {
        let row = self
            .query(
                "SELECT artifact_bytes, (SELECT CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM files WHERE tenant = $1) AS stored
                 FROM tenants WHERE id = $1",
            )
            .bind(tenant.to_owned())
            .fetch_optional(at)
            .await?;
        let row = row.ok_or(Error::NotFound("tenant"))?;
        Ok([int(&row, "stored")?, int(&row, "artifact_bytes")?])
    }

    /// Nobody else submits for this tenant, or adds or removes its files, until the end of `work`.
    pub(super) async fn hold(&self, work: &mut Work, tenant: &str) -> Result<()> {
        let query = self.query("SELECT id FROM tenants WHERE id = $1 $key");
        query.bind(tenant.to_owned()).fetch_optional(&mut **work).await?;
        Ok(())
    }

    /// Keeps what was received; whether it was there already does not matter.
    ///
    /// # Errors
    /// [`Error::Quota`]; [`Error::Io`].
    pub(crate) async fn put_file(&self, tenant: &str, received: Received) -> Result<StoredFile> {
        let files = self.files()?;
        let bytes = i64::try_from(received.bytes).unwrap_or(i64::MAX);
        let file = StoredFile {
            sha256: received.hash.clone(),
            bytes,
        };
        let touched = self
            .query("UPDATE files SET used = $now WHERE tenant = $1 AND hash = $2")
            .bind(tenant.to_owned())
            .bind(file.sha256.clone())
            .execute(&self.writers)
            .await?;
        if touched.rows_affected() == 1 {
            return Ok(file);
        }
        let name = id::new("file");
        let place = format!("{tenant}/{}/{name}", &name[name.len() - 2..]);
        self.query("INSERT INTO leftovers (place, at) VALUES ($1, $now + $2)")
            .bind(place.clone())
            .bind(PUTTING)
            .execute(&self.writers)
            .await?;
        files.keep(received, &place).await?;
        let mut work = self.begin().await?;
        self.hold(&mut work, tenant).await?;
        let [stored, most] = self.stored_at(&mut *work, tenant).await?;
        if stored.saturating_add(bytes) > most {
            drop(work);
            self.free(&place).await?;
            return Err(over(stored, most));
        }
        let added = self
            .query(
                "INSERT INTO files (tenant, hash, bytes, place, used) VALUES ($1, $2, $3, $4, $now)
                 ON CONFLICT (tenant, hash) DO NOTHING",
            )
            .bind(tenant.to_owned())
            .bind(file.sha256.clone())
            .bind(bytes)
            .bind(place.clone())
            .execute(&mut *work)
            .await?;
        if added.rows_affected() == 0 {
            // Somebody has put the same meanwhile.
            drop(work);
            self.free(&place).await?;
            return Ok(file);
        }
        let taken = self.query("DELETE FROM leftovers WHERE place = $1").bind(place);
        if taken.execute(&mut *work).await?.rows_affected() == 0 {
            return Err(Error::Conflict("the file took too long; put it again".into()));
        }
        work.commit().await?;
        Ok(file)
    }

    async fn free(&self, place: &str) -> Result<()> {
        let query = self.query("UPDATE leftovers SET at = $now WHERE place = $1");
        query.bind(place.to_owned()).execute(&self.writers).await?;
        Ok(())
    }

    /// A tenant's file of that hash, to be read, and its length.
    ///
    /// # Errors
    /// [`Error::NotFound`], for other tenants' files too.
    pub(crate) async fn open_file(&self, tenant: &str, hash: &str) -> Result<(Pieces, i64)> {
        let query = self.query("SELECT place, bytes FROM files WHERE tenant = $1 AND hash = $2");
        let query = query.bind(tenant.to_owned()).bind(hash.to_owned());
        let row = query.fetch_optional(&self.readers).await?;
        let row = row.ok_or(Error::NotFound("file"))?;
        Ok((
            self.files()?.open(&text(&row, "place")?, hash).await?,
            int(&row, "bytes")?,
        ))
    }

    /// Whether a tenant has a file of that hash, and its length.
    ///
    /// # Errors
    /// [`Error::NotFound`], for other tenants' files too.
    pub(crate) async fn file(&self, tenant: &str, hash: &str) -> Result<StoredFile> {
        let query = self.query("SELECT bytes FROM files WHERE tenant = $1 AND hash = $2");
        let query = query.bind(tenant.to_owned()).bind(hash.to_owned());
        let row = query.fetch_optional(&self.readers).await?;
        Ok(StoredFile {
            sha256: hash.to_owned(),
            bytes: int(&row.ok_or(Error::NotFound("file"))?, "bytes")?,
        })
    }

    /// Up to `limit` of a tenant's files, or of all if it is `*`, by tenant and hash, after this one.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn list_files(
        &self,
        tenant: &str,
        (after_tenant, after): (&str, &str),
        limit: i64,
    ) -> Result<Vec<ListedFile>> {
        let query = self.query(match tenant {
            "*" => {
                "SELECT tenant, hash, bytes, used FROM files
                 WHERE $1 = '*' AND (tenant > $2 OR (tenant = $2 AND hash > $3)) ORDER BY tenant, hash LIMIT $4"
            }
            _ => {
                "SELECT tenant, hash, bytes, used FROM files
                 WHERE tenant = $1 AND $2 <> '' AND hash > $3 ORDER BY hash LIMIT $4"
            }
        });
        let query = query.bind(tenant.to_owned()).bind(after_tenant.to_owned());
        let query = query.bind(after.to_owned()).bind(limit);
        let rows = query.fetch_all(&self.readers).await?;
        let file = |row| {
            Ok(ListedFile {
                tenant: text(row, "tenant")?,
                sha256: text(row, "hash")?,
                bytes: int(row, "bytes")?,
                used: Time(int(row, "used")?),
            })
        };
        rows.iter().map(file).collect()
    }

    /// Removes a file that no job has.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if a job has it.
    pub(crate) async fn remove_file(&self, tenant: &str, hash: &str) -> Result<()> {
        self.file(tenant, hash).await?;
        match self.remove_files(tenant, &[hash], None).await? {
            [0, _] => Err(Error::Conflict(
                "a job, a schedule or a snapshot has this file; it goes some time after it".into(),
            )),
            _ => self.remove_leftovers().await.map(drop),
        }
    }

    /// What a job has left.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(crate) async fn job_files(&self, tenant: &str, job: &str) -> Result<Vec<JobFile>> {
        self.job(tenant, job).await?;
        let rows = self
            .query(
                "SELECT path, f.hash AS hash, f.bytes AS bytes FROM job_files j
                 JOIN files f ON f.tenant = j.tenant AND f.hash = j.hash
                 WHERE j.job = $1 AND j.role = 'output' AND j.tenant = $2 ORDER BY path",
            )
            .bind(job.to_owned())
            .bind(tenant.to_owned())
            .fetch_all(&self.readers)
            .await?;
        let file = |row| {
            Ok(JobFile {
                path: text(row, "path")?,
                sha256: text(row, "hash")?,
                bytes: int(row, "bytes")?,
            })
        };
        rows.iter().map(file).collect()
    }

    /// The file with the timeline of a start, or of the last one that has any.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(crate) async fn timeline(&self, tenant: &str, job: &str, attempt: Option<i64>) -> Result<String> {
        self.job(tenant, job).await?;
        let row = self
            .query(
                "SELECT hash FROM job_files WHERE job = $1 AND role = $2 AND ($3 = '' OR path = $3)
                 ORDER BY length(path) DESC, path DESC LIMIT 1",
            )
            .bind(job.to_owned())
            .bind(TIMELINE)
            .bind(attempt.map_or(String::new(), |attempt| attempt.to_string()))
            .fetch_optional(&self.readers)
            .await?;
        text(&row.ok_or(Error::NotFound("timeline"))?, "hash")
    }

    /// What a job is given.
    pub(crate) async fn given(&self, job: &str, role: &'static str) -> Result<Vec<Given>> {
        let rows = self
            .query(
                "SELECT j.path AS path, f.place AS place, f.hash AS hash FROM job_files j
                 JOIN files f ON f.tenant = j.tenant AND f.hash = j.hash WHERE j.job = $1 AND j.role = $2",
            )
            .bind(job.to_owned())
            .bind(role)
            .fetch_all(&self.readers)
            .await?;
        let file = |row: &AnyRow| {
            Ok(Given {
                path: text(row, "path")?,
                place: text(row, "place")?,
                hash: text(row, "hash")?,
            })
        };
        rows.iter().map(file).collect()
    }

    /// Those of these files that are there, by tenant and hash.
    pub(super) async fn known_files(
        &self,
        work: &mut Work,
        wanted: &[&Reference],
    ) -> Result<BTreeSet<(String, String)>> {
        if wanted.is_empty() {
            return Ok(BTreeSet::new());
        }
        // They are not removed now, for the tenants are held; and not soon after.
        let rows = self
            .query(
                "UPDATE files SET used = $now FROM $rows WHERE tenant = value->>'tenant' AND hash = value->>'hash'
                 RETURNING tenant, hash",
            )
            .bind(json(&wanted)?)
            .fetch_all(&mut **work)
            .await?;
        let known = |row: &AnyRow| Ok((text(row, "tenant")?, text(row, "hash")?));
        rows.iter().map(known).collect()
    }

    /// Notes what jobs have.
    pub(super) async fn refer(&self, work: &mut Work, references: &[&Reference]) -> Result<()> {
        if references.is_empty() {
            return Ok(());
        }
        self.query(
            "INSERT INTO job_files (job, role, path, tenant, hash)
             SELECT value->>'job', value->>'role', value->>'path', value->>'tenant', value->>'hash' FROM $rows",
        )
        .bind(json(&references)?)
        .execute(&mut **work)
        .await?;
        Ok(())
    }

    /// What these jobs have left is forgotten, for they leave something else.
    pub(super) async fn forget_left(&self, work: &mut Work, jobs: &[&str]) -> Result<()> {
        self.query("DELETE FROM job_files WHERE job IN $ids AND role = 'output'")
            .bind(json(&jobs)?)
            .execute(&mut **work)
            .await?;
        Ok(())
    }

    /// Removes files that no job has had for so long, and bytes that are nobody's: some hundreds at most. Any process
    /// does it, from time to time. Returns how many.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Io`].
    pub async fn sweep_files(&self, keep: Duration) -> Result<usize> {
        if self.files.is_none() {
            return Ok(0);
        }
        let rows = self
            .query(
                "SELECT tenant, hash FROM files f WHERE used <= $now - $1 AND NOT EXISTS
                     (SELECT 1 FROM job_files j WHERE j.tenant = f.tenant AND j.hash = f.hash) AND NOT EXISTS
                     (SELECT 1 FROM schedule_files s WHERE s.tenant = f.tenant AND s.hash = f.hash) AND NOT EXISTS
                     (SELECT 1 FROM snapshots s WHERE s.tenant = f.tenant AND s.hash = f.hash)
                 ORDER BY used LIMIT $2",
            )
            .bind(super::millis(keep))
            .bind(AT_ONCE)
            .fetch_all(&self.readers)
            .await?;
        let found = |row: &AnyRow| Ok((text(row, "tenant")?, text(row, "hash")?));
        let found = rows.iter().map(found).collect::<Result<Vec<_>>>()?;
        let tenants = found.iter().map(|(tenant, _)| tenant).collect::<BTreeSet<_>>();
        for tenant in tenants {
            let hashes = found.iter().filter(|(owner, _)| owner == tenant);
            let hashes = hashes.map(|(_, hash)| hash.as_str()).collect::<Vec<_>>();
            let [files, bytes] = self.remove_files(tenant, &hashes, Some(keep)).await?;
            Sweeps::add(&self.sweeps.files, files);
            Sweeps::add(&self.sweeps.bytes, bytes);
        }
        self.remove_leftovers().await
    }

    /// Removes those of a tenant's files that no job has, nor anybody has used for so long. Returns how many, and their bytes.
    async fn remove_files(
        &self,
        tenant: &str,
        hashes: &[&str],
        unused: Option<Duration>,
    ) -> Result<[i64; 2]> {
        let mut work = self.begin().await?;
        self.hold(&mut work, tenant).await?;
        let rows = self
            .query(
                "DELETE FROM files WHERE hash IN $ids AND tenant = $2 AND used <= $now - $3 AND NOT EXISTS
                     (SELECT 1 FROM job_files j WHERE j.tenant = files.tenant AND j.hash = files.hash) AND NOT EXISTS
                     (SELECT 1 FROM schedule_files s WHERE s.tenant = files.tenant AND s.hash = files.hash) AND NOT EXISTS
                     (SELECT 1 FROM snapshots s WHERE s.tenant = files.tenant AND s.hash = files.hash)
                 RETURNING place, bytes",
            )
            .bind(json(&hashes)?)
            .bind(tenant.to_owned())
            .bind(unused.map_or(0, super::millis))
            .fetch_all(&mut *work)
            .await?;
        let places = rows.iter().map(|row| text(row, "place"));
        let places = places.collect::<Result<Vec<_>>>()?;
        self.query("INSERT INTO leftovers (place, at) SELECT value->>0, $now FROM $rows WHERE true")
            .bind(json(&places.iter().map(|place| [place]).collect::<Vec<_>>())?)
            .execute(&mut *work)
            .await?;
        work.commit().await?;
        let bytes = rows.iter().map(|row| int(row, "bytes"));
        Ok([places.len() as i64, bytes.sum::<Result<i64>>()?])
    }

    /// How many files there are, their bytes, and how many schedules: of all tenants, for metrics.
    pub(crate) async fn kept(&self) -> Result<[i64; 3]> {
        let query = self.query(
            "SELECT count(*) AS files, CAST(coalesce(sum(bytes), 0) AS BIGINT) AS bytes,
                 (SELECT count(*) FROM schedules) AS schedules FROM files",
        );
        let row = query.fetch_one(&self.readers).await?;
        Ok([int(&row, "files")?, int(&row, "bytes")?, int(&row, "schedules")?])
    }

    /// The bytes go first, then the note of them.
    async fn remove_leftovers(&self) -> Result<usize> {
        let rows = self
            .query("SELECT place FROM leftovers WHERE at <= $now ORDER BY at LIMIT $1")
            .bind(AT_ONCE)
            .fetch_all(&self.readers)
            .await?;
        let places = rows.iter().map(|row| text(row, "place"));
        let places = places.collect::<Result<Vec<_>>>()?;
        let files = self.files()?.clone();
        let removed = stream::iter(places.clone()).map(move |place| {
            let files = files.clone();
            async move { files.remove(&place).await }
        });
        removed
            .buffer_unordered(REMOVED_AT_ONCE)
            .try_collect::<()>()
            .await?;
        if !places.is_empty() {
            let query = self.query("DELETE FROM leftovers WHERE place IN $ids");
            query.bind(json(&places)?).execute(&self.writers).await?;
        }
        Ok(places.len())
    }
}

/// Files that a tenant has no room for.
pub(crate) fn over(stored: i64, most: i64) -> Error {
    Error::Quota(format!(
        "{stored} bytes of files are kept of the {most} that this tenant may have (its quota artifact_bytes)"
    ))
}

/// A submission names what is not there.
pub(super) fn missing(hash: &str) -> Error {
    Error::Invalid(format!(
        "files: there is no file {hash}; put it first, with PUT /v1/files"
    ))
}

/// As files are asked for: 64 lower-case hexadecimal digits.
pub(crate) fn is_hash(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 64 && text.bytes().all(is_digit)
}
