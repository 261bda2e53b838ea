//! What is kept of a job's threads.

use crate::http::{Running, serve};
use crate::on_both;
use crate::place::Place;
use hyper::Method;
use serde_json::{Value, json};
use vtwasm_server::{Quotas, Role, Scope};

impl Running {
    async fn timeline(&self, id: &str, rest: &str) -> (u16, Value) {
        let answer = self.get(&format!("/v1/jobs/{id}/timeline{rest}")).await;
        (answer.status, answer.json())
    }
}

const THREADS: &str = "import os, threading
lock = threading.Lock()
def work():
    with lock: pass
thread = threading.Thread(target=work)
with lock: thread.start()
thread.join()
if os.environ['VTWASM_ATTEMPT'] == '1': raise ValueError('again')";

async fn what_threads_did_is_told_of_each_start_where_it_was_asked_for(place: Place) {
    let service = serve(&place, Role::All).await;
    let job = json!({"source": THREADS, "timeline": true, "retries": 1, "backoff": 0});
    let id = service.submit(&job).await;
    assert_eq!(service.over(&id).await["state"], "SUCCESS");
    let (status, last) = service.timeline(&id, "").await;
    assert_eq!((status, &last["attempt"]), (200, &json!(2)), "{last}");
    let (_, first) = service.timeline(&id, "?attempt=1").await;
    assert_eq!(first["attempt"], json!(1));
    for timeline in [first, last] {
        let threads = timeline["threads"].as_array().unwrap();
        let names = threads.iter().map(|thread| thread["name"].as_str().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), ["main", "thread 1"]);
        assert_eq!(timeline["dropped"], json!(0));
        for thread in threads {
            let spans = thread["spans"].as_array().unwrap();
            assert!(spans.iter().any(|span| span["activity"] == "running"), "{thread}");
            assert!(
                spans
                    .iter()
                    .all(|span| span["end"].as_u64() <= timeline["end"].as_u64()),
                "{thread}"
            );
        }
    }
    let attempts = service.get(&format!("/v1/jobs/{id}/attempts")).await.json();
    assert_eq!([&attempts[0]["timeline"], &attempts[1]["timeline"]], [true, true]);
    // It is a file of the tenant's, in whose room it is counted.
    let path = format!("/v1/jobs/{id}/timeline");
    let answer = service.get(&path).await;
    assert_eq!(answer.kind, "application/json");
    let files = service.get("/v1/files").await.json();
    let stored = service.get("/v1/tenants/default").await.json()["stored"].as_u64();
    assert_eq!(files["files"].as_array().unwrap().len(), 2, "{files}");
    assert!(stored.unwrap() > answer.text.len() as u64);
    let known = [("if-none-match", answer.headers["etag"].to_str().unwrap())];
    let again = service
        .ask_with(Method::GET, &path, &service.token, "", &known)
        .await;
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    for wrong in ["?attempt=3", "?attempt=0", "?attempt=-1"] {
        assert_eq!(service.timeline(&id, wrong).await.0, 404, "{wrong}");
    }
    assert_eq!(service.timeline(&id, "?attempt=x").await.0, 400);
    // Another tenant's, or one that was not asked for.
    let store = place.open().await;
    store.add_tenant("other", &Quotas::default()).await.unwrap();
    let (other, _) = store.add_token("other", &[Scope::Read], None).await.unwrap();
    assert_eq!(service.ask(Method::GET, &path, &other, "").await.status, 404);
    let plain = service.submit(&json!({"source": "pass"})).await;
    service.over(&plain).await;
    assert_eq!(service.timeline(&plain, "").await.0, 404);
    let attempts = service.get(&format!("/v1/jobs/{plain}/attempts")).await.json();
    assert_eq!(attempts[0]["timeline"], false);
    service.leave().await;
}

async fn a_timeline_has_an_end_and_none_is_kept_without_room(place: Place) {
    let service = serve(&place, Role::All).await;
    let busy = "import threading
a, b = threading.Lock(), threading.Lock()
b.acquire()
def other():
    for _ in range(7000): b.acquire(); a.release()
thread = threading.Thread(target=other)
thread.start()
for _ in range(7000): a.acquire(); b.release()
thread.join()";
    let id = service.submit(&json!({"source": busy, "timeline": true})).await;
    assert_eq!(service.over(&id).await["state"], "SUCCESS");
    let answer = service.get(&format!("/v1/jobs/{id}/timeline")).await;
    let timeline = answer.json();
    assert!(
        timeline["dropped"].as_u64().unwrap() > 0 && answer.text.len() < 2 << 20,
        "{}",
        answer.text.len()
    );
    let full = Quotas {
        artifact_bytes: 10,
        ..Quotas::default()
    };
    place.open().await.change_tenant("default", &full).await.unwrap();
    let id = service.submit(&json!({"source": "pass", "timeline": true})).await;
    assert_eq!(service.over(&id).await["state"], "SUCCESS");
    assert_eq!(service.timeline(&id, "").await.0, 404);
    service.leave().await;
}

on_both! {
    what_threads_did_is_told_of_each_start_where_it_was_asked_for
    a_timeline_has_an_end_and_none_is_kept_without_room
}
