//! News that somebody waits for: a job to run, one to cancel, a log that grew. It is a hint, given at once
//! within this process and over PostgreSQL's NOTIFY between several; who waits looks from time to time, too.

use crate::error::Result;
use sqlx::postgres::PgListener;
use std::sync::Arc;
use tokio::sync::{broadcast, watch};

/// Something that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// This job is to be cancelled.
    Cancel(Arc<str>),
    /// This job has new output, or another state.
    Job(Arc<str>),
}

/// Where news are told and heard. Clones share everything.
#[derive(Clone)]
pub(crate) struct Wake {
    /// A job may be ready to run.
    pub(crate) queue: watch::Sender<()>,
    news: broadcast::Sender<News>,
}

impl Wake {
    pub(crate) fn new() -> Wake {
        Wake {
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
        let _ = self.news.send(news);
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

    fn heard(&self, payload: &str) {
        match payload.split_once(' ') {
            Some(("cancel", job)) => self.tell(News::Cancel(job.into())),
            Some(("job", job)) => self.tell(News::Job(job.into())),
            _ => self.queue.send_replace(()),
        }
    }
}

impl News {
    /// As it crosses.
    pub(crate) fn payload(&self) -> String {
        match self {
            News::Cancel(job) => format!("cancel {job}"),
            News::Job(job) => format!("job {job}"),
        }
    }
}
