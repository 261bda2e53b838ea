//! Readiness as the kernel tells it: one epoll instance for each sandbox, itself one source of tokio.
//!
//! The edges of all sockets of the sandbox meet in its epoll instance. tokio watches only that, so a
//! socket costs tokio nothing, and the driver takes what has happened in one system call, whatever the
//! number of sockets.

use super::imports::Readiness;
use super::table::Handle;
use crate::fibers::Fibers;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// So many events are taken at once; then others have their turn.
const BATCH: usize = 256;

const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// poll(2) and epoll(7) have the same bits.
const BITS: [(Readiness, PollFlags); 6] = [
    (Readiness::READABLE, PollFlags::IN),
    (Readiness::WRITABLE, PollFlags::OUT),
    (Readiness::ERROR, PollFlags::ERR),
    (Readiness::HANGUP, PollFlags::HUP),
    (Readiness::READ_HANGUP, PollFlags::RDHUP),
    (Readiness::URGENT, PollFlags::PRI),
];

fn readiness(bits: PollFlags) -> Readiness {
    let set = BITS.iter().filter(|(_, bit)| bits.contains(*bit));
    set.fold(Readiness::empty(), |all, (one, _)| all | *one)
}

fn poll_flags(readiness: Readiness) -> PollFlags {
    let set = BITS.iter().filter(|(one, _)| readiness.contains(*one));
    set.fold(PollFlags::empty(), |all, (_, bit)| all | *bit)
}

/// What a descriptor is ready for, by poll(2).
pub(super) fn ready_now(fd: impl AsFd) -> Readiness {
    let mut fds = [PollFd::new(&fd, poll_flags(Readiness::all()))];
    match poll(&mut fds, Some(&NOW)) {
        Ok(_) => readiness(fds[0].revents()),
        Err(_) => Readiness::ERROR,
    }
}

pub(super) struct Reactor {
    epoll: AsyncFd<OwnedFd>,
    news: Arc<News>,
    waker: Waker,
}

/// tokio's word that the epoll instance has something to tell.
struct News {
    pending: AtomicBool,
    fibers: Arc<Fibers>,
}

impl Wake for News {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.pending.store(true, Ordering::Release);
        self.fibers.wake_driver();
    }
}

impl Reactor {
    /// # Panics
    /// Outside of a tokio runtime with its I/O driver.
    pub(super) fn new(fibers: Arc<Fibers>) -> io::Result<Reactor> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let news = Arc::new(News {
            // The first turn registers the waker.
            pending: AtomicBool::new(true),
            fibers,
        });
        // SAFETY: an `OwnedFd` stays the same open descriptor for as long as the `AsyncFd` owns it.
        let epoll = unsafe { AsyncFd::register_with_interest(epoll, Interest::READABLE)? };
        Ok(Reactor {
            epoll,
            waker: Waker::from(news.clone()),
            news,
        })
    }

    /// Tells of `interest` from now on, and of what is ready already.
    pub(super) fn arm(
        &self,
        fd: impl AsFd,
        handle: Handle,
        first: bool,
        interest: Readiness,
    ) -> io::Result<()> {
        let flags = EventFlags::from_bits_retain(poll_flags(interest).bits().into()) | EventFlags::ET;
        let data = EventData::new_u64(handle.into());
        match first {
            true => epoll::add(self.epoll.get_ref(), fd, data, flags)?,
            false => epoll::modify(self.epoll.get_ref(), fd, data, flags)?,
        }
        Ok(())
    }

    /// Whether [`Reactor::turn`] has something to do. One load: it is asked at every poll of the driver.
    pub(super) fn has_news(&self) -> bool {
        self.news.pending.load(Ordering::Acquire)
    }

    /// Takes what has happened since the last turn and waits for more.
    pub(super) fn turn(&self, event: impl FnMut(Handle, Readiness)) {
        self.news.pending.store(false, Ordering::Release);
        let mut context = Context::from_waker(&self.waker);
        // An error is a runtime that shuts down.
        let Poll::Ready(Ok(mut guard)) = self.epoll.poll_read_ready(&mut context) else {
            return;
        };
        if self.take(event) < BATCH {
            guard.clear_ready();
        }
        drop(guard);
        // Registers the waker, which rings at once if there is more.
        if self.epoll.poll_read_ready(&mut context).is_ready() {
            self.waker.wake_by_ref();
        }
    }

    /// Takes at most a batch of events; gives their number.
    pub(super) fn take(&self, mut event: impl FnMut(Handle, Readiness)) -> usize {
        let mut events = [Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        }; BATCH];
        // An error is an interrupt; the events stay.
        let count = epoll::wait(self.epoll.get_ref(), &mut events, Some(&NOW)).unwrap_or(0);
        for Event { flags, data } in events.into_iter().take(count) {
            let flags = PollFlags::from_bits_truncate(flags.bits() as u16);
            event(data.u64() as Handle, readiness(flags));
        }
        count
    }
}
