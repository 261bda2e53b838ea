//! What jobs write, in pieces.

use super::{Store, Work, int, text};
use crate::error::{Error, Result};
use crate::job::Chunk;
use crate::store::Claimed;
use crate::time::Time;
use crate::wake::News;

/// So many pieces are read at once.
pub(crate) const PIECES: i64 = 256;

impl Store {
    /// Adds pieces to a run's log, from number `seq` on: stream and text. Nothing is added if the run was
    /// given up.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn append(&self, job: &Claimed, seq: i64, pieces: &[(&'static str, String)]) -> Result<()> {
        let mut work = self.begin().await?;
        self.append_in(&mut work, job, seq, pieces).await?;
        let news = News::Job(job.id.as_str().into());
        self.tell(&mut work, news.payload()).await?;
        work.commit().await?;
        self.wake.tell(news);
        Ok(())
    }

    pub(super) async fn append_in(
        &self,
        work: &mut Work,
        job: &Claimed,
        seq: i64,
        pieces: &[(&'static str, String)],
    ) -> Result<()> {
        for ((stream, text), seq) in pieces.iter().zip(seq..) {
            self.query(
                "INSERT INTO logs (job, attempt, seq, stream, at, text)
                 SELECT id, attempt, $3, $4, $now, $5 FROM jobs WHERE id = $1 AND attempt = $2 AND state = 'STARTED'",
            )
            .bind(job.id.clone())
            .bind(job.attempt)
            .bind(seq)
            .bind((*stream).to_owned())
            .bind(text.clone())
            .execute(&mut **work)
            .await?;
        }
        Ok(())
    }

    /// The pieces of a job's log after the one at `after` (attempt and number), some 256 at most. Of another
    /// tenant's job, none.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn log(&self, tenant: &str, job: &str, after: (i64, i64)) -> Result<Vec<Chunk>> {
        let rows = self
            .query(
                "SELECT attempt, seq, stream, at, text FROM logs
                 WHERE job = (SELECT id FROM jobs WHERE tenant = $1 AND id = $2)
                     AND (attempt > $3 OR (attempt = $3 AND seq > $4))
                 ORDER BY attempt, seq LIMIT $5",
            )
            .bind(tenant.to_owned())
            .bind(job.to_owned())
            .bind(after.0)
            .bind(after.1)
            .bind(PIECES)
            .fetch_all(&self.readers)
            .await?;
        let piece = |row| {
            Ok::<_, Error>(Chunk {
                attempt: int(row, "attempt")?,
                seq: int(row, "seq")?,
                stream: text(row, "stream")?,
                at: Time(int(row, "at")?),
                text: text(row, "text")?,
            })
        };
        rows.iter().map(piece).collect()
    }
}
