//! Files: what tenants put, what jobs are given, and what they leave.

use crate::http::{Running, serve};
use crate::place::{Place, Working, code, count, over, submitted, text};
use crate::{on_both, on_storage};
use hyper::Method;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vtwasm_server::{Error, Quotas, Role, Scope, State, Store, Submission};

/// Of `tea`.
const TEA: &str = "aa8a5204ec8f6ca9ebf1d2ac1fbb35ce4ab8a9de6d1b2d0bfca8a9b4e92fb4bb";
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl Running {
    async fn put(&self, token: &str, body: &str) -> (u16, String) {
        let answer = self.ask(Method::PUT, "/v1/files", token, body).await;
        let hash = answer.json()["sha256"].as_str().unwrap_or_default().to_owned();
        (answer.status, hash)
    }

    async fn other(&self, store: &Store) -> String {
        store.add_tenant("other", &Quotas::default()).await.unwrap();
        let scopes = [Scope::Read, Scope::Write];
        store.add_token("other", &scopes, None).await.unwrap().0
    }
}

async fn a_file_is_put_once_and_got_by_its_hash(place: Place) {
    let service = serve(&place, Role::Api).await;
    let token = &service.token;
    let (status, hash) = service.put(token, "tea").await;
    assert_eq!((status, hash.len()), (200, 64));
    assert_eq!(service.put(token, "tea").await, (200, hash.clone()));
    assert_eq!(service.put(token, "").await, (200, NOTHING.into()));
    assert_eq!(place.kept().await, 2);
    let path = format!("/v1/files/{hash}");
    let got = service.get(&path).await;
    assert_eq!((got.status, got.text.as_str()), (200, "tea"));
    let header = |name: &str| got.headers[name].to_str().unwrap().to_owned();
    let tag = header("etag");
    assert_eq!(tag, format!("\"{hash}\""));
    assert_eq!(
        [
            header("content-length"),
            header("content-type"),
            header("content-disposition")
        ],
        ["3", "application/octet-stream", "attachment"]
    );
    for (tags, status) in [
        (tag.clone(), 304),
        (format!("\"x\", W/{tag}"), 304),
        ("*".into(), 304),
        ("\"x\"".into(), 200),
    ] {
        let asked = [("if-none-match", tags.as_str())];
        let answer = service.ask_with(Method::GET, &path, token, "", &asked).await;
        assert_eq!(
            (answer.status, answer.text.is_empty()),
            (status, status == 304),
            "{tags}"
        );
    }
    let head = service.ask(Method::HEAD, &path, token, "").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let list = service.get("/v1/files").await.json();
    assert_eq!(list["files"].as_array().unwrap().len(), 2, "{list}");
    for wrong in [
        TEA.to_uppercase(),
        "x".into(),
        "..%2fjobs.db".into(),
        "0".repeat(64),
    ] {
        assert_eq!(
            service.get(&format!("/v1/files/{wrong}")).await.status,
            404,
            "{wrong}"
        );
    }
    assert_eq!(service.ask(Method::DELETE, &path, token, "").await.status, 204);
    assert_eq!(service.get(&path).await.status, 404);
    assert_eq!(place.kept().await, 1);
    service.leave().await;
}

async fn knowing_a_hash_gives_nothing_of_another_tenant_s(place: Place) {
    let service = serve(&place, Role::All).await;
    let store = place.open().await;
    let other = service.other(&store).await;
    let (_, hash) = service.put(&service.token, "tea").await;
    let path = format!("/v1/files/{hash}");
    for (method, status) in [(Method::GET, 404), (Method::HEAD, 404), (Method::DELETE, 404)] {
        let answer = service.ask(method.clone(), &path, &other, "").await;
        assert_eq!(answer.status, status, "{method}: {}", answer.text);
    }
    let asked = [("if-none-match", "*")];
    assert_eq!(
        service
            .ask_with(Method::GET, &path, &other, "", &asked)
            .await
            .status,
        404
    );
    let job = json!({"source": "pass", "files": {"x": hash}}).to_string();
    let answer = service.ask(Method::POST, "/v1/jobs", &other, &job).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(
        answer.text.contains(&format!("there is no file {hash}")),
        "{}",
        answer.text
    );
    assert_eq!(
        service.ask(Method::GET, "/v1/files", &other, "").await.json()["files"],
        json!([])
    );
    // Nor what its jobs have left.
    let id = service
        .submit(&json!({"source": "open('/output/x', 'w').write('tea')"}))
        .await;
    service.over(&id).await;
    for path in [format!("/v1/jobs/{id}/files"), format!("/v1/jobs/{id}/files/x")] {
        assert_eq!(service.get(&path).await.status, 200, "{path}");
        assert_eq!(
            service.ask(Method::GET, &path, &other, "").await.status,
            404,
            "{path}"
        );
    }
    // Each has its own.
    assert_eq!(service.put(&other, "tea").await, (200, hash));
    assert_eq!(place.kept().await, 2);
    service.leave().await;
}

