//! Who waits for what: fibers that are subscribed to handles, and pollers that watch sockets.
//!
//! A subscription ends with the fiber's next park. Nothing is done then: the fiber's next subscription
//! removes what is left of its earlier ones, and the scheduler knows stale news.

use super::imports::Readiness;
use super::reactor::ready_now;
use super::table::{Entry, Handle, Socket};
use super::{Inner, Net};
use crate::errno::{self, Errno};
use crate::scheduler::FiberId;
use std::collections::{BTreeMap, BTreeSet};

/// Subscriptions of one sandbox at most; fibers beyond are woken by whatever happens next.
pub(super) const SUBSCRIPTIONS: usize = 1 << 20;
/// Pairs of poller and socket at most.
const WATCHES: usize = 1 << 18;
/// What one call of `events` gives at most.
const EVENTS: u32 = 1024;

/// Fibers that wait for one handle.
#[derive(Default)]
pub(super) struct Waiters(Vec<(FiberId, Readiness)>);

impl Waiters {
    /// Takes those that wait for one of `bits`.
    pub(super) fn take(&mut self, bits: Readiness) -> impl Iterator<Item = FiberId> {
        let woken = self
            .0
            .extract_if(.., move |(_, interest)| matches(*interest, bits));
        woken.map(|(fiber, _)| fiber)
    }
}

/// An error or the end of a connection is for everybody.
fn matches(interest: Readiness, bits: Readiness) -> bool {
    bits.intersects(interest | Readiness::ERROR | Readiness::HANGUP)
}

/// Gives back what a list of other times has taken.
fn trim<T>(list: &mut Vec<T>) {
    if list.capacity() > 8 && list.len() < list.capacity() / 4 {
        list.shrink_to(2 * list.len());
    }
}

/// Sockets that are watched, and those of them that are to be told of.
#[derive(Default)]
pub(super) struct Poller {
    watches: BTreeMap<Handle, Watch>,
    /// The sockets to tell of, first come first. A socket is here iff its watch is `queued`.
    queue: BTreeMap<u64, Handle>,
    /// The next number in the queue.
    next: u64,
    waiters: Waiters,
}

struct Watch {
    interest: Readiness,
    /// It goes on after it was told of.
    edge: bool,
    queued: Option<u64>,
}

impl Poller {
    fn enqueue(&mut self, socket: Handle) {
        if let Some(watch) = self.watches.get_mut(&socket)
            && watch.queued.is_none()
        {
            watch.queued = Some(self.next);
            self.queue.insert(self.next, socket);
            self.next += 1;
        }
    }

    fn forget(&mut self, socket: Handle) -> bool {
        let watch = self.watches.remove(&socket);
        if let Some(Watch {
            queued: Some(place), ..
        }) = watch
        {
            self.queue.remove(&place);
        }
        watch.is_some()
    }
}

/// The subscriptions of one sandbox's fibers.
#[derive(Default)]
pub(super) struct Subscriptions {
    /// Index: fiber.
    fibers: Vec<Subscribed>,
    /// Handles in all of `fibers`, which is as many as waiters in all entries, or more.
    total: usize,
    /// Fibers for which there was no room.
    crowd: BTreeSet<FiberId>,
}

#[derive(Default)]
struct Subscribed {
    /// The number of the fiber's blocks when it subscribed to `handles`.
    block: u32,
    handles: Vec<Handle>,
}

impl Net {
    pub(crate) fn ready(&self, handle: Handle) -> Readiness {
        match self.lock().table.get(handle) {
            Some(Entry::Socket(socket)) => ready_now(&socket.fd),
            Some(entry) => is_ready_for(entry, Readiness::all(), false),
            None => Readiness::ERROR,
        }
    }

    /// True if there is nothing to wait for.
    pub(crate) fn subscribe(&self, handle: Handle, interest: Readiness) -> bool {
        let mut inner = self.lock();
        let Some(entry) = inner.table.get(handle) else {
            return true;
        };
        if is_ready_for(entry, interest, true) != Readiness::empty() {
            return true;
        }
        if let Entry::Socket(socket) = entry
            && !self.arm(socket, handle, interest)
        {
            // Nothing ever happens to a socket of a closed network; without a subscription, waiting for
            // it is a deadlock.
            return self.network.is_open();
        }
        let Some((fiber, block)) = self.fibers.subscribe() else {
            return true;
        };
        inner.subscribe(fiber, block, handle, interest);
        false
    }

