//! The handle of the store: requests with a ticket, answered at a port, and blocking forms for tools and threads
//! that may wait. Knows no row's meaning and no worker: a port is a function given at start.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;

use crate::actor::rows::{Fence, Join, Pick, RowKey, RowRange, StoreError, Table, Write};
use crate::actor::{Answer, Ticket};

use super::embedded::Embedded;
use super::engine::{Engine, Keys, Page};
use super::memory::Memory;
use super::queue::{Asked, To};
use super::schema::{META, MIGRATIONS, Migration, check, migrate};
use super::sequence::Sequences;
use super::thread::Threads;

/// Where a store is and what it may use.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// A directory of the store's own; made if it is missing.
    pub dir: PathBuf,
    /// Bytes of blocks kept in memory for reads.
    pub cache_bytes: u64,
    /// Bytes of a table's rows kept in memory until they are flushed; a table keeps what it was created with.
    /// Busy tables use up to four times as much while the disk is behind.
    pub write_buffer_bytes: u64,
    /// Room that the disk must have before anything is written: flushes and compactions need it for what was
    /// accepted before.
    pub reserve_bytes: u64,
    /// When memory for writes is given back, behind the last of them.
    pub rest_after: Duration,
    /// Threads that read.
    pub readers: usize,
    /// The way from older data; every list but [`MIGRATIONS`] is a test's.
    pub migrations: &'static [Migration],
}

impl StoreOptions {
    /// The defaults, for a store in `dir`.
    pub fn at(dir: impl Into<PathBuf>) -> StoreOptions {
        StoreOptions {
            dir: dir.into(),
            cache_bytes: 64 * 1024 * 1024,
            write_buffer_bytes: 16 * 1024 * 1024,
            reserve_bytes: 128 * 1024 * 1024,
            rest_after: REST_AFTER,
            readers: 2,
            migrations: MIGRATIONS,
        }
    }
}

/// A public service has no such while, and the disk of a small one is spared.
const REST_AFTER: Duration = Duration::from_secs(10);

/// Where answers go: one for each worker, called on the store's threads, with many answers at a time.
pub struct Port(Box<Deliver>);

type Deliver = dyn Fn(Vec<(Ticket, Answer)>) + Send + Sync;

impl Port {
    /// A port that hands answers to `deliver`, which must not wait and must not panic.
    pub fn new(deliver: impl Fn(Vec<(Ticket, Answer)>) + Send + Sync + 'static) -> Port {
        Port(Box::new(deliver))
    }

    pub(super) fn deliver(&self, answers: Vec<(Ticket, Answer)>) {
        (self.0)(answers);
    }
}

/// The place of a port in the list given at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortId(pub u8);

/// Who is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    pub port: PortId,
    pub ticket: Ticket,
}

