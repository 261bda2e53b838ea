//! The linear memories of sandboxes: each begins as a private copy of an image, page by page as it is
//! written to, and is used again when its sandbox is over.
//!
//! A start writes to some 250 pages of the image, and a page that the kernel copies costs 2.3 µs. A
//! memory that is used again has its pages; they are copied back from the image, which costs a tenth.
//! `PAGEMAP_SCAN` (Linux 6.7) tells which: those that are private to the mapping, so no more and no fewer
//! than what was written. Where the kernel has none, every memory is new.
//!
//! # Invariants of the unsafe code
//! - A [`Slot`] owns its mapping: `GUARD` bytes without access, `RESERVATION` bytes for the memory,
//!   `GUARD` bytes without access. The compiled code leaves out its checks for addresses in between.
//! - Of the memory, the first `accessible` bytes can be read and written, the rest cannot.
//! - A slot in `free` is accessible as far as its image goes and has the image's bytes there; the rest,
//!   up to the largest size that it ever had, is zero.
//! - An [`Image`]'s `bytes` are mapped as long as it lives, from a file that nobody changes.

use std::cell::RefCell;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

pub(crate) const RESERVATION: usize = 4 << 30;
pub(crate) const GUARD: usize = 32 << 20;
pub(crate) const PAGE: usize = 4096;

/// A memory with more pages of its own is given back to the kernel.
const PAGES_TO_KEEP: usize = 1024;
/// So many memories wait for the next sandbox, of each image.
const SLOTS_TO_KEEP: usize = 8;

/// What memories begin with.
pub(crate) struct Image {
    file: File,
    bytes: usize,
    length: usize,
    free: Mutex<Vec<Slot>>,
}

impl Image {
    /// The image in `file`, which nobody changes any more.
    pub(crate) fn new(file: File) -> io::Result<Arc<Image>> {
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if length == 0 || length > RESERVATION || !length.is_multiple_of(PAGE) {
            return Err(io::Error::other("its length is not that of a memory"));
        }
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let bytes = unsafe {
            let flags = libc::MAP_PRIVATE;
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ,
                flags,
                file.as_raw_fd(),
                0,
            )
        };
        Ok(Arc::new(Image {
            bytes: mapped(bytes)?,
            file,
            length,
            free: Mutex::default(),
        }))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping that `new` made, of a file that nobody changes.
        unsafe { std::slice::from_raw_parts(self.bytes as *const u8, self.length) }
    }

    /// Bytes of it.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    fn free(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.free.lock().expect("the list's code does not panic")
    }

    fn take(&self) -> io::Result<Slot> {
        let free = self.free().pop();
        free.map_or_else(|| Slot::new(self), Ok)
    }

    /// Keeps the slot for the next sandbox, if that costs less than a new one.
    fn give_back(&self, mut slot: Slot) {
        if self.free().len() < SLOTS_TO_KEEP && *SCAN_WORKS && slot.restore(self).is_ok() {
            self.free().push(slot);
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; whoever reads it holds the image.
        unsafe { libc::munmap(self.bytes as *mut _, self.length) };
    }
}

/// The mapping of one memory.
struct Slot {
    base: usize,
    accessible: usize,
}

impl Slot {
    fn new(image: &Image) -> io::Result<Slot> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, at an address of the kernel's choice; then its part for the image.
        unsafe {
            let start = libc::mmap(ptr::null_mut(), WHOLE, libc::PROT_NONE, flags, -1, 0);
            let slot = Slot {
                base: mapped(start)? + GUARD,
                accessible: image.length,
            };
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
            let fd = image.file.as_raw_fd();
            mapped(libc::mmap(
                slot.base as *mut _,
                image.length,
                access,
                flags,
                fd,
                0,
            ))?;
            Ok(slot)
        }
    }

    fn grow(&mut self, length: usize) -> io::Result<()> {
        if length > RESERVATION {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if length > self.accessible {
            self.protect(self.accessible..length, libc::PROT_READ | libc::PROT_WRITE)?;
            self.accessible = length;
        }
        Ok(())
    }

    fn protect(&self, range: Range<usize>, access: i32) -> io::Result<()> {
        // SAFETY: within the memory; callers keep `accessible` true.
        let done = unsafe { libc::mprotect((self.base + range.start) as *mut _, range.len(), access) };
        if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Makes it as new. After an error it is not.
    fn restore(&mut self, image: &Image) -> io::Result<()> {
        let mut runs = [Region::default(); PAGES_TO_KEEP];
        let found = scan(self.base, self.accessible, &mut runs)?;
        for run in found {
            let offset = run.start as usize - self.base;
            let length = (run.end - run.start) as usize;
            let from_image = image.length.saturating_sub(offset).min(length);
            // SAFETY: the kernel gives pages of the range that was asked for, which is accessible; the
            // image's mapping has `from_image` bytes from there on. No sandbox has the slot.
            unsafe {
                let page = run.start as *mut u8;
                ptr::copy_nonoverlapping((image.bytes + offset) as *const u8, page, from_image);
                ptr::write_bytes(page.add(from_image), 0, length - from_image);
            }
        }
        if self.accessible > image.length {
            self.protect(image.length..self.accessible, libc::PROT_NONE)?;
            self.accessible = image.length;
        }
        Ok(())
    }
}

const WHOLE: usize = GUARD + RESERVATION + GUARD;

impl Drop for Slot {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; no sandbox has the slot.
        unsafe { libc::munmap((self.base - GUARD) as *mut _, WHOLE) };
    }
}

