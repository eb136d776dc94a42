//! Ports of the loopback. A server of ours listens at port 0 and says where that is: so no two of a machine can be in
//! each other's way. Only for programs that cannot say it is a port looked for. It refuses to know who listens.

use std::net::{SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// The port, if this is the line by which the server says that it listens: `listening on 127.0.0.1:40123 (STARTTLS)`.
pub fn listened_on(line: &str) -> Option<u16> {
    let address = line.strip_prefix("listening on ")?.split(' ').next()?;
    let address: SocketAddr = address.parse().ok()?;
    Some(address.port())
}

/// A port that nobody listens on and that no other test of this process was given. It lies below those that the system
/// hands out (from 32768 on, ip(7)): whoever calls somebody meanwhile, or asks for port 0, does not get it.
pub fn free_port() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    // Processes that run at once begin at different places.
    let first = process::id() % u32::from(COUNT) * SPREAD;
    for _ in 0..COUNT {
        let next = u32::from(TRIED.fetch_add(1, Ordering::Relaxed));
        // Less than COUNT, which is a u16.
        let port = LOWEST + ((first + next) % u32::from(COUNT)) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("somebody listens on each of {COUNT} ports");
}

const LOWEST: u16 = 10_000;
const COUNT: u16 = 22_000;
/// How many ports lie between two processes whose ids are neighbours.
const SPREAD: u32 = 501;
