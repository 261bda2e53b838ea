//! The stacks that fibers run on, carved from large mappings.
//!
//! wasmtime's own stacks take two memory areas of the kernel each, and `vm.max_map_count` ends them
//! at some 32,000 for the whole process. Here 256 stacks share one mapping, and each has a guard page
//! at its low end that the kernel marks without splitting the mapping (`MADV_GUARD_INSTALL`, Linux
//! 6.13); on older kernels `mprotect` does it, at the old price. A guard is made when its stack is promised or
//! taken first: it costs a page of the kernel's tables, and most processes need few stacks.
//!
//! # Invariants of the unsafe code
//! - A mapping lives as long as the [`Arena`]; a [`Stack`] holds the arena, so its memory is mapped
//!   while it exists.
//! - A stack's address is either in `free`, or owned by exactly one [`Stack`], or not yet in use: those are the
//!   last `bare` ones of the last mapping.
//! - A stack gets its guard page before it is put into `free`, and the page is never made accessible again.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use wasmtime::{StackCreator, StackMemory};

const PAGE: usize = 4096;
const STACKS_PER_MAPPING: usize = 256;
const MADV_GUARD_INSTALL: i32 = 102;
/// So many free stacks keep their pages for the next fiber; others give them back.
const WARM_STACKS: usize = 16;
/// And so much of each of them: more than a thread takes that does not recurse.
pub(crate) const WARM_BYTES: usize = 16 << 10;
/// Stacks of a sandbox that it takes without a promise: its main fiber's, the one that wasmtime keeps
/// for its next call, and those of calls that are over but not yet dropped.
const UNPROMISED: usize = 8;

/// How the low end of each stack is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// A marker in the page table: no memory area of its own.
    Marker,
    /// A page without access: two memory areas a stack.
    Protection,
}

/// All stacks of an engine.
pub(crate) struct Arena {
    stack_size: usize,
    guard: Guard,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    /// The start of each mapping.
    mappings: Vec<usize>,
    /// Stacks of the last mapping that have no guard yet.
    bare: usize,
    /// Low ends (above the guard) of stacks that nobody uses; the last ones are warm.
    free: VecDeque<usize>,
    /// Stacks that fibers may ask for without a refusal; never more than have a guard.
    promised: usize,
    sandboxes: usize,
}

impl Pool {
    fn guarded(&self) -> usize {
        self.mappings.len() * STACKS_PER_MAPPING - self.bare
    }
}

impl Arena {
    /// An arena of stacks of `stack_size` bytes, a multiple of the page size.
    pub(crate) fn new(stack_size: usize) -> std::io::Result<Arena> {
        assert!(stack_size.is_multiple_of(PAGE) && stack_size > 0);
        let probe = map(2 * PAGE)?;
        // SAFETY: the range is the mapping just made, which nothing uses.
        let guard = unsafe {
            let marked = libc::madvise(probe as *mut _, PAGE, MADV_GUARD_INSTALL) == 0;
            libc::munmap(probe as *mut _, 2 * PAGE);
            if marked { Guard::Marker } else { Guard::Protection }
        };
        Ok(Arena {
            stack_size,
            guard,
            pool: Mutex::default(),
        })
    }

    pub(crate) fn guard(&self) -> Guard {
        self.guard
    }

    fn stride(&self) -> usize {
        self.stack_size + PAGE
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().expect("the pool's code does not panic")
    }

    fn take(&self) -> std::io::Result<usize> {
        let mut pool = self.pool();
        if pool.free.is_empty() {
            self.add_one(&mut pool)?;
        }
        Ok(pool.free.pop_back().expect("there is one now"))
    }

    /// One free stack more.
    fn add_one(&self, pool: &mut Pool) -> std::io::Result<()> {
        if pool.bare == 0 {
            pool.mappings.push(map(STACKS_PER_MAPPING * self.stride())?);
            pool.bare = STACKS_PER_MAPPING;
        }
        let base = pool.mappings.last().expect("bare stacks are of a mapping");
        let guard = base + (STACKS_PER_MAPPING - pool.bare) * self.stride();
        // SAFETY: the page is the low end of a stack in a mapping of ours, and nobody has that stack yet.
        let done = unsafe {
            match self.guard {
                Guard::Marker => libc::madvise(guard as *mut _, PAGE, MADV_GUARD_INSTALL),
                Guard::Protection => libc::mprotect(guard as *mut _, PAGE, libc::PROT_NONE),
            }
        };
        if done != 0 {
            return Err(std::io::Error::last_os_error());
        }
        pool.bare -= 1;
        // Warm ones are taken first.
        pool.free.push_front(guard + PAGE);
        Ok(())
    }

