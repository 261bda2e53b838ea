//! Storage that speaks S3: a server of the tests' own, and what comes of files where it is away, slow, or somebody else's.

use crate::http::{Running, serve};
use crate::place::{Place, Working, code, over, text};
use hyper::Method;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use vtwasm_server::{BucketAddress, Files, Role, State, Submission};

/// moto, which ends with the tests: its stdin does.
struct Server {
    about: Value,
    talk: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Server {
    #[allow(clippy::zombie_processes, reason = "it lives as long as this program")]
    fn get() -> &'static Server {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/peers/s3.py");
            let mut python = Command::new("python3");
            let python = python.args(["-B", script]).stdin(Stdio::piped());
            let mut process = python.stdout(Stdio::piped()).spawn().unwrap();
            let mut said = BufReader::new(process.stdout.take().unwrap());
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            Server {
                about: serde_json::from_str(&line).expect("moto starts: what is wrong stands above"),
                talk: Mutex::new((process.stdin.take().unwrap(), said)),
            }
        })
    }

    fn about(&self, name: &str) -> String {
        self.about[name].as_str().unwrap().to_owned()
    }

    /// Does something to all files of an address: how many there were, and uploads that nobody has ended.
    fn does(&self, what: &str, address: &BucketAddress) -> [usize; 2] {
        let mut talk = self.talk.lock().unwrap();
        let prefix = address.url.rsplit('/').next().unwrap();
        writeln!(talk.0, "{what} {prefix}").unwrap();
        let mut line = String::new();
        talk.1.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

async fn server() -> &'static Server {
    tokio::task::spawn_blocking(Server::get).await.unwrap()
}

async fn does(what: &'static str, address: &BucketAddress) -> [usize; 2] {
    let address = address.clone();
    let done = tokio::task::spawn_blocking(move || Server::get().does(what, &address));
    done.await.unwrap()
}

pub async fn count(address: &BucketAddress) -> usize {
    does("count", address).await[0]
}

/// A part of the bucket that nobody else uses.
pub async fn address() -> BucketAddress {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let server = server().await;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    BucketAddress {
        url: format!("s3://{}/t{number}", server.about("bucket")),
        endpoint: Some(server.about("endpoint")),
        access_key: server.about("aws_access_key_id"),
        secret_key: server.about("aws_secret_access_key"),
        ..BucketAddress::default()
    }
}

/// What the way to storage does to the next so many connections; then it is whole.
#[derive(Clone, Copy)]
enum Fault {
    /// Ends them after so many bytes, of either direction.
    CutAfter(usize),
    /// Answers so, whatever is asked.
    Answers(&'static str),
    /// Takes all and says nothing.
    Silent,
}

const INTERNAL: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const SLOW_DOWN: &str = "HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A way to storage.
struct Way {
    port: u16,
    faults: Arc<Mutex<Vec<Fault>>>,
    breaks: watch::Sender<()>,
}

impl Way {
    async fn new() -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = server().await.about("endpoint");
        let to = endpoint.strip_prefix("http://").unwrap().to_owned();
        let way = Way {
            port: listener.local_addr().unwrap().port(),
            faults: Arc::default(),
            breaks: watch::channel(()).0,
        };
        let (faults, breaks) = (way.faults.clone(), way.breaks.subscribe());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let fault = faults.lock().unwrap().pop();
                let (to, mut breaks) = (to.clone(), breaks.clone());
                breaks.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        () = carry(near, to, fault) => {}
                        _ = breaks.changed() => {}
                    }
                });
            }
        });
        way
    }

    fn address(&self, address: &BucketAddress) -> BucketAddress {
        BucketAddress {
            endpoint: Some(format!("http://127.0.0.1:{}", self.port)),
            ..address.clone()
        }
    }

    /// From now on, the last first; connections that are there end.
    fn fails(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
        self.breaks.send_replace(());
    }

    fn is_whole(&self) -> bool {
        self.faults.lock().unwrap().is_empty()
    }

    fn mend(&self) {
        self.faults.lock().unwrap().clear();
    }
}

async fn carry(mut near: TcpStream, to: String, fault: Option<Fault>) {
    let limit = match fault {
        Some(Fault::Answers(answer)) => {
            let mut asked = [0; 4096];
            let _ = near.read(&mut asked).await;
            let _ = near.write_all(answer.as_bytes()).await;
            let _ = near.shutdown().await;
            // What is not read would end the connection before the answer is.
            while near.read(&mut asked).await.is_ok_and(|count| count > 0) {}
            return;
        }
        Some(Fault::Silent) => {
            let mut asked = [0; 4096];
            while near.read(&mut asked).await.is_ok_and(|count| count > 0) {}
            return;
        }
        Some(Fault::CutAfter(bytes)) => bytes,
        None => usize::MAX,
    };
    let Ok(far) = TcpStream::connect(to).await else {
        return;
    };
    let (near, far) = (near.into_split(), far.into_split());
    // Both end with the first that does.
    tokio::select! {
        () = copy(near.0, far.1, limit) => {}
        () = copy(far.0, near.1, limit) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut left: usize) {
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let count = count.min(left);
        if to.write_all(&bytes[..count]).await.is_err() || count == left {
            return;
        }
        left -= count;
    }
}

/// A service behind a way to storage.
async fn behind(way: &Way) -> Place {
    let Place::Bucket(folder, address) = Place::bucket().await else {
        unreachable!();
    };
    Place::Bucket(folder, way.address(&address))
}

