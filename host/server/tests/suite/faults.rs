//! Workers that are lost, late, or told to leave. Processes that are killed: host/cli/tests/serve.

use crate::on_both;
use crate::place::{Place, Working, answered, code, ended, is, over, quick, submitted, success, text, when};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use vtwasm_server::{End, Quotas, State, Store, Submission, Verdict, WorkerOptions};

async fn a_job_whose_worker_is_lost_runs_again_and_the_lost_one_changes_nothing_any_more(place: Place) {
    let store = place.with(&["a"]).await;
    let id = submitted(
        &store,
        "a",
        "import os; print('attempt', os.environ['VTWASM_ATTEMPT'])",
    )
    .await;
    let lost = store
        .claim("lost", 1, Duration::from_millis(300))
        .await
        .unwrap()
        .remove(0);
    store
        .append(&lost, 0, &[("stdout", "before\n".into())])
        .await
        .unwrap();
    let working = Working::start(&store, 4).await;
    when(&store, "a", &id, |job| job.attempt == 2).await;
    // It wakes up, and is late.
    store
        .append(&lost, 1, &[("stdout", "late\n".into())])
        .await
        .unwrap();
    let end = End {
        verdict: Verdict::Failure,
        error: Some("late".into()),
        exit_code: None,
        ..success()
    };
    assert_eq!(store.finish(&lost, &end, 2, &[]).await.unwrap(), None);
    let job = over(&store, "a", &id).await;
    assert_eq!((job.state, job.attempt), (State::Success, 2));
    assert_eq!(store.finish(&lost, &end, 2, &[]).await.unwrap(), None);
    assert_eq!(text(&store, "a", &id).await, "before\nattempt 2\n");
    assert_eq!(store.used("a").await.unwrap().0, 1);
    working.leave().await;
}

async fn a_job_that_takes_its_workers_down_fails_in_the_end(place: Place) {
    let store = place.with(&["a"]).await;
    let id = submitted(&store, "a", "pass").await;
    for _ in 0..3 {
        assert_eq!(store.claim("lost", 1, Duration::ZERO).await.unwrap().len(), 1);
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(store.recover().await.unwrap(), 1);
    }
    let job = store.job("a", &id).await.unwrap();
    assert_eq!(
        (job.state, job.error.as_deref()),
        (State::Failure, Some("its worker was lost"))
    );
    assert_eq!(store.queue_lengths().await.unwrap(), [0, 0]);
}

async fn a_cancelled_job_whose_worker_is_lost_does_not_start_again(place: Place) {
    let store = place.with(&["a"]).await;
    let id = submitted(&store, "a", "pass").await;
    store.claim("lost", 1, Duration::from_millis(50)).await.unwrap();
    assert!(store.cancel("a", &id).await.unwrap().cancel_requested);
    tokio::time::sleep(Duration::from_millis(60)).await;
    store.recover().await.unwrap();
    assert_eq!(store.job("a", &id).await.unwrap().state, State::Revoked);
    assert!(
        store
            .claim("other", 1, Duration::from_secs(9))
            .await
            .unwrap()
            .is_empty()
    );
}

async fn a_job_that_runs_for_long_keeps_its_lease(place: Place) {
    let store = place.with(&["a"]).await;
    let options = WorkerOptions {
        lease: Duration::from_millis(1200),
        ..quick()
    };
    let first = Working::with(&store, options.clone()).await;
    let second = Working::with(&place.open().await, options).await;
    let id = submitted(&store, "a", "import time\ntime.sleep(4)\nprint('done')").await;
    let job = over(&store, "a", &id).await;
    assert_eq!((job.state, job.attempt), (State::Success, 1));
    first.leave().await;
    second.leave().await;
}

