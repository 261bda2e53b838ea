//! The same tests on SQLite and on PostgreSQL.

mod browser;
mod bundles;
mod etags;
mod faults;
mod figures;
mod files;
mod hostile;
mod http;
mod migrations;
mod otlp;
mod packages;
mod place;
mod postgres;
mod queue;
mod running;
mod schedules;
mod sessions;
mod snapshots;
mod storage;
mod tenants;
mod timelines;
mod trouble;
mod upgrade;

/// Each of these on both databases.
macro_rules! on_both {
    ($($test:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::place::Place::sqlite()).await;
            })*
        }
        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::place::Place::postgres().await).await;
            })*
        }
    };
}
pub(crate) use on_both;

/// Each of these on files in a bucket.
macro_rules! on_storage {
    ($($test:ident)*) => {
        mod bucket {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::place::Place::bucket().await).await;
            })*
        }
    };
}
pub(crate) use on_storage;
