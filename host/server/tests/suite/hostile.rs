//! Requests that are wrong, too large, too slow or somebody else's business.

use crate::http::{Running, serve};
use crate::on_both;
use crate::place::Place;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vtwasm_server::{NewSchedule, Quotas, Role, Scope, Store, Submission};

async fn what_is_wrong_is_told_as_a_problem(place: Place) {
    let service = serve(&place, Role::Api).await;
    let token = service.token.clone();
    let none = "job_00000000000000000000000000000000";
    for (method, path, body, status) in [
        (Method::GET, "/v1/nothing", "", 404),
        (Method::DELETE, "/v1/jobs", "", 405),
        (Method::POST, "/v1/jobs", "", 400),
        (Method::POST, "/v1/jobs", "{", 400),
        (Method::POST, "/v1/jobs", "[]", 422),
        (Method::POST, "/v1/jobs", "{\"source\": 1}", 422),
        (Method::POST, "/v1/jobs", "{\"source\": \"\"}", 422),
        (
            Method::POST,
            "/v1/jobs",
            "{\"source\": \"pass\", \"sauce\": 1}",
            422,
        ),
        (
            Method::POST,
            "/v1/jobs",
            "{\"source\": \"pass\", \"priority\": 9}",
            422,
        ),
        (
            Method::POST,
            "/v1/jobs",
            "{\"source\": \"pass\", \"delay\": 1e300}",
            422,
        ),
        (Method::POST, "/v1/jobs", "{\"source\": \"a\\u0000b\"}", 201),
        (Method::GET, "/v1/jobs?limit=0", "", 400),
        (Method::GET, "/v1/jobs?limit=x", "", 400),
        (Method::GET, "/v1/jobs?state=DONE", "", 400),
        (Method::GET, "/v1/jobs?before=%00", "", 400),
        (Method::GET, &format!("/v1/jobs/{none}"), "", 404),
        (Method::GET, "/v1/jobs/%00", "", 404),
        (Method::GET, "/v1/jobs/%ff", "", 400),
        (Method::GET, "/v1/jobs/..%2f..%2fx", "", 404),
        (Method::GET, &format!("/v1/jobs/{none}/logs"), "", 404),
        (Method::GET, &format!("/v1/jobs/{none}/result"), "", 404),
        (Method::POST, &format!("/v1/jobs/{none}/cancel"), "", 404),
        (Method::POST, &format!("/v1/jobs/{none}/retry"), "", 404),
        (Method::POST, "/v1/tenants", "{\"id\": \"A\"}", 422),
        (Method::POST, "/v1/tenants", "{\"id\": \"default\"}", 409),
        (Method::GET, "/v1/tenants/%00", "", 404),
        (
            Method::POST,
            "/v1/tenants/default/tokens",
            "{\"scopes\": []}",
            422,
        ),
        (
            Method::POST,
            "/v1/tenants/default/tokens",
            "{\"scopes\": [\"all\"]}",
            422,
        ),
        (
            Method::POST,
            "/v1/tenants/default/tokens",
            "{\"scopes\": [\"read\"], \"lifetime\": -1}",
            422,
        ),
        (Method::DELETE, "/v1/tenants/default/tokens/%00", "", 404),
    ] {
        let answer = service.ask(method.clone(), path, &token, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text);
        if status >= 400 {
            assert_eq!(answer.kind, "application/problem+json", "{method} {path}");
            assert_eq!(answer.json()["status"], json!(status));
            assert!(!answer.json()["detail"].as_str().unwrap().is_empty());
        }
    }
    let large = format!("{{\"source\": \"{}\"}}", "#".repeat(5 << 20));
    assert_eq!(
        service.ask(Method::POST, "/v1/jobs", &token, &large).await.status,
        413
    );
    service.leave().await;
}