async fn a_job_reads_what_it_is_given_and_what_it_leaves_is_kept(place: Place) {
    let service = serve(&place, Role::All).await;
    let (_, tea) = service.put(&service.token, "tea").await;
    let (_, milk) = service.put(&service.token, "milk").await;
    let code = "
import os
given = sorted(os.path.join(at, name) for at, _, names in os.walk('/input') for name in names)
refused = []
for attempt in (lambda: open('/input/x', 'w'), lambda: open('/input/a/b/tea.txt', 'a'), lambda: os.remove('/input/milk'),
        lambda: os.link('/input/milk', '/output/linked'), lambda: open('/x', 'w')):
    try: attempt()
    except OSError: refused.append(True)
os.makedirs('/output/de ep/er')
with open('/output/de ep/er/ä#.txt', 'w') as file: file.write(open('/input/milk').read() + open('/input/a/b/tea.txt').read())
open('/output/copy', 'w').write('tea')
os.symlink('copy', '/output/link')
def main(): return given, len(refused)
";
    let job = json!({"source": code, "files": {"a/b/tea.txt": tea, "milk": milk, "again": tea}});
    let id = service.submit(&job).await;
    let job = service.over(&id).await;
    assert_eq!(job["state"], "SUCCESS", "{job}");
    let result = service.get(&format!("/v1/jobs/{id}/result")).await.json();
    assert_eq!(
        result,
        json!([["/input/a/b/tea.txt", "/input/again", "/input/milk"], 5])
    );
    let left = service.get(&format!("/v1/jobs/{id}/files")).await.json();
    assert_eq!(
        [
            &left["files"][0]["path"],
            &left["files"][1]["path"],
            &left["files"][1]["bytes"]
        ],
        [&json!("copy"), &json!("de ep/er/ä#.txt"), &json!(7)],
        "{left}"
    );
    assert_eq!(
        (&left["files"][0]["sha256"], &left["files"][2]),
        (&json!(tea), &json!(null))
    );
    for path in ["de%20ep/er/%C3%A4%23.txt", "de%20ep%2Fer%2F%C3%A4%23.txt"] {
        let got = service.get(&format!("/v1/jobs/{id}/files/{path}")).await;
        assert_eq!((got.status, got.text.as_str()), (200, "milktea"), "{path}");
    }
    for path in ["link", "de%20ep", "..", "%00"] {
        assert_eq!(
            service.get(&format!("/v1/jobs/{id}/files/{path}")).await.status,
            404,
            "{path}"
        );
    }
    // What a job has is not removed.
    let answer = service
        .ask(Method::DELETE, &format!("/v1/files/{milk}"), &service.token, "")
        .await;
    assert_eq!(answer.status, 409, "{}", answer.text);
    // Nothing but the room's lock.
    let (rooms, end) = (
        place.files().join("rooms"),
        Instant::now() + Duration::from_secs(20),
    );
    while count(&rooms) != 1 {
        assert!(Instant::now() < end, "a job's files are still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    service.leave().await;
}

async fn what_is_no_path_or_no_file_is_refused(place: Place) {
    let service = serve(&place, Role::Api).await;
    let (_, hash) = service.put(&service.token, "tea").await;
    for files in [
        json!({"/etc/passwd": hash}),
        json!({"../x": hash}),
        json!({"a/../../x": hash}),
        json!({"": hash}),
        json!({"a\u{0}": hash}),
        json!({"a": hash, "a/b": hash}),
        json!({"x": "../../jobs.db"}),
        json!({"x": hash.to_uppercase()}),
        json!({"x": "0".repeat(64)}),
        json!({"x": 1}),
        json!(["x"]),
        json!(
            (0..1001)
                .map(|n| (n.to_string(), hash.clone()))
                .collect::<std::collections::BTreeMap<_, _>>()
        ),
    ] {
        let job = json!({"source": "pass", "files": files}).to_string();
        let answer = service.ask(Method::POST, "/v1/jobs", &service.token, &job).await;
        assert_eq!(answer.status, 422, "{job:.100}: {}", answer.text);
    }
    service.leave().await;
}

async fn a_tenant_has_no_more_files_than_its_quota(place: Place) {
    let service = serve(&place, Role::All).await;
    let store = place.open().await;
    let quotas = Quotas {
        artifact_bytes: 1000,
        ..Quotas::default()
    };
    store.change_tenant("default", &quotas).await.unwrap();
    assert_eq!(service.put(&service.token, &"x".repeat(900)).await.0, 200);
    let answer = service
        .ask(Method::PUT, "/v1/files", &service.token, &"y".repeat(101))
        .await;
    assert_eq!(answer.status, 429);
    assert!(answer.text.contains("artifact_bytes"), "{}", answer.text);
    // Whatever its head says, or does not.
    let mut unknown = TcpStream::connect(service.address).await.unwrap();
    let head = format!(
        "PUT /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        service.token
    );
    let body = format!("65\r\n{}\r\n0\r\n\r\n", "y".repeat(101));
    unknown
        .write_all(format!("{head}{body}").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    unknown.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    let id = service
        .submit(&json!({"source": "open('/output/x', 'w').write('x' * 200)"}))
        .await;
    let job = service.over(&id).await;
    assert_eq!(
        (&job["state"], &job["limit"]),
        (&json!("FAILURE"), &json!("files"))
    );
    assert!(job["error"].as_str().unwrap().contains("artifact_bytes"), "{job}");
    assert_eq!(service.put(&service.token, &"z".repeat(100)).await.0, 200);
    let account = service.get("/v1/tenants/default").await.json();
    assert_eq!(account["stored"], 1000);
    store.sweep_files(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(place.kept().await, 2);
    service.leave().await;
}

async fn a_job_leaves_no_more_than_its_rules_allow(place: Place) {
    let store = place.open().await;
    let mut quotas = Quotas::default();
    quotas.rules.written = 100_000;
    store.add_tenant("a", &quotas).await.unwrap();
    let working = Working::start(&store, 4).await;
    for (source, limit, error) in [
        // Longer than what was written to it.
        (
            "file = open('/output/x', 'wb'); file.seek(1 << 40); file.write(b'x')",
            Some("files"),
            "it left more than 1000 files or 100000 bytes",
        ),
        (
            "import os\nopen('/output/x', 'w').write('x' * 60_000)\nos.link('/output/x', '/output/y')",
            Some("files"),
            "it left more than 1000 files or 100000 bytes",
        ),
        (
            "open('/output/x', 'w').write('x' * 200_000)",
            None,
            "OSError: [Errno 19] Quota exceeded",
        ),
        (
            "import os\nfor n in range(1000): os.mkdir(f'/output/{n}')",
            None,
            "OSError: [Errno 19] Quota exceeded: '/output/98'",
        ),
    ] {
        let id = submitted(&store, "a", source).await;
        let job = over(&store, "a", &id).await;
        assert_eq!(
            (job.state, job.limit.as_deref()),
            (State::Failure, limit),
            "{source}"
        );
        assert_eq!(job.error.as_deref(), Some(error), "{source}");
    }
    // Deeper than a path is long.
    let deep = "import os\nfor n in range(90):\n os.mkdir('/output/new')\n if n: os.rename('/output/d', '/output/new/d')\n os.rename('/output/new', '/output/d')";
    let id = submitted(&store, "a", deep).await;
    assert_eq!(over(&store, "a", &id).await.state, State::Success);
    quotas.rules.written = 0;
    store.change_tenant("a", &quotas).await.unwrap();
    let id = submitted(&store, "a", "open('/output/x', 'w')").await;
    let job = over(&store, "a", &id).await;
    assert!(
        job.error.unwrap().starts_with("FileNotFoundError"),
        "there is no such folder"
    );
    working.leave().await;
    let entries = |folder: &Path| -> Vec<_> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    // Folders for further jobs may be there, each with an empty one.
    let is_clean = |job: &Path| entries(job).iter().all(|output| entries(output).is_empty());
    let end = Instant::now() + Duration::from_secs(20);
    while !entries(&place.files().join("rooms"))
        .iter()
        .flat_map(|room| entries(room))
        .all(|job| is_clean(&job))
    {
        assert!(Instant::now() < end, "what a job has left is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn the_last_attempt_s_files_are_the_job_s(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 4).await;
    let job = Submission {
        retries: 1,
        backoff: 0.0,
        ..code(
            "import os\nattempt = os.environ['VTWASM_ATTEMPT']\nopen(f'/output/{attempt}', 'w').write(attempt)\nassert attempt == '2'",
        )
    };
    let id = store.submit("a", None, &job).await.unwrap().job.id;
    assert_eq!(
        over(&store, "a", &id).await.state,
        State::Success,
        "{}",
        text(&store, "a", &id).await
    );
    let service = serve(&place, Role::Api).await;
    let (token, _) = store.add_token("a", &[Scope::Read], None).await.unwrap();
    let path = format!("/v1/jobs/{id}/files");
    let left = service.ask(Method::GET, &path, &token, "").await.json();
    assert_eq!(
        (&left["files"][0]["path"], &left["files"][1]),
        (&json!("2"), &json!(null)),
        "{left}"
    );
    service.leave().await;
    working.leave().await;
}

async fn a_file_that_no_job_has_goes_after_some_time_and_one_that_a_job_has_stays(place: Place) {
    let service = serve(&place, Role::Api).await;
    let store = place.open().await;
    let (_, had) = service.put(&service.token, "tea").await;
    let (_, other) = service.put(&service.token, "milk").await;
    let id = service
        .submit(&json!({"source": "pass", "files": {"x": had}}))
        .await;
    store.sweep_files(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(place.kept().await, 2, "they were used a moment ago");
    tokio::time::sleep(Duration::from_millis(20)).await;
    // Two at once, as two processes would.
    let again = place.open().await;
    let (first, second) = tokio::join!(
        store.sweep_files(Duration::ZERO),
        again.sweep_files(Duration::ZERO)
    );
    assert!(first.unwrap() + second.unwrap() >= 1);
    assert_eq!(place.kept().await, 1);
    let status = async |hash: &str| service.get(&format!("/v1/files/{hash}")).await.status;
    assert_eq!((status(&had).await, status(&other).await), (200, 404));
    assert_eq!(service.put(&service.token, "milk").await, (200, other.clone()));
    assert_eq!(status(&other).await, 200);
    store.job("default", &id).await.unwrap();
    service.leave().await;
}

async fn a_service_without_a_folder_says_so(place: Place) {
    let store = place.open_bare().await;
    store.add_tenant("a", &Quotas::default()).await.unwrap();
    let job = Submission {
        files: [("x".into(), NOTHING.into())].into(),
        ..code("pass")
    };
    let error = store.submit("a", None, &job).await.unwrap_err();
    assert!(
        matches!(&error, Error::Conflict(message) if message.contains("--files")),
        "{error}"
    );
    let working = Working::start(&store, 1).await;
    let id = submitted(&store, "a", "import os; assert not os.path.exists('/output')").await;
    assert_eq!(over(&store, "a", &id).await.state, State::Success);
    working.leave().await;
}

on_both! {
    a_file_is_put_once_and_got_by_its_hash
    knowing_a_hash_gives_nothing_of_another_tenant_s
    a_job_reads_what_it_is_given_and_what_it_leaves_is_kept
    what_is_no_path_or_no_file_is_refused
    a_tenant_has_no_more_files_than_its_quota
    a_job_leaves_no_more_than_its_rules_allow
    the_last_attempt_s_files_are_the_job_s
    a_file_that_no_job_has_goes_after_some_time_and_one_that_a_job_has_stays
    a_service_without_a_folder_says_so
}

on_storage! {
    a_file_is_put_once_and_got_by_its_hash
    knowing_a_hash_gives_nothing_of_another_tenant_s
    a_job_reads_what_it_is_given_and_what_it_leaves_is_kept
    a_tenant_has_no_more_files_than_its_quota
    a_job_leaves_no_more_than_its_rules_allow
    the_last_attempt_s_files_are_the_job_s
    a_file_that_no_job_has_goes_after_some_time_and_one_that_a_job_has_stays
}
