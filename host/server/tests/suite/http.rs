//! The API over real connections.

use crate::on_both;
use crate::place::{Place, code, python, quick, when};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vtwasm_server::{Database, Keep, Key, Options, Quotas, Role, Scope, Service};

/// A service, and its first tenant's token.
pub struct Running {
    pub address: SocketAddr,
    pub token: String,
    leave: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

pub async fn serve(place: &Place, role: Role) -> Running {
    serve_with(place, role, |_| {}).await
}

/// After something was done to the service.
pub async fn serve_with(place: &Place, role: Role, prepare: impl FnOnce(&Service)) -> Running {
    let options = Options {
        database: match place {
            Place::Sqlite(folder) | Place::Bucket(folder, _) => {
                Database::Sqlite(folder.path().join("jobs.db"))
            }
            Place::Postgres(url) => Database::Postgres(url.clone()),
        },
        listen: ([127, 0, 0, 1], 0).into(),
        role,
        worker: quick(),
        files: Some(place.files()),
        bucket: place.address(),
        keep: Keep::default(),
        packages: None,
        key: Some(Key::parse(&"5e".repeat(32)).unwrap()),
    };
    let python = tokio::task::spawn_blocking(python).await.unwrap();
    let service = Service::open(&options, || Ok(python)).await.unwrap();
    prepare(&service);
    let address = service.address().unwrap();
    let token = service.first_token().unwrap_or_default().to_owned();
    let (leave, left) = oneshot::channel::<()>();
    let task = tokio::spawn(service.run(async {
        let _ = left.await;
    }));
    Running {
        address,
        token,
        leave,
        task,
    }
}

pub struct Answer {
    pub headers: HeaderMap,
    pub status: u16,
    pub kind: String,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

impl Running {
    pub async fn ask(&self, method: Method, path: &str, token: &str, body: &str) -> Answer {
        self.ask_with(method, path, token, body, &[]).await
    }

    pub async fn ask_with(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "test")
            .header("content-type", "application/json");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let kind = response
            .headers()
            .get("content-type")
            .map(|kind| kind.to_str().unwrap().to_owned());
        let headers = response.headers().clone();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer {
            headers,
            status,
            kind: kind.unwrap_or_default(),
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &self.token, "").await
    }

