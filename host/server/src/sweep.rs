//! What is done from time to time: turns of schedules are taken, and what is done with goes. Each process that runs jobs
//! does it, a little at a time.

use crate::store::Store;
use std::time::Duration;
use tokio::time::sleep;

/// Between two turns, where the last one has found all there was.
const PAUSE: Duration = Duration::from_secs(60);
/// And where it has not.
const BREATH: Duration = Duration::from_millis(200);
/// How late a schedule's turn may be.
const TURN: Duration = Duration::from_secs(1);

/// How long what is done with is kept.
#[derive(Clone, Debug)]
pub struct Keep {
    /// Jobs that are over, of tenants whose quotas say nothing of it. For ever, if there is none.
    pub jobs: Option<Duration>,
    /// Files that no job has, since they were put, or a submission named them.
    pub files: Duration,
}

impl Default for Keep {
    fn default() -> Keep {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Keep {
            jobs: Some(days(30)),
            files: days(7),
        }
    }
}

/// For ever.
pub(crate) async fn sweep(store: Store, keep: Keep) {
    tokio::join!(old_things(&store, &keep), turns(&store));
}

async fn old_things(store: &Store, keep: &Keep) {
    loop {
        let removed = async { Ok(store.sweep_jobs(keep.jobs).await? + store.sweep_files(keep.files).await?) };
        match removed.await {
            Ok(0) => sleep(PAUSE).await,
            Ok(_) => sleep(BREATH).await,
            Err(error) => failed(error, "cannot remove what is old").await,
        }
    }
}

async fn turns(store: &Store) {
    loop {
        match store.take_turns().await {
            Ok(0) => sleep(TURN).await,
            Ok(_) => {}
            Err(error) => failed(error, "cannot take the turns of schedules").await,
        }
    }
}

async fn failed(error: crate::Error, what: &str) {
    tracing::error!(error = &error as &dyn std::error::Error, "{what}");
    sleep(PAUSE / 10).await;
}