/// More than fits a part.
fn large() -> String {
    let line = |n: usize| format!("line {n} of many, none like another\n");
    (0..500_000).map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_goes_there_and_back_over_a_way_that_breaks_again_and_again() {
    let way = Way::new().await;
    let place = behind(&way).await;
    let service = serve(&place, Role::Api).await;
    let large = large();
    way.fails([
        Fault::CutAfter(3 << 20),
        Fault::Answers(SLOW_DOWN),
        Fault::CutAfter(100),
        Fault::Answers(INTERNAL),
    ]);
    let put = service
        .ask(Method::PUT, "/v1/files", &service.token, &large)
        .await;
    assert_eq!(put.status, 200, "{}", put.text);
    assert!(way.is_whole(), "nothing broke");
    let hash = put.json()["sha256"].as_str().unwrap().to_owned();
    assert_eq!(place.kept().await, 1);
    way.fails([
        Fault::CutAfter(5 << 20),
        Fault::Answers(INTERNAL),
        Fault::CutAfter(1 << 20),
    ]);
    let got = service.get(&format!("/v1/files/{hash}")).await;
    assert_eq!(got.status, 200);
    assert!(got.text == large, "{} bytes came", got.text.len());
    assert!(way.is_whole(), "nothing broke");
    assert_eq!(
        does("count", &place.address().unwrap()).await[1],
        0,
        "uploads without an end"
    );
    service.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_waits_for_storage_that_is_away_and_who_asks_is_told() {
    let way = Way::new().await;
    let place = behind(&way).await;
    let service = serve(&place, Role::Api).await;
    let store = place.open().await;
    let put = service.ask(Method::PUT, "/v1/files", &service.token, "tea").await;
    let hash = put.json()["sha256"].clone();
    let job = json!({"source": "def main(): return open('/input/x').read()", "files": {"x": hash}});
    let id = service.submit(&job).await;
    way.fails([Fault::Answers(INTERNAL); 1000]);
    let working = Working::start(&store, 1).await;
    let asked = Instant::now();
    let put = service
        .ask(Method::PUT, "/v1/files", &service.token, "milk")
        .await;
    assert_eq!(put.status, 503, "{}", put.text);
    assert!(asked.elapsed() < Duration::from_secs(40), "{:?}", asked.elapsed());
    assert!(!put.text.contains("127.0.0.1"), "{}", put.text);
    let job = store.job("default", &id).await.unwrap();
    assert!(!job.state.is_final(), "{job:?}");
    way.mend();
    let job = over(&store, "default", &id).await;
    assert_eq!(job.state, State::Success, "{job:?}");
    assert_eq!(
        store.result("default", &id).await.unwrap().as_deref(),
        Some("\"tea\"")
    );
    // What was put in vain is nobody's.
    let put = service
        .ask(Method::PUT, "/v1/files", &service.token, "milk")
        .await;
    assert_eq!(put.status, 200, "{}", put.text);
    working.leave().await;
    service.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_that_says_nothing_is_asked_again() {
    let way = Way::new().await;
    let place = behind(&way).await;
    let address = place.address().unwrap();
    way.fails([Fault::Silent]);
    let folder = place.files();
    let opened = tokio::time::timeout(Duration::from_secs(60), Files::in_bucket(&address, &folder));
    opened.await.unwrap().unwrap();
    assert!(way.is_whole());
}

/// An answer as it comes, that may break off.
async fn raw(service: &Running, path: &str) -> String {
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        service.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_damaged_or_lost_there_is_given_to_nobody() {
    let place = Place::bucket().await;
    let (service, store) = (serve(&place, Role::All).await, place.open().await);
    let put = service.ask(Method::PUT, "/v1/files", &service.token, "tea").await;
    let hash = put.json()["sha256"].as_str().unwrap().to_owned();
    let job = Submission {
        files: [("x".into(), hash.clone())].into(),
        ..code("print(open('/input/x').read())")
    };
    for (what, status) in [("damage", 200), ("remove", 503)] {
        does(what, &place.address().unwrap()).await;
        let got = raw(&service, &format!("/v1/files/{hash}")).await;
        // It may break off before its head is sent.
        let is_broken = what == "damage" && got.is_empty();
        assert!(
            is_broken || got.starts_with(&format!("HTTP/1.1 {status}")),
            "{what}: {got}"
        );
        assert!(!got.contains("te?") && !got.contains("tea"), "{got}");
        let id = store.submit("default", None, &job).await.unwrap().job.id;
        let job = over(&store, "default", &id).await;
        assert_eq!(job.state, State::Failure, "{what}");
        let error = job.error.unwrap();
        assert!(error.contains("lost or damaged"), "{what}: {error}");
        assert_eq!(text(&store, "default", &id).await, "");
    }
    service.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_says_why_it_cannot_use_a_bucket() {
    let address = address().await;
    let folder = tempfile::tempdir().unwrap();
    let nowhere = format!("http://127.0.0.1:{}", {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    });
    let changed = |change: fn(&mut BucketAddress)| {
        let mut address = address.clone();
        change(&mut address);
        address
    };
    let away = BucketAddress {
        endpoint: Some(nowhere),
        ..address.clone()
    };
    for (address, why) in [
        (
            changed(|address| address.access_key = "AKIANOBODY".into()),
            "InvalidAccessKeyId",
        ),
        (
            changed(|address| address.secret_key = "wrong".into()),
            "SignatureDoesNotMatch",
        ),
        (
            changed(|address| address.url = "s3://nobodys-bucket".into()),
            "NoSuchBucket",
        ),
        (away, "Connection refused"),
    ] {
        let error = Files::in_bucket(&address, folder.path()).await.unwrap_err();
        let told = std::error::Error::source(&error).unwrap().to_string();
        assert!(told.contains(why), "{why}: {told}");
        assert!(!told.contains(&address.secret_key), "{told}");
    }
}
