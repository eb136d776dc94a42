//! The messages that pairs exchange, and the presence that a crowd hears: fixed length when sent, and found again in what
//! arrives by two searches, without a parser, whatever the server has done to attributes and quotes.

use memchr::{memchr, memmem};

/// Bytes of every message as sent; the null relay forwards blocks of this length.
pub const LENGTH: usize = 200;

/// Bytes of every presence as sent; the null fan-out forwards blocks of this length.
pub const PRESENCE_LENGTH: usize = 130;

/// The resource that every session binds.
pub const RESOURCE: &str = "b";

/// Who sent a message, and its number among all from there, both read from its id.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Id {
    pub sender: u32,
    pub number: u64,
}

/// The local part of a user's address. Equal lengths, so that all messages have one length.
pub fn user_name(user: u32) -> String {
    format!("u{user:05}")
}

/// Appends message `number` from one user to another.
pub fn compose(sender: u32, receiver: u32, number: u64, into: &mut Vec<u8>) {
    let start = into.len();
    into.extend_from_slice(b"<message to='u");
    push_decimal(u64::from(receiver), 5, into);
    into.extend_from_slice(b"@localhost/b' type='chat' id='");
    push_decimal(u64::from(sender), 5, into);
    into.push(b'-');
    push_decimal(number, 10, into);
    into.extend_from_slice(b"'><body>");
    let words = start + LENGTH - TAIL.len() - into.len();
    into.extend_from_slice(&WORDS[..words]);
    into.extend_from_slice(TAIL);
}

/// Appends presence `number` of a user, for everybody who sees it.
pub fn compose_presence(sender: u32, number: u64, into: &mut Vec<u8>) {
    let start = into.len();
    into.extend_from_slice(b"<presence id='");
    push_decimal(u64::from(sender), 5, into);
    into.push(b'-');
    push_decimal(number, 10, into);
    let show: &[u8] = match number % 2 {
        0 => b"away",
        _ => b"chat",
    };
    into.extend_from_slice(b"'><show>");
    into.extend_from_slice(show);
    into.extend_from_slice(b"</show><status>");
    let words = start + PRESENCE_LENGTH - PRESENCE_TAIL.len() - into.len();
    into.extend_from_slice(&WORDS[..words]);
    into.extend_from_slice(PRESENCE_TAIL);
}

/// Twenty-two words, as people write them: an archive may index each of them.
const WORDS: &[u8] =
    b"but soft what light through yonder window breaks it is the east and juliet is the sun \
    arise fair sun and kill the envious moon who is already sick and pale with grief";
const TAIL: &[u8] = b"</body></message>";
const PRESENCE_TAIL: &[u8] = b"</status></presence>";

/// Zero-padded decimal digits; `format!` would cost more than the rest of composing.
fn push_decimal(mut value: u64, digits: usize, into: &mut Vec<u8>) {
    let start = into.len();
    into.resize(start + digits, b'0');
    for place in into[start..].iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// One thing found in the input.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Found {
    Ours(Id),
    /// One that is none of ours, such as one of type `error`.
    Foreign,
}

/// Finds complete stanzas of one kind in a stream. Prepared once, because building a searcher costs more than
/// one search.
pub struct Scanner {
    end: memmem::Finder<'static>,
    start: memmem::Finder<'static>,
    id: memmem::Finder<'static>,
    error: memmem::Finder<'static>,
}

impl Scanner {
    pub fn of_messages() -> Self {
        Self::of("<message", "</message>")
    }

    /// Of presence with content; an empty one is passed over.
    pub fn of_presence() -> Self {
        Self::of("<presence", "</presence>")
    }

    fn of(start: &'static str, end: &'static str) -> Self {
        Self {
            end: memmem::Finder::new(end),
            start: memmem::Finder::new(start),
            id: memmem::Finder::new(" id="),
            error: memmem::Finder::new("error"),
        }
    }
}

impl Scanner {
    /// Hands every complete stanza in `input` to `each` and takes it out, with whatever stood before
    /// it (stanzas of other kinds). An unfinished one stays for the next time.
    pub fn take(&self, input: &mut Vec<u8>, mut each: impl FnMut(Found)) {
        let mut used = 0;
        while let Some(length) = self.end.find(&input[used..]) {
            each(self.read(&input[used..used + length]));
            used += length + self.end.needle().len();
        }
        if used == input.len() {
            input.clear();
        } else {
            if self.start.find(&input[used..]).is_none() {
                // Nothing of one but perhaps the beginning of its name: forget the rest.
                used = used.max(input.len().saturating_sub(self.start.needle().len()));
            }
            input.drain(..used);
        }
    }

