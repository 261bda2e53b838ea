//! Jobs in interpreters that stay.

use crate::on_both;
use crate::place::{Place, Working, code, is, over, quick, text, when};
use serde_json::json;
use std::time::{Duration, Instant};
use vtwasm_server::{Job, Key, Limits, Quotas, State, Store, Submission, WorkerOptions};

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
            "import sys; sys.exit('no tea')",
            "it ended with exit code 1",
            Some(1),
        ),
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

/// What a job can see of itself.
const LOOK: &str = "import os, sys
def main(*args):
    own = {name: os.environ.get(name) for name in ('WORD', 'VTWASM_ATTEMPT')}
    return [own, sys.stdin.read(), list(args), os.getcwd(), os.environ.get('VTWASM_JOB')]
";

async fn a_job_in_a_session_has_its_own_environment_stdin_and_folder(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 2).await;
    let look = |source: &str, word: Option<&str>, stdin: &str| Submission {
        environment: word
            .into_iter()
            .map(|word| ("WORD".into(), word.into()))
            .collect(),
        stdin: stdin.into(),
        arguments: json!([stdin.len()]),
        ..in_session("x", &format!("{LOOK}{source}"))
    };
    let leave = "os.environ['WORD'] = os.environ['LEFT'] = 'left'; sys.stdout = None";
    for (source, word, stdin) in [
        ("", Some("one"), "text"),
        (leave, Some("two"), "unread"),
        ("assert 'LEFT' not in os.environ", None, ""),
    ] {
        let (job, result, log) = run(&store, "a", &look(source, word, stdin)).await;
        assert_eq!(job.state, State::Success, "{log}");
        let word = if source == leave { Some("left") } else { word };
        let expected = json!([{"WORD": word, "VTWASM_ATTEMPT": "1"}, stdin, [stdin.len()], "/", job.id]);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&result.unwrap()).unwrap(),
            expected
        );
    }
    // Nobody can go back to where it began, nor write to what is closed.
    for source in [
        "kept = 1; os.chdir('/usr/lib/vtwasm')",
        "kept = 1; sys.__stdout__.close()",
    ] {
        run(&store, "a", &look(source, None, "")).await;
        let (job, _, log) = run(&store, "a", &look("assert 'kept' not in globals()", None, "")).await;
        assert_eq!(job.state, State::Success, "{log}");
    }
    assert_eq!(working.worker.sessions(), 1);
    let worker = working.worker.clone();
    working.leave().await;
    assert_eq!(worker.sessions(), 0);
}

async fn who_has_no_secrets_never_meets_an_interpreter_that_had_some(place: Place) {
    let store = place.open().await;
    let store = store.with_key(Key::parse(&"5e".repeat(32)).unwrap());
    store.add_tenant("a", &Quotas::default()).await.unwrap();
    store.set_secret("a", "PASSWORD", "tea").await.unwrap();
    let working = Working::start(&store, 2).await;
    let keep = "import os\nkept = os.environ['PASSWORD']\ndef main(): return kept";
    let with = Submission {
        secrets: vec!["PASSWORD".into()],
        ..in_session("x", keep)
    };
    assert_eq!(run(&store, "a", &with).await.1.as_deref(), Some("\"tea\""));
    let find = "import os\ndef main(): return [globals().get('kept'), os.environ.get('PASSWORD')]";
    let found = run(&store, "a", &in_session("x", find)).await.1;
    assert_eq!(found.as_deref(), Some("[null, null]"));
    let again = Submission {
        source: "def main(): return kept".into(),
        ..with
    };
    assert_eq!(run(&store, "a", &again).await.1.as_deref(), Some("\"tea\""));
    working.leave().await;
}

