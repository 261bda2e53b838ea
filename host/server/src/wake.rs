//! News that somebody waits for: a job to run, one to cancel, a log that grew. It is a hint, given at once
//! within this process and over PostgreSQL's NOTIFY between several; who waits looks from time to time, too.

use crate::error::Result;
use crate::id;
use sqlx::postgres::PgListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;

/// So long after the last news it is asked whether the connection is there.
const SILENCE: Duration = Duration::from_secs(10);
/// For an answer to that.
const PATIENCE: Duration = Duration::from_secs(5);

/// Something that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A job may be ready to run.
    Queue,
    /// This job is to be cancelled.
    Cancel(Arc<str>),
    /// This job has new output, or another state.
    Job(Arc<str>),
}

/// Where news are told and heard. Clones share everything.
#[derive(Clone)]
pub(crate) struct Wake {
    /// Its own words need not be heard.
    name: Arc<str>,
    /// A job may be ready to run.
    pub(crate) queue: watch::Sender<()>,
    news: broadcast::Sender<News>,
}

impl Wake {
    pub(crate) fn new() -> Wake {
        Wake {
            name: id::new("wake").into(),
            queue: watch::Sender::default(),
            // Who falls behind is told so, and looks for himself.
            news: broadcast::channel(1024).0,
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    /// Tells those in this process.
    pub(crate) fn tell(&self, news: News) {
        match news {
            News::Queue => self.queue.send_replace(()),
            news => {
                let _ = self.news.send(news);
            }
        }
    }

    /// Hears what other processes tell, from now on.
    pub(crate) async fn listen(&self, url: &str) -> Result<()> {
        let mut listener = listener(url).await?;
        let (wake, url) = (self.clone(), url.to_owned());
        tokio::spawn(async move {
            loop {
                let error = wake.hear(&mut listener).await;
                tracing::warn!(%error, "no news from the database; asking it instead");
                listener = loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    if let Ok(Ok(again)) = timeout(PATIENCE, self::listener(&url)).await {
                        break again;
                    }
                };
                // What was told meanwhile was not heard.
                wake.tell(News::Queue);
            }
        });
        Ok(())
    }

    /// Until the connection is lost.
    async fn hear(&self, listener: &mut PgListener) -> sqlx::Error {
        loop {
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => self.heard(notification.payload()),
                Ok(Ok(None)) => return sqlx::Error::Protocol("the connection was lost".into()),
                Ok(Err(error)) => return error,
                // A network that is cut says nothing of it.
                Err(_) => match timeout(PATIENCE, sqlx::query("SELECT 1").execute(&mut *listener)).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return error,
                    Err(_) => return sqlx::Error::Protocol("there is no answer".into()),
                },
            }
        }
    }

    /// As news cross: of so few jobs at once that PostgreSQL takes it.
    pub(crate) fn payloads(&self, news: &[News]) -> Vec<String> {
        let mut jobs = Vec::new();
        let mut payloads = Vec::new();
        for news in news {
            match news {
                News::Queue => payloads.push(format!("{} queue", self.name)),
                News::Cancel(job) => payloads.push(format!("{} cancel {job}", self.name)),
                News::Job(job) => jobs.push(&**job),
            }
        }
        let jobs = jobs.chunks(150);
        payloads.extend(jobs.map(|jobs| format!("{} job {}", self.name, jobs.join(" "))));
        payloads
    }

    fn heard(&self, payload: &str) {
        let mut words = payload.split(' ');
        if words.next() == Some(&self.name) {
            return;
        }
        match words.next() {
            Some("cancel") => words.for_each(|job| self.tell(News::Cancel(job.into()))),
            Some("job") => words.for_each(|job| self.tell(News::Job(job.into()))),
            _ => self.tell(News::Queue),
        }
    }
}

async fn listener(url: &str) -> Result<PgListener> {
    let mut listener = PgListener::connect(url).await?;
    listener.eager_reconnect(false);
    listener.listen("vtwasm").await?;
    Ok(listener)
}
