//! Commands that a user has begun and not ended (XEP-0050 section 3.3), while the account is in memory. Refuses to know
//! what any command asks or does.

use crate::actor::Answers;
use crate::base::{SessionId, limits};

/// One that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSession {
    /// Unguessable, and never used again.
    pub id: String,
    /// "SHOULD be valid only between one requester/responder pair".
    pub session: SessionId,
    pub node: &'static str,
    /// Answers to the pages before the one that is shown.
    pub answers: Answers,
    /// When its user was last heard of it, on the monotonic clock.
    pub used_at_ms: u64,
}

/// Those of an account, the one that was used longest ago first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandSessions(Vec<CommandSession>);

impl CommandSessions {
    /// The one of this id, unless it waited too long.
    pub fn find(&self, id: &str, now_ms: u64) -> Option<&CommandSession> {
        let mut sessions = self.0.iter();
        sessions.find(|session| session.id == id && !session.has_expired(now_ms))
    }

    /// It begins or goes on. Those that waited too long go, and the oldest if there are too many.
    pub fn keep(&mut self, session: CommandSession) {
        let now_ms = session.used_at_ms;
        self.0
            .retain(|other| other.id != session.id && !other.has_expired(now_ms));
        if self.0.len() >= limits::COMMAND_SESSIONS_MAX {
            self.0.remove(0);
        }
        self.0.push(session);
    }

    /// It is over.
    pub fn end(&mut self, id: &str) {
        self.0.retain(|session| session.id != id);
    }

    /// Whoever began them is gone.
    pub fn forget(&mut self, session: SessionId) {
        self.0.retain(|other| other.session != session);
    }

    /// Nobody is in the middle of anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl CommandSession {
    fn has_expired(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.used_at_ms) > limits::COMMAND_SESSION_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, used_at_ms: u64) -> CommandSession {
        CommandSession {
            id: id.to_owned(),
            session: SessionId(1),
            node: "test",
            answers: Answers::default(),
            used_at_ms,
        }
    }

    #[test]
    fn one_that_waits_too_long_is_over() {
        let mut sessions = CommandSessions::default();
        sessions.keep(session("a", 0));
        assert!(sessions.find("a", limits::COMMAND_SESSION_MS).is_some());
        assert!(sessions.find("a", limits::COMMAND_SESSION_MS + 1).is_none());
        sessions.keep(session("b", limits::COMMAND_SESSION_MS + 1));
        assert_eq!(sessions.0.len(), 1);
    }

    #[test]
    fn there_are_so_many_and_the_one_used_longest_ago_goes() {
        let mut sessions = CommandSessions::default();
        for n in 0..limits::COMMAND_SESSIONS_MAX {
            sessions.keep(session(&n.to_string(), n as u64));
        }
        sessions.keep(session("0", 100));
        sessions.keep(session("new", 101));
        assert!(sessions.find("0", 101).is_some());
        assert!(sessions.find("1", 101).is_none());
        assert_eq!(sessions.0.len(), limits::COMMAND_SESSIONS_MAX);
        sessions.end("0");
        assert!(sessions.find("0", 101).is_none());
        sessions.forget(SessionId(1));
        assert!(sessions.is_empty());
    }
}
