//! What is told to people: figures, starts, workers, and to operators of all tenants.

use crate::http::serve;
use crate::on_both;
use crate::place::Place;
use crate::schedules::change;
use hyper::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use vtwasm_server::{Quotas, Role, Scope};

async fn each_start_of_a_job_is_told_with_its_end(place: Place) {
    let service = serve(&place, Role::All).await;
    let code = "import os\nif os.environ['VTWASM_ATTEMPT'] != '3': raise ValueError('not yet')";
    let job = json!({"source": code, "retries": 1, "backoff": 0, "name": "third time lucky"});
    let id = service.submit(&job).await;
    let job = service.over(&id).await;
    assert_eq!(
        (&job["state"], &job["name"], &job["tenant"]),
        (&json!("FAILURE"), &json!("third time lucky"), &json!("default"))
    );
    let path = format!("/v1/jobs/{id}/attempts");
    let attempts = async || service.get(&path).await.json().as_array().unwrap().clone();
    let states = |attempts: &[Value]| {
        let state = |attempt: &Value| attempt["state"].as_str().unwrap().to_owned();
        attempts.iter().map(state).collect::<Vec<_>>()
    };
    let failed = attempts().await;
    assert_eq!(states(&failed), ["RETRY", "FAILURE"]);
    for (attempt, number) in failed.iter().zip(1..) {
        assert_eq!(attempt["attempt"], json!(number));
        assert_eq!(attempt["error"], "ValueError: not yet");
        assert!(
            attempt["started"].as_str() <= attempt["finished"].as_str(),
            "{attempt}"
        );
        assert!(attempt["usage"]["wall_time"].as_f64().unwrap() > 0.0, "{attempt}");
    }
    let retried = service
        .ask(Method::POST, &format!("/v1/jobs/{id}/retry"), &service.token, "")
        .await;
    assert_eq!(retried.status, 200, "{}", retried.text);
    service.over(&id).await;
    assert_eq!(states(&attempts().await), ["RETRY", "FAILURE", "SUCCESS"]);
    service.leave().await;
}

async fn figures_count_what_waits_and_what_was_done(place: Place) {
    let service = serve(&place, Role::Api).await;
    service.submit(&json!({"source": "pass"})).await;
    service.submit(&json!({"source": "pass", "delay": 1000})).await;
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let figures = service.get("/v1/figures").await.json();
        assert_eq!((&figures["waiting"], &figures["running"]), (&json!(2), &json!(0)));
        let oldest = figures["oldest"].as_f64().unwrap();
        if oldest > 0.0 && oldest < 900.0 {
            break;
        }
        assert!(Instant::now() < end, "{figures}");
    }
    service.leave().await;
    let service = serve_again(&place, Role::All).await;
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let figures = service.get("/v1/figures?tenant=*").await.json();
        if figures["hours"][0]["runs"] == json!(1) {
            assert_eq!(
                (&figures["waiting"], &figures["oldest"]),
                (&json!(1), &json!(0.0))
            );
            break;
        }
        assert!(Instant::now() < end, "{figures}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let workers = service.get("/v1/workers").await.json();
    assert_eq!(workers[0]["slots"], json!(4), "{workers}");
    assert_eq!(workers[1], Value::Null);
    service.leave().await;
    assert_eq!(place.open().await.workers().await.unwrap().len(), 0);
}

/// On a database that has its first tenant.
async fn serve_again(place: &Place, role: Role) -> crate::http::Running {
    let scopes = [Scope::Read, Scope::Write, Scope::Operator];
    let (token, _) = place
        .open()
        .await
        .add_token("default", &scopes, None)
        .await
        .unwrap();
    let mut service = serve(place, role).await;
    service.token = token;
    service
}

