//! A storm: jobs are submitted, cancelled and run while processes and the database are killed, in the middle of
//! anything; then they are counted.
//!
//! `VTWASM_STORM=100000` makes of the few jobs of CI what is promised.

use crate::{Database, Process, postgres};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection, Row};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const JOBS: usize = 160;
const CLIENTS: usize = 8;
/// One in so many is cancelled.
const CANCELLED: usize = 10;
/// For anything to move on.
const PATIENCE: Duration = Duration::from_secs(120);

fn process(database: &str, role: &str) -> Process {
    Process::spawn(database, "", &[role, "--lease=5s", "--slots=8"])
}

/// Where the API is: elsewhere, after each time that it is killed.
#[derive(Clone)]
struct Api {
    server: Arc<Mutex<String>>,
    token: String,
}

/// A connection that is kept, as a client's would be.
struct Client {
    api: Api,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    /// Asks again until there is an answer that is not about now.
    fn ask(&mut self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let end = Instant::now() + PATIENCE;
        loop {
            let why = match self.ask_once(path, key, body) {
                Ok((status, answer)) if status != 503 && status != 429 => return (status, answer),
                Ok((status, answer)) => format!("{status} {answer}"),
                Err(error) => {
                    self.stream = None;
                    error.to_string()
                }
            };
            assert!(Instant::now() < end, "{path} is not answered: {why}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask_once(&mut self, path: &str, key: &str, body: &Value) -> io::Result<(u16, Value)> {
        let server = self
            .api
            .server
            .lock()
            .unwrap()
            .trim_start_matches("http://")
            .to_owned();
        if self.stream.is_none() {
            let stream = TcpStream::connect(&server)?;
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut().expect("it was made");
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {server}\r\nauthorization: Bearer {}\r\nidempotency-key: {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.api.token,
            body.len()
        );
        stream.get_mut().write_all(request.as_bytes())?;
        let mut status = String::new();
        stream.read_line(&mut status)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim().to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", count)) => length = count.parse().map_err(io::Error::other)?,
                None if line.is_empty() => break,
                _ => {}
            }
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer)?;
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        Ok((status, serde_json::from_slice(&answer).map_err(io::Error::other)?))
    }
}

/// By job, which attempt was its last when its cancel was answered.
type Cancelled = BTreeMap<String, i64>;

fn submit(api: Api, part: usize, count: usize, submitted: &AtomicUsize) -> Cancelled {
    let mut client = Client { api, stream: None };
    let mut cancelled = Cancelled::new();
    for n in (part..count).step_by(CLIENTS) {
        // A few take long enough to be struck.
        let seconds = if count > JOBS { 0.0 } else { 0.2 };
        let job = json!({"source": format!("import time; time.sleep({seconds})\ndef main(): return {n}")});
        let (status, job) = client.ask("/v1/jobs", &n.to_string(), &job);
        assert!(status == 200 || status == 201, "{status} {job}");
        submitted.fetch_add(1, Ordering::Relaxed);
        if n % CANCELLED == 0 {
            let id = job["id"].as_str().unwrap().to_owned();
            // It may be over, or cancelled by a question whose answer was lost.
            let (status, job) = client.ask(&format!("/v1/jobs/{id}/cancel"), "", &json!({}));
            match status {
                200 => drop(cancelled.insert(id, job["attempt"].as_i64().unwrap())),
                status => assert_eq!(status, 409, "{job}"),
            }
        }
    }
    cancelled
}

/// Kills one after the other, and starts it again: a worker, the API, the other worker, and the database.
struct Weather<'a> {
    database: &'a str,
    api: Api,
    processes: [Option<Process>; 3],
    server: Option<postgres::Server>,
    turn: usize,
}

impl Weather<'_> {
    fn strike(&mut self) {
        let places = 3 + usize::from(self.server.is_some());
        match (self.turn % places, &mut self.server) {
            (3, Some(server)) => server.kill_and_start_again(),
            (place, _) => {
                if let Some(process) = self.processes[place].take() {
                    process.kill();
                }
                let process = process(
                    self.database,
                    ["--role=worker", "--role=api", "--role=worker"][place],
                );
                if place == 1 {
                    self.api.server.lock().unwrap().clone_from(&process.server);
                }
                self.processes[place] = Some(process);
            }
        }
        self.turn += 1;
    }
}