async fn a_token_is_good_for_its_scopes_and_its_tenant_only(place: Place) {
    let service = serve(&place, Role::Api).await;
    let store: Store = place.open().await;
    let id = service.submit(&json!({"source": "pass"})).await;
    service
        .ask(Method::POST, "/v1/tenants", &service.token, "{\"id\": \"other\"}")
        .await;
    let token = async |tenant: &str, scope| store.add_token(tenant, &[scope], None).await.unwrap().0;
    let tokens = [
        ("nobody", String::new()),
        ("a guess", format!("vt_{}", "0".repeat(64))),
        ("reader", token("default", Scope::Read).await),
        ("writer", token("default", Scope::Write).await),
        ("operator", token("default", Scope::Operator).await),
        ("other's reader", token("other", Scope::Read).await),
        ("other's writer", token("other", Scope::Write).await),
    ];
    let paths = [
        (
            Method::GET,
            "/v1/jobs".into(),
            [401, 401, 200, 403, 403, 200, 403],
        ),
        (
            Method::GET,
            format!("/v1/jobs/{id}"),
            [401, 401, 200, 403, 403, 404, 403],
        ),
        (
            Method::GET,
            format!("/v1/jobs/{id}/logs"),
            [401, 401, 200, 403, 403, 404, 403],
        ),
        (
            Method::GET,
            format!("/v1/jobs/{id}/result"),
            [401, 401, 409, 403, 403, 404, 403],
        ),
        (
            Method::POST,
            format!("/v1/jobs/{id}/retry"),
            [401, 401, 403, 409, 403, 403, 404],
        ),
        (
            Method::GET,
            "/v1/tenants".into(),
            [401, 401, 403, 403, 200, 403, 403],
        ),
        (
            Method::GET,
            "/v1/tenants/default".into(),
            [401, 401, 403, 403, 200, 403, 403],
        ),
        (
            Method::GET,
            "/v1/tenants/default/tokens".into(),
            [401, 401, 403, 403, 200, 403, 403],
        ),
        (
            Method::GET,
            "/metrics".into(),
            [401, 401, 403, 403, 200, 403, 403],
        ),
        // The last: it ends the job.
        (
            Method::POST,
            format!("/v1/jobs/{id}/cancel"),
            [401, 401, 403, 200, 403, 403, 404],
        ),
    ];
    for (method, path, expected) in paths {
        for ((who, token), status) in tokens.iter().zip(expected) {
            let answer = service.ask(method.clone(), &path, token, "").await;
            assert_eq!(answer.status, status, "{who}: {method} {path}: {}", answer.text);
        }
    }
    let mine = service
        .ask(Method::GET, "/v1/jobs", &tokens[5].1, "")
        .await
        .json();
    assert_eq!(mine["jobs"], json!([]));
    service.leave().await;
}

async fn a_request_that_comes_slowly_is_not_waited_for_for_ever(place: Place) {
    let service = serve(&place, Role::Api).await;
    let mut slow = TcpStream::connect(service.address).await.unwrap();
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        service.token
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1000];
    let n = tokio::time::timeout(Duration::from_secs(45), slow.read(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let answer = String::from_utf8_lossy(&answer[..n]).into_owned();
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {}", StatusCode::REQUEST_TIMEOUT)),
        "{answer}"
    );
    service.leave().await;
}

async fn who_sends_far_too_much_is_answered_all_the_same(place: Place) {
    let service = serve(&place, Role::Api).await;
    let mut large = TcpStream::connect(service.address).await.unwrap();
    let body = vec![b'#'; 64 << 20];
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        service.token,
        body.len()
    );
    large.write_all(head.as_bytes()).await.unwrap();
    // Many clients read nothing before all is sent.
    large.write_all(&body).await.unwrap();
    large.shutdown().await.unwrap();
    let mut answer = String::new();
    large.read_to_string(&mut answer).await.unwrap();
    let status = StatusCode::PAYLOAD_TOO_LARGE;
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    service.leave().await;
}