fn mapped(address: *mut libc::c_void) -> io::Result<usize> {
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(address as usize)
}

// --- which pages were written ---

/// The kernel's `struct page_region`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// The kernel's `struct pm_scan_arg`.
#[repr(C)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

const PAGEMAP_SCAN: libc::Ioctl = 0xC060_6610_u32 as libc::Ioctl;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;

/// And whose it is: after a fork it would tell of the parent's memory.
static PAGEMAP: LazyLock<io::Result<(u32, File)>> =
    LazyLock::new(|| Ok((std::process::id(), File::open("/proc/self/pagemap")?)));

/// Runs of pages that are the mapping's own, copied from the image or new. An error if there are too many.
fn scan(start: usize, length: usize, runs: &mut [Region]) -> io::Result<&[Region]> {
    let (owner, pagemap) = PAGEMAP.as_ref().map_err(|error| io::Error::from(error.kind()))?;
    if *owner != std::process::id() {
        return Err(io::Error::other("another process's"));
    }
    let end = (start + length) as u64;
    let mut scan = Scan {
        size: size_of::<Scan>() as u64,
        flags: 0,
        start: start as u64,
        end,
        walk_end: 0,
        vec: runs.as_mut_ptr() as u64,
        vec_len: runs.len() as u64,
        max_pages: PAGES_TO_KEEP as u64,
        category_inverted: PAGE_IS_FILE,
        category_mask: PAGE_IS_FILE,
        category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        return_mask: PAGE_IS_FILE,
    };
    // SAFETY: `scan` is what the kernel wants, and `vec` has room for `vec_len` regions.
    let found = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN, &raw mut scan) };
    if found < 0 {
        return Err(io::Error::last_os_error());
    }
    if scan.walk_end != end {
        return Err(io::Error::other("too many pages"));
    }
    Ok(&runs[..found as usize])
}

/// Whether the kernel tells just what was written, tried on a memory of four pages: one is read, one
/// written, one made by growing.
static SCAN_WORKS: LazyLock<bool> = LazyLock::new(|| {
    let tried = || -> io::Result<bool> {
        let image = Image::new(memory_file(&[7; 3 * PAGE])?)?;
        let mut slot = Slot::new(&image)?;
        slot.grow(4 * PAGE)?;
        let page = |i: usize| (slot.base + i * PAGE) as *mut u8;
        // SAFETY: these pages are accessible, and nobody else has the slot.
        unsafe {
            page(0).read_volatile();
            page(2).write_volatile(1);
            page(3).write_volatile(1);
        }
        let mut runs = [Region::default(); 8];
        let found = scan(slot.base, slot.accessible, &mut runs)?;
        let pages: Vec<u64> = found
            .iter()
            .flat_map(|run| (run.start..run.end).step_by(PAGE))
            .collect();
        Ok(pages == [page(2) as u64, page(3) as u64])
    };
    tried().unwrap_or(false)
});

