//! What jobs write, in pieces.

use super::{Store, Work, int, json, text};
use crate::error::{Error, Result};
use crate::job::Chunk;
use crate::store::Claimed;
use crate::time::Time;
use crate::wake::News;
use futures::FutureExt;
use serde::Serialize;

/// So many pieces are read at once.
pub(crate) const PIECES: i64 = 256;

/// A piece that is to be kept.
#[derive(Clone, Serialize)]
pub(super) struct Appending {
    pub(super) job: String,
    pub(super) attempt: i64,
    pub(super) seq: i64,
    pub(super) stream: &'static str,
    pub(super) text: String,
}

impl Appending {
    /// A run's, from number `seq` on: stream and text.
    pub(super) fn all(job: &Claimed, seq: i64, pieces: &[(&'static str, String)]) -> Vec<Appending> {
        let pieces = pieces.iter().zip(seq..);
        let piece = |((stream, text), seq): (&(&'static str, String), i64)| Appending {
            job: job.id.clone(),
            attempt: job.attempt,
            seq,
            stream,
            text: text.clone(),
        };
        pieces.map(piece).collect()
    }
}

impl Store {
    /// Adds pieces to a run's log, from number `seq` on: stream and text. Nothing is added if the run was
    /// given up.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn append(&self, job: &Claimed, seq: i64, pieces: &[(&'static str, String)]) -> Result<()> {
        let bytes = pieces.iter().map(|(_, text)| text.len()).sum();
        let pieces = Appending::all(job, seq, pieces);
        let append = |store, all| append_all(store, all).boxed();
        self.appending.add(self, pieces, bytes, append).await
    }

    /// Those of runs that were not given up. A piece that is there already came without its answer.
    pub(super) async fn append_in(&self, work: &mut Work, pieces: &[Appending]) -> Result<()> {
        if pieces.is_empty() {
            return Ok(());
        }
        self.query(
            "INSERT INTO logs (job, attempt, seq, stream, at, text)
             SELECT j.id, j.attempt, CAST(value->>'seq' AS BIGINT), value->>'stream', $now, value->>'text'
             FROM $rows JOIN jobs j ON j.id = value->>'job' AND j.attempt = CAST(value->>'attempt' AS BIGINT)
             WHERE j.state = 'STARTED'
             ON CONFLICT (job, attempt, seq) DO UPDATE SET text = excluded.text",
        )
        .bind(json(&pieces)?)
        .execute(&mut **work)
        .await?;
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

async fn append_all(store: Store, all: Vec<Vec<Appending>>) -> Result<Vec<Result<()>>> {
    let answers = all.iter().map(|_| Ok(())).collect();
    let job = |pieces: &Vec<Appending>| Some(News::Job(pieces.first()?.job.as_str().into()));
    let news = all.iter().filter_map(job).collect::<Vec<_>>();
    let mut work = store.begin_at(&store.hasty).await?;
    store.append_in(&mut work, &all.concat()).await?;
    store.tell(&mut work, &news).await?;
    work.commit().await?;
    news.into_iter().for_each(|news| store.wake.tell(news));
    Ok(answers)
}