/// A request with any bytes for a body: its status and what is answered.
async fn sent(service: &Running, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        service.token,
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

async fn what_is_no_json_is_refused_whatever_it_is(place: Place) {
    let service = serve(&place, Role::Api).await;
    let deep = |levels: usize| {
        format!(
            "{{\"source\": \"pass\", \"arguments\": {}{}}}",
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    let arguments = |text: &str| format!("{{\"source\": \"pass\", \"arguments\": [{text}]}}").into_bytes();
    let (taken, refused) = (true, false);
    for (body, is_taken) in [
        (deep(100).into_bytes(), taken),
        (deep(10_000).into_bytes(), refused),
        (deep(1_000_000).into_bytes(), refused),
        ("[".repeat(4_000_000).into_bytes(), refused),
        ("{\"a\":".repeat(600_000).into_bytes(), refused),
        (b"{\"source\": \"pass\", \"source\": \"1\"}".to_vec(), refused),
        (
            b"{\"source\": \"pass\", \"environment\": {\"A\": \"1\", \"A\": \"2\"}}".to_vec(),
            taken,
        ),
        (
            b"{\"source\": \"pass\", \"priority\": 99999999999999999999999999}".to_vec(),
            refused,
        ),
        (b"{\"source\": \"pass\", \"priority\": 1.5}".to_vec(), refused),
        (b"{\"source\": \"pass\", \"delay\": -1}".to_vec(), refused),
        (arguments("1e999"), refused),
        (arguments(&"9".repeat(100_000)), refused),
        (arguments("123456789012345678901234567890, -0, 1e-999"), taken),
        (arguments("NaN"), refused),
        (arguments("Infinity"), refused),
        (arguments("01"), refused),
        (arguments("'x'"), refused),
        (arguments("\"\\ud800\""), refused),
        (arguments("\"\\u0000 \\u001f \\uffff\""), taken),
        (arguments("1,"), refused),
        (b"{\"source\": \"\xff\"}".to_vec(), refused),
        (b"{\"source\": \"\xed\xa0\x80\"}".to_vec(), refused),
        (b"\xef\xbb\xbf{\"source\": \"pass\"}".to_vec(), refused),
        (b"{\"source\": \"pass\"} {}".to_vec(), refused),
        (b"{\"source\": \"a\nb\"}".to_vec(), refused),
        (
            "{\"source\": \"pass\"}"
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect(),
            refused,
        ),
        (b"null".to_vec(), refused),
        (b"\"pass\"".to_vec(), refused),
        (vec![0; 1000], refused),
    ] {
        let start = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let (answered, text) = sent(&service, &body).await;
        assert_eq!(answered == 201, is_taken, "{start}: {text:.2000}");
        assert!(
            is_taken || [400, 422].contains(&answered),
            "{start}: {text:.2000}"
        );
        assert!(
            is_taken || text.contains("application/problem+json"),
            "{start}: {text:.2000}"
        );
    }
    let list = service.get("/v1/jobs?limit=100").await.json();
    assert_eq!(list["jobs"].as_array().unwrap().len(), 4);
    service.leave().await;
}

/// Submissions that are fine, one with all that there is.
const FINE: [&str; 3] = [
    r#"{"source": "pass"}"#,
    r#"{"bundle": "aa8a5204ec8f6ca9ebf1d2ac1fbb35ce4ab8a9de6d1b2d0bfca8a9b4e92fb4bb", "entry": "shop.reports:yearly"}"#,
    r#"{"name": "a b", "source": "def main(n): return n", "arguments": {"n": [1, -2.5e3, null, "\u00e4"]}, "stdin": "x\n",
        "environment": {"A_1": "b"}, "secrets": ["KEY"], "files": {"a/b": "aa8a5204ec8f6ca9ebf1d2ac1fbb35ce4ab8a9de6d1b2d0bfca8a9b4e92fb4bb"},
        "packages": ["requests==2.32.5"], "limits": {"memory": 1000000, "cpu_time": 0.5, "wall_time": 10, "output": 1, "threads": 3, "written": 0},
        "priority": -9, "delay": 0.25, "time_to_live": 60, "retries": 100, "backoff": 1}"#,
];

/// What stands where something else stood.
const PIECES: [&str; 24] = [
    "null",
    "true",
    "-1",
    "0",
    "1e308",
    "9223372036854775808",
    "18446744073709551616",
    "1e-400",
    "\"\"",
    "\"..\"",
    "\"/\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "[]",
    "{}",
    "[[",
    "{\"",
    "\"",
    ",",
    ":",
    "}",
    "\\",
    "a/../b",
    "\u{feff}",
];

fn assert_is_within_limits(job: &Submission, text: &str) {
    let within = |path: &str| {
        let mut parts = std::path::Path::new(path).components();
        !path.is_empty() && parts.all(|part| matches!(part, std::path::Component::Normal(_)))
    };
    assert!(job.source.trim().is_empty() == job.bundle.is_some(), "{text}");
    assert!(
        job.files.keys().all(|path| within(path) && !path.contains('\0')),
        "{text}"
    );
    let hashes = job.files.values().chain(&job.bundle);
    let is_hash =
        |hash: &String| hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    assert!(hashes.clone().all(is_hash), "{text}");
    assert!(
        job.environment
            .keys()
            .chain(&job.secrets)
            .all(|name| !name.contains(['=', '\0']) && !name.is_empty()),
        "{text}"
    );
    assert!(
        (-9..=9).contains(&job.priority) && (0..=100).contains(&job.retries),
        "{text}"
    );
    let year = 0.0..=366.0 * 86_400.0;
    let times = [
        Some(job.delay),
        Some(job.backoff),
        job.time_to_live,
        job.limits.cpu_time,
        job.limits.wall_time,
    ];
    assert!(
        times.into_iter().flatten().all(|seconds| year.contains(&seconds)),
        "{text}"
    );
}

/// `VTWASM_SUBMISSIONS=N` tries so many in place of some ten thousand, `VTWASM_SEED=N` those of another run.
#[test]
fn what_is_taken_of_any_submission_is_within_limits_and_the_same_when_it_is_read_again() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let count = number("VTWASM_SUBMISSIONS").unwrap_or(30_000);
    let seed = number("VTWASM_SEED").unwrap_or(u64::from(std::process::id()) << 32);
    println!("seed {seed}");
    let mut state = seed;
    // SplitMix64.
    let mut chance = |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below as u64) as usize
    };
    let mut taken = 0_u64;
    for _ in 0..count {
        let mut text = FINE[chance(FINE.len())].as_bytes().to_vec();
        for _ in 0..chance(4) {
            let (at, length) = (chance(text.len() + 1), chance(12));
            let end = (at + length).min(text.len());
            match chance(4) {
                0 => drop(text.splice(at..end, PIECES[chance(PIECES.len())].bytes())),
                1 => drop(text.drain(at..end)),
                2 => text.insert(at, chance(256) as u8),
                _ => {
                    let other = FINE[chance(FINE.len())].as_bytes();
                    let from = chance(other.len());
                    text.truncate(at);
                    text.extend(&other[from..]);
                }
            }
        }
        let Ok(job) = serde_json::from_slice::<Submission>(&text) else {
            continue;
        };
        if job.check().is_err() {
            continue;
        }
        taken += 1;
        let text = String::from_utf8(text).unwrap();
        assert_is_within_limits(&job, &text);
        // As it is kept.
        let kept = serde_json::to_string(&job).unwrap();
        let again: Submission = serde_json::from_str(&kept).unwrap();
        assert!(again.check().is_ok(), "{text}");
        let [kept, again] = [&job, &again].map(|job| serde_json::to_value(job).unwrap());
        assert_eq!(kept, again, "{text}");
    }
    println!("{taken} of {count} were taken");
    assert!(taken > count / 10 && taken < count, "{taken} of {count}");
}