    pub(crate) fn poller(&self) -> Result<Handle, Errno> {
        self.lock().table.insert(Entry::Poller(Poller::default()))
    }

    pub(crate) fn watch(
        &self,
        poller: Handle,
        socket: Handle,
        interest: Readiness,
        edge: bool,
    ) -> Result<(), Errno> {
        let mut inner = self.lock();
        inner.table.socket(socket).ok_or(errno::BADF)?;
        inner.table.poller(poller).ok_or(errno::BADF)?;
        inner.unwatch(poller, socket);
        if interest == Readiness::empty() {
            return Ok(());
        }
        if inner.watches >= WATCHES {
            return Err(errno::NOSPC);
        }
        let entry = inner.table.socket(socket).ok_or(errno::BADF)?;
        // Nothing ever happens to a socket of a closed network, and so nothing is armed.
        if !self.arm(entry, socket, interest) && self.network.is_open() {
            return Err(errno::NOSPC);
        }
        entry.pollers.push(poller);
        let ready = entry.is_ready(interest, true) != Readiness::empty();
        let watch = Watch {
            interest,
            edge,
            queued: None,
        };
        let entry = inner.table.poller(poller).ok_or(errno::BADF)?;
        entry.watches.insert(socket, watch);
        if ready {
            entry.enqueue(socket);
            self.notify(entry.waiters.take(Readiness::READABLE));
        }
        inner.watches += 1;
        Ok(())
    }

    pub(crate) fn events(&self, poller: Handle, max: u32) -> Vec<(Handle, Readiness)> {
        let mut inner = self.lock();
        // What was to be told of at the time of its watch is in the kernel's list once more, and what
        // the guest has just done to itself (a connection, a datagram) is nowhere else yet.
        self.take(&mut inner);
        let mut told = Vec::new();
        let mut turns = inner.table.poller(poller).map_or(0, |poller| poller.queue.len());
        while turns > 0 && told.len() < max.min(EVENTS) as usize {
            turns -= 1;
            let Some((handle, interest, edge)) = inner.table.poller(poller).and_then(Poller::dequeue) else {
                break;
            };
            let Some(socket) = inner.table.socket(handle) else {
                continue;
            };
            // Somebody else may have taken what there was; then it goes on being watched.
            let bits = socket.is_ready(interest, false);
            if bits != Readiness::empty() {
                if !edge {
                    inner.unwatch(poller, handle);
                }
                told.push((handle, bits));
            }
        }
        told
    }

    /// Has the reactor tell of `interest`. False if it cannot.
    fn arm(&self, socket: &mut Socket, handle: Handle, interest: Readiness) -> bool {
        // The end of the other side is news for readers, and takes no second call then.
        let readable = interest.contains(Readiness::READABLE);
        let interest = interest
            | if readable {
                Readiness::READ_HANGUP
            } else {
                Readiness::empty()
            };
        // What is told of anyway marks a socket that the reactor knows.
        let all = socket.armed | interest | Readiness::ERROR | Readiness::HANGUP;
        if all == socket.armed {
            return true;
        }
        let first = socket.armed == Readiness::empty();
        let armed = self
            .reactor
            .get()
            .is_some_and(|reactor| reactor.arm(&socket.fd, handle, first, all).is_ok());
        if armed {
            socket.armed = all;
        }
        armed
    }

    /// The reactor tells of a socket.
    pub(super) fn event(&self, inner: &mut Inner, handle: Handle, bits: Readiness) {
        let Some(socket) = inner.table.socket(handle) else {
            return;
        };
        socket.blocked = Readiness::empty();
        socket.fresh = Some(bits);
        self.notify(socket.waiters.take(bits));
        trim(&mut socket.waiters.0);
        let pollers = std::mem::take(&mut socket.pollers);
        for &poller in &pollers {
            let Some(poller) = inner.table.poller(poller) else {
                continue;
            };
            if poller
                .watches
                .get(&handle)
                .is_some_and(|watch| matches(watch.interest, bits))
            {
                poller.enqueue(handle);
                self.notify(poller.waiters.take(Readiness::READABLE));
            }
        }
        if let Some(socket) = inner.table.socket(handle) {
            socket.pollers = pollers;
        }
        self.notify(std::mem::take(&mut inner.subscriptions.crowd).into_iter());
    }

    pub(super) fn notify(&self, woken: impl Iterator<Item = FiberId>) {
        for fiber in woken {
            self.fibers.notify(fiber);
        }
    }

