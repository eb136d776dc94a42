//! The door of trunks (`worker/trunk.rs`): a Unix socket at the path in `STONECHAT_TRUNK`. Refuses to know lanes.

use std::env;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;

use crate::worker::{Address, Door, DoorLimits, Listener, NewTrunk, Order};

/// Gives every trunk that is opened to the worker, as if its lanes were accepted by `listener`.
///
/// # Errors
/// The socket cannot be bound, or there are several workers: lanes cannot move from one to the other.
pub fn open(listener: Listener, addresses: &[Address]) -> Result<(), String> {
    let Some(path) = env::var_os("STONECHAT_TRUNK") else {
        return Ok(());
    };
    let [address] = addresses else {
        return Err("a trunk needs a server with one worker".to_owned());
    };
    let address = address.clone();
    let socket = UnixListener::bind(path).map_err(|error| format!("trunk: {error}"))?;
    // Lanes are no descriptors.
    let limits = DoorLimits {
        total_max: usize::MAX,
        unproved_max: usize::MAX,
    };
    let door = Door::new(limits, 1);
    let accept = move || -> io::Result<()> {
        loop {
            let (trunk, _) = socket.accept()?;
            trunk.set_nonblocking(true)?;
            address.order(Order::Trunk(Box::new(NewTrunk {
                socket: mio::net::UnixStream::from_std(trunk),
                listener,
                door: Arc::clone(&door),
            })));
        }
    };
    let work = move || {
        if let Err(error) = accept() {
            log::error!("trunk_door_failed error={error}");
        }
    };
    let thread = thread::Builder::new().name("trunk".to_owned()).spawn(work);
    thread.map(drop).map_err(|error| format!("trunk: {error}"))
}
