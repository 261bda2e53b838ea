//! Schedules and retention, by the database's clock: a test moves what is written there, and not the clock.

use crate::http::serve;
use crate::on_both;
use crate::place::{Place, Working, code, over, submitted};
use hyper::Method;
use serde_json::{Value, json};
use sqlx::{AnyPool, AssertSqlSafe};
use std::time::Duration;
use vtwasm_server::{Missed, NewSchedule, Quotas, Role, Schedule, Scope, State, Store, Submission};

/// Changes what is in the database, behind the store's back.
pub async fn change(place: &Place, statement: &str) {
    let url = place.url();
    let pool = AnyPool::connect(&url).await.unwrap();
    let changed = sqlx::query(AssertSqlSafe(statement.to_owned()))
        .execute(&pool)
        .await
        .unwrap();
    assert!(changed.rows_affected() > 0, "{statement}");
    pool.close().await;
}

fn hourly(missed: Missed) -> NewSchedule {
    NewSchedule {
        cron: "@hourly".into(),
        timezone: "UTC".into(),
        missed,
        submission: code("pass"),
    }
}

/// Lets its next turn be so many milliseconds ago.
async fn due(place: &Place, schedule: &Schedule, ago: i64) -> i64 {
    let turn = schedule.created.0 - ago;
    let statement = format!(
        "UPDATE schedules SET next_at = {turn} WHERE id = '{}'",
        schedule.id
    );
    change(place, &statement).await;
    turn
}

async fn jobs(store: &Store) -> usize {
    store.jobs("a", None, None, 1000).await.unwrap().jobs.len()
}

async fn each_turn_makes_one_job_over_any_number_of_processes(place: Place) {
    let store = place.with(&["a"]).await;
    let schedule = store.add_schedule("a", &hourly(Missed::Skip)).await.unwrap();
    let first = schedule.next.unwrap().0;
    assert!(first > schedule.created.0 && first % 3_600_000 == 0);
    assert_eq!((store.take_turns().await.unwrap(), jobs(&store).await), (0, 0));
    for round in 1..4 {
        let turn = due(&place, &schedule, 1000 + round as i64).await;
        let mut taking = Vec::new();
        for _ in 0..4 {
            let store = place.open().await;
            taking.push(tokio::spawn(async move { store.take_turns().await.unwrap() }));
        }
        for taken in taking {
            taken.await.unwrap();
        }
        assert_eq!(jobs(&store).await, round);
        let schedule = store.schedule("a", &schedule.id).await.unwrap();
        assert_eq!(
            (schedule.last.unwrap().0, schedule.next.unwrap().0),
            (turn, first)
        );
        let job = store.job("a", &schedule.job.unwrap()).await.unwrap();
        assert_eq!((job.state, schedule.error), (State::Pending, None));
    }
}

async fn a_turn_that_was_begun_is_gone_on_with_and_not_repeated(place: Place) {
    let store = place.with(&["a"]).await;
    let schedule = store.add_schedule("a", &hourly(Missed::Skip)).await.unwrap();
    let turn = due(&place, &schedule, 1000).await;
    // As who was killed between the job and its note.
    let key = format!("{} {turn}", schedule.id);
    let job = store.submit("a", Some(&key), &code("pass")).await.unwrap().job;
    assert_eq!(store.take_turns().await.unwrap(), 1);
    let schedule = store.schedule("a", &schedule.id).await.unwrap();
    assert_eq!((schedule.job, jobs(&store).await), (Some(job.id), 1));
}

async fn missed_turns_are_left_out_or_made_up_for_by_one(place: Place) {
    let store = place.with(&["a"]).await;
    for (missed, expected) in [(Missed::Skip, 0), (Missed::One, 1)] {
        let schedule = store.add_schedule("a", &hourly(missed)).await.unwrap();
        // Some fifty of them.
        due(&place, &schedule, 50 * 3_600_000).await;
        store.take_turns().await.unwrap();
        store.take_turns().await.unwrap();
        assert_eq!(jobs(&store).await, expected, "{missed:?}");
        let schedule = store.schedule("a", &schedule.id).await.unwrap();
        assert!(schedule.next.unwrap().0 > schedule.created.0);
        assert_eq!(schedule.error.is_none(), missed == Missed::One, "{schedule:?}");
    }
}

