//! What an idle session costs the core, counted by the allocator: the figure of `bench/FIGURES.md` can creep up
//! byte by byte without any other test failing.

#[path = "sim/mod.rs"]
mod sim;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use sim::{Habits, World};
use stonechat::actor::Answer;
use stonechat::actor::rows::{RowRange, Write};
use stonechat::base::AccountId;
use stonechat::im::roster::{ROSTER, RosterItem, Standing, head_key};
use stonechat::jid::Jid;
use stonechat::store::{Request, Store, StoreOptions};

/// The system's allocator, with a count of the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came; the count touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xml:lang='en' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

fn log_in(world: &mut World, name: &str) {
    let conn = world.connect_secure(1);
    let plain = base64::engine::general_purpose::STANDARD.encode(format!("\0{name}\0secret"));
    let auth =
        format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>");
    let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>\
        <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>";
    for xml in [HEADER, &auth, HEADER, bind] {
        world.write(conn, xml.as_bytes());
        world.settle();
    }
    let heard = String::from_utf8(world.read(conn)).expect("the server writes UTF-8");
    assert!(
        heard.contains("<jid>") && heard.contains("id='r'"),
        "{heard}"
    );
    world.forget_buffers(conn);
}

/// Authenticated, bound, roster fetched, available: as the program in `bench/` measures it, but with the bytes
/// that were asked for instead of resident ones, without shell and store.
#[test]
fn an_idle_session_costs_the_core_little() {
    let _alone = ALONE.lock();
    let mut world = World::new(1, 1, Habits::KIND, sim::config("").expect("valid options"));
    let names: Vec<String> = (0..FEW + MANY)
        .map(|number| format!("user{number:05}"))
        .collect();
    for name in &names {
        world.register(name, "secret");
    }
    for name in &names[..FEW] {
        log_in(&mut world, name);
    }
    let before = IN_USE.load(Ordering::Relaxed);
    for name in &names[FEW..] {
        log_in(&mut world, name);
    }
    let each = (IN_USE.load(Ordering::Relaxed) - before) / MANY;
    assert!(each <= SESSION_BYTES_MAX, "{each} bytes");

    // The same with a roster, which stands in the store before.
    let names: Vec<String> = (0..2 * MANY).map(|n| format!("known{n:05}")).collect();
    for (number, name) in names.iter().enumerate() {
        world.register(name, "secret");
        befriend(&mut world, (FEW + MANY + number + 1) as u64);
    }
    for name in &names[..MANY] {
        log_in(&mut world, name);
    }
    let before = IN_USE.load(Ordering::Relaxed);
    for name in &names[MANY..] {
        log_in(&mut world, name);
    }
    let known = (IN_USE.load(Ordering::Relaxed) - before) / MANY;
    assert!(
        (each + 500..=KNOWN_BYTES_MAX).contains(&known),
        "{known} bytes with a roster, {each} without"
    );
}

/// Gives an account fifty contacts with a name and a group each.
fn befriend(world: &mut World, account: u64) {
    let mut store = world.store.lock();
    let writes = roster(AccountId(account));
    assert!(matches!(store.apply(Request::Save(writes)), Answer::Saved));
    store.sync().expect("no fault is set");
}

/// Rows of fifty contacts with a name and a group each.
fn roster(account: AccountId) -> Vec<Write> {
    let write = |number: usize| {
        let jid = format!("contact-{number:03}@localhost");
        let mut item = RosterItem::unknown(Jid::parse(&jid).expect("valid"));
        item.name = format!("Contact of number {number}");
        item.groups = vec!["Friends".to_string()];
        item.version = number as u64 + 1;
        item.standing = Standing {
            to: true,
            from: true,
            listed: true,
            ..Standing::default()
        };
        let row = item.row(account);
        Write::Put {
            table: &ROSTER,
            key: row.key,
            value: row.value.into(),
        }
    };
    (0..CONTACTS).map(write).collect()
}

/// What a login adds that the core does not count: the store keeps what it read, as much as `store.cache` and not as much
/// as there are sessions.
#[test]
fn what_the_store_keeps_of_the_rosters_that_logins_read_is_bounded_by_its_cache() {
    let _alone = ALONE.lock();
    let dir = Dir(std::env::temp_dir().join(format!("stonechat-idle-{}", std::process::id())));
    let _ = std::fs::remove_dir_all(&dir.0);
    std::fs::create_dir_all(&dir.0).expect("the temporary directory can be written");
    let options = |cache_bytes| StoreOptions {
        cache_bytes,
        // Nearly everything is in files when it is read.
        write_buffer_bytes: 64 << 10,
        reserve_bytes: 0,
        ..StoreOptions::at(&dir.0)
    };
    let open = |cache_bytes| {
        Store::open(options(cache_bytes), &[&ROSTER], Vec::new()).expect("the directory is ours")
    };
    let store = open(FULL_CACHE_BYTES);
    let accounts: Vec<u64> = (0..ROSTERS).collect();
    for some in accounts.chunks(64) {
        let rows = some.iter().flat_map(|&account| roster(AccountId(account)));
        store.save_now(rows.collect()).expect("the disk has room");
    }
    drop(store);
    let kept = |cache_bytes| {
        let store = open(cache_bytes);
        let read = |accounts: std::ops::Range<u64>| {
            for account in accounts {
                let page = store.range_now(&ROSTER, &whole(account));
                assert_eq!(page.expect("it can be read").rows.len(), CONTACTS);
            }
            IN_USE.load(Ordering::Relaxed)
        };
        let before = read(0..ROSTERS / 4);
        let after = read(ROSTERS / 4..ROSTERS);
        after.saturating_sub(before) / (3 * ROSTERS as usize / 4)
    };
    let growing = kept(64 << 20);
    assert!(growing > 1_000, "{growing} bytes where there is room");
    // The store may be tidying its files up meanwhile, which takes memory of its own.
    let mut full: Vec<usize> = Vec::new();
    while full.last().is_none_or(|bytes| *bytes >= 100) {
        assert!(full.len() < TRIES, "{full:?} bytes where there is none");
        full.push(kept(FULL_CACHE_BYTES));
    }
}

/// All rows of an account's roster.
fn whole(account: u64) -> RowRange {
    RowRange {
        from: head_key(AccountId(account)),
        to: head_key(AccountId(account + 1)),
        count_max: usize::MAX,
        bytes_max: usize::MAX,
    }
}

struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        // A test that failed has said so already.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the allocator counts is everybody's.
static ALONE: Mutex<()> = Mutex::new(());

/// Both powers of two, so that tables that double have doubled equally often.
const FEW: usize = 128;
const CONTACTS: usize = 50;
const ROSTERS: u64 = 1_024;
const TRIES: usize = 5;
/// Less than a quarter of the rosters.
const FULL_CACHE_BYTES: u64 = 512 << 10;
const MANY: usize = 128;
/// The simulated connection's own 200 included.
const SESSION_BYTES_MAX: usize = 2_000;
/// With fifty contacts: names and groups stay in the store.
const KNOWN_BYTES_MAX: usize = 2_680;
