//! Jobs in interpreters that stay.

use crate::on_both;
use crate::place::{Place, Working, code, is, over, text, when};
use serde_json::json;
use std::time::{Duration, Instant};
use vtwasm_server::{Job, Limits, Quotas, State, Store, Submission};

fn in_session(name: &str, source: &str) -> Submission {
    Submission {
        session: Some(name.into()),
        ..code(source)
    }
}

async fn run(store: &Store, tenant: &str, job: &Submission) -> (Job, Option<String>, String) {
    let id = store.submit(tenant, None, job).await.unwrap().job.id;
    let job = over(store, tenant, &id).await;
    let result = store.result(tenant, &id).await.unwrap();
    (job, result, text(store, tenant, &id).await)
}

const COUNT: &str = "count = globals().get('count', 0) + 1\nprint('the', count)\ndef main(): return count";

async fn jobs_of_one_session_find_what_those_before_have_made(place: Place) {
    let store = place.with(&["a", "b"]).await;
    let working = Working::start(&store, 4).await;
    for n in 1..4 {
        let (job, result, log) = run(&store, "a", &in_session("x", COUNT)).await;
        assert_eq!(
            (job.state, result),
            (State::Success, Some(n.to_string())),
            "{job:?}"
        );
        assert_eq!(log, format!("the {n}\n"));
        assert_eq!(job.usage.unwrap().output, 6);
    }
    // Another name, another tenant, and no session at all.
    for (tenant, job) in [
        ("a", in_session("y", COUNT)),
        ("b", in_session("x", COUNT)),
        ("a", code(COUNT)),
    ] {
        assert_eq!(run(&store, tenant, &job).await.1.as_deref(), Some("1"));
    }
    assert_eq!(working.worker.sessions(), 3);
    // What goes wrong in one job is that job's.
    let wrong = [
        ("1 / 0", "ZeroDivisionError: division by zero", Some(1)),
        (
            "import sys; print('half', end=''); sys.exit(3)",
            "it ended with exit code 3",
            Some(3),
        ),
        ("def main(: pass", "SyntaxError: invalid syntax", Some(1)),
        (
            "def main(): return object()",
            "TypeError: Object of type object is not JSON serializable",
            Some(1),
        ),
    ];
    for (source, error, exit_code) in wrong {
        let (job, result, _) = run(&store, "a", &in_session("x", source)).await;
        assert_eq!(
            (job.state, job.error.as_deref(), job.exit_code, result),
            (State::Failure, Some(error), exit_code, None)
        );
    }
    let arguments = Submission {
        arguments: json!([2]),
        ..in_session("x", "def main(n): return [count, n]")
    };
    assert_eq!(run(&store, "a", &arguments).await.1.as_deref(), Some("[3, 2]"));
    // The function of the job before is not this one's.
    assert_eq!(run(&store, "a", &in_session("x", "pass")).await.1, None);
    working.leave().await;
}

async fn jobs_of_one_session_run_one_at_a_time(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 4).await;
    let source = "import time\nrunning = globals().get('running', 0) + 1\ntime.sleep(0.05)\nseen = running\nrunning -= 1\nprint(seen)\ndef main(): return seen";
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(
            store
                .submit("a", None, &in_session("x", source))
                .await
                .unwrap()
                .job
                .id,
        );
    }
    for id in &ids {
        over(&store, "a", id).await;
        assert_eq!(store.result("a", id).await.unwrap().as_deref(), Some("1"));
        assert_eq!(text(&store, "a", id).await, "1\n");
    }
    working.leave().await;
}

async fn a_job_that_is_ended_ends_its_session_and_the_next_one_has_another(place: Place) {
    let store = place.open().await;
    let mut quotas = Quotas::default();
    (quotas.rules.wall_time, quotas.rules.cpu_time) = (3.0, 1.0);
    store.add_tenant("a", &quotas).await.unwrap();
    let working = Working::start(&store, 2).await;
    run(&store, "a", &in_session("x", COUNT)).await;
    let id = store
        .submit(
            "a",
            None,
            &in_session("x", "import time; print('in it'); time.sleep(60)"),
        )
        .await
        .unwrap()
        .job
        .id;
    when(&store, "a", &id, is(State::Started)).await;
    // One that is cancelled before its turn leaves the session alone.
    let end = Instant::now() + Duration::from_secs(60);
    while text(&store, "a", &id).await.is_empty() {
        assert!(Instant::now() < end, "it never began");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    store.cancel("a", &id).await.unwrap();
    assert_eq!(over(&store, "a", &id).await.state, State::Revoked);
    for (source, limit) in [
        ("import time; time.sleep(60)", "wall_time"),
        ("while True: pass", "cpu_time"),
        ("while True: print('x' * 10_000)", "output"),
    ] {
        assert_eq!(
            run(&store, "a", &in_session("x", COUNT)).await.1.as_deref(),
            Some("1"),
            "{source}"
        );
        let (job, ..) = run(&store, "a", &in_session("x", source)).await;
        assert_eq!(
            (job.state, job.limit.as_deref()),
            (State::Failure, Some(limit)),
            "{job:?}"
        );
    }
    let (job, ..) = run(&store, "a", &in_session("x", "import os; os._exit(4)")).await;
    assert_eq!((job.state, job.exit_code), (State::Failure, Some(4)), "{job:?}");
    assert_eq!(
        run(&store, "a", &in_session("x", COUNT)).await.1.as_deref(),
        Some("1")
    );
    working.leave().await;
}

async fn a_tenant_has_as_many_sessions_as_its_rules_allow(place: Place) {
    let store = place.open().await;
    let mut quotas = Quotas::default();
    quotas.rules.sessions = 2;
    store.add_tenant("a", &quotas).await.unwrap();
    let working = Working::start(&store, 4).await;
    let mut ids = Vec::new();
    for n in 0..6 {
        let job = in_session(&format!("s{n}"), "import time; time.sleep(0.1)");
        ids.push(store.submit("a", None, &job).await.unwrap().job.id);
    }
    for id in &ids {
        assert_eq!(over(&store, "a", id).await.state, State::Success);
    }
    assert_eq!(working.worker.sessions(), 2);
    working.leave().await;
    quotas.rules.sessions = 0;
    store.change_tenant("a", &quotas).await.unwrap();
    let limits = Limits {
        memory: Some(1 << 28),
        ..Limits::default()
    };
    for (job, problem) in [
        (in_session("x", "pass"), "session: this tenant's rules allow none"),
        (in_session("a b", "pass"), "session: 1 to 63"),
        (in_session("", "pass"), "session: 1 to 63"),
        (
            Submission {
                stdin: "x".into(),
                ..in_session("x", "pass")
            },
            "session: a job in one",
        ),
        (
            Submission {
                limits,
                ..in_session("x", "pass")
            },
            "session: a job in one",
        ),
    ] {
        let error = store.submit("a", None, &job).await.unwrap_err().to_string();
        assert!(error.starts_with(problem), "{error}");
    }
}

on_both! {
    jobs_of_one_session_find_what_those_before_have_made
    jobs_of_one_session_run_one_at_a_time
    a_job_that_is_ended_ends_its_session_and_the_next_one_has_another
    a_tenant_has_as_many_sessions_as_its_rules_allow
}
