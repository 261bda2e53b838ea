//! A running sandbox, reached from outside of its run.

use crate::fibers::Fibers;
use crate::limits::Account;
use crate::net::Net;
use crate::outcome::Usage;
use std::sync::Arc;
use std::time::Duration;

/// Reaches a running sandbox from any thread. After its end, interrupts and kills do nothing.
#[derive(Clone)]
pub struct Handle {
    pub(crate) fibers: Arc<Fibers>,
    pub(crate) account: Arc<Account>,
    pub(crate) net: Arc<Net>,
}

impl Handle {
    /// `KeyboardInterrupt` in the main thread, as Ctrl-C does it.
    pub fn interrupt(&self) {
        self.fibers.interrupt();
    }

    /// Ends the run, whatever it does, as [`Outcome::Killed`](crate::Outcome::Killed).
    pub fn kill(&self) {
        self.fibers.kill();
    }

    /// What the run has used so far; its CPU time as of some ms ago at most, its wall time until now even
    /// when it is over.
    pub fn usage(&self) -> Usage {
        let net = self.net.usage();
        Usage {
            cpu_time: Duration::from_nanos(self.fibers.cpu_nanos_at_rest()),
            wall_time: Duration::from_nanos(self.fibers.now()),
            peak_memory: self.account.peak() as u64,
            threads: self.account.threads(),
            switches: self.fibers.switches(),
            input: self.account.input(),
            output: self.account.output(),
            written: self.account.written(),
            peak_sockets: net.peak_sockets,
            received: net.received,
            sent: net.sent,
        }
    }
}
