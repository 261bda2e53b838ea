//! Sockets: `sockets` of `wit/world.wit`, and who may use them for what.
//!
//! Each is a non-blocking socket of the kernel. Nothing is buffered here: bytes go between the kernel
//! and the guest's memory in the call that asks for them, so that a connection which waits costs one
//! descriptor and a few words.
//!
//! # Layout
//! - [`policy`]: [`Network`], what a sandbox may do; [`rules`] and [`ranges`] as it reads them;
//! - [`imports`]: the functions that the guest calls; [`sockets`]: what they do to a socket, with its
//!   [`options`];
//! - [`table`]: handles; [`waiting`]: fibers and pollers that wait for them;
//! - [`reactor`]: how the kernel tells what happened; [`look_up`]: names.

pub(crate) mod imports;
mod look_up;
mod options;
mod policy;
mod ranges;
mod reactor;
mod rules;
mod sockets;
mod table;
mod waiting;

#[cfg(test)]
mod tests;

pub use policy::Network;

use crate::errno::{self, Errno};
use crate::fibers::Fibers;
use look_up::LookUps;
pub(crate) use look_up::Threads;
use policy::Answers;
use reactor::Reactor;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use table::Table;
use waiting::Subscriptions;

/// The sockets of one sandbox.
pub(crate) struct Net {
    network: Network,
    fibers: Arc<Fibers>,
    threads: Arc<Threads>,
    /// Once the run has begun. A closed network has none.
    reactor: OnceLock<Reactor>,
    /// Since the last tick there was a turn, so that the tick has nothing to add.
    turned: AtomicBool,
    inner: Mutex<Inner>,
}

struct Inner {
    table: Table,
    subscriptions: Subscriptions,
    /// Pairs of poller and socket.
    watches: usize,
    look_ups: LookUps,
    answers: Answers,
    /// Why the last refused call was refused.
    refusal: String,
    received: u64,
    sent: u64,
}

/// What a sandbox has used of the network.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NetUsage {
    pub(crate) peak_sockets: u64,
    /// More were wanted than there may be.
    pub(crate) refused: bool,
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

impl Net {
    pub(crate) fn new(network: Network, limit: u32, fibers: Arc<Fibers>, threads: Arc<Threads>) -> Arc<Net> {
        Arc::new(Net {
            network,
            fibers,
            threads,
            reactor: OnceLock::new(),
            turned: AtomicBool::new(false),
            inner: Mutex::new(Inner {
                table: Table::new(limit as usize),
                subscriptions: Subscriptions::default(),
                watches: 0,
                look_ups: LookUps::default(),
                answers: Answers::default(),
                refusal: String::new(),
                received: 0,
                sent: 0,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no code panics with the lock")
    }

    /// The run begins, on the runtime that will poll it. Nothing to do for a closed network, since
    /// nothing ever happens to its sockets.
    ///
    /// # Panics
    /// If the network is open and tokio's I/O driver is off.
    pub(crate) fn start(&self) -> io::Result<()> {
        if self.network.is_open() && self.reactor.get().is_none() {
            // It is started once, by the run.
            let _ = self.reactor.set(Reactor::new(self.fibers.clone())?);
        }
        Ok(())
    }

    /// At each poll of the driver: takes what has happened, if tokio says that something has.
    pub(crate) fn turn(&self) {
        if let Some(reactor) = self.reactor.get()
            && reactor.has_news()
        {
            let mut inner = self.lock();
            self.turned.store(true, Ordering::Relaxed);
            reactor.turn(|handle, bits| self.event(&mut inner, handle, bits));
        }
    }

    /// At a tick of a guest that computes: takes what has happened, for tokio has no turn meanwhile.
    pub(crate) fn tick(&self) {
        if !self.turned.swap(false, Ordering::Relaxed) {
            self.take(&mut self.lock());
        }
    }

    /// Takes what the kernel knows by now.
    fn take(&self, inner: &mut Inner) {
        if let Some(reactor) = self.reactor.get()
            && inner.table.len() > 0
        {
            reactor.take(|handle, bits| self.event(inner, handle, bits));
        }
    }

    /// The run is over: closes everything.
    pub(crate) fn close_all(&self) {
        self.lock().table.clear();
    }

    pub(crate) fn usage(&self) -> NetUsage {
        let inner = self.lock();
        NetUsage {
            peak_sockets: inner.table.peak() as u64,
            refused: inner.table.refused(),
            received: inner.received,
            sent: inner.sent,
        }
    }

    /// Why the last call was refused, once.
    pub(crate) fn refusal(&self) -> String {
        std::mem::take(&mut self.lock().refusal)
    }
}

impl Inner {
    /// Keeps the reason of a refusal for the guest.
    fn permit(&mut self, allowed: Result<(), String>) -> Result<(), Errno> {
        allowed.map_err(|refusal| {
            self.refusal = refusal;
            errno::NOTCAPABLE
        })
    }
}