async fn another_s_id_is_as_one_that_nobody_has(place: Place) {
    let service = serve(&place, Role::Api).await;
    let store = place.open().await;
    store.add_tenant("other", &Quotas::default()).await.unwrap();
    let scopes = [Scope::Read, Scope::Write, Scope::Secrets];
    let other = store.add_token("other", &scopes, None).await.unwrap().0;
    let file = service.ask(Method::PUT, "/v1/files", &service.token, "tea").await;
    let file = file.json()["sha256"].as_str().unwrap().to_owned();
    let job = service
        .submit(&json!({"source": "pass", "files": {"x": file}}))
        .await;
    let submission = crate::place::code("pass");
    let hourly = NewSchedule {
        cron: "@hourly".into(),
        timezone: "UTC".into(),
        missed: vtwasm_server::Missed::Skip,
        submission,
    };
    let schedule = store.add_schedule("default", &hourly).await.unwrap().id;
    let secret = json!({"value": "hush"}).to_string();
    let set = service
        .ask(Method::PUT, "/v1/secrets/KEY", &service.token, &secret)
        .await;
    assert_eq!(set.status, 204, "{}", set.text);
    let nobody = |id: &str| -> String {
        let changed = |c: char| {
            if c == '0' {
                '1'
            } else if c.is_ascii_hexdigit() {
                '0'
            } else {
                c
            }
        };
        match id.split_once('_') {
            Some((kind, digits)) => format!("{kind}_{}", digits.chars().map(changed).collect::<String>()),
            None => id.chars().map(changed).collect(),
        }
    };
    for (method, path, id) in [
        (Method::GET, "/v1/jobs/{}", &job),
        (Method::GET, "/v1/jobs/{}/attempts", &job),
        (Method::GET, "/v1/jobs/{}/result", &job),
        (Method::GET, "/v1/jobs/{}/logs", &job),
        (Method::GET, "/v1/jobs/{}/files", &job),
        (Method::GET, "/v1/jobs/{}/files/x", &job),
        (Method::POST, "/v1/jobs/{}/cancel", &job),
        (Method::POST, "/v1/jobs/{}/retry", &job),
        (Method::GET, "/v1/files/{}", &file),
        (Method::HEAD, "/v1/files/{}", &file),
        (Method::DELETE, "/v1/files/{}", &file),
        (Method::GET, "/v1/schedules/{}", &schedule),
        (Method::DELETE, "/v1/schedules/{}", &schedule),
        (Method::DELETE, "/v1/secrets/{}", &"KEY".to_owned()),
    ] {
        let mut answers = Vec::new();
        let none = if id == "KEY" { "KEZ".into() } else { nobody(id) };
        for id in [id, &none] {
            let answer = service
                .ask(method.clone(), &path.replace("{}", id), &other, "")
                .await;
            answers.push((answer.status, answer.text, answer.headers.get("etag").cloned()));
        }
        assert_eq!(answers[0], answers[1], "{method} {path}");
        assert_eq!(answers[0].0, 404, "{method} {path}");
        if method != Method::HEAD {
            // It is there for who has it; nothing was done to it.
            let own = service
                .ask(Method::GET, &path.replace("{}", id), &service.token, "")
                .await;
            assert!(
                ![404, 204].contains(&own.status) || path.ends_with("/x"),
                "{path}: {}",
                own.text
            );
        }
    }
    // Nor is anybody told which tenants there are.
    let asked = ["default", "nobody"].map(|tenant| format!("/v1/jobs?tenant={tenant}"));
    let mut answers = Vec::new();
    for path in &asked {
        let answer = service.ask(Method::GET, path, &other, "").await;
        answers.push((answer.status, answer.text));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0, 403);
    // What is another's is not named in a submission either.
    for body in [
        json!({"source": "pass", "files": {"x": file}}),
        json!({"bundle": file}),
    ] {
        let answer = service
            .ask(Method::POST, "/v1/jobs", &other, &body.to_string())
            .await;
        assert_eq!(answer.status, 422, "{}", answer.text);
    }
    service.leave().await;
}