async fn an_operator_reaches_every_tenant_s_jobs_and_nobody_else_does(place: Place) {
    let store = place.with(&["a", "b"]).await;
    store.add_tenant("default", &Quotas::default()).await.unwrap();
    let service = serve_again(&place, Role::Api).await;
    let token = async |tenant: &str, scopes: &[Scope]| store.add_token(tenant, scopes, None).await.unwrap().0;
    let (a, b) = (
        token("a", &[Scope::Read, Scope::Write]).await,
        token("b", &[Scope::Read, Scope::Write]).await,
    );
    let only_operator = token("b", &[Scope::Operator]).await;
    let submitted = service
        .ask(Method::POST, "/v1/jobs", &a, "{\"source\": \"pass\"}")
        .await;
    let id = submitted.json()["id"].as_str().unwrap().to_owned();
    let paths = [
        (Method::GET, "/v1/jobs".to_owned()),
        (Method::GET, "/v1/figures".to_owned()),
        (Method::GET, format!("/v1/jobs/{id}")),
        (Method::GET, format!("/v1/jobs/{id}/logs")),
        (Method::GET, format!("/v1/jobs/{id}/attempts")),
        (Method::POST, format!("/v1/jobs/{id}/cancel")),
        (Method::POST, format!("/v1/jobs/{id}/retry")),
    ];
    for (method, path) in &paths {
        for tenant in ["a", "*", "..", "%00"] {
            let path = format!("{path}?tenant={tenant}");
            for token in [&b, &only_operator] {
                let answer = service.ask(method.clone(), &path, token, "").await;
                assert_eq!(answer.status, 403, "{path}: {}", answer.text);
            }
        }
        let path = format!("{path}?tenant=a");
        let answer = service.ask(method.clone(), &path, &service.token, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_ne!(answer.text, "{\"jobs\":[],\"next\":null}");
    }
    let all = service.get("/v1/jobs?tenant=*").await.json();
    assert_eq!(
        (&all["jobs"][0]["id"], &all["jobs"][0]["tenant"]),
        (&json!(id), &json!("a"))
    );
    let own = service.get("/v1/jobs").await.json();
    assert_eq!(own["jobs"], json!([]));
    for wrong in ["..", "%00", "A", ""] {
        let answer = service.get(&format!("/v1/jobs?tenant={wrong}")).await;
        assert_eq!(answer.status, 404, "{wrong}: {}", answer.text);
    }
    let me = service
        .ask(Method::GET, "/v1/me", &only_operator, "")
        .await
        .json();
    assert_eq!(
        (&me["tenant"]["id"], &me["scopes"]),
        (&json!("b"), &json!(["operator"]))
    );
    assert_eq!(service.ask(Method::GET, "/v1/me", "", "").await.status, 401);
    assert_eq!(service.ask(Method::GET, "/v1/workers", &b, "").await.status, 403);
    service.leave().await;
}

async fn a_job_s_name_is_one_line(place: Place) {
    let service = serve(&place, Role::Api).await;
    for (name, status) in [("", 422), ("a\nb", 422), ("a\0", 422), ("<b>ü</b>", 201)] {
        let body = json!({"source": "pass", "name": name}).to_string();
        let answer = service.ask(Method::POST, "/v1/jobs", &service.token, &body).await;
        assert_eq!(answer.status, status, "{name:?}: {}", answer.text);
    }
    let list = service.get("/v1/jobs").await.json();
    assert_eq!(list["jobs"][0]["name"], "<b>ü</b>");
    service.leave().await;
}

async fn metrics_tell_of_runs_limits_and_requests_with_few_labels(place: Place) {
    let service = serve(&place, Role::All).await;
    service
        .over(&service.submit(&json!({"source": "pass"})).await)
        .await;
    let endless = json!({"source": "while True: pass", "limits": {"cpu_time": 0.2}});
    service.over(&service.submit(&endless).await).await;
    service
        .ask(Method::from_bytes(b"BREW").unwrap(), "/no\"thing/1", "", "")
        .await;
    let end = Instant::now() + Duration::from_secs(30);
    let text = loop {
        // A run is counted just after its end is written.
        let text = service.get("/metrics").await.text;
        if text.contains("\nvtwasm_runs_total{state=\"FAILURE\"} 1\n") {
            break text;
        }
        assert!(Instant::now() < end, "{text}");
    };
    for line in [
        "vtwasm_jobs_waiting 0",
        "vtwasm_jobs_oldest_seconds 0",
        "vtwasm_workers 1",
        "vtwasm_database_errors_total 0",
        "vtwasm_claimed_jobs_total 2",
        "vtwasm_worker_slots 4",
        "vtwasm_runs_limited_total{limit=\"cpu_time\"} 1",
        "vtwasm_run_duration_seconds_count{state=\"SUCCESS\"} 1",
        "vtwasm_http_request_duration_seconds_count{route=\"/v1/jobs\",method=\"POST\",status=\"201\"} 2",
        "vtwasm_http_request_duration_seconds_count{route=\"none\",method=\"other\",status=\"404\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(
        text.contains("{route=\"/v1/jobs/{id}\",method=\"GET\",status=\"200\",le=\"1\"}"),
        "{text}"
    );
    assert!(!text.contains("default") && !text.contains("job_"), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().unwrap() >= 0.0, "{line}");
    }
    service.leave().await;
}

