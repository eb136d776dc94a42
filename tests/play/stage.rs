//! What a stage can do: carry bytes between a play and a server, register users, let time pass.
//! It refuses to know XMPP; whatever is said over a connection is the play's.

/// One connection of the stage.
pub type Conn = usize;

/// How a connection of this stage becomes secure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// It is from the beginning: direct TLS, or a simulated channel that counts as secure.
    Secure,
    /// By STARTTLS.
    StartTls,
}

/// A server in some form: the simulated world with one or four workers, or the binary behind
/// sockets. Everything is synchronous; a stage without sockets runs its server until it is quiet
/// in `read` and `advance`.
pub trait Stage {
    /// The domain that is served.
    fn host(&self) -> &str;

    /// How the connections it opens become secure.
    fn channel(&self) -> Channel;

    /// Creates an account.
    fn register(&mut self, localpart: &str, password: &str) -> Result<(), String>;

    /// Does what an operator asks over the control socket: `user disable JID` and the like. Its lines.
    fn operate(&mut self, command: &str) -> Result<Vec<String>, String>;

    /// Opens a connection; nothing is said on it yet.
    fn connect(&mut self) -> Result<Conn, String>;

    /// The TLS handshake, after `<proceed/>`, on a stage of `Channel::StartTls`.
    fn start_tls(&mut self, conn: Conn) -> Result<(), String>;

    /// Hands bytes to the server. Bytes for a connection that is closed are dropped.
    fn write(&mut self, conn: Conn, bytes: &[u8]);

    /// What the server has sent. If nothing has come yet it is given the time it needs: an empty
    /// answer means that nothing will come (the world is quiet, or patience is at its end) or that
    /// the connection is closed.
    fn read(&mut self, conn: Conn) -> Vec<u8>;

    /// Whether the server has closed the connection, everything before having been read.
    fn is_closed(&self, conn: Conn) -> bool;

    /// Breaks the connection without a word; what was not read is lost.
    fn lose(&mut self, conn: Conn);

    /// What was written, and that a connection was lost, is known to the server's workers when this returns. What they
    /// have asked others for (a proof, a row) may not have come by then.
    fn catch_up(&mut self) -> Result<(), String>;

    /// Lets time pass, in milliseconds, timers and all.
    fn advance(&mut self, ms: u64) -> Result<(), String>;
}
