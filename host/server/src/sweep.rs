//! What goes some time later. Each process that runs jobs does it, a little at a time.

use crate::store::Store;
use std::time::Duration;

/// Between two turns, where the last one has found all there was.
const PAUSE: Duration = Duration::from_secs(60);
/// And where it has not.
const BREATH: Duration = Duration::from_millis(200);

/// How long what is done with is kept.
#[derive(Clone, Debug)]
pub struct Keep {
    /// Files that no job has, since they were put, or a submission named them.
    pub files: Duration,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep {
            files: Duration::from_secs(7 * 86_400),
        }
    }
}

/// For ever.
pub(crate) async fn sweep(store: Store, keep: Keep) {
    loop {
        let pause = match store.sweep_files(keep.files).await {
            Ok(0) => PAUSE,
            Ok(_) => BREATH,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot remove old files"
                );
                PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}
