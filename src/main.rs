//! The program: an allocator, the command line, and the server behind `serve`.

use std::process::ExitCode;

use stonechat::tool::{self, Serve};

/// Arenas per core and memory that goes back to the system (CRATES.md section 1).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tool::run(serve)
}

/// Waits for `server::start`, which is written in parallel.
fn serve(_: &Serve) -> ExitCode {
    eprintln!("stonechat: this build has no server yet");
    ExitCode::FAILURE
}