async fn all_tokens_that_are_not_good_are_refused_in_the_same_words(place: Place) {
    let service = serve(&place, Role::Api).await;
    let store: Store = place.open().await;
    let (brief, _) = store
        .add_token("default", &[Scope::Read], Some(Duration::from_millis(1)))
        .await
        .unwrap();
    let (revoked, token) = store.add_token("default", &[Scope::Read], None).await.unwrap();
    assert_eq!(
        service.ask(Method::GET, "/v1/jobs", &revoked, "").await.status,
        200
    );
    store.remove_token("default", &token.id).await.unwrap();
    let good = service.token.clone();
    let mut last = good.clone();
    let end = if last.pop() == Some('0') { '1' } else { '0' };
    last.push(end);
    let mut words: Option<Value> = None;
    for wrong in [
        brief,
        revoked,
        token.id,
        last,
        good.to_uppercase(),
        format!("{good}0"),
        format!("{good}, {good}"),
        good[..good.len() - 1].to_owned(),
        "vt_".into(),
        "' OR 1=1 --".into(),
        "x".repeat(10_000),
    ] {
        let answer = service.ask(Method::GET, "/v1/jobs", &wrong, "").await;
        assert_eq!(answer.status, 401, "{wrong:.100}: {}", answer.text);
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        let told = words.get_or_insert(answer.json());
        assert_eq!(*told, answer.json(), "{wrong:.100}");
    }
    for header in [
        format!("Basic {good}"),
        good.clone(),
        format!("Bearer{good}"),
        "Bearer".into(),
    ] {
        let asked = [("authorization", header.as_str())];
        let answer = service.ask_with(Method::GET, "/v1/jobs", "", "", &asked).await;
        assert_eq!(answer.status, 401, "{header:.10}: {}", answer.text);
    }
    // It would stand in logs.
    let path = format!("/v1/jobs?token={good}");
    assert_eq!(service.ask(Method::GET, &path, "", "").await.status, 401);
    service.leave().await;
}

