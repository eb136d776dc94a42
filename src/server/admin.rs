//! The control socket: one request a connection, each on a thread of its own, for whoever may write into the data
//! directory. Refuses to do anything itself; what it may ask for is in [`AdminActions`].

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use zeroize::Zeroizing;

use super::command::{Answer, Command, UserCommand, encode_answer, parse_answer};

/// What requests cause. Each answers lines for the operator, or a sentence that says what was not done, and may be
/// called by several at once.
pub struct AdminActions {
    pub backup: Box<dyn Fn(&Path) -> Answer + Send + Sync>,
    pub listeners: Box<dyn Fn() -> Answer + Send + Sync>,
    pub reload: Box<dyn Fn() -> Answer + Send + Sync>,
    pub status: Box<dyn Fn() -> Answer + Send + Sync>,
    /// Lets milliseconds pass: only with `--test-clock`.
    pub time_advance: Option<Box<dyn Fn(u64) + Send + Sync>>,
    /// See `AccountDesk::run` in `accounts.rs`.
    pub user: Box<dyn Fn(UserCommand) -> Answer + Send + Sync>,
}

/// The running control socket. Dropping it removes the socket, and waits for requests that are being worked on, but
/// not for ever: whoever stops a server has to see to it that they end soon.
pub struct Admin {
    path: PathBuf,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Holds a value for each request that is being worked on.
    at_work: Receiver<()>,
}

impl Admin {
    /// Listens on [`socket_path`] of the data directory, which exists.
    ///
    /// # Errors
    /// `AddrInUse` if another server answers there; otherwise what the system says.
    pub fn start(data: &Path, actions: AdminActions) -> io::Result<Admin> {
        let path = socket_path(data);
        let listener = listen(data, &path)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = stopping.clone();
        let desk = Desk::new(actions);
        let at_work = desk.requests.seats.clone();
        let thread = thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                for connection in listener.incoming() {
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    if let Err(error) = connection.and_then(|connection| desk.begin(connection)) {
                        log::warn!("control_request_failed error=\"{error}\"");
                    }
                }
            })?;
        Ok(Admin {
            path,
            stopping,
            thread: Some(thread),
            at_work,
        })
    }
}

/// Where requests are worked on.
struct Desk {
    actions: Arc<AdminActions>,
    requests: Seats,
    /// Some of them: what may take long must leave room for a look at the status.
    long: Seats,
}

impl Desk {
    fn new(actions: AdminActions) -> Desk {
        Desk {
            actions: Arc::new(actions),
            requests: Seats::new(REQUEST_COUNT_MAX),
            long: Seats::new(LONG_REQUEST_COUNT_MAX),
        }
    }

    /// Serves a connection on a thread of its own. While all are taken, the next ones wait in the system's queue:
    /// not all can be long ones, and the others end soon.
    fn begin(&self, connection: UnixStream) -> io::Result<()> {
        let seat = self.requests.wait();
        let (actions, long) = (Arc::clone(&self.actions), self.long.clone());
        let served = move || {
            if let Err(error) = serve(connection, &actions, &long) {
                log::warn!("control_request_failed error=\"{error}\"");
            }
            drop(seat);
        };
        let thread = thread::Builder::new().name("admin-request".to_owned());
        thread.spawn(served).map(drop)
    }
}

/// So many at a time: what is in the channel are those that are taken.
#[derive(Clone)]
struct Seats {
    take: Sender<()>,
    seats: Receiver<()>,
}

/// Dropped, it is free again, by a panic too.
struct TakenSeat(Receiver<()>);

impl Seats {
    fn new(count: usize) -> Seats {
        let (take, seats) = bounded(count);
        Seats { take, seats }
    }

    fn wait(&self) -> TakenSeat {
        // Cannot fail: the other end is in `self`.
        let _ = self.take.send(());
        TakenSeat(self.seats.clone())
    }

