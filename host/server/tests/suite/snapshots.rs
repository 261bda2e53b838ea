//! Snapshots that tenants' jobs start from.

use crate::on_both;
use crate::packages::Made;
use crate::place::{Place, Working, code, is, over, text, when};
use serde_json::json;
use std::time::Duration;
use vtwasm_server::{Error, Job, Key, NewSnapshot, PackageSource, Quotas, State, Store, Submission};

fn of(name: &str, source: &str) -> NewSnapshot {
    NewSnapshot {
        name: name.into(),
        source: source.into(),
        ..NewSnapshot::default()
    }
}

fn from(name: &str, source: &str) -> Submission {
    Submission {
        snapshot: Some(name.into()),
        ..code(source)
    }
}

async fn make(store: &Store, new: &NewSnapshot) -> (Job, String) {
    let id = store.make_snapshot("a", new, true).await.unwrap().id;
    (over(store, "a", &id).await, text(store, "a", &id).await)
}

async fn run(store: &Store, job: &Submission) -> (Job, String) {
    let id = store.submit("a", None, job).await.unwrap().job.id;
    let job = over(store, "a", &id).await;
    let result = store.result("a", &id).await.unwrap().unwrap_or_default();
    (job, result + &text(store, "a", &id).await)
}

/// Says whether it found what the snapshot's code has made, and whether that ran just now.
const LOOK: &str = "import os, sys
def main(): return [word, double(4), 'made' in sys.modules, os.environ.get('PASSWORD'), count]";
const SOURCE: &str = "import os, sys
word = os.environ.get('PASSWORD', 'none')
count = [1]
def double(n): return 2 * n
print('made it')";