/// Sends a byte a second of a request until the service has had enough; returns what it says, and after how long.
async fn dribbled(service: &Running, begin: &str, endless: &str) -> (String, Duration) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    stream.write_all(begin.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let mut answer = vec![0; 1000];
    let mut count = 0;
    let sending = async {
        for byte in endless.bytes().cycle() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        read = tokio::time::timeout(Duration::from_secs(100), reader.read(&mut answer)) => {
            // It may be reset under the hands of who still sends.
            count = read.expect("it waits for ever").unwrap_or(0);
        }
        () = sending => {}
    }
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    (answer, begun.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_a_byte_a_second_has_as_long_as_who_sends_nothing() {
    let place = Place::sqlite();
    let service = serve(&place, Role::Api).await;
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n",
        service.token
    );
    let body = format!("{head}content-type: application/json\r\ncontent-length: 100000\r\n\r\n{{");
    let chunks = format!("{head}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n");
    let (of_head, of_body, of_chunks) = tokio::join!(
        dribbled(&service, &head, "x-header: x\r\n"),
        dribbled(&service, &body, " "),
        dribbled(&service, &chunks, "1\r\n \r\n"),
    );
    for (answer, took) in [&of_head, &of_body, &of_chunks] {
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
            "{answer}"
        );
        assert!(*took < Duration::from_secs(90), "{took:?}");
    }
    assert!(of_body.0.contains("no answer within"), "{}", of_body.0);
    service.leave().await;
}

on_both! {
    what_is_wrong_is_told_as_a_problem
    a_token_is_good_for_its_scopes_and_its_tenant_only
    a_request_that_comes_slowly_is_not_waited_for_for_ever
    who_sends_far_too_much_is_answered_all_the_same
    what_is_no_json_is_refused_whatever_it_is
    another_s_id_is_as_one_that_nobody_has
    all_tokens_that_are_not_good_are_refused_in_the_same_words
}