async fn a_turn_that_is_refused_says_why_and_the_next_one_comes(place: Place) {
    let store = place.open().await;
    let mut quotas = Quotas {
        max_queued: 0,
        ..Quotas::default()
    };
    store.add_tenant("a", &quotas).await.unwrap();
    let schedule = store.add_schedule("a", &hourly(Missed::Skip)).await.unwrap();
    due(&place, &schedule, 1000).await;
    store.take_turns().await.unwrap();
    let told = store.schedule("a", &schedule.id).await.unwrap();
    assert!(told.error.unwrap().contains("max_queued") && told.job.is_none());
    quotas.max_queued = 1;
    store.change_tenant("a", &quotas).await.unwrap();
    due(&place, &schedule, 999).await;
    store.take_turns().await.unwrap();
    let told = store.schedule("a", &schedule.id).await.unwrap();
    assert!(told.error.is_none() && told.job.is_some());
}

async fn a_schedule_is_made_listed_and_ended_and_keeps_its_files(place: Place) {
    let service = serve(&place, Role::All).await;
    let store = place.open().await;
    let put = service
        .ask(Method::PUT, "/v1/files", &service.token, "tea")
        .await
        .json();
    let hash = put["sha256"].as_str().unwrap();
    let body = json!({
        "cron": "* * * * *", "timezone": "Europe/Berlin", "missed": "one",
        "submission": {"source": "def main(): return open('/input/x').read()", "files": {"x": hash, "y": hash}},
    });
    let post = async |body: &Value, token: &str| {
        service
            .ask(Method::POST, "/v1/schedules", token, &body.to_string())
            .await
    };
    let made = post(&body, &service.token).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let list = service.get("/v1/schedules").await.json();
    assert_eq!(
        (&list[0]["id"], list[0].get("submission")),
        (&json!(id), None),
        "{list}"
    );
    let path = format!("/v1/schedules/{id}");
    assert_eq!(service.get(&path).await.json()["submission"]["files"]["x"], hash);
    // The service takes its turn by itself.
    change(&place, "UPDATE schedules SET next_at = next_at - 60000").await;
    let end = std::time::Instant::now() + Duration::from_secs(30);
    let job = loop {
        let schedule = service.get(&path).await.json();
        if let Some(job) = schedule["job"].as_str() {
            break job.to_owned();
        }
        assert!(std::time::Instant::now() < end, "{schedule}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    service.over(&job).await;
    assert_eq!(
        service.get(&format!("/v1/jobs/{job}/result")).await.text,
        "\"tea\""
    );
    let mut wrong = Vec::new();
    for (key, value) in [
        ("cron", json!("every day")),
        ("cron", json!("0 0 30 2 *")),
        ("timezone", json!("Mars")),
        ("missed", json!("all")),
        ("submission", json!({"source": ""})),
        (
            "submission",
            json!({"source": "pass", "files": {"x": "0".repeat(64)}}),
        ),
        ("more", json!(1)),
    ] {
        let mut body = body.clone();
        body[key] = value;
        wrong.push(body);
    }
    for body in wrong {
        let answer = post(&body, &service.token).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text);
    }
    // Nobody else's, and no secrets by one who may have none.
    store.add_tenant("other", &Quotas::default()).await.unwrap();
    let (other, _) = store
        .add_token("other", &[Scope::Read, Scope::Write], None)
        .await
        .unwrap();
    for (method, status) in [(Method::GET, 404), (Method::DELETE, 404)] {
        assert_eq!(service.ask(method, &path, &other, "").await.status, status);
    }
    assert_eq!(
        service.ask(Method::GET, "/v1/schedules", &other, "").await.text,
        "[]"
    );
    let secret = json!({"cron": "@daily", "submission": {"source": "pass", "secrets": ["X"]}});
    assert_eq!(post(&secret, &other).await.status, 403);
    // What its turns will need stays, when no job has it any more.
    change(&place, "UPDATE schedules SET next_at = next_at + 36000000").await;
    change(&place, "UPDATE jobs SET finished = finished - 9000000").await;
    assert!(store.sweep_jobs(Some(Duration::from_secs(3600))).await.unwrap() >= 1);
    change(&place, "UPDATE files SET used = used - 9000000").await;
    store.sweep_files(Duration::from_secs(3600)).await.unwrap();
    let file = format!("/v1/files/{hash}");
    assert_eq!(service.get(&file).await.status, 200);
    assert_eq!(
        service
            .ask(Method::DELETE, &file, &service.token, "")
            .await
            .status,
        409
    );
    assert_eq!(
        service
            .ask(Method::DELETE, &path, &service.token, "")
            .await
            .status,
        204
    );
    assert_eq!(service.get(&path).await.status, 404);
    store.sweep_files(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(service.get(&file).await.status, 404);
    service.leave().await;
}

async fn finished_jobs_go_after_their_time_with_all_that_belongs_to_them(place: Place) {
    let store = place.with(&["a", "forgetful"]).await;
    let quotas = Quotas {
        keep: Some(60.0),
        ..Quotas::default()
    };
    assert_eq!(
        store.change_tenant("forgetful", &quotas).await.unwrap().quotas,
        quotas
    );
    let working = Working::start(&store, 4).await;
    let job = Submission {
        retries: 1,
        backoff: 0.0,
        ..code(
            "open('/output/x', 'w').write('tea')\nprint('hello')\nimport os\nassert os.environ['VTWASM_ATTEMPT'] == '2'",
        )
    };
    let mut ids = Vec::new();
    for tenant in ["a", "forgetful"] {
        let id = store.submit(tenant, None, &job).await.unwrap().job.id;
        assert_eq!(over(&store, tenant, &id).await.state, State::Success);
        ids.push(id);
    }
    let waits = Submission {
        delay: 1000.0,
        ..code("pass")
    };
    let waits = store.submit("forgetful", None, &waits).await.unwrap().job.id;
    working.leave().await;
    assert_eq!(
        store.sweep_jobs(Some(Duration::from_secs(3600))).await.unwrap(),
        0
    );
    // An hour and some ago.
    change(
        &place,
        "UPDATE jobs SET finished = finished - 4000000, created = created - 4000000",
    )
    .await;
    assert_eq!(store.sweep_jobs(None).await.unwrap(), 1);
    assert!(store.job("forgetful", &ids[1]).await.is_err());
    store.job("forgetful", &waits).await.unwrap();
    let other = place.open().await;
    let hour = Some(Duration::from_secs(3600));
    let (first, second) = tokio::join!(store.sweep_jobs(hour), other.sweep_jobs(hour));
    assert_eq!(first.unwrap() + second.unwrap(), 1);
    assert!(store.job("a", &ids[0]).await.is_err());
    assert!(store.log("a", &ids[0], (0, -1)).await.unwrap().is_empty());
    change(&place, "UPDATE files SET used = used - 4000000").await;
    assert!(store.sweep_files(Duration::from_secs(3600)).await.unwrap() >= 2);
    let id = submitted(&store, "a", "pass").await;
    store.job("a", &id).await.unwrap();
}

on_both! {
    each_turn_makes_one_job_over_any_number_of_processes
    a_turn_that_was_begun_is_gone_on_with_and_not_repeated
    missed_turns_are_left_out_or_made_up_for_by_one
    a_turn_that_is_refused_says_why_and_the_next_one_comes
    a_schedule_is_made_listed_and_ended_and_keeps_its_files
    finished_jobs_go_after_their_time_with_all_that_belongs_to_them
}
