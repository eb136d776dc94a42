//! Lines for a human or the next program in a pipe. Refuses to panic when that program has read enough.

use std::io::{self, Write};
use std::process::ExitCode;

/// Prints the lines. Returns `code`, or failure if they could not be written.
pub fn lines(lines: &[String], code: ExitCode) -> ExitCode {
    let mut out = io::stdout().lock();
    let written = lines
        .iter()
        .try_for_each(|line| writeln!(out, "{line}"))
        .and_then(|()| out.flush());
    match written {
        Ok(()) => code,
        // `stonechat user list | head`: nobody wants the rest.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
        Err(error) => {
            eprintln!("stonechat: standard output: {error}");
            ExitCode::FAILURE
        }
    }
}