    fn try_take(&self) -> Option<TakenSeat> {
        let taken = self.take.try_send(());
        taken.ok().map(|()| TakenSeat(self.seats.clone()))
    }
}

impl Drop for TakenSeat {
    fn drop(&mut self) {
        // What whoever took it put there.
        let _ = self.0.try_recv();
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // A connection of our own wakes the thread; if there is no thread to wake it has ended already.
        let _ = connect(&self.path);
        if let Some(thread) = self.thread.take() {
            // A panic there was logged by the panic hook; there is nobody left to tell.
            let _ = thread.join();
        }
        let begun = Instant::now();
        while !self.at_work.is_empty() {
            if begun.elapsed() >= STOP_PATIENCE {
                log::warn!("control_requests_cut_off count={}", self.at_work.len());
                break;
            }
            thread::sleep(STOP_LOOK);
        }
        // Best effort: a socket that stays is recognised as stale.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where the control socket of a data directory is.
pub fn socket_path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Why a request had no answer from the server.
#[derive(Debug)]
pub enum AskError {
    /// Nobody listens: the server is not running.
    NotRunning,
    /// The server, or the way to it, failed.
    Failed(String),
}

/// Asks the server that runs on this data directory.
///
/// # Errors
/// See [`AskError`]; a refusal by the server is inside the `Ok`.
pub fn ask(data: &Path, command: &Command) -> Result<Answer, AskError> {
    let failed = |error: io::Error| AskError::Failed(error.to_string());
    let request = command.encode().map_err(AskError::Failed)?;
    let mut connection = match connect(&socket_path(data)) {
        Ok(connection) => connection,
        Err(error) if nobody_listens(&error) => return Err(AskError::NotRunning),
        Err(error) => return Err(failed(error)),
    };
    connection.write_all(&request).map_err(failed)?;
    connection.shutdown(Shutdown::Write).map_err(failed)?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).map_err(failed)?;
    Ok(parse_answer(&answer))
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(Reach::of(path)?.path())
}

/// A way to a socket that is short enough, however long its path is: through an open directory, which has to stay open
/// that long.
enum Reach {
    Straight(PathBuf),
    Through { short: PathBuf, _open: File },
}

impl Reach {
    fn of(path: &Path) -> io::Result<Reach> {
        let (directory, name) = match (path.parent(), path.file_name()) {
            (Some(directory), Some(name)) if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX => {
                (directory, name)
            }
            _ => return Ok(Reach::Straight(path.to_owned())),
        };
        let directory = File::open(directory)?;
        let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string());
        let short = short.join(name);
        Ok(Reach::Through {
            short,
            _open: directory,
        })
    }

    fn path(&self) -> &Path {
        match self {
            Reach::Straight(path) | Reach::Through { short: path, .. } => path,
        }
    }
}

