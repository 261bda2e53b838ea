//! An interpreter that stays.

mod common;

use common::{program, python, text};
use std::time::Duration;
use vtwasm::{Error, Limit, Limits, Outcome, Output, PythonError, Sandbox, Session, Value};

fn session() -> Session {
    let mut builder = Sandbox::builder(python());
    Session::start(builder.stdout(Output::Capture).stderr(Output::Capture)).unwrap()
}

fn raised(result: Result<Value, Error>) -> PythonError {
    match result {
        Err(Error::Python(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn globals_live_from_call_to_call() {
    let session = session();
    session
        .exec("import json\ndef double(x, *, times=2): return x * times")
        .await
        .unwrap();
    assert_eq!(
        session.eval("json.dumps([1, None])").await.unwrap(),
        "[1, null]".into()
    );
    let doubled = session.call("double", ["ab".into()], []).await.unwrap();
    assert_eq!(doubled, "abab".into());
    let named = [("times".to_owned(), Value::from(3))];
    assert_eq!(
        session.call("double", [Value::from(5)], named).await.unwrap(),
        15.into()
    );
    assert_eq!(session.call("len", ["four".into()], []).await.unwrap(), 4.into());
    let joined = session.call("os.path.join", ["a".into(), "b".into()], []).await;
    assert_eq!(joined.unwrap(), "a/b".into());
    assert_eq!(session.eval("__name__").await.unwrap(), "__main__".into());
    session.exec("print('bye')").await.unwrap();
    let report = session.close().await.unwrap();
    assert_eq!(report.outcome, Outcome::Exited(0), "{}", text(&report.stderr));
    assert_eq!(text(&report.stdout), "bye\n");
}

#[tokio::test]
async fn an_exception_comes_with_its_class_and_traceback_and_harms_nothing() {
    let session = session();
    let error = raised(session.eval("{}['key']").await);
    assert_eq!(
        (error.exception.as_str(), error.message.as_str()),
        ("KeyError", "'key'")
    );
    assert_eq!(error.to_string(), "KeyError: 'key'");
    assert!(
        error.traceback.contains("\"<session>\", line 1"),
        "{}",
        error.traceback
    );
    for (source, exception) in [
        ("1 +", "SyntaxError"),
        ("__import__('sys').exit(3)", "SystemExit"),
        ("(lambda f: f(f))(lambda f: f(f))", "RecursionError"),
        ("b'x' * 10**12", "OverflowError"),
        (
            "(_ for _ in ()).throw(type('E', (Exception,), {'__str__': lambda s: '\\ud800'}))",
            "E",
        ),
        (
            "(_ for _ in ()).throw(type('F', (Exception,), {'__str__': lambda s: 1}))",
            "F",
        ),
    ] {
        assert_eq!(
            raised(session.eval(source).await).exception,
            exception,
            "{source}"
        );
    }
    assert_eq!(
        raised(session.call("no.such.thing", [], []).await).exception,
        "ModuleNotFoundError"
    );
    let error = session.call("len", [Value::Other("x".into())], []).await;
    assert!(matches!(error, Err(Error::Value(_))), "{error:?}");
    assert_eq!(session.eval("1 + 1").await.unwrap(), 2.into());
}

#[tokio::test]
async fn a_result_without_conversion_comes_as_its_repr() {
    let session = session();
    assert_eq!(session.eval("{3}").await.unwrap(), Value::Other("{3}".into()));
    assert_eq!(
        session.eval("[2**200]").await.unwrap(),
        Value::Other(format!(
            "[{}]",
            "16069380442589\
        90275541962092341162602522202993782792835301376"
        ))
    );
    let named = session
        .eval("__import__('collections').namedtuple('P', 'x')(1)")
        .await
        .unwrap();
    assert_eq!(named, Value::Other("P(x=1)".into()));
    assert_eq!(
        session.eval("'\\ud800'").await.unwrap(),
        Value::Other("'\\ud800'".into())
    );
}

#[tokio::test]
async fn a_thousand_calls_wait_at_once() {
    let session = session();
    session
        .exec("import threading\nbarrier = threading.Barrier(1000)")
        .await
        .unwrap();
    let calls = (0..1000).map(|_| session.call("barrier.wait", [], []));
    let mut numbers: Vec<i64> = futures::future::join_all(calls)
        .await
        .into_iter()
        .map(|result| result.unwrap().try_into().unwrap())
        .collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..1000));
}

#[tokio::test]
async fn a_call_that_computes_does_not_hold_up_another() {
    let session = session();
    let forever = session.exec("while True: pass");
    let other = async {
        for n in 0..20 {
            assert_eq!(session.eval(&format!("{n} + 1")).await.unwrap(), (n + 1).into());
        }
    };
    tokio::select! {
        result = forever => panic!("{result:?}"),
        () = other => {}
    }
}

#[tokio::test]
async fn calls_of_a_session_that_ends_say_so() {
    let session = session();
    let handle = session.handle();
    let (call, ()) = tokio::join!(session.exec("import time; time.sleep(3600)"), async {
        session.eval("1").await.unwrap();
        handle.kill();
    });
    assert!(matches!(call, Err(Error::SessionOver)), "{call:?}");
    assert!(matches!(session.eval("1").await, Err(Error::SessionOver)));
    assert_eq!(session.close().await.unwrap().outcome, Outcome::Killed);

    let mut limits = Limits::default();
    limits.wall_time = Some(Duration::from_millis(300));
    let session = Session::start(Sandbox::builder(python()).limits(limits)).unwrap();
    assert!(matches!(
        session.exec("while True: pass").await,
        Err(Error::SessionOver)
    ));
    let outcome = session.close().await.unwrap().outcome;
    assert_eq!(outcome, Outcome::LimitHit(Limit::WallTime));
}

#[tokio::test]
async fn a_session_calls_its_host_functions() {
    let mut builder = Sandbox::builder(python());
    builder
        .host_function("host", "add", |mut arguments: vtwasm::Arguments| async move {
            let (a, b): (i64, i64) = (arguments.required(0, "a")?, arguments.required(1, "b")?);
            Ok(a + b)
        })
        .unwrap();
    let session = Session::start(&mut builder).unwrap();
    session.exec("import host").await.unwrap();
    assert_eq!(session.eval("host.add(20, 22)").await.unwrap(), 42.into());
}

#[tokio::test]
async fn no_thread_left_for_a_call_is_an_error_of_that_call() {
    let mut limits = Limits::default();
    limits.threads = 1;
    let session = Session::start(Sandbox::builder(python()).limits(limits)).unwrap();
    session
        .exec("import threading\nhold = threading.Event()")
        .await
        .unwrap();
    let (held, ()) = tokio::join!(session.call("hold.wait", [], []), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(raised(session.eval("1").await).exception, "RuntimeError");
        session.handle().interrupt();
    });
    assert!(matches!(held, Err(Error::SessionOver)), "{held:?}");
}

#[tokio::test]
async fn a_program_of_ones_own_is_no_session() {
    // What a program must not be able to do is to stand in for the session's host functions.
    let report = common::run(&mut program("import _vtwasm_session")).await;
    assert!(text(&report.stderr).contains("ModuleNotFoundError"));
}

#[tokio::test]
async fn a_call_whose_values_are_larger_than_the_memory_fails_alone() {
    let mut limits = Limits::default();
    limits.memory = 64 << 20;
    let session = Session::start(Sandbox::builder(python()).limits(limits)).unwrap();
    session.exec("def size(x): return len(x)").await.unwrap();
    let bytes = |mib: usize| vec![7_u8; mib << 20].into();
    for mib in [20, 40, 70, 1] {
        // 40 MiB fit once: into the host's buffer or into Python.
        match session.call("size", [bytes(mib)], []).await {
            Ok(size) => assert_eq!(size, ((mib << 20) as u64).into()),
            Err(Error::Python(error)) => assert!(mib > 1 && error.exception == "MemoryError", "{error}"),
            Err(error) => panic!("{mib} MiB: {error}"),
        }
        assert_eq!(session.eval("1 + 1").await.unwrap(), 2.into(), "after {mib} MiB");
    }
    assert_eq!(
        raised(session.call("size", [bytes(70)], []).await).exception,
        "MemoryError"
    );
    for source in ["b'x' * (40 << 20)", "b'x' * (1 << 30)", "[None] * (2 << 20)"] {
        assert_eq!(
            raised(session.eval(source).await).exception,
            "MemoryError",
            "{source}"
        );
        assert_eq!(session.eval("1 + 1").await.unwrap(), 2.into(), "after {source}");
    }
    let message = "(_ for _ in ()).throw(KeyError('x' * (20 << 20)))";
    assert_eq!(raised(session.eval(message).await).exception, "KeyError");
    assert_eq!(session.eval("1 + 1").await.unwrap(), 2.into());
}
