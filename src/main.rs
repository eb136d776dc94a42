//! The program: an allocator, the command line, and the server behind `serve`.

use std::process::ExitCode;

use stonechat::server::start::{self, ClockChoice, Start};
use stonechat::server::umask;
use stonechat::tool::{self, Serve};

/// Arenas per core and memory that goes back to the system (CRATES.md section 1).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    umask::keep_files_private();
    tool::run(serve)
}

fn serve(wish: &Serve) -> ExitCode {
    start::run(&Start {
        config: wish.config.clone(),
        data: wish.data.clone(),
        clock: match wish.test_clock {
            true => ClockChoice::Test,
            false => ClockChoice::System,
        },
    })
}