    /// Reads the id in the last start tag of the stanza that `bytes` end with: empty ones may stand before it.
    fn read(&self, bytes: &[u8]) -> Found {
        let tag = self.start.find_iter(bytes).last().and_then(|start| {
            let end = memchr(b'>', &bytes[start..])?;
            Some(&bytes[start..start + end])
        });
        let id = tag.and_then(|tag| {
            if self.error.find(tag).is_some() {
                return None;
            }
            // One byte of quote, five of sender, a dash, ten of number.
            let id = tag.get(self.id.find(tag)? + 5..)?.get(..16)?;
            let (sender, number) = (id.get(..5)?, id.get(6..)?);
            Some(Id {
                sender: u32::try_from(decimal(sender)?).ok()?,
                number: decimal(number)?,
            })
        });
        id.map_or(Found::Foreign, Found::Ours)
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(scanner: &Scanner, input: &mut Vec<u8>) -> Vec<Found> {
        let mut all = Vec::new();
        scanner.take(input, |one| all.push(one));
        all
    }

    fn message(sender: u32, number: u64) -> Found {
        Found::Ours(Id { sender, number })
    }

    #[test]
    fn every_message_has_the_length_that_the_relay_forwards() {
        for (sender, number) in [(0, 0), (14_999, 1), (99_999, 9_999_999_999)] {
            let mut bytes = Vec::new();
            compose(sender, 7, number, &mut bytes);
            assert_eq!(bytes.len(), LENGTH);
            assert_eq!(
                found(&Scanner::of_messages(), &mut bytes),
                [message(sender, number)]
            );
        }
    }

    #[test]
    fn messages_are_found_wherever_the_stream_is_split() {
        let mut stream = b"<presence from='a'/><iq id='r'></iq>".to_vec();
        compose(1, 2, 10, &mut stream);
        compose(1, 2, 11, &mut stream);
        for split in 0..stream.len() {
            let scanner = Scanner::of_messages();
            let mut input = stream[..split].to_vec();
            let mut all = found(&scanner, &mut input);
            input.extend_from_slice(&stream[split..]);
            all.extend(found(&scanner, &mut input));
            assert_eq!(all, [message(1, 10), message(1, 11)], "split at {split}");
            assert!(input.is_empty());
        }
    }

    #[test]
    fn attributes_in_another_order_and_quote_do_not_matter() {
        let mut input =
            b"<message id=\"00003-0000000004\" type=\"chat\" from=\"x\"><body>id='9'</body>\
                          <stanza-id id='q'/></message>"
                .to_vec();
        assert_eq!(found(&Scanner::of_messages(), &mut input), [message(3, 4)]);
    }

    #[test]
    fn a_bounced_message_is_not_taken_for_a_delivery() {
        let mut input = b"<message type='error' id='00003-0000000004'><error/></message>".to_vec();
        assert_eq!(found(&Scanner::of_messages(), &mut input), [Found::Foreign]);
        let mut input = b"<message from='localhost'><body/></message>".to_vec();
        assert_eq!(found(&Scanner::of_messages(), &mut input), [Found::Foreign]);
    }

    #[test]
    fn presence_is_found_behind_presence_without_content() {
        for number in 0..3 {
            let empty = b"<presence from='x' id='00009-0000000009'/>";
            let mut input = empty.to_vec();
            compose_presence(4, number, &mut input);
            assert_eq!(input.len(), empty.len() + PRESENCE_LENGTH);
            let found = found(&Scanner::of_presence(), &mut input);
            assert_eq!(found, [message(4, number)]);
        }
    }

    #[test]
    fn presence_alone_does_not_pile_up() {
        let scanner = Scanner::of_messages();
        let mut input = Vec::new();
        for _ in 0..100 {
            input.extend_from_slice(b"<presence from='someone@localhost/b'/>");
            assert!(found(&scanner, &mut input).is_empty());
        }
        assert!(input.len() < 100);
    }
}
