//! A job from its submission to its end.

use crate::on_both;
use crate::place::{Place, Working, code, is, over, submitted, text, when};
use serde_json::json;
use std::time::{Duration, Instant};
use vtwasm_server::{Limits, Quotas, State, Submission};

async fn a_job_is_called_with_its_arguments_and_its_result_is_kept(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 4).await;
    let job = Submission {
        arguments: json!({"name": "tea", "count": 3}),
        ..code(
            "import sys\ndef main(name, count):\n    print('hello', name)\n    print('uh', file=sys.stderr)\n    return {name: [count, None, 'ä€']}",
        )
    };
    let id = store.submit("a", None, &job).await.unwrap().job.id;
    let job = over(&store, "a", &id).await;
    assert_eq!(
        (job.state, job.exit_code, job.attempt),
        (State::Success, Some(0), 1),
        "{job:?}"
    );
    let result = store.result("a", &id).await.unwrap().unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&result).unwrap(),
        json!({"tea": [3, null, "ä€"]})
    );
    // Between the two streams there is no order.
    let mut pieces = store.log("a", &id, (0, -1)).await.unwrap();
    pieces.sort_by(|piece, other| other.stream.cmp(&piece.stream));
    let printed = pieces
        .iter()
        .map(|piece| (piece.stream.as_str(), piece.text.as_str()));
    assert_eq!(
        printed.collect::<Vec<_>>(),
        [("stdout", "hello tea\n"), ("stderr", "uh\n")]
    );
    let usage = job.usage.unwrap();
    assert!(
        usage.memory > 1 << 20 && usage.wall_time > 0.0 && usage.output == 13,
        "{usage:?}"
    );
    assert!(job.created.0 <= job.started.unwrap().0 && job.started.unwrap().0 <= job.finished.unwrap().0);
    let (runs, used) = store.used("a").await.unwrap();
    assert_eq!((runs, used.output), (1, 13));
    working.leave().await;
}

async fn a_program_without_main_runs_as_a_script_with_its_stdin_and_environment(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 4).await;
    let job = Submission {
        stdin: "one\ntwo\n".into(),
        environment: [("COLOUR".into(), "blue".into())].into(),
        ..code(
            "import os, sys\nprint(sys.stdin.read().split(), os.environ['COLOUR'], os.environ['VTWASM_ATTEMPT'], __name__, sys.argv)",
        )
    };
    let id = store.submit("a", None, &job).await.unwrap().job.id;
    assert_eq!(over(&store, "a", &id).await.state, State::Success);
    assert_eq!(
        text(&store, "a", &id).await,
        "['one', 'two'] blue 1 __main__ ['job.py']\n"
    );
    assert_eq!(store.result("a", &id).await.unwrap(), None);
    working.leave().await;
}

async fn a_job_s_environment_may_decide_how_its_interpreter_starts(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 4).await;
    let job = Submission {
        environment: [("PYTHONHASHSEED".into(), "7".into()), ("LANG".into(), "C".into())].into(),
        ..code("import sys\ndef main(): return [sys.flags.hash_randomization, hash('x')]")
    };
    let mut results = Vec::new();
    for _ in 0..2 {
        let id = store.submit("a", None, &job).await.unwrap().job.id;
        assert_eq!(over(&store, "a", &id).await.state, State::Success);
        results.push(store.result("a", &id).await.unwrap());
    }
    assert!(results[0].is_some() && results[0] == results[1], "{results:?}");
    working.leave().await;
}

async fn a_coroutine_function_as_main_is_run(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 4).await;
    let job = Submission {
        arguments: json!([20]),
        ..code("import asyncio\nasync def main(n):\n    await asyncio.sleep(0)\n    return n + 1")
    };
    let id = store.submit("a", None, &job).await.unwrap().job.id;
    assert_eq!(over(&store, "a", &id).await.state, State::Success);
    assert_eq!(store.result("a", &id).await.unwrap().as_deref(), Some("21"));
    working.leave().await;
}