async fn an_operator_lists_every_tenant_s_files_and_schedules(place: Place) {
    let store = place.with(&["a", "b"]).await;
    store.add_tenant("default", &Quotas::default()).await.unwrap();
    let service = serve_again(&place, Role::Api).await;
    let scopes = [Scope::Read, Scope::Write];
    for tenant in ["b", "a"] {
        let (token, _) = store.add_token(tenant, &scopes, None).await.unwrap();
        let put = service.ask(Method::PUT, "/v1/files", &token, "tea").await;
        assert_eq!(put.status, 200, "{}", put.text);
        let schedule = json!({"cron": "@daily", "submission": {"source": "pass"}}).to_string();
        let added = service
            .ask(Method::POST, "/v1/schedules", &token, &schedule)
            .await;
        assert_eq!((added.status, &added.json()["tenant"]), (201, &json!(tenant)));
        for path in ["/v1/files?tenant=*", "/v1/schedules?tenant=*"] {
            assert_eq!(service.ask(Method::GET, path, &token, "").await.status, 403);
        }
        let own = service.ask(Method::GET, "/v1/schedules", &token, "").await.json();
        assert_eq!(own.as_array().unwrap().len(), 1);
        let own = service.ask(Method::GET, "/v1/files", &token, "").await.json();
        assert_eq!(
            (&own["files"][0]["tenant"], &own["files"][1]),
            (&json!(tenant), &Value::Null)
        );
    }
    let tenants = |all: &Value| {
        let tenant = |one: &Value| one["tenant"].as_str().unwrap().to_owned();
        all.as_array().unwrap().iter().map(tenant).collect::<Vec<_>>()
    };
    let files = service.get("/v1/files?tenant=*").await.json();
    assert_eq!(
        (tenants(&files["files"]), &files["next"]),
        (vec!["a".to_owned(), "b".into()], &Value::Null)
    );
    let hash = files["files"][0]["sha256"].as_str().unwrap();
    let later = service
        .get(&format!("/v1/files?tenant=*&after=a/{hash}"))
        .await
        .json();
    assert_eq!(tenants(&later["files"]), ["b"]);
    let schedules = service.get("/v1/schedules?tenant=*").await.json();
    assert_eq!(tenants(&schedules), ["b", "a"]);
    let first = schedules[0]["id"].as_str().unwrap();
    let later = service
        .get(&format!("/v1/schedules?tenant=*&after={first}"))
        .await
        .json();
    assert_eq!(tenants(&later), ["a"]);
    assert_eq!(service.get("/v1/files").await.json()["files"], json!([]));
    service.leave().await;
}

async fn metrics_tell_of_files_schedules_and_what_was_swept(place: Place) {
    let service = serve(&place, Role::Api).await;
    for content in ["tea", "milk", "sugar"] {
        let put = service
            .ask(Method::PUT, "/v1/files", &service.token, content)
            .await;
        assert_eq!(put.status, 200, "{}", put.text);
    }
    let schedule =
        json!({"cron": "@daily", "missed": "one", "submission": {"source": "pass", "delay": 1000}})
            .to_string();
    let added = service
        .ask(Method::POST, "/v1/schedules", &service.token, &schedule)
        .await;
    assert_eq!(added.status, 201, "{}", added.text);
    let id = service.submit(&json!({"source": "pass", "delay": 1000})).await;
    let path = format!("/v1/jobs/{id}/cancel");
    assert_eq!(
        service.ask(Method::POST, &path, &service.token, "").await.status,
        200
    );
    service.leave().await;
    // Long ago, by what is written.
    for statement in [
        "UPDATE files SET used = 0 WHERE bytes > 3",
        "UPDATE jobs SET finished = 0",
        "UPDATE schedules SET next_at = created",
    ] {
        change(&place, statement).await;
    }
    let service = serve_again(&place, Role::All).await;
    let end = Instant::now() + Duration::from_secs(30);
    let expected = [
        "vtwasm_files 1",
        "vtwasm_files_bytes 3",
        "vtwasm_schedules 1",
        "vtwasm_schedule_turns_total{job=\"true\"} 1",
        "vtwasm_schedule_turns_total{job=\"false\"} 0",
        "vtwasm_swept_jobs_total 1",
        "vtwasm_swept_files_total 2",
        "vtwasm_swept_bytes_total 9",
    ];
    loop {
        let text = service.get("/metrics").await.text;
        if expected
            .iter()
            .all(|line| text.lines().any(|found| found == *line))
        {
            break;
        }
        assert!(Instant::now() < end, "{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    service.leave().await;
}

on_both! {
    an_operator_lists_every_tenant_s_files_and_schedules
    metrics_tell_of_files_schedules_and_what_was_swept
    metrics_tell_of_runs_limits_and_requests_with_few_labels
    each_start_of_a_job_is_told_with_its_end
    figures_count_what_waits_and_what_was_done
    an_operator_reaches_every_tenant_s_jobs_and_nobody_else_does
    a_job_s_name_is_one_line
}