    fn give_back(&self, low: usize) {
        // What counts for the limit of memory of one sandbox must not count for the next one's.
        let keeps = match self.pool().free.len() < WARM_STACKS {
            true => WARM_BYTES.min(self.stack_size),
            false => 0,
        };
        // SAFETY: the stack was owned by the caller and is not in `free` yet.
        unsafe { libc::madvise(low as *mut _, self.stack_size - keeps, libc::MADV_DONTNEED) };
        self.pool().free.push_back(low);
    }

    /// Bytes of memory that the stack with this address in it has taken, if it is one of these.
    pub(crate) fn touched(&self, address: usize) -> Option<usize> {
        let size = STACKS_PER_MAPPING * self.stride();
        let base = {
            let pool = self.pool();
            let mut mappings = pool.mappings.iter();
            *mappings.find(|&&base| (base..base + size).contains(&address))?
        };
        let low = base + (address - base) / self.stride() * self.stride() + PAGE;
        let mut pages = vec![0_u8; self.stack_size / PAGE];
        // SAFETY: the stack lies in a mapping that lives as long as the arena; `pages` has a byte for each page.
        let done = unsafe { libc::mincore(low as *mut _, self.stack_size, pages.as_mut_ptr()) };
        (done == 0).then(|| pages.iter().filter(|&&page| page & 1 != 0).count() * PAGE)
    }
}

/// The stacks that one sandbox may take. wasmtime ends the whole sandbox when it gets no stack, so a
/// thread is refused earlier: when no stack can be promised to it.
pub(crate) struct Promise {
    arena: Arc<Arena>,
    stacks: usize,
}

impl Promise {
    /// No stacks yet.
    pub(crate) fn new(arena: &Arc<Arena>) -> Promise {
        arena.pool().sandboxes += 1;
        Promise {
            arena: arena.clone(),
            stacks: 0,
        }
    }

    /// One stack more; false if there is no memory (or no memory area of the kernel) for it.
    pub(crate) fn add_one(&mut self) -> bool {
        let mut pool = self.arena.pool();
        let wanted = pool.promised + 1 + pool.sandboxes * UNPROMISED;
        while wanted > pool.guarded() {
            if self.arena.add_one(&mut pool).is_err() {
                return false;
            }
        }
        pool.promised += 1;
        self.stacks += 1;
        true
    }