fn nobody_listens(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

/// A listener of mode 0600 at `path`. It is bound inside a directory that nobody else may enter, so that at no
/// moment anybody else can connect, and moved to its place, which replaces a stale one in one step.
fn listen(data: &Path, path: &Path) -> io::Result<UnixListener> {
    match connect(path) {
        Ok(_) => {
            let text = format!(
                "another server answers on {}; stop it first",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        Err(error) if nobody_listens(&error) => {}
        Err(error) => return Err(error),
    }
    let private = data.join(format!(".control.{}", std::process::id()));
    // Left behind by a crashed server with our number, if it exists.
    let _ = fs::remove_dir_all(&private);
    fs::DirBuilder::new().mode(0o700).create(&private)?;
    let draft = private.join("s");
    let listener = Reach::of(&draft)
        .and_then(|reach| UnixListener::bind(reach.path()))
        .and_then(|listener| {
            fs::set_permissions(&draft, fs::Permissions::from_mode(0o600)).map(|()| listener)
        })
        .and_then(|listener| fs::rename(&draft, path).map(|()| listener));
    // Best effort: an empty directory harms nobody.
    let _ = fs::remove_dir_all(&private);
    listener
}

fn serve(mut connection: UnixStream, actions: &AdminActions, long: &Seats) -> io::Result<()> {
    // Whoever connects and says nothing must not keep others out.
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    let mut request = Zeroizing::new(Vec::new());
    Read::by_ref(&mut connection)
        .take(REQUEST_BYTES_MAX + 1)
        .read_to_end(&mut request)?;
    if request.is_empty() {
        // Somebody looked whether we are here.
        return Ok(());
    }
    let answer = match request.len() as u64 > REQUEST_BYTES_MAX {
        true => Err("the request is too large; split it".to_owned()),
        false => Command::parse(&request).and_then(|command| match is_long(&command) {
            true => {
                let seat = long.try_take();
                let _seat =
                    seat.ok_or("too much is being done already; try again when that is over")?;
                run(command, actions)
            }
            false => run(command, actions),
        }),
    };
    connection.write_all(encode_answer(&answer).as_bytes())
}

/// Whether it may take more than a moment.
fn is_long(command: &Command) -> bool {
    match command {
        Command::Backup { .. } => true,
        Command::User(command) => {
            matches!(command, UserCommand::Add { .. } | UserCommand::List { .. })
        }
        Command::Listeners | Command::Reload | Command::Status | Command::TimeAdvance { .. } => {
            false
        }
    }
}

fn run(command: Command, actions: &AdminActions) -> Answer {
    match command {
        Command::Backup { directory } => (actions.backup)(&directory),
        Command::Listeners => (actions.listeners)(),
        Command::Reload => (actions.reload)(),
        Command::Status => (actions.status)(),
        Command::TimeAdvance { ms } => match &actions.time_advance {
            Some(advance) => {
                advance(ms);
                Ok(Vec::new())
            }
            None => {
                Err("time can only be advanced in a server started with --test-clock".to_owned())
            }
        },
        Command::User(command) => (actions.user)(command),
    }
}

/// Longest request: some 300,000 accounts to add at a time.
const REQUEST_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// unix(7): `sun_path` has 108 bytes, and ends with a zero byte.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// How long a connection may be silent.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Requests at a time: nobody but the operator and what watches the server sends any.
const REQUEST_COUNT_MAX: usize = 16;
/// Of those, such that may take minutes.
const LONG_REQUEST_COUNT_MAX: usize = 4;
const _: () = assert!(LONG_REQUEST_COUNT_MAX < REQUEST_COUNT_MAX);
/// How long a stop waits for requests. Long ones look between any two steps whether they shall end; a step is a
/// derivation of keys or a commit.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
const STOP_LOOK: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory, removed with the test.
    struct Scratch(PathBuf);

    fn directory(name: &str) -> Scratch {
        let path =
            std::env::temp_dir().join(format!("stonechat-admin-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a temporary directory");
        Scratch(path)
    }

    impl std::ops::Deref for Scratch {
        type Target = Path;

        fn deref(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn actions() -> AdminActions {
        AdminActions {
            backup: Box::new(|directory| Ok(vec![format!("copied to {}", directory.display())])),
            listeners: Box::new(|| Ok(Vec::new())),
            reload: Box::new(|| Ok(Vec::new())),
            status: Box::new(|| Ok(vec!["sessions 0".to_owned()])),
            time_advance: None,
            user: Box::new(|command| match command {
                UserCommand::Remove { jid } => Err(format!("{jid}: there is no such account")),
                command => Ok(vec![format!("{command:?}")]),
            }),
        }
    }

    #[test]
    fn a_request_is_answered_and_a_refusal_says_why() {
        let data = directory("answers");
        let _admin = Admin::start(&data, actions()).expect("starts");
        assert_eq!(
            ask(&data, &Command::Status).expect("runs"),
            Ok(vec!["sessions 0".to_owned()])
        );
        let remove = Command::User(UserCommand::Remove {
            jid: "a@b".to_owned(),
        });
        assert_eq!(
            ask(&data, &remove).expect("runs"),
            Err("a@b: there is no such account".to_owned())
        );
    }

    #[test]
    fn time_stands_still_without_a_test_clock() {
        let data = directory("time");
        let _admin = Admin::start(&data, actions()).expect("starts");
        assert!(
            ask(&data, &Command::TimeAdvance { ms: 1 })
                .expect("runs")
                .is_err()
        );
    }

    #[test]
    fn only_the_owner_may_connect_and_nothing_else_is_left_behind() {
        let data = directory("mode");
        let admin = Admin::start(&data, actions()).expect("starts");
        let mode = fs::metadata(socket_path(&data))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&*data).expect("readable").count(), 1);
        drop(admin);
        assert_eq!(fs::read_dir(&*data).expect("readable").count(), 0);
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let data = directory("stale");
        drop(UnixListener::bind(socket_path(&data)).expect("binds"));
        assert!(matches!(
            ask(&data, &Command::Status),
            Err(AskError::NotRunning)
        ));
        let _admin = Admin::start(&data, actions()).expect("replaces the stale one");
        let second = Admin::start(&data, actions())
            .map(|_| ())
            .expect_err("one is running");
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        assert!(ask(&data, &Command::Status).is_ok());
    }

    #[test]
    fn a_data_directory_may_have_a_path_that_is_too_long_for_a_socket() {
        let short = directory("deep");
        let data = short.join("a".repeat(120)).join("b".repeat(120));
        fs::create_dir_all(&data).expect("a temporary directory");
        assert!(matches!(
            ask(&data, &Command::Status),
            Err(AskError::NotRunning)
        ));
        let admin = Admin::start(&data, actions()).expect("starts");
        assert!(ask(&data, &Command::Status).expect("runs").is_ok());
        let second = Admin::start(&data, actions()).map(|_| ());
        let second = second.expect_err("one is running");
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        drop(admin);
        assert_eq!(fs::read_dir(&*data).expect("readable").count(), 0);
    }

    #[test]
    fn a_stopped_server_is_told_from_a_broken_one() {
        let data = directory("stopped");
        assert!(matches!(
            ask(&data, &Command::Status),
            Err(AskError::NotRunning)
        ));
    }

    #[test]
    fn while_long_requests_are_worked_on_others_are_answered_and_too_many_are_refused() {
        let data = directory("long");
        let (tell, begun) = bounded(LONG_REQUEST_COUNT_MAX);
        let (end, wait) = bounded::<()>(0);
        let backup = move |_: &Path| {
            tell.send(()).expect("the test listens");
            // Ends when the other end is dropped.
            let _ = wait.recv();
            Ok(Vec::new())
        };
        let actions = AdminActions {
            backup: Box::new(backup),
            ..actions()
        };
        let _admin = Admin::start(&data, actions).expect("starts");
        let copy = || {
            let directory = PathBuf::from("/copy");
            ask(&data, &Command::Backup { directory }).expect("runs")
        };
        thread::scope(|scope| {
            let long: Vec<_> = (0..LONG_REQUEST_COUNT_MAX)
                .map(|_| scope.spawn(copy))
                .collect();
            for _ in &long {
                begun.recv().expect("each begins");
            }
            assert!(ask(&data, &Command::Status).expect("runs").is_ok());
            let refused = copy().expect_err("one too many");
            assert!(refused.contains("try again"), "{refused}");
            drop(end);
            for request in long {
                assert_eq!(request.join().expect("no panic"), Ok(Vec::new()));
            }
        });
    }

    #[test]
    fn whoever_looks_and_says_nothing_does_no_harm() {
        let data = directory("silent");
        let _admin = Admin::start(&data, actions()).expect("starts");
        drop(UnixStream::connect(socket_path(&data)).expect("connects"));
        assert!(ask(&data, &Command::Status).is_ok());
    }
}