async fn what_goes_wrong_is_in_the_state(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 4).await;
    for (source, error, exit_code) in [
        (
            "def main():\n    raise ValueError('no\\0tea')",
            "ValueError: no\u{fffd}tea",
            Some(1),
        ),
        ("import sys; sys.exit(3)", "it ended with exit code 3", Some(3)),
        ("def main(: pass", "SyntaxError: invalid syntax", Some(1)),
        (
            "def main(x): pass",
            "TypeError: main() missing 1 required positional argument: 'x'",
            Some(1),
        ),
        (
            "def main(): return object()",
            "TypeError: Object of type object is not JSON serializable",
            Some(1),
        ),
        (
            "def main(): return 'x' * 2_000_000",
            "ValueError: the result has 2000002 bytes as JSON, and 1048576 are allowed",
            Some(1),
        ),
        (
            "import vtwasm_job; vtwasm_job.result('{')",
            "ValueError: the result is no JSON: EOF while parsing an object at line 1 column 1",
            Some(1),
        ),
        (
            "import threading; threading.Lock().acquire(); lock = threading.Lock(); lock.acquire(); lock.acquire()",
            "deadlock: every thread waited for another",
            None,
        ),
        (
            "import os; os.abort()",
            "Python itself crashed in the sandbox",
            None,
        ),
    ] {
        let id = submitted(&store, "a", source).await;
        let job = over(&store, "a", &id).await;
        assert_eq!(
            (job.state, job.error.as_deref(), job.exit_code),
            (State::Failure, Some(error), exit_code),
            "{source}"
        );
        assert_eq!(store.result("a", &id).await.unwrap(), None);
    }
    let id = submitted(&store, "a", "x = 1\ndef main():\n    1 / 0").await;
    over(&store, "a", &id).await;
    let traceback = text(&store, "a", &id).await;
    assert!(
        traceback
            .starts_with("Traceback (most recent call last):\n  File \"job.py\", line 3, in main\n    1 / 0"),
        "{traceback}"
    );
    working.leave().await;
}

async fn the_limit_that_was_hit_is_in_the_state(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 4).await;
    let none = Limits::default();
    for (source, limit, limits) in [
        (
            "while True: pass",
            "cpu_time",
            Limits {
                cpu_time: Some(0.3),
                ..none.clone()
            },
        ),
        (
            "import time; time.sleep(100)",
            "wall_time",
            Limits {
                wall_time: Some(0.5),
                ..none.clone()
            },
        ),
        (
            "while True: print('x' * 1000)",
            "output",
            Limits {
                output: Some(100_000),
                ..none.clone()
            },
        ),
        (
            "x = bytearray(100 << 20)",
            "memory",
            Limits {
                memory: Some(64 << 20),
                ..none
            },
        ),
    ] {
        let job = Submission {
            limits,
            ..code(source)
        };
        let id = store.submit("a", None, &job).await.unwrap().job.id;
        let job = over(&store, "a", &id).await;
        assert_eq!(
            (job.state, job.limit.as_deref()),
            (State::Failure, Some(limit)),
            "{job:?}"
        );
    }
    working.leave().await;
}

async fn a_job_cannot_have_more_than_its_tenant_allows(place: Place) {
    let store = place.open().await;
    let mut quotas = Quotas::default();
    (quotas.rules.cpu_time, quotas.rules.threads) = (0.2, 1);
    store.add_tenant("a", &quotas).await.unwrap();
    let working = Working::start(&store, 4).await;
    let limits = Limits {
        cpu_time: Some(1000.0),
        threads: Some(50),
        ..Limits::default()
    };
    for (source, limit, error) in [
        (
            "while True: pass",
            Some("cpu_time"),
            "it hit its limit of CPU time",
        ),
        (
            "import threading, time\nfor _ in range(2): threading.Thread(target=time.sleep, args=(1,)).start()",
            None,
            "RuntimeError: can't start new thread",
        ),
        (
            "import socket; socket.create_connection(('127.0.0.1', 1))",
            None,
            "PermissionError:",
        ),
        ("open('/etc/passwd')", None, "FileNotFoundError:"),
    ] {
        let job = Submission {
            limits: limits.clone(),
            ..code(source)
        };
        let id = store.submit("a", None, &job).await.unwrap().job.id;
        let job = over(&store, "a", &id).await;
        assert_eq!(
            (job.state, job.limit.as_deref()),
            (State::Failure, limit),
            "{job:?}"
        );
        assert!(job.error.as_deref().unwrap().starts_with(error), "{job:?}");
    }
    working.leave().await;
}

async fn output_is_there_while_the_job_runs(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 4).await;
    let id = submitted(&store, "a", "import time\nprint('first')\ntime.sleep(60)").await;
    let end = Instant::now() + Duration::from_secs(20);
    while text(&store, "a", &id).await != "first\n" {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(store.job("a", &id).await.unwrap().state, State::Started);
    store.cancel("a", &id).await.unwrap();
    over(&store, "a", &id).await;
    working.leave().await;
}

async fn a_running_job_is_cancelled_soon_and_not_retried(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 4).await;
    let job = Submission {
        retries: 5,
        ..code("while True: pass")
    };
    let id = store.submit("a", None, &job).await.unwrap().job.id;
    when(&store, "a", &id, is(State::Started)).await;
    // As another process would.
    let begun = Instant::now();
    let told = place.open().await.cancel("a", &id).await.unwrap();
    assert!(told.cancel_requested && told.state == State::Started);
    let job = over(&store, "a", &id).await;
    assert_eq!(
        (job.state, job.error.as_deref(), job.attempt),
        (State::Revoked, Some("it was cancelled"), 1)
    );
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    working.leave().await;
}