    /// A fiber is over.
    pub(crate) fn remove_one(&mut self) {
        if let Some(stacks) = self.stacks.checked_sub(1) {
            self.stacks = stacks;
            self.arena.pool().promised -= 1;
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let mut pool = self.arena.pool();
        pool.promised -= self.stacks;
        pool.sandboxes -= 1;
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let size = STACKS_PER_MAPPING * self.stride();
        for &base in &self
            .pool
            .get_mut()
            .expect("the pool's code does not panic")
            .mappings
        {
            // SAFETY: no `Stack` is left, since each holds the arena.
            unsafe { libc::munmap(base as *mut _, size) };
        }
    }
}

fn map(size: usize) -> std::io::Result<usize> {
    // SAFETY: a new private mapping at an address of the kernel's choice touches nothing else.
    let base = unsafe {
        let base = libc::mmap(
            std::ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        if base == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        // A huge page would make each touched stack resident as a whole.
        libc::madvise(base, size, libc::MADV_NOHUGEPAGE);
        base
    };
    Ok(base as usize)
}

/// What wasmtime asks for stacks.
pub(crate) struct Stacks(pub(crate) Arc<Arena>);

// SAFETY: each stack is page-aligned, zero-filled or reused within this engine, has a guard page
// below it, and is owned by one `Stack`.
unsafe impl StackCreator for Stacks {
    fn new_stack(&self, size: usize, _zeroed: bool) -> wasmtime::Result<Box<dyn StackMemory>> {
        if size > self.0.stack_size {
            return Err(wasmtime::Error::msg(format!(
                "a stack of {size} bytes was asked for; the arena's have {}",
                self.0.stack_size
            )));
        }
        let low = self.0.take()?;
        Ok(Box::new(Stack {
            arena: self.0.clone(),
            low,
        }))
    }
}

struct Stack {
    arena: Arc<Arena>,
    low: usize,
}

// SAFETY: the memory is mapped, page-aligned and owned by this value; the guard lies below it.
unsafe impl StackMemory for Stack {
    fn top(&self) -> *mut u8 {
        (self.low + self.arena.stack_size) as *mut u8
    }

    fn range(&self) -> Range<usize> {
        self.low..self.low + self.arena.stack_size
    }

    fn guard_range(&self) -> Range<*mut u8> {
        (self.low - PAGE) as *mut u8..self.low as *mut u8
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.arena.give_back(self.low);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_stack_is_handed_out_again() {
        let stacks = Stacks(Arc::new(Arena::new(16 * PAGE).unwrap()));
        let first = stacks.new_stack(16 * PAGE, false).unwrap();
        let top = first.top();
        drop(first);
        assert_eq!(stacks.new_stack(16 * PAGE, false).unwrap().top(), top);
    }

    #[test]
    fn what_is_promised_has_a_guard_and_little_else_has() {
        let arena = Arc::new(Arena::new(4 * PAGE).unwrap());
        let mut promise = Promise::new(&arena);
        for promised in 1..=2 * STACKS_PER_MAPPING {
            assert!(promise.add_one());
            assert_eq!(arena.pool().guarded(), promised + UNPROMISED);
            assert_eq!(arena.pool().free.len(), promised + UNPROMISED);
        }
    }

    #[test]
    fn stacks_do_not_overlap_and_are_writable_to_their_ends() {
        let stacks = Stacks(Arc::new(Arena::new(4 * PAGE).unwrap()));
        let mut taken: Vec<_> = (0..300)
            .map(|_| stacks.new_stack(4 * PAGE, false).unwrap())
            .collect();
        taken.sort_by_key(|stack| stack.range().start);
        for pair in taken.windows(2) {
            assert!(pair[0].range().end <= pair[1].guard_range().start as usize);
        }
        for stack in &taken {
            // SAFETY: the first and the last byte of a stack that this test owns.
            unsafe {
                (stack.range().start as *mut u8).write_volatile(1);
                stack.top().sub(1).write_volatile(1);
            }
        }
    }

    #[test]
    fn what_was_touched_of_a_stack_is_known_and_not_what_was_touched_before_it_was_taken() {
        let arena = Arc::new(Arena::new(64 * PAGE).unwrap());
        let stacks = Stacks(arena.clone());
        for _ in 0..2 {
            let stack = stacks.new_stack(64 * PAGE, false).unwrap();
            let top = stack.top() as usize;
            assert!(arena.touched(top - 1).is_some_and(|bytes| bytes <= WARM_BYTES));
            for page in 1..=40 {
                // SAFETY: a byte of the stack that this test owns.
                unsafe { ((top - page * PAGE) as *mut u8).write_volatile(1) };
            }
            assert_eq!(arena.touched(top - 1), Some(40 * PAGE));
            assert_eq!(arena.touched(stack.range().start), Some(40 * PAGE));
        }
        assert_eq!(arena.touched(&raw const arena as usize), None);
    }

    #[test]
    fn writing_below_a_stack_faults() {
        let stacks = Stacks(Arc::new(Arena::new(4 * PAGE).unwrap()));
        let stack = stacks.new_stack(4 * PAGE, false).unwrap();
        // SAFETY: the child only writes one byte and leaves; it shares nothing with the parent.
        let status = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::signal(libc::SIGSEGV, libc::SIG_DFL);
                stack.guard_range().start.add(PAGE - 1).write_volatile(1);
                libc::_exit(0);
            }
            let mut status = 0;
            libc::waitpid(child, &mut status, 0);
            status
        };
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV);
    }
}
