//! What TLS adds to an idle connection in the shell, counted by the allocator. The clients are threads of the same
//! process, so only what the server's threads ask for counts.

#[path = "shell/client.rs"]
#[allow(dead_code)] // The shell's tests do more with it.
mod client;
#[path = "shell/echo.rs"]
#[allow(dead_code)]
mod echo;
#[path = "shell/house.rs"]
#[allow(dead_code)]
mod house;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

use client::{Client, TlsWishes, plain, secure, socket};
use house::{Server, Wishes};
use stonechat::worker::Keeper;

const KEEPER: Keeper = Keeper::Rustls;

/// The system's allocator, with a count of the bytes that are in use by threads that are not the clients'.
struct Counting;

static IN_USE: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    static IS_CLIENT: Cell<bool> = const { Cell::new(false) };
}

fn count(bytes: isize) {
    if !IS_CLIENT.get() {
        IN_USE.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator as it came; the count touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that the server has in use for each of many connections made so, each of which has said a line and heard it.
fn each<C>(server: &Server, connect: impl Fn() -> C) -> isize {
    let mut clients: Vec<C> = (0..FEW).map(|_| connect()).collect();
    // The worker answers behind what it has done, so nothing is under way.
    server.counters();
    let before = IN_USE.load(Ordering::Relaxed);
    clients.extend((0..MANY).map(|_| connect()));
    server.counters();
    let each = (IN_USE.load(Ordering::Relaxed) - before) / MANY as isize;
    drop(clients);
    server.until(|counters| counters.connections == 0);
    each
}

#[test]
fn tls_adds_little_to_an_idle_connection() {
    IS_CLIENT.set(true);
    let [tls_1_3, tls_1_2] = [&rustls::version::TLS13, &rustls::version::TLS12];
    // What a server gives back when it ends, it gives back when its threads come to that: none ends meanwhile.
    let mut servers = Vec::new();
    for (version, keeper, most) in [
        (tls_1_3, Keeper::Rustls, TLS_BYTES_MAX),
        (tls_1_2, Keeper::Rustls, TLS_BYTES_MAX),
        (tls_1_3, Keeper::Compact, COMPACT_BYTES_MAX),
        // Never leaves rustls.
        (tls_1_2, Keeper::Compact, TLS_BYTES_MAX),
    ] {
        let server = Server::start();
        let bare = each(&server, || {
            let mut client = plain(server.plain);
            client.send("here\n");
            client.expect("here");
            client
        });
        servers.push(server);
        let server = Server::with(Wishes {
            keeper,
            ..Wishes::default()
        });
        let secured = each(&server, || {
            let wishes = TlsWishes {
                version,
                ..TlsWishes::default()
            };
            let mut client: Client<_> = secure(socket(server.direct), wishes);
            client.send("here\n");
            // What the echo knows of the channel comes first.
            client.line();
            client.expect("here");
            client
        });
        servers.push(server);
        let added = secured - bare;
        println!("{version:?}, {keeper:?}: {bare} bytes without TLS, {added} more with it");
        assert!(added <= most, "{added} bytes");
        // One that counted nothing would prove nothing.
        assert!(bare > 0 && added > 0, "{bare} and {added} bytes");
    }
}

/// Both powers of two, so that tables that double have doubled equally often.
const FEW: usize = 64;
const MANY: usize = 64;
/// User space only; buffers of sockets are the kernel's.
const TLS_BYTES_MAX: isize = 8 * 1024;
/// A box for the session and one for its keys.
const COMPACT_BYTES_MAX: isize = 400;