/// What can be asked of a store.
#[derive(Debug)]
pub enum Request {
    /// One value.
    Row { table: &'static Table, key: RowKey },
    /// The rows of a range.
    Range {
        table: &'static Table,
        range: RowRange,
    },
    /// The rows of a range, with what some of them stand for.
    Joined {
        table: &'static Table,
        range: RowRange,
        join: Join,
    },
    /// A choice of rows.
    Pick { table: &'static Table, pick: Pick },
    /// Slices whose rows were all numbered before `before` go.
    Drop { table: &'static Table, before: u64 },
    /// Writes, all or none.
    Save(Vec<Write>),
    /// The same of this chain (`chain.rs`).
    SaveOfChain(Vec<Write>, u64),
    /// The same of somebody who may use the reserve.
    SaveInReserve(Vec<Write>),
}

/// A save that is answered at a port.
#[derive(Debug)]
pub struct Saving {
    pub ticket: Ticket,
    pub writes: Vec<Write>,
    /// Its chain, if it rests on others (`chain.rs`).
    pub chain: Option<u64>,
}

/// A store. Clones share it; when the last is dropped, what was saved is committed, all is answered, and the
/// threads are gone.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    threads: Threads,
    engine: Arc<dyn Engine>,
    tables: Vec<&'static Table>,
    sequences: Sequences,
}

impl Store {
    /// Opens the store of `options.dir`, brings its data to the present version, and starts its threads.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        options: StoreOptions,
        tables: &[&'static Table],
        ports: Vec<Port>,
    ) -> Result<Store, OpenError> {
        let engine = Embedded::open(&options)?;
        engine.create(&[&META])?;
        // Before anything else is touched: data of a newer version stays as it is.
        let version = check(&engine, options.migrations)?;
        engine.create(tables)?;
        migrate(&engine, version, options.migrations)?;
        let rest_after = options.rest_after;
        let store = Store::start(Arc::new(engine), tables, ports, options.readers, rest_after);
        store.map_err(|error| OpenError::Io {
            dir: options.dir,
            error,
        })
    }

    /// A store that forgets everything, with threads as the real one has.
    ///
    /// # Panics
    /// If the system has no thread to give.
    pub fn in_memory(tables: &[&'static Table], ports: Vec<Port>) -> Store {
        let engine = Arc::new(Memory::new(tables));
        Store::on(engine, tables, ports)
    }

    /// A store on `engine`, which may be kept and told to fail: for tests.
    ///
    /// # Panics
    /// If the system has no thread to give, or the engine refuses its tables.
    pub fn on(engine: Arc<dyn Engine>, tables: &[&'static Table], ports: Vec<Port>) -> Store {
        engine
            .create(&[&META])
            .expect("the engine takes the table of the store itself");
        Store::start(engine, tables, ports, 1, REST_AFTER).expect("a test has threads")
    }

    fn start(
        engine: Arc<dyn Engine>,
        tables: &[&'static Table],
        ports: Vec<Port>,
        readers: usize,
        rest_after: Duration,
    ) -> io::Result<Store> {
        let mut all = vec![&META];
        all.extend(tables);
        Ok(Store(Arc::new(Shared {
            threads: Threads::start(engine.clone(), ports, readers, rest_after)?,
            engine,
            tables: all,
            sequences: Sequences::default(),
        })))
    }

    /// Asks for one value: [`Answer::Row`].
    pub fn row(&self, reply: Reply, table: &'static Table, key: RowKey, fence: Fence) {
        let request = Request::Row { table, key };
        self.0.threads.read(
            Asked {
                to: To::Port(reply),
                request,
            },
            fence,
        );
    }

    /// Asks for the rows of a range: [`Answer::Range`].
    pub fn range(&self, reply: Reply, table: &'static Table, range: RowRange, fence: Fence) {
        let request = Request::Range { table, range };
        self.0.threads.read(
            Asked {
                to: To::Port(reply),
                request,
            },
            fence,
        );
    }

    /// Asks for the rows of a range with what some of them stand for: [`Answer::Range`].
    pub fn joined(
        &self,
        reply: Reply,
        table: &'static Table,
        (range, join): (RowRange, Join),
        fence: Fence,
    ) {
        let request = Request::Joined { table, range, join };
        let to = To::Port(reply);
        self.0.threads.read(Asked { to, request }, fence);
    }

    /// Asks for a choice of rows: [`Answer::Range`].
    pub fn pick(&self, reply: Reply, table: &'static Table, pick: Pick, fence: Fence) {
        let request = Request::Pick { table, pick };
        let to = To::Port(reply);
        self.0.threads.read(Asked { to, request }, fence);
    }

    /// Asks that every slice of a table goes whose rows were all numbered before `before`: [`Answer::Saved`].
    pub fn drop_before(&self, reply: Reply, table: &'static Table, before: u64) {
        let request = Request::Drop { table, before };
        let to = To::Port(reply);
        self.0.threads.save(std::iter::once(Asked { to, request }));
    }

    /// Asks that all these writes, or none, become durable: [`Answer::Saved`] when they are. Saves take effect
    /// in the order in which they are asked.
    pub fn save(&self, reply: Reply, writes: Vec<Write>) {
        let saving = Saving {
            ticket: reply.ticket,
            writes,
            chain: None,
        };
        self.save_all(reply.port, std::iter::once(saving));
    }

    /// Asks for several saves at once, each with its own ticket: what a worker's turn has collected, for the
    /// price of one lock.
    pub fn save_all(&self, port: PortId, saves: impl IntoIterator<Item = Saving>) {
        let asked = saves.into_iter().map(|saving| Asked {
            to: To::Port(Reply {
                port,
                ticket: saving.ticket,
            }),
            request: match saving.chain {
                None => Request::Save(saving.writes),
                Some(chain) => Request::SaveOfChain(saving.writes, chain),
            },
        });
        self.0.threads.save(asked);
    }

    /// One value as it is durable now. Waits for the disk.
    ///
    /// # Errors
    /// `Broken` if it cannot be read.
    pub fn row_now(
        &self,
        table: &'static Table,
        key: &RowKey,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.engine.row(table, key)
    }

    /// The rows of a range as they are durable now. Waits for the disk.
    ///
    /// # Errors
    /// `Broken` if they cannot be read.
    pub fn range_now(&self, table: &'static Table, range: &RowRange) -> Result<Page, StoreError> {
        self.0.engine.range(table, range)
    }

    /// Keys of a range as they are durable now, without their rows, in the store's own order; those behind `behind`, the
    /// last of an answer before, if it is given. Waits for the disk.
    ///
    /// # Errors
    /// `Broken` if they cannot be read.
    pub fn walk_now(
        &self,
        table: &'static Table,
        range: &RowRange,
        behind: Option<&RowKey>,
    ) -> Result<Keys, StoreError> {
        self.0.engine.walk(table, range, behind)
    }

    /// Every row of one moment, table by table and in key order within each, while saves go on: for exports.
    ///
    /// # Errors
    /// `Broken` if they cannot be read, and whatever `each` returns.
    pub fn visit_now(
        &self,
        mut each: impl FnMut(&'static Table, &[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.0.engine.visit(&mut each)
    }

    /// Saves, and waits until it is durable. What was saved before by anybody is durable then, too.
    ///
    /// # Errors
    /// The store's.
    pub fn save_now(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.wait_for(Request::Save(writes))
    }

    /// The same for what must go on while the disk has less room than it should: what is little, and an operator's word or
    /// makes room.
    ///
    /// # Errors
    /// The store's.
    pub fn save_in_reserve_now(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.wait_for(Request::SaveInReserve(writes))
    }

    fn wait_for(&self, request: Request) -> Result<(), StoreError> {
        let (caller, answer) = bounded(1);
        let to = To::Caller(caller);
        self.0.threads.save(std::iter::once(Asked { to, request }));
        match answer.recv() {
            Ok(Answer::Saved) => Ok(()),
            Ok(Answer::Failed(error)) => Err(error),
            // The writer died without an answer.
            _ => Err(StoreError::Broken),
        }
    }

    /// From now on refuses writes while the disk has less room than this.
    pub fn set_reserve(&self, bytes: u64) {
        self.0.engine.set_reserve(bytes);
    }

    pub(super) fn engine(&self) -> &dyn Engine {
        &*self.0.engine
    }

    pub(super) fn tables(&self) -> &[&'static Table] {
        &self.0.tables
    }

    #[cfg(test)]
    pub(super) fn threads(&self) -> &Threads {
        &self.0.threads
    }

    pub(super) fn sequences(&self) -> &Sequences {
        &self.0.sequences
    }
}

/// Why a store could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The files are not what they should be.
    Damaged { dir: PathBuf, reason: String },
    /// Another process has it.
    InUse { dir: PathBuf },
    /// The directory or a file of it could not be used.
    Io { dir: PathBuf, error: io::Error },
    /// A newer stonechat wrote the data.
    Newer { found: u32, known: u32 },
    /// The tables could not be read or written.
    Store(StoreError),
    /// The row that tells the version holds something else.
    Version,
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> OpenError {
        OpenError::Store(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Damaged { dir, reason } => {
                write!(f, "the store in {} is damaged: {reason}", dir.display())
            }
            OpenError::InUse { dir } => write!(
                f,
                "another stonechat has the store in {} open; stop it first",
                dir.display()
            ),
            OpenError::Io { dir, error } => {
                write!(f, "the store in {} cannot be used: {error}", dir.display())
            }
            OpenError::Newer { found, known } => write!(
                f,
                "the data is of version {found} and this stonechat knows only up to version {known}; \
                 run the newer stonechat that wrote it, or restore a backup from before"
            ),
            OpenError::Store(error) => write!(f, "the store could not be opened: {error}"),
            OpenError::Version => f.write_str("the store's version row is damaged"),
        }
    }
}

impl std::error::Error for OpenError {}