async fn a_session_goes_when_nobody_asks_for_it_or_when_it_works_without_a_job(place: Place) {
    let store = place.with(&["a"]).await;
    let options = WorkerOptions {
        session_idle: Duration::from_secs(1),
        ..quick()
    };
    let working = Working::with(&store, options).await;
    run(&store, "a", &in_session("x", COUNT)).await;
    assert_eq!(working.worker.sessions(), 1);
    none_left(&working).await;
    assert_eq!(
        run(&store, "a", &in_session("x", COUNT)).await.1.as_deref(),
        Some("1")
    );
    working.leave().await;
    let working = Working::start(&store, 2).await;
    let spin = "import threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin, daemon=True).start()";
    assert_eq!(
        run(&store, "a", &in_session("x", spin)).await.0.state,
        State::Success
    );
    none_left(&working).await;
    // One that only waits may stay.
    let wait = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()";
    assert_eq!(
        run(&store, "a", &in_session("x", wait)).await.0.state,
        State::Success
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(working.worker.sessions(), 1);
    working.leave().await;
}

async fn none_left(working: &Working) {
    let end = Instant::now() + Duration::from_secs(60);
    while working.worker.sessions() > 0 {
        assert!(Instant::now() < end, "it stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn other_rules_have_another_session(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 2).await;
    run(&store, "a", &in_session("x", COUNT)).await;
    let mut quotas = Quotas::default();
    quotas.rules.network = vec!["example.com:443".into()];
    store.change_tenant("a", &quotas).await.unwrap();
    assert_eq!(
        run(&store, "a", &in_session("x", COUNT)).await.1.as_deref(),
        Some("1")
    );
    // One that cannot even start is that job's failure, and not for ever.
    quotas.rules.memory = 1 << 20;
    store.change_tenant("a", &quotas).await.unwrap();
    let (job, ..) = run(&store, "a", &in_session("x", COUNT)).await;
    assert_eq!(
        (job.state, job.limit.as_deref()),
        (State::Failure, Some("memory")),
        "{job:?}"
    );
    working.leave().await;
}

async fn jobs_that_wait_for_their_session_take_no_slot_from_others(place: Place) {
    let store = place.with(&["a", "b"]).await;
    let working = Working::start(&store, 2).await;
    let source = "import time\nprint('begun')\ntime.sleep(500)";
    let long = store
        .submit("a", None, &in_session("x", source))
        .await
        .unwrap()
        .job
        .id;
    written(&store, &long).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(
            store
                .submit("a", None, &in_session("x", COUNT))
                .await
                .unwrap()
                .job
                .id,
        );
    }
    assert_eq!(run(&store, "b", &code("pass")).await.0.state, State::Success);
    // One that is cancelled before its turn leaves the session alone.
    when(&store, "a", &ids[5], is(State::Started)).await;
    store.cancel("a", &ids[5]).await.unwrap();
    assert_eq!(over(&store, "a", &ids[5]).await.state, State::Revoked);
    assert_eq!(store.job("a", &long).await.unwrap().state, State::Started);
    store.cancel("a", &long).await.unwrap();
    assert_eq!(over(&store, "a", &long).await.state, State::Revoked);
    let mut results = Vec::new();
    for id in &ids[..5] {
        over(&store, "a", id).await;
        results.extend(store.result("a", id).await.unwrap());
    }
    results.sort();
    assert_eq!(results, ["1", "2", "3", "4", "5"]);
    working.leave().await;
}

/// Until a job has written something.
async fn written(store: &Store, id: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while text(store, "a", id).await.is_empty() {
        assert!(Instant::now() < end, "it never began");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
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
    quotas.rules.cpu_time = 1.0;
    store.add_tenant("a", &quotas).await.unwrap();
    let working = Working::start(&store, 2).await;
    run(&store, "a", &in_session("x", COUNT)).await;
    let id = store
        .submit(
            "a",
            None,
            &in_session("x", "import time; print('in it'); time.sleep(500)"),
        )
        .await
        .unwrap()
        .job
        .id;
    written(&store, &id).await;
    store.cancel("a", &id).await.unwrap();
    assert_eq!(over(&store, "a", &id).await.state, State::Revoked);
    for (source, limit) in [
        ("import time; time.sleep(500)", "wall_time"),
        ("while True: pass", "cpu_time"),
        ("while True: print('x' * 10_000)", "output"),
        ("x = 'x' * (1 << 30)", "memory"),
    ] {
        assert_eq!(
            run(&store, "a", &in_session("x", COUNT)).await.1.as_deref(),
            Some("1"),
            "{source}"
        );
        let limits = Limits {
            wall_time: (limit == "wall_time").then_some(0.5),
            ..Limits::default()
        };
        let job = Submission {
            limits,
            ..in_session("x", source)
        };
        let (job, ..) = run(&store, "a", &job).await;
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
                environment: [("PYTHONHASHSEED".to_owned(), "1".to_owned())].into(),
                ..in_session("x", "pass")
            },
            "session: a job in one",
        ),
        (
            Submission {
                timeline: true,
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
    a_job_in_a_session_has_its_own_environment_stdin_and_folder
    who_has_no_secrets_never_meets_an_interpreter_that_had_some
    a_session_goes_when_nobody_asks_for_it_or_when_it_works_without_a_job
    other_rules_have_another_session
    jobs_that_wait_for_their_session_take_no_slot_from_others
    jobs_of_one_session_run_one_at_a_time
    a_job_that_is_ended_ends_its_session_and_the_next_one_has_another
    a_tenant_has_as_many_sessions_as_its_rules_allow
}
