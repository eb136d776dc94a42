/// Ten thousands of connections allocate and free in all sizes for months: jemalloc gives the memory back
/// and needs a third less of it than the system's allocator (CRATES.md section 2).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {}
