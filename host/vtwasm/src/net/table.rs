//! The handles of one sandbox and what they stand for.

use super::imports::{Family, Kind, Readiness};
use super::look_up::LookUp;
use super::waiting::{Poller, Waiters};
use crate::errno::{self, Errno};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// A socket, a look-up or a poller, as the guest knows it: the number of a slot in the low bits, and
/// how often that slot was used in the others, so that an old handle is not taken for a new one soon.
pub(super) type Handle = u32;

const INDEX_BITS: u32 = 20;
const GENERATIONS: u32 = 1 << (32 - INDEX_BITS);

/// The most handles that there can be.
pub(super) const MOST: usize = 1 << INDEX_BITS;

pub(super) enum Entry {
    Socket(Socket),
    LookUp(LookUp),
    Poller(Poller),
}

pub(super) struct Socket {
    pub(super) fd: OwnedFd,
    pub(super) family: Family,
    pub(super) kind: Kind,
    /// What it was bound to on the guest's own wish, its port 0 if the kernel was to choose.
    pub(super) bound: Option<SocketAddr>,
    /// `SO_LINGER` as the guest sees it. The kernel knows only of 0: with more, `close` would wait.
    pub(super) linger: i64,
    /// What the reactor tells of.
    pub(super) armed: Readiness,
    /// A call said that it would block, and the reactor has told of nothing since.
    pub(super) blocked: Readiness,
    /// What the kernel said last, if nothing was done with the socket since.
    pub(super) fresh: Option<Readiness>,
    pub(super) waiters: Waiters,
    /// Those that watch it, each once.
    pub(super) pollers: Vec<Handle>,
}

impl Socket {
    pub(super) fn new(fd: OwnedFd, family: Family, kind: Kind) -> Socket {
        Socket {
            fd,
            family,
            kind,
            bound: None,
            linger: -1,
            armed: Readiness::empty(),
            blocked: Readiness::empty(),
            fresh: None,
            waiters: Waiters::default(),
            pollers: Vec::new(),
        }
    }
}

pub(super) struct Table {
    slots: Vec<Slot>,
    /// Slots without an entry.
    free: Vec<u32>,
    limit: usize,
    peak: usize,
    /// It was full once.
    refused: bool,
}

struct Slot {
    /// From 1, so that no handle is 0.
    generation: u32,
    entry: Option<Entry>,
}

impl Table {
    pub(super) fn new(limit: usize) -> Table {
        Table {
            slots: Vec::new(),
            free: Vec::new(),
            limit: limit.min(MOST),
            peak: 0,
            refused: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The most entries that there were at once.
    pub(super) fn peak(&self) -> usize {
        self.peak
    }

    /// Whether there was no room for one more, ever.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }

    /// EMFILE if there is no room for one more.
    pub(super) fn check_room(&mut self) -> Result<(), Errno> {
        if self.len() < self.limit {
            Ok(())
        } else {
            self.refused = true;
            Err(errno::MFILE)
        }
    }

    pub(super) fn insert(&mut self, entry: Entry) -> Result<Handle, Errno> {
        self.check_room()?;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 1,
                entry: None,
            });
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        slot.entry = Some(entry);
        let handle = slot.generation << INDEX_BITS | index;
        self.peak = self.peak.max(self.len());
        Ok(handle)
    }

    pub(super) fn remove(&mut self, handle: Handle) -> Option<Entry> {
        let slot = self.slot(handle)?;
        let entry = slot.entry.take()?;
        slot.generation = slot.generation % (GENERATIONS - 1) + 1;
        self.free.push(handle & (MOST as u32 - 1));
        Some(entry)
    }

    pub(super) fn get(&mut self, handle: Handle) -> Option<&mut Entry> {
        self.slot(handle)?.entry.as_mut()
    }

    pub(super) fn socket(&mut self, handle: Handle) -> Option<&mut Socket> {
        match self.get(handle)? {
            Entry::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    pub(super) fn poller(&mut self, handle: Handle) -> Option<&mut Poller> {
        match self.get(handle)? {
            Entry::Poller(poller) => Some(poller),
            _ => None,
        }
    }

    pub(super) fn look_up(&mut self, handle: Handle) -> Option<&mut LookUp> {
        match self.get(handle)? {
            Entry::LookUp(look_up) => Some(look_up),
            _ => None,
        }
    }

    /// All that are open.
    #[cfg(test)]
    pub(super) fn handles(&self) -> Vec<Handle> {
        let handle = |(index, slot): (usize, &Slot)| {
            let handle = slot.generation << INDEX_BITS | index as u32;
            slot.entry.is_some().then_some(handle)
        };
        self.slots.iter().enumerate().filter_map(handle).collect()
    }

    /// Closes all of them.
    pub(super) fn clear(&mut self) {
        self.slots = Vec::new();
        self.free = Vec::new();
    }

    fn slot(&mut self, handle: Handle) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(handle as usize & (MOST - 1))?;
        (slot.generation == handle >> INDEX_BITS).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn entry() -> Entry {
        Entry::Poller(Poller::default())
    }

    proptest! {
        #[test]
        fn a_handle_is_good_from_its_making_to_its_end(steps in proptest::collection::vec((any::<bool>(), 0..20_usize), 1..300)) {
            let mut table = Table::new(10);
            let (mut live, mut dead) = (Vec::new(), HashSet::new());
            for (opens, which) in steps {
                if opens {
                    match table.insert(entry()) {
                        Ok(handle) => {
                            prop_assert!(handle != 0 && !live.contains(&handle));
                            dead.remove(&handle);
                            live.push(handle);
                        }
                        Err(errno) => prop_assert!(errno == errno::MFILE && live.len() == 10),
                    }
                } else if which < live.len() {
                    let handle = live.swap_remove(which);
                    prop_assert!(table.remove(handle).is_some() && table.remove(handle).is_none());
                    dead.insert(handle);
                }
                prop_assert_eq!(table.len(), live.len());
                prop_assert!(live.iter().all(|&handle| table.get(handle).is_some()));
                prop_assert!(dead.iter().all(|&handle| table.get(handle).is_none()));
            }
        }

        #[test]
        fn rubbish_is_no_handle(handle: u32) {
            let mut table = Table::new(10);
            let real = table.insert(entry()).unwrap();
            prop_assert_eq!(table.get(handle).is_some(), handle == real);
        }
    }
}
