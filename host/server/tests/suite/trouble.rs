//! A network that is cut, a disk that is full, a clock that jumps: what comes of jobs meanwhile, and afterwards.

use crate::on_both;
use crate::place::{Place, Working, answered, code, ended, over, quick, text, when};
use crate::postgres;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use vtwasm_server::{Quotas, Rules, State, Store, Submission, WorkerOptions};

/// A wire to the database. While it is cut, nothing crosses and nobody is told.
struct Wire {
    port: u16,
    is_whole: watch::Sender<bool>,
}

impl Wire {
    async fn to(port: u16) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (is_whole, state) = watch::channel(true);
        let wire = Wire {
            port: listener.local_addr().unwrap().port(),
            is_whole,
        };
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let mut state = state.clone();
                tokio::spawn(async move {
                    if state.wait_for(|is_whole| *is_whole).await.is_err() {
                        return;
                    }
                    let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    let (near, far) = (near.into_split(), far.into_split());
                    tokio::join!(carry(near.0, far.1, state.clone()), carry(far.0, near.1, state));
                });
            }
        });
        wire
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<bool>) {
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let is_over = state.wait_for(|is_whole| *is_whole).await.is_err();
        if is_over || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// By job and attempt, the first and the last.
type Beats = HashMap<(String, u32), [Instant; 2]>;

/// Hears the hearts of jobs, whatever the database believes.
struct Hearts {
    port: u16,
    beats: Arc<Mutex<Beats>>,
}

impl Hearts {
    async fn listen() -> Hearts {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hearts = Hearts {
            port: listener.local_addr().unwrap().port(),
            beats: Arc::default(),
        };
        let heard = hearts.beats.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let heard = heard.clone();
                tokio::spawn(async move {
                    let mut lines = BufReader::new(stream).lines();
                    while let Ok(Some(line)) = lines.next_line().await {
                        let (job, attempt) = line.split_once(' ').unwrap();
                        let (now, name) = (Instant::now(), (job.to_owned(), attempt.parse().unwrap()));
                        heard.lock().unwrap().entry(name).or_insert([now; 2])[1] = now;
                    }
                });
            }
        });
        hearts
    }

    /// Of a tenant whose jobs may be heard.
    fn quotas(&self) -> Quotas {
        Quotas {
            rules: Rules {
                network: vec![format!("127.0.0.1:{}", self.port)],
                ..Rules::default()
            },
            ..Quotas::default()
        }
    }

    /// A job whose first attempt never ends, and whose others soon do.
    fn job(&self) -> Submission {
        code(&format!(
            "import os, socket, time
attempt, beats = os.environ['VTWASM_ATTEMPT'], 0
heart = socket.create_connection(('127.0.0.1', {}))
while attempt == '1' or beats < 5:
    heart.sendall(f\"{{os.environ['VTWASM_JOB']}} {{attempt}}\\n\".encode())
    time.sleep(0.02)
    beats += 1
",
            self.port
        ))
    }

    fn of(&self, job: &str, attempt: u32) -> Option<[Instant; 2]> {
        let beats = self.beats.lock().unwrap();
        beats.get(&(job.to_owned(), attempt)).copied()
    }

    async fn first_of(&self, jobs: &[String]) {
        let end = Instant::now() + Duration::from_secs(60);
        for job in jobs {
            while self.of(job, 1).is_none() {
                assert!(Instant::now() < end, "{job} does not live");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// No job's first attempt lived on for longer than a lease after the second had begun.
    fn assert_one_at_a_time(&self, jobs: &[String]) {
        for job in jobs {
            let ([_, last], [first, _]) = (self.of(job, 1).unwrap(), self.of(job, 2).unwrap());
            let both = last.saturating_duration_since(first);
            assert!(both < quick().lease, "two attempts of {job} lived for {both:?}");
        }
    }
}

async fn submitted(store: &Store, job: &Submission, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(store.submit("a", None, job).await.unwrap().job.id);
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cut_off_from_the_database_ends_its_runs_asks_in_vain_for_seconds_only_and_comes_back() {
    let url = postgres::database().await;
    let (front, name) = url.rsplit_once('/').unwrap();
    let (front, port) = front.rsplit_once(':').unwrap();
    let wire = Wire::to(port.parse().unwrap()).await;
    let near = Store::postgres(&url).await.unwrap();
    let far = Store::postgres(&format!("{front}:{}/{name}", wire.port))
        .await
        .unwrap();
    let hearts = Hearts::listen().await;
    near.add_tenant("a", &hearts.quotas()).await.unwrap();
    let cut_off = Working::start(&far, 3).await;
    let jobs = submitted(&near, &hearts.job(), 3).await;
    hearts.first_of(&jobs).await;
    wire.is_whole.send_replace(false);
    let asked = Instant::now();
    let other = Working::start(&near, 3).await;
    let job = hearts.job();
    let (looked, submission) = tokio::join!(far.job("a", &jobs[0]), far.submit("a", None, &job));
    assert!(looked.is_err() && submission.is_err());
    assert!(asked.elapsed() < Duration::from_secs(40), "{:?}", asked.elapsed());
    for job in &jobs {
        let job = over(&near, "a", job).await;
        assert_eq!((job.state, job.attempt), (State::Success, 2));
    }
    // Whoever still lived would have been heard.
    tokio::time::sleep(quick().lease).await;
    hearts.assert_one_at_a_time(&jobs);
    // And now it alone has to take the next.
    other.leave().await;
    let next = submitted(&near, &code("print('here')"), 1).await;
    wire.is_whole.send_replace(true);
    assert_eq!(over(&near, "a", &next[0]).await.state, State::Success);
    let job = answered("look from afar", || far.job("a", &next[0])).await;
    assert_eq!(job.attempt, 1);
    cut_off.leave().await;
}

/// A file system of its own that can be full.
struct Disk {
    folder: TempDir,
}

impl Disk {
    /// `None` where it may not be mounted.
    fn mount(size: &str) -> Option<Disk> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args([
            "-t",
            "tmpfs",
            "-o",
            &format!("size={size},mode=0777"),
            "vtwasm-test",
        ]);
        let why = match mount.arg(folder.path()).output() {
            Ok(mounted) if mounted.status.success() => return Some(Disk { folder }),
            Ok(refused) => String::from_utf8_lossy(&refused.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        eprintln!("skipped: a disk that is full needs the right to mount one: {why}");
        None
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    fn fill(&self) {
        let mut file = std::fs::File::create(self.ballast()).unwrap();
        while std::io::Write::write_all(&mut file, &[b'x'; 4096]).is_ok() {}
    }

    fn clear(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

/// Submits until there is no room and for some time after, makes room, and counts.
async fn filled(store: &Store, disk: &Disk, repair: impl AsyncFnOnce()) {
    store.add_tenant("a", &Quotas::default()).await.unwrap();
    let working = Working::start(store, 4).await;
    let job = |n: usize| code(&format!("# {}\ndef main(): return {n}", "x".repeat(60_000)));
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(
            store
                .submit("a", Some(&n.to_string()), &job(n))
                .await
                .unwrap()
                .job
                .id,
        );
    }
    disk.fill();
    let end = Instant::now() + Duration::from_secs(60);
    let mut refused = 0;
    // Who gets no answer asks again with the same key.
    while refused < 5 {
        let n = ids.len();
        match store.submit("a", Some(&n.to_string()), &job(n)).await {
            Ok(submitted) => ids.push(submitted.job.id),
            Err(_) => refused += 1,
        }
        assert!(Instant::now() < end, "there is always room");
    }
    disk.clear();
    repair().await;
    for n in ids.len()..ids.len() + 5 {
        let (key, job) = (n.to_string(), job(n));
        let submitted = answered("submit", || store.submit("a", Some(&key), &job)).await;
        ids.push(submitted.job.id);
    }
    for (n, id) in ids.iter().enumerate() {
        let job = ended(store, "a", id).await;
        assert_eq!(job.state, State::Success, "{job:?}");
        let result = answered("ask for the result", || store.result("a", id)).await;
        assert_eq!(result, Some(n.to_string()));
    }
    assert_eq!(store.used("a").await.unwrap().0, ids.len() as i64);
    working.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_lost_while_the_disk_of_sqlite_is_full() {
    let Some(disk) = Disk::mount("8m") else { return };
    let store = Store::sqlite(&disk.path().join("jobs.db")).await.unwrap();
    filled(&store, &disk, async || {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_lost_while_the_disk_of_postgresql_is_full() {
    let Some(disk) = Disk::mount("160m") else { return };
    let folder = disk.path().to_owned();
    let start = tokio::task::spawn_blocking(move || postgres::Server::start_on(Some(&folder)));
    let mut server = start.await.unwrap();
    let store = Store::postgres(&server.address()).await.unwrap();
    // It may have ended itself, which it does where it cannot write what it has promised.
    let repair = async || tokio::task::block_in_place(|| server.start_if_over());
    filled(&store, &disk, repair).await;
    server.kill();
}

/// As if the database's clock had gone ahead by so much, or back: it is compared with these and nothing else.
async fn jump(place: &Place, ahead: i64) {
    let url = place.url();
    let mut connection = <sqlx::AnyConnection as sqlx::Connection>::connect(&url)
        .await
        .unwrap();
    for statement in [
        "UPDATE jobs SET lease = lease - $1, not_before = not_before - $1, started = started - $1, expires = expires - $1",
        "UPDATE lanes SET next_at = next_at - $1",
    ] {
        let query = sqlx::query(statement).bind(ahead);
        query.execute(&mut connection).await.unwrap();
    }
}

/// Lets the leases of first attempts that run be over, and says how many these are.
async fn lose_first(place: &Place) -> u64 {
    let mut connection = <sqlx::AnyConnection as sqlx::Connection>::connect(&place.url())
        .await
        .unwrap();
    let lose = "UPDATE jobs SET lease = 1 WHERE state = 'STARTED' AND attempt = 1";
    let lost = sqlx::query(lose).execute(&mut connection).await.unwrap();
    lost.rows_affected()
}

const HOUR: i64 = 3_600_000;

async fn a_clock_that_goes_ahead_by_an_hour_ends_no_job_twice(place: Place) {
    let store = place.open().await;
    let hearts = Hearts::listen().await;
    store.add_tenant("a", &hearts.quotas()).await.unwrap();
    let working = Working::start(&store, 8).await;
    let jobs = submitted(&store, &hearts.job(), 3).await;
    let later = Submission {
        delay: 1800.0,
        ..code("print('later')")
    };
    let later = submitted(&store, &later, 1).await;
    hearts.first_of(&jobs).await;
    jump(&place, HOUR).await;
    // A lease that is renewed before anybody looks for lost jobs is good again: so the clock goes on jumping.
    while lose_first(&place).await > 0 {
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    for job in &jobs {
        let job = over(&store, "a", job).await;
        assert_eq!((job.state, job.attempt), (State::Success, 2));
    }
    over(&store, "a", &later[0]).await;
    working.leave().await;
    hearts.assert_one_at_a_time(&jobs);
    assert_eq!(store.used("a").await.unwrap().0, 4);
}

async fn a_clock_that_goes_back_by_an_hour_ends_no_job_twice_and_what_runs_is_not_lost(place: Place) {
    let store = place.with(&["a"]).await;
    let options = WorkerOptions { slots: 1, ..quick() };
    let working = Working::with(&store, options).await;
    let running = submitted(&store, &code("import time\ntime.sleep(5)"), 1).await;
    when(&store, "a", &running[0], |job| job.attempt == 1).await;
    let waiting = submitted(&store, &code("print('late')"), 1).await;
    jump(&place, -HOUR).await;
    let job = over(&store, "a", &running[0]).await;
    assert_eq!((job.state, job.attempt), (State::Success, 1));
    // What waits does so until the clock is there again.
    let job = store.job("a", &waiting[0]).await.unwrap();
    assert_eq!(job.state, State::Pending);
    jump(&place, HOUR).await;
    assert_eq!(over(&store, "a", &waiting[0]).await.state, State::Success);
    assert_eq!(text(&store, "a", &waiting[0]).await, "late\n");
    working.leave().await;
}

on_both! {
    a_clock_that_goes_ahead_by_an_hour_ends_no_job_twice
    a_clock_that_goes_back_by_an_hour_ends_no_job_twice_and_what_runs_is_not_lost
}
