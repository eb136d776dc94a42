//! The server's allocator, with a count of what is asked of it while somebody wants to know, and of where. It knows nothing
//! of what is measured.

use std::alloc::{GlobalAlloc, Layout};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static HAS_PLACES: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static PLACES: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

thread_local! {
    /// What the counting itself allocates does not count.
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// What was allocated.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allocated {
    /// Allocations, and blocks that were made larger.
    pub calls: u64,
    pub bytes: u64,
}

/// Whether places are told, which takes a thousand times as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    Counts,
    Places,
}

/// Counts what `work` allocates, on any thread.
pub fn count<T>(detail: Detail, work: impl FnOnce() -> T) -> (T, Allocated) {
    let before = sums();
    HAS_PLACES.store(detail == Detail::Places, Ordering::Relaxed);
    IS_COUNTING.store(true, Ordering::Relaxed);
    let result = work();
    IS_COUNTING.store(false, Ordering::Relaxed);
    let after = sums();
    let allocated = Allocated {
        calls: after.calls - before.calls,
        bytes: after.bytes - before.bytes,
    };
    (result, allocated)
}

/// Where allocations came from: the innermost lines of the server's own code, with how often; the most frequent first.
pub fn places() -> Vec<(String, u64)> {
    let mut all: Vec<_> = std::mem::take(&mut *PLACES.lock()).into_iter().collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    all
}

fn sums() -> Allocated {
    Allocated {
        calls: CALLS.load(Ordering::Relaxed),
        bytes: BYTES.load(Ordering::Relaxed),
    }
}

fn note(size: usize) {
    if !IS_COUNTING.load(Ordering::Relaxed) || IS_INSIDE.get() {
        return;
    }
    CALLS.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(size as u64, Ordering::Relaxed);
    if HAS_PLACES.load(Ordering::Relaxed) {
        IS_INSIDE.set(true);
        let place = own_lines(&Backtrace::force_capture().to_string());
        *PLACES.lock().entry(place).or_default() += 1;
        IS_INSIDE.set(false);
    }
}

/// The innermost places of the server's code in a backtrace, with lines where the build knows them:
/// `jid::Jid::parse (jid/mod.rs:12) < stanza::read::address`.
fn own_lines(backtrace: &str) -> String {
    let mut own: Vec<String> = Vec::new();
    let mut is_own = false;
    for line in backtrace.lines().map(str::trim) {
        if let Some(at) = line.strip_prefix("at ") {
            let place = at.rsplit_once("src/").and_then(|(_, p)| p.rsplit_once(':'));
            if let (true, Some((place, _column)), Some(last)) = (is_own, place, own.last_mut()) {
                last.push_str(&format!(" ({place})"));
            }
            continue;
        }
        let name = line.split_once(": ").map_or("", |(_, name)| name);
        is_own = name.starts_with("stonechat::") || name.starts_with("<stonechat::");
        if is_own {
            if own.len() == LINES_SHOWN {
                break;
            }
            own.push(name.replace("stonechat::", ""));
        }
    }
    match own.is_empty() {
        true => "elsewhere".to_owned(),
        false => own.join(" < "),
    }
}

const LINES_SHOWN: usize = 5;

// SAFETY: every call is jemalloc's with the same arguments; counting neither touches blocks nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promises are jemalloc's.
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above; all blocks are jemalloc's.
        unsafe { Jemalloc.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size.saturating_sub(layout.size()));
        // SAFETY: as above.
        unsafe { Jemalloc.realloc(block, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_is_counted_with_its_bytes() {
        let (block, allocated) = count(Detail::Counts, || vec![1_u8; 1_000]);
        assert!(
            allocated.calls >= 1 && allocated.bytes >= 1_000,
            "{allocated:?} {}",
            block.len()
        );
    }

    #[test]
    fn the_servers_lines_are_found_in_a_backtrace() {
        let text = "   3: alloc::vec\n             at /rustc/1/library/alloc/src/vec.rs:9:1\n\
                    \x20  4: stonechat::im::x\n             at ./src/im/x.rs:12:5\n\
                    \x20  5: <stonechat::shard::Y as Z>::y\n             at /w/src/shard/y.rs:7:9\n\
                    \x20  6: stonechat::mam::z\n\
                    \x20  7: stonechat_core_bench::main\n             at /w/bench/core/src/main.rs:1:1\n";
        assert_eq!(
            own_lines(text),
            "im::x (im/x.rs:12) < <shard::Y as Z>::y (shard/y.rs:7) < mam::z"
        );
        assert_eq!(own_lines(""), "elsewhere");
    }
}
