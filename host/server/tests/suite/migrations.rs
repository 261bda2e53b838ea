//! A database that an older version has made.

use crate::on_both;
use crate::place::{Place, submitted};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyPool, SqlSafeStr};
use std::time::Duration;
use vtwasm_server::{Quotas, State};

async fn a_database_of_the_first_version_goes_on_with_what_is_in_it(place: Place) {
    sqlx::any::install_default_drivers();
    let url = place.url();
    let pool = AnyPool::connect(&url).await.unwrap();
    let first = include_str!("../../src/store/schema_1.sql").into_sql_str();
    let first = Migration::new(1, "first".into(), MigrationType::Simple, first, false);
    Migrator::with_migrations(vec![first]).run(&pool).await.unwrap();
    for statement in [
        "INSERT INTO tenants VALUES ('a', 1, 64, 100, '{}')",
        "INSERT INTO jobs (id, tenant, state, priority, created, not_before, retries, backoff)
         VALUES ('job_1', 'a', 'PENDING', 0, 1, 1, 0, 0)",
        "INSERT INTO submissions VALUES ('job_1', '{\"source\": \"pass\"}')",
        "INSERT INTO lanes VALUES ('a', 0, 1, 1, 0)",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    pool.close().await;
    let store = place.open().await;
    let quotas = store.tenant("a").await.unwrap().quotas;
    assert_eq!(
        quotas,
        Quotas {
            max_queued: 100,
            ..Quotas::default()
        }
    );
    let second = submitted(&store, "a", "pass").await;
    let jobs = store.claim("worker", 9, Duration::from_secs(60)).await.unwrap();
    let ids = jobs.iter().map(|job| job.id.as_str()).collect::<Vec<_>>();
    assert_eq!(ids, ["job_1", &second]);
    assert_eq!(store.job("a", "job_1").await.unwrap().state, State::Started);
}

on_both! {
    a_database_of_the_first_version_goes_on_with_what_is_in_it
}
