//! How much of their stacks the fibers of a sandbox have taken: beyond what every thread takes, it counts for
//! the limit of memory.
//!
//! A stack is 4 MiB of the host's memory, touched by the guest's recursion, and nothing tells when that happens.
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
/// So many parks are looked at after a stack that has grown.
const WHILE: u32 = 1000;

pub(crate) struct Depths {
    arena: Arc<Arena>,
    /// Of the fibers whose stacks were found to be deep.
    charges: HashMap<FiberId, (usize, Charge)>,
    /// The guest must not know which park is looked at.
    random: u64,
    /// Parks that are looked at in any case.
    attentive: u32,
}

impl Depths {
    pub(crate) fn new(arena: &Arc<Arena>) -> Depths {
        Depths {
            arena: arena.clone(),
            charges: HashMap::new(),
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
        if !self.charges.is_empty()
            && let Some(fiber) = fibers.running()
        {
            self.charges.remove(&fiber);
        }
    }

    fn look(&mut self, fibers: &Fibers, account: &Arc<Account>) -> Result<(), Stop> {
        let here = 0_u8;
        let touched = self.arena.touched(&raw const here as usize).unwrap_or(0);
        let deep = touched.saturating_sub(WARM_BYTES);
        let Some(fiber) = fibers.running().filter(|_| deep > 0) else {
            return Ok(());
        };
        let none = || (0, Charge::empty(account));
        let (before, charge) = self.charges.entry(fiber).or_insert_with(none);
        if deep <= *before {
            return Ok(());
        }
        self.attentive = WHILE;
        match charge.add(deep - *before) {
            true => *before = deep,
            false => return Err(Stop(Outcome::LimitHit(Limit::Memory))),
        }
        Ok(())
    }
}
