//! The control socket: one thread, one request a connection, for whoever may write into the data directory.
//! Refuses to do anything itself; what it may ask for is in [`AdminActions`].

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use zeroize::Zeroizing;

use super::command::{Answer, Command, UserCommand, encode_answer, parse_answer};

/// What requests cause. Each answers lines for the operator, or a sentence that says what was not done.
pub struct AdminActions {
    pub backup: Box<dyn Fn(&Path) -> Answer + Send>,
    pub listeners: Box<dyn Fn() -> Answer + Send>,
    pub reload: Box<dyn Fn() -> Answer + Send>,
    pub status: Box<dyn Fn() -> Answer + Send>,
    /// Lets milliseconds pass: only with `--test-clock`.
    pub time_advance: Option<Box<dyn Fn(u64) + Send>>,
    /// See `AccountDesk::run` in `accounts.rs`.
    pub user: Box<dyn Fn(UserCommand) -> Answer + Send>,
}

/// The running control socket; dropping it ends the thread and removes the socket.
pub struct Admin {
    path: PathBuf,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
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
        let thread = thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                for connection in listener.incoming() {
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    if let Err(error) =
                        connection.and_then(|connection| serve(connection, &actions))
                    {
                        log::warn!("control_request_failed error=\"{error}\"");
                    }
                }
            })?;
        Ok(Admin {
            path,
            stopping,
            thread: Some(thread),
        })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // A connection of our own wakes the thread; if there is no thread to wake it has ended already.
        let _ = UnixStream::connect(&self.path);
        if let Some(thread) = self.thread.take() {
            // A panic there was logged by the panic hook; there is nobody left to tell.
            let _ = thread.join();
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
    let mut connection = match UnixStream::connect(socket_path(data)) {
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

fn nobody_listens(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

/// A listener of mode 0600 at `path`. It is bound inside a directory that nobody else may enter, so that at no
/// moment anybody else can connect, and moved to its place, which replaces a stale one in one step.
fn listen(data: &Path, path: &Path) -> io::Result<UnixListener> {
    match UnixStream::connect(path) {
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
    let listener = UnixListener::bind(&draft)
        .and_then(|listener| {
            fs::set_permissions(&draft, fs::Permissions::from_mode(0o600)).map(|()| listener)
        })
        .and_then(|listener| fs::rename(&draft, path).map(|()| listener));
    // Best effort: an empty directory harms nobody.
    let _ = fs::remove_dir_all(&private);
    listener
}

fn serve(mut connection: UnixStream, actions: &AdminActions) -> io::Result<()> {
    // One thread serves all: whoever connects and says nothing must not keep others out.
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
        false => Command::parse(&request).and_then(|command| run(command, actions)),
    };
    connection.write_all(encode_answer(&answer).as_bytes())
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
/// How long a connection may be silent.
const TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("stonechat-admin-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a temporary directory");
        path
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
        assert_eq!(fs::read_dir(&data).expect("readable").count(), 1);
        drop(admin);
        assert_eq!(fs::read_dir(&data).expect("readable").count(), 0);
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
    fn a_stopped_server_is_told_from_a_broken_one() {
        let data = directory("stopped");
        assert!(matches!(
            ask(&data, &Command::Status),
            Err(AskError::NotRunning)
        ));
    }

    #[test]
    fn whoever_looks_and_says_nothing_does_no_harm() {
        let data = directory("silent");
        let _admin = Admin::start(&data, actions()).expect("starts");
        drop(UnixStream::connect(socket_path(&data)).expect("connects"));
        assert!(ask(&data, &Command::Status).is_ok());
    }
}