    /// Ends all that has to do with an entry that is no more.
    pub(super) fn forget(&self, inner: &mut Inner, handle: Handle, entry: Entry) {
        let mut waiters = match entry {
            Entry::Socket(socket) => {
                for poller in socket.pollers {
                    let watched = inner
                        .table
                        .poller(poller)
                        .is_some_and(|poller| poller.forget(handle));
                    inner.watches -= usize::from(watched);
                }
                socket.waiters
            }
            Entry::Poller(poller) => {
                inner.watches -= poller.watches.len();
                for socket in poller.watches.keys() {
                    if let Some(socket) = inner.table.socket(*socket) {
                        socket.pollers.retain(|watching| *watching != handle);
                        trim(&mut socket.pollers);
                    }
                }
                poller.waiters
            }
            Entry::LookUp(look_up) => look_up.waiters,
        };
        self.notify(waiters.take(Readiness::all()));
        self.notify(std::mem::take(&mut inner.subscriptions.crowd).into_iter());
    }
}

impl Poller {
    /// The next socket to tell of, which stays watched, for what, and whether by edges.
    fn dequeue(&mut self) -> Option<(Handle, Readiness, bool)> {
        let (_, socket) = self.queue.pop_first()?;
        let watch = self.watches.get_mut(&socket)?;
        watch.queued = None;
        Some((socket, watch.interest, watch.edge))
    }
}

impl Inner {
    /// How many there are.
    #[cfg(test)]
    pub(super) fn subscriptions(&self) -> usize {
        self.subscriptions.total
    }

    fn subscribe(&mut self, fiber: FiberId, block: u32, handle: Handle, interest: Readiness) {
        let subscriptions = &mut self.subscriptions;
        let index = fiber.0 as usize;
        if subscriptions.fibers.len() <= index {
            subscriptions.fibers.resize_with(index + 1, Subscribed::default);
        }
        let own = &mut subscriptions.fibers[index];
        if own.block != block {
            own.block = block;
            subscriptions.total -= own.handles.len();
            for old in own.handles.drain(..) {
                let waiters = match self.table.get(old) {
                    Some(Entry::Socket(socket)) => &mut socket.waiters.0,
                    Some(Entry::LookUp(look_up)) => &mut look_up.waiters.0,
                    Some(Entry::Poller(poller)) => &mut poller.waiters.0,
                    None => continue,
                };
                waiters.retain(|(waiting, _)| *waiting != fiber);
                trim(waiters);
            }
            trim(&mut own.handles);
        }
        if subscriptions.total >= SUBSCRIPTIONS {
            subscriptions.crowd.insert(fiber);
            return;
        }
        subscriptions.total += 1;
        own.handles.push(handle);
        let (waiters, interest) = match self.table.get(handle) {
            Some(Entry::Socket(socket)) => (&mut socket.waiters, interest),
            Some(Entry::LookUp(look_up)) => (&mut look_up.waiters, Readiness::READABLE),
            Some(Entry::Poller(poller)) => (&mut poller.waiters, Readiness::READABLE),
            None => return,
        };
        waiters.0.push((fiber, interest));
    }

    fn unwatch(&mut self, poller: Handle, socket: Handle) {
        if self
            .table
            .poller(poller)
            .is_some_and(|poller| poller.forget(socket))
        {
            self.watches -= 1;
            if let Some(socket) = self.table.socket(socket) {
                socket.pollers.retain(|watching| *watching != poller);
                trim(&mut socket.pollers);
            }
        }
    }
}

/// What of `interest` the entry is ready for, or an error or hang-up. With `lazily`, a socket that would
/// block the last time is not ready until the reactor has told of it.
fn is_ready_for(entry: &mut Entry, interest: Readiness, lazily: bool) -> Readiness {
    let readable = match entry {
        Entry::Socket(socket) => return socket.is_ready(interest, lazily),
        Entry::LookUp(look_up) => look_up.is_done(),
        Entry::Poller(poller) => !poller.queue.is_empty(),
    };
    if readable {
        Readiness::READABLE
    } else {
        Readiness::empty()
    }
}

impl Socket {
    fn is_ready(&mut self, interest: Readiness, lazily: bool) -> Readiness {
        if lazily && self.blocked.contains(interest) {
            return Readiness::empty();
        }
        let bits = match self.fresh {
            Some(bits) if !lazily && self.armed.contains(interest) && matches(interest, bits) => bits,
            _ => ready_now(&self.fd),
        };
        self.fresh = Some(bits);
        bits & (interest | Readiness::ERROR | Readiness::HANGUP)
    }
}