async fn a_waiting_job_that_is_cancelled_never_starts(place: Place) {
    let store = place.with(&["a"]).await;
    let id = submitted(&store, "a", "print(1)").await;
    let job = store.cancel("a", &id).await.unwrap();
    assert_eq!(job.state, State::Revoked);
    assert!(
        store
            .cancel("a", &id)
            .await
            .unwrap_err()
            .to_string()
            .contains("REVOKED")
    );
    let working = Working::start(&store, 4).await;
    let other = submitted(&store, "a", "print(2)").await;
    over(&store, "a", &other).await;
    let job = store.job("a", &id).await.unwrap();
    assert_eq!(
        (job.state, job.attempt, job.started.is_none()),
        (State::Revoked, 0, true)
    );
    working.leave().await;
}

async fn a_failing_job_is_retried_with_growing_pauses(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 4).await;
    let job = Submission {
        retries: 2,
        backoff: 0.2,
        ..code("import os\nprint(os.environ['VTWASM_ATTEMPT'])\nassert os.environ['VTWASM_ATTEMPT'] == '3'")
    };
    let begun = Instant::now();
    let id = store.submit("a", None, &job).await.unwrap().job.id;
    when(&store, "a", &id, is(State::Retry)).await;
    let job = over(&store, "a", &id).await;
    assert_eq!((job.state, job.attempt, job.error), (State::Success, 3, None));
    assert!(begun.elapsed() > Duration::from_millis(600));
    let pieces = store.log("a", &id, (0, -1)).await.unwrap();
    let printed = pieces.iter().filter(|piece| piece.stream == "stdout");
    let printed = printed
        .map(|piece| (piece.attempt, piece.text.as_str()))
        .collect::<Vec<_>>();
    assert_eq!(printed, [(1, "1\n"), (2, "2\n"), (3, "3\n")]);
    working.leave().await;
}

async fn a_job_that_failed_for_good_can_be_retried_by_hand(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 4).await;
    let id = submitted(
        &store,
        "a",
        "import os; assert os.environ['VTWASM_ATTEMPT'] == '2'",
    )
    .await;
    assert_eq!(over(&store, "a", &id).await.state, State::Failure);
    let job = store.retry("a", &id).await.unwrap();
    assert_eq!((job.state, job.error), (State::Pending, None));
    assert_eq!(over(&store, "a", &id).await.state, State::Success);
    assert!(
        store
            .retry("a", &id)
            .await
            .unwrap_err()
            .to_string()
            .contains("SUCCESS")
    );
    working.leave().await;
}

async fn a_delayed_job_starts_when_it_is_time_and_not_before(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 4).await;
    let job = Submission {
        delay: 0.7,
        ..code("pass")
    };
    let id = store.submit("a", None, &job).await.unwrap().job.id;
    let job = over(&store, "a", &id).await;
    let waited = job.started.unwrap().0 - job.created.0;
    assert!((700..1700).contains(&waited), "{waited} ms");
    working.leave().await;
}

async fn a_job_is_not_started_after_its_time_to_live(place: Place) {
    let store = place.with(&["a"]).await;
    let job = Submission {
        time_to_live: Some(0.1),
        ..code("pass")
    };
    let id = store.submit("a", None, &job).await.unwrap().job.id;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let working = Working::start(&store, 4).await;
    let job = over(&store, "a", &id).await;
    assert_eq!((job.state, job.attempt), (State::Revoked, 0));
    assert_eq!(
        job.error.as_deref(),
        Some("its time to live was over before it started")
    );
    assert_eq!(store.queue_lengths().await.unwrap(), [0, 0]);
    working.leave().await;
}

on_both! {
    a_job_is_called_with_its_arguments_and_its_result_is_kept
    a_program_without_main_runs_as_a_script_with_its_stdin_and_environment
    a_job_s_environment_may_decide_how_its_interpreter_starts
    a_coroutine_function_as_main_is_run
    what_goes_wrong_is_in_the_state
    the_limit_that_was_hit_is_in_the_state
    a_job_cannot_have_more_than_its_tenant_allows
    output_is_there_while_the_job_runs
    a_running_job_is_cancelled_soon_and_not_retried
    a_waiting_job_that_is_cancelled_never_starts
    a_failing_job_is_retried_with_growing_pauses
    a_job_that_failed_for_good_can_be_retried_by_hand
    a_delayed_job_starts_when_it_is_time_and_not_before
    a_job_is_not_started_after_its_time_to_live
}
