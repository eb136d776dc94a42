//! The stanzas that a run sends, and their ids: which run, who sent it, its number, and when it was meant to leave, so that
//! nothing has to be remembered until it arrives. It knows nothing of who reads them.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::fmt::Write as _;
use std::hash::BuildHasher;

use serde::{Deserialize, Serialize};

use crate::client::stanza::escaped;

/// Which run sent something: servers keep what a former one left under way, and deliver it to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag(u32);

impl Tag {
    /// Of a run that begins now; no two are likely to have the same.
    pub fn random() -> Self {
        Self(RandomState::new().hash_one(std::process::id()) as u32)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// What an id says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id {
    pub run: Tag,
    pub sender: u32,
    pub number: u32,
    /// When it was meant to leave, in microseconds of the sending thread's clock.
    pub at: u64,
}

impl Id {
    fn push(self, into: &mut String) {
        let Self {
            run,
            sender,
            number,
            at,
        } = self;
        write!(into, "{MARK}{run}.{sender}.{number}.{at}").expect("a String takes everything");
    }

    /// Reads an id; None when it is none of ours.
    pub fn read(id: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(id).ok()?.strip_prefix(MARK)?;
        let mut parts = text.splitn(4, '.');
        Some(Self {
            run: Tag(u32::from_str_radix(parts.next()?, 16).ok()?),
            sender: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
            at: parts.next()?.parse().ok()?,
        })
    }
}

/// A message of `size` bytes, more if what must stand in it is longer.
pub fn message(to: &str, kind: &str, id: Id, size: usize) -> String {
    let mut text = format!("<message to='{}' type='{kind}' id='", escaped(to));
    id.push(&mut text);
    text.push_str("'><body>");
    let tail = "</body></message>";
    let mut left = size.saturating_sub(text.len() + tail.len()).max(1);
    while left > 0 {
        let words = &WORDS[..left.min(WORDS.len())];
        text.push_str(words);
        left -= words.len();
    }
    text.push_str(tail);
    text
}

pub fn presence(id: Id) -> String {
    let show = if id.number.is_multiple_of(2) {
        "away"
    } else {
        "chat"
    };
    let mut text = "<presence id='".to_owned();
    id.push(&mut text);
    write!(
        text,
        "'><show>{show}</show><status>it is the east</status></presence>"
    )
    .expect("a String takes everything");
    text
}

/// Twenty-two words, as people write them: an archive may index each of them.
const WORDS: &str = "but soft what light through yonder window breaks it is the east and juliet is the sun \
    arise fair sun and kill the envious moon who is already sick and pale with grief ";
const MARK: &str = "lc.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::stanza::Stanza;

    #[test]
    fn ids_are_read_again_and_messages_have_their_size() {
        for (sender, number, at) in [(0, 0, 0), (999_999, u32::MAX, u64::MAX)] {
            let id = Id {
                run: Tag(number),
                sender,
                number,
                at,
            };
            for text in [message("a@b/c", "chat", id, 200), presence(id)] {
                let stanza = Stanza {
                    bytes: text.as_bytes(),
                };
                assert_eq!(
                    stanza.attribute("id").and_then(Id::read),
                    Some(id),
                    "{text}"
                );
            }
            assert_eq!(message("a@b/c", "chat", id, 200).len(), 200);
            assert_eq!(message("a@b/c", "chat", id, 2_000).len(), 2_000);
        }
        for other in ["", "lc.1.2.3", "lc.1.2.3.x", "lc.y.1.2.3", "x.1.2.3.4"] {
            assert_eq!(Id::read(other.as_bytes()), None);
        }
    }
}
