//! What a newer version has written, which this one cannot read: a rolling upgrade has both for a while.

use crate::on_both;
use crate::place::{Place, code, submitted};
use sqlx::{AnyConnection, Connection};
use std::time::Duration;
use vtwasm_server::{Error, Missed, NewSchedule, State};

const LEASE: Duration = Duration::from_secs(60);
const FUTURE: &str = r#"'{"source": "pass", "of_the_future": 1}'"#;

async fn change(place: &Place, statement: &str) {
    let url = place.url();
    let mut connection = AnyConnection::connect(&url).await.unwrap();
    let statement = sqlx::AssertSqlSafe(statement.to_owned());
    sqlx::query(statement).execute(&mut connection).await.unwrap();
}

async fn what_cannot_be_read_is_left_to_others_and_holds_nobody_up(place: Place) {
    let store = place.with(&["a", "b", "c"]).await;
    let future = submitted(&store, "a", "pass").await;
    let mut readable = vec![
        submitted(&store, "a", "pass").await,
        submitted(&store, "b", "pass").await,
    ];
    submitted(&store, "c", "pass").await;
    change(
        &place,
        &format!("UPDATE submissions SET body = {FUTURE} WHERE job = '{future}'"),
    )
    .await;
    change(
        &place,
        "UPDATE tenants SET rules = '{\"of_the_future\": 1}' WHERE id = 'c'",
    )
    .await;
    // One slot at a time, the first of which would be the unreadable job's.
    let mut claimed = Vec::new();
    for _ in 0..2 {
        claimed.extend(
            store
                .claim("old", 1, LEASE)
                .await
                .unwrap()
                .into_iter()
                .map(|job| job.id),
        );
    }
    claimed.sort();
    readable.sort();
    assert_eq!(claimed, readable);
    assert!(store.claim("old", 9, LEASE).await.unwrap().is_empty());
    let job = store.job("a", &future).await.unwrap();
    assert_eq!((job.state, job.attempt), (State::Pending, 0));
    let error = job.error.unwrap();
    assert!(
        error.starts_with("waits for a worker of a newer version") && error.contains("of_the_future"),
        "{error}"
    );
    assert_eq!(store.queue_lengths().await.unwrap(), [2, 2]);
    // Who is submitted for beside such a tenant does not mind.
    let job = code("pass");
    let (refused, taken) = tokio::join!(store.submit("c", None, &job), store.submit("b", None, &job));
    assert!(
        matches!(refused, Err(Error::Conflict(_))) && taken.is_ok(),
        "{refused:?}"
    );
    // A worker that can read it starts it for the first time.
    change(
        &place,
        &format!("UPDATE submissions SET body = '{{\"source\": \"pass\"}}' WHERE job = '{future}'"),
    )
    .await;
    let soon = "UPDATE jobs SET not_before = 1 WHERE state = 'PENDING'";
    change(&place, soon).await;
    change(&place, "UPDATE lanes SET next_at = 1 WHERE queued > 0").await;
    let claimed = store.claim("new", 9, LEASE).await.unwrap();
    let found = claimed.iter().find(|job| job.id == future).unwrap();
    assert_eq!(found.attempt, 1);
    // What nobody can read for an hour is a failure that says why.
    change(&place, "UPDATE jobs SET refused = 1 WHERE tenant = 'c'").await;
    change(&place, soon).await;
    change(&place, "UPDATE lanes SET next_at = 1 WHERE tenant = 'c'").await;
    assert!(store.claim("old", 9, LEASE).await.unwrap().is_empty());
    let job = store.jobs("c", None, None, 9).await.unwrap().jobs.pop().unwrap();
    assert!(
        job.state == State::Failure && job.finished.is_some() && job.error.is_some(),
        "{job:?}"
    );
    assert_eq!(store.queue_lengths().await.unwrap(), [0, 4]);
}

async fn a_schedule_that_cannot_be_read_is_left_to_others_and_holds_up_no_other(place: Place) {
    let store = place.with(&["a"]).await;
    let new = NewSchedule {
        cron: "0 0 1 1 *".into(),
        timezone: "UTC".into(),
        missed: Missed::One,
        submission: code("pass"),
    };
    let future = store.add_schedule("a", &new).await.unwrap().id;
    let readable = store.add_schedule("a", &new).await.unwrap().id;
    let next = store.schedule("a", &readable).await.unwrap().next.unwrap();
    change(
        &place,
        &format!("UPDATE schedules SET body = {FUTURE} WHERE id = '{future}'"),
    )
    .await;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    change(&place, &format!("UPDATE schedules SET next_at = {now}")).await;
    assert_eq!(store.take_turns().await.unwrap(), 1);
    assert_eq!(store.schedule("a", &readable).await.unwrap().next, Some(next));
    assert_eq!(store.take_turns().await.unwrap(), 0);
    // Nobody could for longer than a minute.
    change(
        &place,
        &format!(
            "UPDATE schedules SET next_at = {} WHERE id = '{future}'",
            now - 70_000
        ),
    )
    .await;
    assert_eq!(store.take_turns().await.unwrap(), 1);
    let known = store.schedules("a", "").await.unwrap();
    let known = known.iter().find(|schedule| schedule.id == future).unwrap();
    assert!(
        known.error.as_ref().unwrap().contains("of_the_future"),
        "{known:?}"
    );
}

on_both! {
    what_cannot_be_read_is_left_to_others_and_holds_nobody_up
    a_schedule_that_cannot_be_read_is_left_to_others_and_holds_up_no_other
}
