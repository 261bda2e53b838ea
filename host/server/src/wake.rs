//! News that somebody waits for: a job to run, one to cancel, a log that grew. It is a hint, given at once
//! within this process and over PostgreSQL's NOTIFY between several; who waits looks from time to time, too.

use crate::error::Result;
use crate::id;
use sqlx::postgres::PgListener;
use std::sync::Arc;
use tokio::sync::{broadcast, watch};

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
        let mut listener = PgListener::connect(url).await?;
        listener.listen("vtwasm").await?;
        let wake = self.clone();
        tokio::spawn(async move {
            loop {
                match listener.recv().await {
                    Ok(notification) => wake.heard(notification.payload()),
                    Err(error) => {
                        tracing::warn!(%error, "no news from the database; asking it instead");
                        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    }
                }
            }
        });
        Ok(())
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