    pub async fn submit(&self, body: &Value) -> String {
        let answer = self
            .ask(Method::POST, "/v1/jobs", &self.token, &body.to_string())
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    pub async fn over(&self, id: &str) -> Value {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let job = self.get(&format!("/v1/jobs/{id}")).await.json();
            if ["SUCCESS", "FAILURE", "REVOKED"].contains(&job["state"].as_str().unwrap()) {
                return job;
            }
            assert!(Instant::now() < end, "{job}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn leave(self) {
        drop(self.leave);
        self.task.await.unwrap();
    }
}

async fn a_job_goes_from_submission_to_its_result(place: Place) {
    let service = serve(&place, Role::All).await;
    let id = service
        .submit(
            &json!({"source": "def main(n):\n    print('squaring')\n    return n * n", "arguments": [12]}),
        )
        .await;
    let job = service.over(&id).await;
    assert_eq!((&job["state"], &job["exit_code"]), (&json!("SUCCESS"), &json!(0)));
    assert!(job["finished"].as_str().unwrap().ends_with('Z'), "{job}");
    assert_eq!(service.get(&format!("/v1/jobs/{id}/result")).await.text, "144");
    let logs = service.get(&format!("/v1/jobs/{id}/logs")).await;
    assert_eq!(
        (logs.text.as_str(), logs.kind.as_str()),
        ("squaring\n", "text/plain; charset=utf-8")
    );
    let list = service.get("/v1/jobs?state=SUCCESS&limit=1").await.json();
    assert_eq!(
        (&list["jobs"][0]["id"], &list["next"]),
        (&json!(id), &Value::Null)
    );
    let metrics = service.get("/metrics").await.text;
    assert!(
        metrics.contains("\nvtwasm_runs_total{state=\"SUCCESS\"} 1\n"),
        "{metrics}"
    );
    assert_eq!(service.ask(Method::GET, "/healthz", "", "").await.text, "ok\n");
    assert_eq!(service.ask(Method::GET, "/readyz", "", "").await.text, "ok\n");
    service.leave().await;
}

async fn the_same_key_makes_one_job(place: Place) {
    let service = serve(&place, Role::Api).await;
    let key = [("idempotency-key", "once")];
    let submit = async |source: &str| {
        let body = json!({ "source": source }).to_string();
        service
            .ask_with(Method::POST, "/v1/jobs", &service.token, &body, &key)
            .await
    };
    let (first, again, other) = (submit("pass").await, submit("pass").await, submit("1").await);
    assert_eq!((first.status, again.status, other.status), (201, 200, 409));
    assert_eq!(first.json()["id"], again.json()["id"]);
    service.leave().await;
}

async fn a_secret_is_given_to_jobs_by_permission_and_told_to_nobody(place: Place) {
    let service = serve(&place, Role::All).await;
    let secret = "correct horse";
    let body = json!({ "value": secret }).to_string();
    let put = async |name: &str, token: &str| {
        let path = format!("/v1/secrets/{name}");
        service.ask(Method::PUT, &path, token, &body).await.status
    };
    assert_eq!(put("SHOP_PASSWORD", &service.token).await, 204);
    for wrong in ["1A", "A-B", "VTWASM_JOB"] {
        assert_eq!(put(wrong, &service.token).await, 422, "{wrong}");
    }
    let list = service.get("/v1/secrets").await;
    assert_eq!(list.json()[0]["name"], "SHOP_PASSWORD");
    assert!(!list.text.contains(secret), "{}", list.text);
    let code = "import os\ndef main(): return len(os.environ['SHOP_PASSWORD'])";
    let job = json!({"source": code, "secrets": ["SHOP_PASSWORD"]});
    let id = service.submit(&job).await;
    assert_eq!(service.over(&id).await["state"], "SUCCESS");
    assert_eq!(service.get(&format!("/v1/jobs/{id}/result")).await.text, "13");
    let without = service.submit(&json!({"source": code})).await;
    assert_eq!(service.over(&without).await["error"], "KeyError: 'SHOP_PASSWORD'");
    // Neither a token without the scope, nor another tenant.
    let store = place.open().await;
    let (plain, _) = store
        .add_token("default", &[Scope::Read, Scope::Write], None)
        .await
        .unwrap();
    let refused = service
        .ask(Method::POST, "/v1/jobs", &plain, &job.to_string())
        .await;
    assert_eq!(
        (refused.status, put("X", &plain).await),
        (403, 403),
        "{}",
        refused.text
    );
    store.add_tenant("other", &Quotas::default()).await.unwrap();
    let (other, _) = store
        .add_token("other", &[Scope::Read, Scope::Write, Scope::Secrets], None)
        .await
        .unwrap();
    let theirs = service
        .ask(Method::POST, "/v1/jobs", &other, &job.to_string())
        .await
        .json();
    let theirs = when(&store, "other", theirs["id"].as_str().unwrap(), |job| {
        job.state.is_final()
    })
    .await;
    assert_eq!(theirs.error.as_deref(), Some("there is no secret SHOP_PASSWORD"));
    assert_eq!(
        service.ask(Method::GET, "/v1/secrets", &other, "").await.text,
        "[]"
    );
    let path = "/v1/secrets/SHOP_PASSWORD";
    assert_eq!(service.ask(Method::DELETE, path, &other, "").await.status, 404);
    assert_eq!(
        service.ask(Method::DELETE, path, &service.token, "").await.status,
        204
    );
    place.is_without(secret);
    service.leave().await;
}

async fn who_follows_a_job_sees_its_lines_and_states_as_they_come(place: Place) {
    let service = serve(&place, Role::All).await;
    let id = service
        .submit(&json!({"source": "import time\nfor n in range(3):\n    print(n)\n    time.sleep(0.3)"}))
        .await;
    let events = [("accept", "text/event-stream")];
    let path = format!("/v1/jobs/{id}/logs");
    let answer = service
        .ask_with(Method::GET, &path, &service.token, "", &events)
        .await;
    assert_eq!(answer.kind, "text/event-stream");
    let lines = answer.text.lines();
    let data = lines
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str::<Value>(data).unwrap());
    let data = data.collect::<Vec<_>>();
    let texts = data
        .iter()
        .filter_map(|data| data["text"].as_str())
        .collect::<Vec<_>>();
    assert_eq!(texts, ["0\n", "1\n", "2\n"]);
    let states = data
        .iter()
        .filter_map(|data| data["state"].as_str())
        .collect::<Vec<_>>();
    assert_eq!(states.last(), Some(&"SUCCESS"), "{states:?}");
    // Going on behind the first piece.
    let events = [("accept", "text/event-stream"), ("last-event-id", "1.0")];
    let answer = service
        .ask_with(Method::GET, &path, &service.token, "", &events)
        .await;
    assert!(
        !answer.text.contains("id: 1.0\n") && answer.text.contains("id: 1.1\n"),
        "{}",
        answer.text
    );
    service.leave().await;
}

async fn a_first_tenant_is_made_once(place: Place) {
    let first = serve(&place, Role::Api).await;
    assert!(first.token.starts_with("vt_"));
    first.leave().await;
    let again = serve(&place, Role::Api).await;
    assert_eq!(again.token, "");
    again.leave().await;
}

async fn who_only_runs_jobs_tells_of_its_health_and_nothing_else(place: Place) {
    let store = place.with(&["a"]).await;
    let service = serve(&place, Role::Worker).await;
    assert_eq!(service.ask(Method::GET, "/healthz", "", "").await.status, 200);
    assert_eq!(service.ask(Method::GET, "/v1/jobs", "", "").await.status, 404);
    let id = store.submit("a", None, &code("pass")).await.unwrap().job.id;
    crate::place::over(&store, "a", &id).await;
    service.leave().await;
}

on_both! {
    a_job_goes_from_submission_to_its_result
    the_same_key_makes_one_job
    a_secret_is_given_to_jobs_by_permission_and_told_to_nobody
    who_follows_a_job_sees_its_lines_and_states_as_they_come
    a_first_tenant_is_made_once
    who_only_runs_jobs_tells_of_its_health_and_nothing_else
}

/// `UPDATE=1 cargo test …` writes it anew.
#[test]
fn the_openapi_document_is_the_one_that_is_kept() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let document = vtwasm_server::openapi();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(file, &document).unwrap();
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        kept == document,
        "{file} is of another API: see what has changed, then run this with UPDATE=1"
    );
}
