//! How much of their stacks the fibers of a sandbox have taken: beyond what every thread takes, it counts for
//! the limit of memory.
//!
//! A stack is 5 MiB of the host's memory, touched by the guest's recursion, and nothing tells when that happens.
//! To ask the kernel takes as long as a switch or two. So it is asked about the running fiber at each tick, about
//! one that parks now and then, at random, and at every park for a while once a stack was found to have grown.
//! A guest can thus be some stacks ahead of its limit, but not thousands.

use crate::fibers::Fibers;
use crate::limits::{Account, Charge};
use crate::outcome::{Limit, Outcome, Stop};
use crate::scheduler::FiberId;
use crate::stacks::{Arena, WARM_BYTES};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

/// One of so many parks is looked at, a power of two.
const RARELY: u64 = 128;
/// Bytes of stacks that are not counted: what the main thread and another may need to free a deep structure just
/// when the linear memory is all that the limit allows, which has to go on as `MemoryError`.
const FREE: usize = 8 << 20;
/// So many parks are looked at after a stack that has grown.
const WHILE: u32 = 1000;

pub(crate) struct Depths {
    arena: Arc<Arena>,
    /// Of the fibers whose stacks were found to be deep.
    deep: HashMap<FiberId, Depth>,
    /// What is left of [`FREE`].
    free: usize,
    /// The guest must not know which park is looked at.
    random: u64,
    /// Parks that are looked at in any case.
    attentive: u32,
}

struct Depth {
    bytes: usize,
    /// Of them.
    free: usize,
    /// For the others.
    charge: Charge,
}

impl Depths {
    pub(crate) fn new(arena: &Arc<Arena>) -> Depths {
        Depths {
            arena: arena.clone(),
            deep: HashMap::new(),
            free: FREE,
            random: RandomState::new().hash_one(0) | 1,
            attentive: 0,
        }
    }

    /// On the stack of the fiber that parks.
    pub(crate) fn park(&mut self, fibers: &Fibers, account: &Arc<Account>) -> Result<(), Stop> {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        if self.attentive > 0 {
            self.attentive -= 1;
        } else if !self.random.is_multiple_of(RARELY) {
            return Ok(());
        }
        self.look(fibers, account)
    }

    /// On the stack of the fiber that runs.
    pub(crate) fn tick(&mut self, fibers: &Fibers, account: &Arc<Account>) -> Result<(), Stop> {
        self.look(fibers, account)
    }

    /// The running fiber is over.
    pub(crate) fn finish(&mut self, fibers: &Fibers) {
        if !self.deep.is_empty()
            && let Some(depth) = fibers.running().and_then(|fiber| self.deep.remove(&fiber))
        {
            self.free += depth.free;
        }
    }

    fn look(&mut self, fibers: &Fibers, account: &Arc<Account>) -> Result<(), Stop> {
        let here = 0_u8;
        let touched = self.arena.touched(&raw const here as usize).unwrap_or(0);
        let deep = touched.saturating_sub(WARM_BYTES);
        let Some(fiber) = fibers.running().filter(|_| deep > 0) else {
            return Ok(());
        };
        let depth = self.deep.entry(fiber).or_insert_with(|| Depth {
            bytes: 0,
            free: 0,
            charge: Charge::empty(account),
        });
        let Some(more) = deep.checked_sub(depth.bytes).filter(|&more| more > 0) else {
            return Ok(());
        };
        self.attentive = WHILE;
        let free = more.min(self.free);
        if !depth.charge.add(more - free) {
            return Err(Stop(Outcome::LimitHit(Limit::Memory)));
        }
        self.free -= free;
        depth.free += free;
        depth.bytes = deep;
        Ok(())
    }
}