async fn a_run_that_was_given_up_is_ended(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 1).await;
    let id = submitted(&store, "a", "import time\nwhile True: time.sleep(0.01)").await;
    when(&store, "a", &id, is(State::Started)).await;
    // Somebody else has taken the job: what a database says that was away for a while.
    let url = place.url();
    let mut connection = <sqlx::AnyConnection as sqlx::Connection>::connect(&url)
        .await
        .unwrap();
    let steal = "UPDATE jobs SET attempt = attempt + 1, worker = 'other'";
    sqlx::query(steal).execute(&mut connection).await.unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while working.worker.load().0 > 0 {
        assert!(Instant::now() < end, "it still runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let job = store.job("a", &id).await.unwrap();
    assert_eq!((job.state, job.attempt), (State::Started, 2));
    working.leave().await;
}

async fn who_leaves_ends_what_is_short_gives_back_what_is_long_and_takes_nothing(place: Place) {
    let store = place.with(&["a"]).await;
    let options = WorkerOptions {
        slots: 2,
        drain: Duration::from_millis(1500),
        ..quick()
    };
    let leaving = Working::with(&store, options).await;
    let short = submitted(&store, "a", "import time; time.sleep(0.5)").await;
    let long = submitted(
        &store,
        "a",
        "import os, time\nif os.environ['VTWASM_ATTEMPT'] == '1': time.sleep(60)",
    )
    .await;
    for id in [&short, &long] {
        when(&store, "a", id, is(State::Started)).await;
    }
    let never = submitted(&store, "a", "pass").await;
    leaving.leave().await;
    assert_eq!(store.job("a", &short).await.unwrap().state, State::Success);
    assert_eq!(store.job("a", &long).await.unwrap().state, State::Pending);
    assert_eq!(store.job("a", &never).await.unwrap().attempt, 0);
    let next = Working::start(&store, 2).await;
    let job = over(&store, "a", &long).await;
    assert_eq!((job.state, job.attempt), (State::Success, 2));
    over(&store, "a", &never).await;
    next.leave().await;
}

async fn each_of_many_jobs_ends_once_while_workers_come_and_go(place: Place) {
    let store = place.with(&["a", "b"]).await;
    let mut ids = Vec::new();
    for n in 0..60 {
        let tenant = ["a", "b"][n % 2];
        let job = Submission {
            retries: 1,
            ..code("import time; time.sleep(0.02)\ndef main(): return 7")
        };
        ids.push((tenant, store.submit(tenant, None, &job).await.unwrap().job.id));
    }
    for _ in 0..3 {
        let options = WorkerOptions {
            slots: 4,
            drain: Duration::ZERO,
            ..quick()
        };
        let working = Working::with(&place.open().await, options).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        working.leave().await;
        // And some are lost.
        store.claim("lost", 2, Duration::from_millis(100)).await.unwrap();
    }
    let working = Working::start(&store, 4).await;
    for (tenant, id) in &ids {
        assert_eq!(over(&store, tenant, id).await.state, State::Success);
        assert_eq!(store.result(tenant, id).await.unwrap().as_deref(), Some("7"));
    }
    assert_eq!(store.queue_lengths().await.unwrap(), [0, 0]);
    working.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_job_ends_once_although_postgresql_is_killed_while_they_are_submitted_and_run() {
    let start = tokio::task::spawn_blocking(crate::postgres::Server::start);
    let mut server = start.await.unwrap();
    let store = Store::postgres(&server.address()).await.unwrap();
    store.add_tenant("a", &Quotas::default()).await.unwrap();
    let other = Store::postgres(&server.address()).await.unwrap();
    let workers = [Working::start(&store, 4).await, Working::start(&other, 4).await];
    let parts = (0..8).map(|part| tokio::spawn(submitted_and_counted(store.clone(), part, 40)));
    let parts = parts.collect::<Vec<_>>();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let again = tokio::task::spawn_blocking(move || {
            server.kill_and_start_again();
            server
        });
        server = again.await.unwrap();
    }
    let mut ids = BTreeSet::new();
    for part in parts {
        ids.extend(part.await.unwrap());
    }
    assert_eq!(ids.len(), 8 * 40);
    let runs = answered("count", || store.used("a")).await.0;
    assert_eq!(runs, 8 * 40, "each run that ended is counted once");
    for working in workers {
        working.leave().await;
    }
}

/// Submits jobs, asking again with the same key until there is an answer; waits for them, and returns their names.
async fn submitted_and_counted(store: Store, part: usize, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..count {
        let job = code(&format!("def main(): return {n}"));
        let key = format!("{part}.{n}");
        let submitted = answered("submit", || store.submit("a", Some(&key), &job)).await;
        ids.push(submitted.job.id);
    }
    for (n, id) in ids.iter().enumerate() {
        let job = ended(&store, "a", id).await;
        assert_eq!(job.state, State::Success, "{job:?}");
        let result = answered("ask for the result", || store.result("a", id)).await;
        assert_eq!(result, Some(n.to_string()));
    }
    ids
}

on_both! {
    a_job_whose_worker_is_lost_runs_again_and_the_lost_one_changes_nothing_any_more
    a_job_that_takes_its_workers_down_fails_in_the_end
    a_cancelled_job_whose_worker_is_lost_does_not_start_again
    a_job_that_runs_for_long_keeps_its_lease
    a_run_that_was_given_up_is_ended
    who_leaves_ends_what_is_short_gives_back_what_is_long_and_takes_nothing
    each_of_many_jobs_ends_once_while_workers_come_and_go
}
