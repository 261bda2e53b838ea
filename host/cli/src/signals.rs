//! Ctrl-C and the signals that end the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use vtwasm::Handle;

/// In a REPL, Ctrl-C is an everyday key: only two in so short a time end the run.
const IMPATIENCE: Duration = Duration::from_secs(1);
/// How long a killed run may take to end before the process ends without it.
const GRACE: Duration = Duration::from_secs(5);

/// The exit code that a signal asked for, once one has ended the run.
#[derive(Clone, Default)]
pub struct Ended(Arc<AtomicU8>);

impl Ended {
    /// 128 + the signal's number.
    pub fn by_signal(&self) -> Option<u8> {
        Some(self.0.load(Ordering::SeqCst)).filter(|code| *code != 0)
    }
}

/// Listens on a thread of its own from now on, so that a busy run cannot hold a signal back.
pub fn listen(handle: Handle, interactive: bool) -> Result<Ended> {
    let ended = Ended::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let signals = runtime
        .block_on(async { Signals::new() })
        .context("listening for signals")?;
    let listener = Listener {
        handle,
        interactive,
        ended: ended.clone(),
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || runtime.block_on(listener.serve(signals)))
        .context("starting the thread that listens for signals")?;
    Ok(ended)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Must be called inside a runtime.
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

struct Listener {
    handle: Handle,
    interactive: bool,
    ended: Ended,
}

impl Listener {
    async fn serve(self, mut signals: Signals) {
        let mut last_interrupt: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return self.end(15),
                _ = signals.hangup.recv() => return self.end(1),
                _ = signals.interrupt.recv() => {}
            }
            let patience = if self.interactive {
                IMPATIENCE
            } else {
                Duration::MAX
            };
            if last_interrupt.is_some_and(|last| last.elapsed() < patience) {
                return self.end(2);
            }
            last_interrupt = Some(Instant::now());
            self.handle.interrupt();
        }
    }

    /// Kills the run. The main thread sees that and leaves with the code that is set here.
    fn end(&self, signal: u8) {
        self.ended.0.store(128 + signal, Ordering::SeqCst);
        self.handle.kill();
        thread::sleep(GRACE);
        std::process::exit(i32::from(128 + signal));
    }
}