/// A file in memory, which nobody else can reach.
pub(crate) fn memory_file(bytes: &[u8]) -> io::Result<File> {
    use std::io::Write;
    let file = rustix::fs::memfd_create("vtwasm image", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    Ok(file)
}

// --- wasmtime's side ---

thread_local! {
    /// What the next memory that wasmtime makes on this thread begins with, and who wants to know where it is.
    static NEXT: RefCell<Option<(Arc<Image>, Arc<AtomicUsize>)>> = const { RefCell::new(None) };
}

/// Polls `instantiate`, which makes one memory, from `image`; its address is then in `base`.
pub(crate) async fn with_image<F: Future>(
    image: &Arc<Image>,
    base: &Arc<AtomicUsize>,
    instantiate: F,
) -> F::Output {
    let mut instantiate = pin!(instantiate);
    poll_fn(|context| {
        NEXT.set(Some((image.clone(), base.clone())));
        let result = instantiate.as_mut().poll(context);
        NEXT.take();
        result
    })
    .await
}

/// Makes the memories of all sandboxes.
pub(crate) struct Memories;

// SAFETY: a memory has the reservation and the guard that the engine is configured with, is accessible
// as far as it says, never moves, and belongs to one instance.
unsafe impl MemoryCreator for Memories {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reservation: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let (image, base) = NEXT.take().ok_or("a second memory")?;
        if reservation != Some(RESERVATION) || guard > GUARD || minimum > image.length {
            return Err(format!("no memory of {minimum} bytes fits the image"));
        }
        let slot = image.take().map_err(|error| error.to_string())?;
        base.store(slot.base, Ordering::Relaxed);
        Ok(Box::new(Memory {
            slot: Some(slot),
            image,
        }))
    }
}

struct Memory {
    /// There until it is dropped.
    slot: Option<Slot>,
    image: Arc<Image>,
}

impl Memory {
    fn slot(&self) -> &Slot {
        self.slot.as_ref().expect("it is not being dropped")
    }
}

// SAFETY: as of `Memories`.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        self.slot().accessible
    }

    fn byte_capacity(&self) -> usize {
        RESERVATION
    }

    fn grow_to(&mut self, length: usize) -> wasmtime::Result<()> {
        let slot = self.slot.as_mut().expect("it is not being dropped");
        Ok(slot.grow(length)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.slot().base as *mut u8
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.image.give_back(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(bytes: &[u8]) -> Arc<Image> {
        Image::new(memory_file(bytes).unwrap()).unwrap()
    }

    fn contents(slot: &Slot) -> Vec<u8> {
        // SAFETY: so much is accessible, and the test has the slot.
        unsafe { std::slice::from_raw_parts(slot.base as *const u8, slot.accessible).to_vec() }
    }

    fn write(slot: &Slot, at: usize) {
        assert!(at < slot.accessible);
        // SAFETY: accessible, and the test has the slot.
        unsafe { ((slot.base + at) as *mut u8).write_volatile(99) }
    }

    #[test]
    fn a_memory_that_is_used_again_has_nothing_of_its_last_use() {
        let bytes: Vec<u8> = (0..64 * PAGE).map(|i| (i / PAGE) as u8).collect();
        let image = image(&bytes);
        let mut places = vec![
            0,
            PAGE - 1,
            PAGE,
            17 * PAGE + 5,
            63 * PAGE,
            64 * PAGE,
            80 * PAGE - 1,
        ];
        for round in 0..20 {
            let mut slot = image.take().unwrap();
            assert_eq!(contents(&slot), bytes, "round {round}");
            slot.grow((80 + round) * PAGE).unwrap();
            assert!(contents(&slot)[bytes.len()..].iter().all(|&byte| byte == 0));
            places.push(round * 4 * PAGE + round);
            places.iter().for_each(|&place| write(&slot, place));
            image.give_back(slot);
            assert_eq!(image.free().len(), usize::from(*SCAN_WORKS));
        }
    }

    #[test]
    fn the_kernel_of_the_tests_tells_what_was_written() {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release
            .split(['.', '-'])
            .map_while(|part| part.parse::<u32>().ok());
        let version = (numbers.next(), numbers.next());
        assert!(*SCAN_WORKS || version < (Some(6), Some(7)), "Linux {release}");
    }

    #[test]
    fn a_memory_with_too_many_pages_is_not_kept() {
        let image = image(&[1; 4 * PAGE]);
        let mut slot = image.take().unwrap();
        slot.grow(2 * PAGES_TO_KEEP * PAGE).unwrap();
        (0..=PAGES_TO_KEEP).for_each(|page| write(&slot, page * PAGE));
        image.give_back(slot);
        assert_eq!(image.free().len(), 0);
    }

    #[test]
    fn what_is_no_memory_is_no_image() {
        for bytes in [&[][..], &[0; PAGE + 1]] {
            assert!(Image::new(memory_file(bytes).unwrap()).is_err());
        }
    }
}
