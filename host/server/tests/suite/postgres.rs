//! A PostgreSQL of the tests' own, on loopback, that ends with the program that started it.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The address of a new, empty database.
pub async fn database() -> String {
    static SERVER: OnceLock<u16> = OnceLock::new();
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let port = *tokio::task::spawn_blocking(|| SERVER.get_or_init(start))
        .await
        .unwrap();
    let name = format!("t{}", NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let server = format!("postgres://postgres@127.0.0.1:{port}");
    // Each copies a template that must be at rest.
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _held = ONE_AT_A_TIME.lock().await;
    sqlx::any::install_default_drivers();
    let address = format!("{server}/postgres");
    let mut connection = connected(&address).await;
    let statement = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    format!("{server}/{name}")
}

/// A folder that goes with the server.
#[allow(dead_code, reason = "not every program of tests uses it")]
pub fn folder() -> PathBuf {
    FOLDER.get().expect("a database was asked for").join("files")
}

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// It listens before it lets anybody in.
async fn connected(address: &str) -> sqlx::AnyConnection {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match <sqlx::AnyConnection as sqlx::Connection>::connect(address).await {
            Ok(connection) => return connection,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn start() -> u16 {
    let server = Server::start();
    let _ = FOLDER.set(server.folder);
    server.port
}

/// One that can be killed.
pub struct Server {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    process: Child,
}

#[allow(dead_code, reason = "not every program uses all of it")]
impl Server {
    pub fn start() -> Server {
        Server::start_on(None)
    }

    /// With its data on a disk of its own, for which one has to be root.
    pub fn start_on(disk: Option<&Path>) -> Server {
        let folder = tempfile::Builder::new().prefix("vtwasm-postgres-").tempdir();
        let folder = folder.unwrap().keep();
        if let Some(disk) = disk {
            let data = disk.join("data");
            fs::create_dir(&data).unwrap();
            let made = Command::new("chown").arg("nobody").arg(&data).status();
            assert!(made.unwrap().success());
            std::os::unix::fs::symlink(data, folder.join("data")).unwrap();
        }
        let programs = made(&folder);
        let (port, process) = started(&programs, &folder);
        clean_up_after(&folder);
        Server {
            programs,
            folder,
            port,
            process,
        }
    }

    pub fn address(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// As a crash of the machine would end it, but for what the kernel has in memory.
    pub fn kill_and_start_again(&mut self) {
        self.kill();
        self.start_again();
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn start_if_over(&mut self) {
        if self.process.try_wait().unwrap().is_some() {
            self.start_again();
        }
    }

    fn start_again(&mut self) {
        let end = Instant::now() + PATIENCE;
        // Processes of the one that was killed may still be leaving; then it ends at once.
        self.process = loop {
            if let Some(process) = run(&self.programs, &self.folder, self.port) {
                break process;
            }
            assert!(Instant::now() < end, "{}", log(&self.folder));
            sleep(Duration::from_millis(100));
        };
    }
}

/// For a server to come up.
const PATIENCE: Duration = Duration::from_secs(60);

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// Makes a place for data, and says where the programs are.
fn made(folder: &Path) -> PathBuf {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    let programs = programs(folder);
    let data = folder.join("data");
    let mut initdb = as_somebody(&programs.join("initdb"));
    initdb.arg("-D").arg(&data).args([
        "-U",
        "postgres",
        "-A",
        "trust",
        "--no-sync",
        "--no-locale",
        "-E",
        "UTF8",
    ]);
    let made = initdb.output().unwrap();
    assert!(
        made.status.success(),
        "initdb: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    programs
}

/// On a port that no connection of anybody's takes while the server is down: systems choose theirs from 32768 on.
fn started(programs: &Path, folder: &Path) -> (u16, Child) {
    static TRIES: AtomicU32 = AtomicU32::new(0);
    for _ in 0..100 {
        let number = std::process::id().wrapping_mul(131) + TRIES.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (number % 12_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_err() {
            continue;
        }
        if let Some(process) = run(programs, folder, port) {
            return (port, process);
        }
    }
    panic!("no port is free, or: {}", log(folder));
}

/// `None` if it ends by itself.
fn run(programs: &Path, folder: &Path, port: u16) -> Option<Child> {
    let end = Instant::now() + PATIENCE;
    let mut server = spawned(programs, folder, port);
    while server.try_wait().unwrap().is_none() {
        // Whoever answers on the port may be another.
        let said = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
        let mut lines = said.lines();
        if lines.next() == Some(&server.id().to_string()) && lines.any(|line| line.trim() == "ready") {
            return Some(server);
        }
        assert!(Instant::now() < end, "{}", log(folder));
        sleep(Duration::from_millis(20));
    }
    None
}

fn spawned(programs: &Path, folder: &Path, port: u16) -> Child {
    let mut postgres = as_somebody(&programs.join("postgres"));
    postgres.arg("-D").arg(folder.join("data"));
    for setting in [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".into(),
        "unix_socket_directories=".into(),
        "max_connections=400".into(),
        "jit=off".into(),
    ] {
        postgres.args(["-c", &setting]);
    }
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    postgres
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Where initdb and postgres are: on PATH, as `cargo xtask test` sets it, or installed by Debian.
fn programs(folder: &Path) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut places = env::split_paths(&path).chain(installed.map(|version| version.path().join("bin")));
    let found = places.find(|place| place.join("initdb").is_file() && place.join("postgres").is_file());
    let found = found.expect("PostgreSQL is not on PATH: run these tests by `cargo xtask test`");
    if !is_root() || found.starts_with("/usr") {
        return found;
    }
    // PostgreSQL refuses to be root, and who it is then may not look into root's cache.
    let copy = folder.join("programs");
    let mut copied = Command::new("cp");
    copied
        .args(["-a", "--reflink=auto"])
        .arg(found.parent().unwrap())
        .arg(&copy);
    assert!(copied.status().unwrap().success());
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    copy.join("bin")
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|data| std::os::unix::fs::MetadataExt::uid(&data) == 0)
}

/// A program that ends with the tests, however they end, and is not root. It is killed when the thread ends
/// that started it, so that thread is one that does not.
fn as_somebody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    }
    command.arg("--").arg(program);
    command
}

/// A shell that outlives this program, ends the server and removes its folder.
#[allow(clippy::zombie_processes, reason = "it outlives this program")]
fn clean_up_after(folder: &Path) {
    let script = "cat; kill -INT $(head -n 1 \"$0/data/postmaster.pid\"); \
                  for i in 1 2 3 4 5 6 7 8 9; do [ -e \"$0/data/postmaster.pid\" ] || break; sleep 0.3; done; rm -rf \"$0\"";
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).arg(folder);
    let child = shell
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Its stdin ends when this program does.
    std::mem::forget(child.stdin);
}