async fn jobs_start_from_what_was_made_once(place: Place) {
    let store = place.open().await;
    let source = PackageSource::new(Made::new());
    let key = Key::parse(&"5e".repeat(32)).unwrap();
    let store = store.with_packages(source).with_key(key);
    let mut quotas = Quotas::default();
    quotas.rules.packages = vec!["made".into()];
    store.add_tenant("a", &quotas).await.unwrap();
    store.add_tenant("b", &quotas).await.unwrap();
    store.set_secret("a", "PASSWORD", "tea").await.unwrap();
    let working = Working::start(&store, 2).await;
    let new = NewSnapshot {
        packages: vec!["made>=1".into()],
        imports: vec!["made".into(), "xml.dom".into()],
        ..of("x", SOURCE)
    };
    let (job, log) = make(&store, &new).await;
    assert_eq!(
        (job.state, log.as_str()),
        (State::Success, "made it\n"),
        "{job:?}"
    );
    assert!(job.usage.unwrap().cpu_time > 0.0);
    let kept = store.snapshots("a").await.unwrap();
    assert_eq!((kept[0].name.as_str(), &kept[0].job), ("x", &job.id));
    assert!(kept.len() == 1 && kept[0].packages == ["made>=1"] && kept[0].bytes > 1 << 20);
    let plain = Submission {
        secrets: vec!["PASSWORD".into()],
        ..from("x", LOOK)
    };
    let in_session = Submission {
        session: Some("s".into()),
        ..plain.clone()
    };
    // An interpreter that has not started: the snapshot's code runs before the job's.
    let cold = Submission {
        environment: [("PYTHONHASHSEED".to_owned(), "1".to_owned())].into(),
        ..plain.clone()
    };
    for (job, expected) in [
        (plain, r#"["none", 8, true, "tea", [1]]"#),
        (in_session, r#"["none", 8, true, "tea", [1]]"#),
        (cold, "[\"tea\", 8, true, \"tea\", [1]]made it\n"),
    ] {
        let (job, found) = run(&store, &job).await;
        assert_eq!((job.state, found.as_str()), (State::Success, expected), "{job:?}");
    }
    // Nobody else has it, nor by its file.
    assert_eq!(store.snapshots("b").await.unwrap(), []);
    let error = store.submit("b", None, &from("x", "pass")).await.unwrap_err();
    assert!(
        error.to_string().starts_with("snapshot: there is no snapshot x"),
        "{error}"
    );
    assert!(matches!(
        store.remove_snapshot("b", "x").await,
        Err(Error::NotFound(_))
    ));
    // Who may give no secrets makes nothing that could read them.
    let id = store
        .make_snapshot("a", &of("y", SOURCE), false)
        .await
        .unwrap()
        .id;
    assert_eq!(over(&store, "a", &id).await.state, State::Success);
    let with = Submission {
        secrets: vec!["PASSWORD".into()],
        ..from("y", LOOK)
    };
    let error = store.submit("a", None, &with).await.unwrap_err().to_string();
    assert!(
        error.starts_with("snapshot: y is none for a job with secrets"),
        "{error}"
    );
    assert_eq!(run(&store, &from("y", LOOK)).await.0.state, State::Success);
    store.remove_snapshot("a", "y").await.unwrap();
    // A job that waits has the one that it was submitted with.
    working.leave().await;
    let waiting = store.submit("a", None, &from("x", LOOK)).await.unwrap().job.id;
    store.remove_snapshot("a", "x").await.unwrap();
    assert_eq!(store.snapshots("a").await.unwrap(), []);
    store.sweep_files(Duration::ZERO).await.unwrap();
    let working = Working::start(&store, 2).await;
    assert_eq!(over(&store, "a", &waiting).await.state, State::Success);
    assert!(store.submit("a", None, &from("x", LOOK)).await.is_err());
    working.leave().await;
}

async fn a_snapshot_is_replaced_and_its_file_goes(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 2).await;
    for word in ["one", "two"] {
        let (job, log) = make(&store, &of("x", &format!("word = {word:?}"))).await;
        assert_eq!(job.state, State::Success, "{log}");
        let (_, found) = run(&store, &from("x", "def main(): return word")).await;
        assert_eq!(found, format!("{word:?}"));
    }
    assert_eq!(store.snapshots("a").await.unwrap().len(), 1);
    assert_eq!(kept(&place), 2);
    // The first one's jobs go, and it with them.
    store.sweep_jobs(Some(Duration::ZERO)).await.unwrap();
    store.sweep_files(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(kept(&place), 1);
    assert_eq!(
        run(&store, &from("x", "def main(): return word")).await.1,
        "\"two\""
    );
    working.leave().await;
}

/// How many files are kept.
fn kept(place: &Place) -> usize {
    fn count(folder: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let each = entries.map(|path| if path.is_dir() { count(&path) } else { 1 });
        each.sum()
    }
    count(&place.files().join("kept"))
}

async fn what_makes_no_snapshot_is_its_job_s_failure(place: Place) {
    let store = place.open().await;
    let mut quotas = Quotas::default();
    (quotas.rules.cpu_time, quotas.artifact_bytes) = (1.0, 1 << 20);
    store.add_tenant("a", &quotas).await.unwrap();
    let working = Working::start(&store, 4).await;
    for (source, limit, error) in [
        ("1 / 0", None, "it ended with exit code 1"),
        (
            "while True: pass",
            Some("cpu_time"),
            "it hit its limit of CPU time",
        ),
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=[500], daemon=True).start()",
            None,
            "it ended with exit code 1",
        ),
        ("x = 1", None, "of the 1048576 that this tenant may have"),
    ] {
        let (job, log) = make(&store, &of("x", source)).await;
        assert_eq!(
            (job.state, job.limit.as_deref()),
            (State::Failure, limit),
            "{job:?} {log}"
        );
        assert!(job.error.as_ref().unwrap().contains(error), "{job:?} {log}");
        assert!(!log.contains("<vtwasm>"), "{log}");
    }
    let id = store
        .make_snapshot("a", &of("x", "import time; time.sleep(500)"), true)
        .await
        .unwrap()
        .id;
    when(&store, "a", &id, is(State::Started)).await;
    store.cancel("a", &id).await.unwrap();
    assert_eq!(over(&store, "a", &id).await.state, State::Revoked);
    assert_eq!(store.snapshots("a").await.unwrap(), []);
    for (new, problem) in [
        (of("a b", "pass"), "name: 1 to 63"),
        (of("x", " "), "imports or source"),
        (
            NewSnapshot {
                imports: vec!["a;b".into()],
                ..of("x", "")
            },
            "imports: ",
        ),
    ] {
        let error = store
            .make_snapshot("a", &new, true)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(problem), "{error}");
    }
    // Nobody else says what a job makes.
    let job: Submission =
        serde_json::from_value(json!({"source": "pass", "makes": {"name": "x", "for_secrets": true}}))
            .unwrap();
    let error = store.submit("a", None, &job).await.unwrap_err().to_string();
    assert!(error.starts_with("makes: "), "{error}");
    working.leave().await;
}

on_both! {
    jobs_start_from_what_was_made_once
    a_snapshot_is_replaced_and_its_file_goes
    what_makes_no_snapshot_is_its_job_s_failure
}
