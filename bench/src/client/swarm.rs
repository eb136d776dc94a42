//! All clients of a run in one thread: an epoll loop over their sessions. It knows how to bring them
//! in and how to keep them quiet; what they say to each other is the business of the measures.

use std::mem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mio::{Events, Poll, Token};

use super::people::People;
use super::plan::LoginPlan;
use super::sasl::Mechanism;
use super::session::{Session, Transport};
use super::tls::trusting_config;

pub struct Swarm {
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    server: SocketAddr,
    plan: LoginPlan,
    ready: Vec<usize>,
    pub sessions: Vec<Session>,
}

impl Swarm {
    pub fn new(server: SocketAddr, transport: Transport, mechanism: Mechanism) -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            scratch: vec![0; 64 * 1024],
            server,
            plan: LoginPlan::new(People::of_bench(), transport, mechanism, trusting_config()?),
            ready: Vec::new(),
            sessions: Vec::new(),
        })
    }

    /// From now on whoever logs in waits for so many contacts.
    pub fn expect_contacts(&mut self, count: u32) {
        self.plan.contacts = count as usize;
    }

    /// Opens bare connections, one after the other: the null relay pairs them by order of arrival.
    pub fn connect(&mut self, count: usize) -> Result<()> {
        while self.sessions.len() < count {
            let index = self.add_session()?;
            let deadline = Instant::now() + PATIENCE;
            while self.sessions[index].is_connecting() {
                let ready = self.wait(Duration::from_millis(100))?;
                if ready.contains(&index) {
                    self.sessions[index].link.connected()?;
                    self.sessions[index].skip_login();
                }
                self.done_with(ready);
                if Instant::now() > deadline {
                    bail!("the null relay does not accept connections");
                }
            }
        }
        Ok(())
    }

    /// Logs in one session per user from where it is up to `count` users, `in_flight` at a time.
    pub fn log_in(&mut self, count: usize, in_flight: usize) -> Result<()> {
        let mut complete = self.sessions.len();
        let mut progress = Instant::now();
        while complete < count {
            while self.sessions.len() < count && self.sessions.len() - complete < in_flight {
                self.add_session()?;
            }
            let ready = self.wait(Duration::from_millis(500))?;
            for &index in &ready {
                let session = &mut self.sessions[index];
                let was_ready = session.is_ready();
                if session.is_connecting() {
                    session.advance(&mut self.plan)?;
                }
                receive(session, &mut self.scratch, &self.plan)?;
                if was_ready {
                    session.input.clear();
                } else {
                    session.advance(&mut self.plan)?;
                    complete += usize::from(session.is_ready());
                }
            }
            if !ready.is_empty() {
                progress = Instant::now();
            }
            self.done_with(ready);
            if progress.elapsed() > PATIENCE {
                let stuck = self.sessions.iter().find(|s| !s.is_ready());
                bail!(
                    "no answer for {PATIENCE:?}: {}",
                    stuck.map_or_else(String::new, |session| session.describe(&self.plan))
                );
            }
        }
        Ok(())
    }

    /// Takes in and forgets whatever the server sends for a while.
    pub fn idle(&mut self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let ready = self.wait(left.min(Duration::from_millis(100)))?;
            for &index in &ready {
                self.receive(index)?;
                self.sessions[index].input.clear();
            }
            self.done_with(ready);
        }
        Ok(())
    }

    /// Ends all sessions.
    pub fn log_out(&mut self) -> Result<()> {
        for session in &mut self.sessions {
            session.link.send(b"</stream:stream>")?;
        }
        self.sessions.clear();
        Ok(())
    }

    /// Sessions that can be read or written, at most for `timeout`. The list goes back through
    /// `done_with`, so that the loop does not allocate.
    pub fn wait(&mut self, timeout: Duration) -> Result<Vec<usize>> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(timeout))
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        let mut ready = mem::take(&mut self.ready);
        ready.extend(self.events.iter().map(|event| event.token().0));
        Ok(ready)
    }

    pub fn done_with(&mut self, mut ready: Vec<usize>) {
        ready.clear();
        self.ready = ready;
    }

    /// Reads all there is for one session, and sends what waits there.
    pub fn receive(&mut self, index: usize) -> Result<()> {
        receive(&mut self.sessions[index], &mut self.scratch, &self.plan)
    }

    fn add_session(&mut self) -> Result<usize> {
        let index = self.sessions.len();
        let user = u32::try_from(index)?;
        let token = Token(index);
        self.sessions.push(Session::connect(
            user,
            self.server,
            self.poll.registry(),
            token,
        )?);
        Ok(index)
    }
}

fn receive(session: &mut Session, scratch: &mut [u8], plan: &LoginPlan) -> Result<()> {
    session.link.flush()?;
    let received = session.link.receive(scratch, &mut session.input);
    received.map_err(|error| error.context(session.describe(plan)))
}

const PATIENCE: Duration = Duration::from_secs(30);
