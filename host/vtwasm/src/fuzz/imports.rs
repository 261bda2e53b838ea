//! The host's functions, called by a guest that has lost its mind ([`guest`](super::guest)): any calls in
//! any order, on any fibers, with any arguments. It may come to any end, but takes nothing with it.

use super::guest;
use crate::calls::{Arguments, HostError};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::memory::{Image, memory_file};
use crate::net::Network;
use crate::outcome::{Outcome, Report};
use crate::python::Python;
use crate::sandbox::{Builder, Sandbox};
use crate::stdio::{Input, Output};
use crate::value::Value;
use std::future::pending;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// A run ends by itself after so long.
const WALL_TIME: Duration = Duration::from_millis(20);
/// Whatever the machine does beside, it has ended by then.
const PATIENCE: Duration = Duration::from_secs(30);
const ROOM: u64 = 16 << 20;

static PYTHON: LazyLock<Python> = LazyLock::new(|| {
    let zeros = memory_file(&vec![0; guest::MEMORY]).and_then(Image::new).unwrap();
    let component = wat::parse_str(guest::component()).unwrap_or_else(|error| panic!("{error}"));
    Python::in_its_place(&Engine::for_short_runs().unwrap(), &component, zeros)
});

thread_local! {
    static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
}

#[test]
fn any_calls_on_any_fibers_end_their_own_run_only_and_leave_nothing() {
    super::short_run("imports", 2_000, target);
}

#[test]
fn a_secret_of_one_run_is_never_seen_by_the_next() {
    // Words all over the control block, two pages more, and a list wherever it lands.
    let mut tape = vec![0, 3, 4, 3, 4, 8, 0, 0xff, 0xf0, 0, 0, 2, 0];
    (0..64).for_each(|word| tape.extend([1, word, 0xf0, 0x53, 0x45, 0x43, 0x52]));
    for how in [0, 1 << 6] {
        tape[0] = how;
        // The guest looks at all of its memory before anything else, and at what it grows by.
        (0..20).for_each(|_| target(&tape));
    }
}

/// The first byte says what the run may do; the rest is the guest's stdin, which begins with its tape.
pub(super) fn target(bytes: &[u8]) {
    let (&how, stdin) = bytes.split_first().unwrap_or((&0, &[]));
    let is = |bit: u32| how >> bit & 1 == 1;
    let mut builder = Sandbox::builder(&PYTHON);
    let limits = Limits {
        wall_time: Some(WALL_TIME),
        output: is(1).then_some(100),
        threads: if is(2) { 2 } else { 30 },
        sockets: if is(3) { 3 } else { 30 },
        memory: if is(4) {
            guest::MEMORY as u64 + 70_000
        } else {
            ROOM
        },
        ..Limits::default()
    };
    builder
        .stdin(Input::Bytes(stdin.to_vec()))
        .stdout(Output::Capture)
        .limits(limits);
    if is(5) {
        builder.stderr(Output::Writer(Box::new(std::io::sink())));
    }
    if is(0) {
        builder.network(network());
    }
    add_functions(&mut builder);
    let image = is(6);
    let sandbox = if image {
        builder.build_for_image()
    } else {
        builder.build()
    };
    let sandbox = sandbox.expect("nothing is missing");
    if is(7) {
        sandbox.handle().interrupt();
    }
    RUNTIME.with(|runtime| runtime.block_on(run(sandbox, image)));
    #[cfg(fuzzing)]
    nothing_piles_up();
}

/// Descriptors and threads of the process, which has nothing else to do.
#[cfg(fuzzing)]
fn nothing_piles_up() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    if RUNS.fetch_add(1, Ordering::Relaxed) % 1000 == 0 {
        let begun = Instant::now();
        let count = |folder| std::fs::read_dir(folder).unwrap().count();
        // A thread that is over may take its time to end.
        while count("/proc/self/fd") + count("/proc/self/task") > 100 {
            assert!(begun.elapsed() < PATIENCE, "descriptors or threads are left");
            std::thread::yield_now();
        }
    }
}

async fn run(sandbox: Sandbox, image: bool) {
    let traces = sandbox.traces();
    let ended = async {
        match image {
            false => sandbox.run().await,
            true => match sandbox.image().await? {
                Ok(memory) => {
                    assert!(memory.len() as u64 <= ROOM);
                    return Ok(None);
                }
                Err(report) => Ok(report),
            },
        }
        .map(Some)
    };
    let ended = tokio::time::timeout(PATIENCE, ended).await.expect("a run ends");
    check(ended);
    let begun = Instant::now();
    while !traces.are_gone() || tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
        assert!(begun.elapsed() < PATIENCE, "something of the run is left");
        tokio::task::yield_now().await;
    }
}

fn check(ended: Result<Option<Report>>) {
    match ended {
        Ok(Some(report)) => {
            let Report { outcome, stdout, .. } = report;
            assert_ne!(
                outcome,
                Outcome::Exited(guest::NOT_NEW),
                "an earlier run left something"
            );
            assert!(stdout.len() as u64 <= ROOM);
        }
        // Its control block is one of another host.
        Ok(None) | Err(Error::BadArtifact { .. }) => {}
        Err(error) => panic!("the host failed: {error}: {error:?}"),
    }
}

/// Where nobody else listens, and where no name is asked for outside.
fn network() -> Network {
    let mut network = Network::closed();
    network
        .allow("127.77.0.0/16")
        .unwrap()
        .listen("127.77.0.0/16")
        .unwrap();
    network.look_up_with(|_| Ok(vec![[127, 77, 0, 1].into()]));
    network
}

fn add_functions(builder: &mut Builder) {
    async fn same(arguments: Arguments) -> Result<Value, HostError> {
        Ok(Value::Tuple(arguments.positional))
    }
    async fn never(_: Arguments) -> Result<Value, HostError> {
        pending().await
    }
    async fn slow(_: Arguments) -> Result<Value, HostError> {
        tokio::time::sleep(Duration::from_micros(300)).await;
        Ok(Value::Other("nothing that could be sent".into()))
    }
    async fn panics(_: Arguments) -> Result<Value, HostError> {
        // Without a message.
        std::panic::resume_unwind(Box::new(()))
    }
    builder
        .host_function("host", "same", same)
        .and_then(|builder| builder.host_function("host", "never", never))
        .and_then(|builder| builder.host_function("host", "slow", slow))
        .and_then(|builder| builder.host_function("host", "panics", panics))
        .expect("these are names");
}
