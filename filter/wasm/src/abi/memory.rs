//! Memory for what the host returns.
//!
//! Nearly all of it fits one fixed block and is dropped before the host returns anything else, so that block is lent again and
//! again: a fresh request allocates nothing for its headers or the answer's status.

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of the block: the headers of a request with a token as issuers make them.
const BLOCK_BYTES: usize = 8 * 1024;

struct Block(UnsafeCell<[u8; BLOCK_BYTES]>);

// SAFETY: a module has one thread, and `LENT` admits one owner at a time.
unsafe impl Sync for Block {}

static BLOCK: Block = Block(UnsafeCell::new([0; BLOCK_BYTES]));
static LENT: AtomicBool = AtomicBool::new(false);

fn block() -> *mut u8 {
    BLOCK.0.get().cast()
}

/// `size` bytes for the host to write; null when there are none, which the host reports as failure.
pub(super) fn for_host(size: usize) -> *mut u8 {
    if size.wrapping_sub(1) < BLOCK_BYTES && !LENT.load(Ordering::Relaxed) {
        LENT.store(true, Ordering::Relaxed);
        return block();
    }
    allocated(size)
}

#[cold]
#[inline(never)]
fn allocated(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        Ok(layout) if layout.size() > 0 => {
            // SAFETY: the layout's size is not zero.
            unsafe { std::alloc::alloc(layout) }
        }
        // Not null, which the host takes as failure; empty values are never passed, so this pointer is never freed.
        Ok(_) => std::ptr::dangling_mut(),
        Err(_) => std::ptr::null_mut(),
    }
}

/// What the host has written. Short-lived: as long as it exists the block is lent.
#[derive(Debug)]
pub(super) struct HostBytes {
    data: *mut u8,
    size: usize,
}

impl HostBytes {
    /// Nothing.
    pub(super) const EMPTY: Self = Self {
        data: std::ptr::null_mut(),
        size: 0,
    };

    /// Takes ownership of memory that the host has written.
    ///
    /// # Safety
    /// `data` is null, or [`for_host`] returned it for this `size` (not zero), all of it is written, and it has no other owner.
    pub(super) unsafe fn written(data: *mut u8, size: usize) -> Self {
        if data.is_null() || size == 0 {
            return Self::EMPTY;
        }
        Self { data, size }
    }

    /// The bytes, to store.
    #[cold]
    #[inline(never)]
    pub(super) fn into_vec(self) -> Vec<u8> {
        if self.data.is_null() || self.data == block() {
            return self.to_vec();
        }
        let owned = std::mem::ManuallyDrop::new(self);
        // SAFETY: allocated with the layout of `[u8; size]` and fully written; not dropped a second time.
        unsafe { Vec::from_raw_parts(owned.data, owned.size, owned.size) }
    }
}

impl Deref for HostBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.data.is_null() {
            return &[];
        }
        // SAFETY: `size` written bytes that this owns.
        unsafe { std::slice::from_raw_parts(self.data, self.size) }
    }
}

impl Drop for HostBytes {
    fn drop(&mut self) {
        if self.data == block() {
            LENT.store(false, Ordering::Relaxed);
        } else if !self.data.is_null() {
            free(self.data, self.size);
        }
    }
}

#[cold]
#[inline(never)]
fn free(data: *mut u8, size: usize) {
    // SAFETY: allocated with the layout of `[u8; size]`, and not used again.
    drop(unsafe { Vec::from_raw_parts(data, size, size) });
}