pub fn every_job_ends_once_while_processes_and_the_database_are_killed(
    database: &Database,
    server: Option<postgres::Server>,
) {
    let count = std::env::var("VTWASM_STORM").map_or(JOBS, |count| count.parse().unwrap());
    let address = &database.address;
    let first = process(address, "--role=api").with_first_token();
    let api = Api {
        server: Arc::new(Mutex::new(first.server.clone())),
        token: first.token.clone(),
    };
    let mut weather = Weather {
        database: address,
        api: api.clone(),
        processes: [
            Some(process(address, "--role=worker")),
            Some(first),
            Some(process(address, "--role=worker")),
        ],
        server,
        turn: 0,
    };
    let begun = Instant::now();
    let submitted = Arc::new(AtomicUsize::new(0));
    let clients = (0..CLIENTS).map(|part| {
        let (api, submitted) = (api.clone(), submitted.clone());
        thread::spawn(move || submit(api, part, count, &submitted))
    });
    let clients = clients.collect::<Vec<_>>();
    // All are struck, however soon all is done.
    let pause = Duration::from_millis(if count > JOBS { 5000 } else { 700 });
    let mut unfinished = (count, Instant::now());
    while weather.turn < 4 || unfinished.0 > 0 {
        thread::sleep(pause);
        // The last ones in peace: a storm of a few jobs could lose one's workers three times.
        if weather.turn < 4 || unfinished.0 > count / 20 {
            weather.strike();
        }
        let left = unfinished_of(address).map_or(unfinished.0, |left| {
            left + count - submitted.load(Ordering::Relaxed)
        });
        if left != unfinished.0 {
            unfinished = (left, Instant::now());
        }
        assert!(
            unfinished.1.elapsed() < PATIENCE,
            "nothing moves: {left} of {count} are left"
        );
    }
    let took = begun.elapsed();
    let mut cancelled = Cancelled::new();
    for client in clients {
        cancelled.extend(client.join().unwrap());
    }
    let sums = counted(address, count, &cancelled);
    eprintln!(
        "{count} jobs in {:.0} s through {} kills: {sums:?}",
        took.as_secs_f64(),
        weather.turn
    );
    drop(weather.processes);
}

/// Runs a statement without arguments.
fn rows(address: &str, sql: &'static str) -> Result<Vec<sqlx::any::AnyRow>, sqlx::Error> {
    sqlx::any::install_default_drivers();
    let path = address.replace('%', "%25").replace('?', "%3f");
    let url = if address.contains("://") {
        address.to_owned()
    } else {
        format!("sqlite://{path}")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let mut connection = AnyConnection::connect(&url).await?;
        let rows = sqlx::query(sql).fetch_all(&mut connection).await?;
        connection.close().await?;
        Ok(rows)
    })
}

/// How many wait or run, if the database is there.
fn unfinished_of(address: &str) -> Option<usize> {
    let sql = "SELECT count(*) AS left_over FROM jobs WHERE state NOT IN ('SUCCESS', 'FAILURE', 'REVOKED')";
    let count: i64 = rows(address, sql).ok()?.first()?.get("left_over");
    usize::try_from(count).ok()
}

/// Each job is there once, at one end, with its own result. How many came to which.
fn counted(address: &str, count: usize, cancelled: &Cancelled) -> BTreeMap<String, usize> {
    let sql = "SELECT id, idempotency_key, state, attempt, error, result FROM jobs ORDER BY id";
    let rows = rows(address, sql).unwrap();
    assert_eq!(rows.len(), count, "jobs in the database");
    let (mut keys, mut sums) = (std::collections::BTreeSet::new(), BTreeMap::new());
    for row in rows {
        let [id, key, state] = ["id", "idempotency_key", "state"].map(|name| row.get::<String, _>(name));
        let (attempt, error) = (
            row.get::<i64, _>("attempt"),
            row.get::<Option<String>, _>("error"),
        );
        match state.as_str() {
            "SUCCESS" => assert_eq!(
                row.get::<Option<String>, _>("result").as_ref(),
                Some(&key),
                "{id}"
            ),
            "REVOKED" => assert_eq!(key.parse::<usize>().unwrap() % CANCELLED, 0, "{id}"),
            // Three times in a row.
            _ => assert_eq!(error.as_deref(), Some("its worker was lost"), "{id} {state}"),
        }
        if let Some(last) = cancelled.get(&id) {
            assert_eq!(attempt, *last, "{id} was started after its cancel was answered");
        }
        assert!(keys.insert(key), "{id} is there twice");
        *sums.entry(state).or_default() += 1;
        *sums.entry("starts".into()).or_default() += usize::try_from(attempt).unwrap();
    }
    sums
}
