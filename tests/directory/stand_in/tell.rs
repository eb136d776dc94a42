//! How the stand-in tells of changes (RFC 4533). It refuses to know how else it answers.

use std::io::{self, Write};

use super::answer::{Asked, CONTROLS, DONE, found};
use super::asked::Search;
use super::{Entry, Mode, Shared};
use crate::ber::{self, ENUMERATED, Element, INTEGER, OCTETS, SEQUENCE, SET};

impl Asked<'_> {
    /// What becomes of what a search finds (RFC 4533).
    pub(super) fn tell(&self, mode: Mode, operation: &Element) -> io::Result<()> {
        let search = Search::read(operation);
        let all = self.shared.entries();
        let found = all.iter().filter(|entry| search.filter.finds(entry));
        match mode {
            Mode::TellsAnew => return self.say(&self.result_of(DONE, SYNC_REFRESH_REQUIRED)),
            Mode::TellsNotNow => return self.say(&self.result(DONE, 52, &[])),
            Mode::TellsGarbage => return self.say(&sync_info(&[0x30, 3, 1, 1])),
            Mode::TellsHalf => {
                self.told(0, &all[0])?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Mode::TellsEndlessly => {
                for number in 0.. {
                    self.told(number, &Entry::person(&format!("u{number}")))?;
                }
            }
            Mode::TellsOfNobody => {}
            Mode::TellsOfOne => self.told(0, &all[0])?,
            Mode::TellsOfNoChange if self.cookie.as_ref().is_some_and(|it| !it.is_empty()) => {
                let ids = (0..u32::try_from(found.count()).unwrap()).map(id);
                let ids: Vec<_> = ids.map(|id| ber::write(OCTETS, &id)).collect();
                self.say(&sync_info(&ber::of(0xa3, &[ber::of(SET, &ids)])))?;
            }
            _ => {
                for (number, entry) in found.enumerate() {
                    self.told(u32::try_from(number).unwrap(), entry)?;
                }
            }
        }
        let listener = (self.socket.try_clone()?, self.id);
        self.shared.told.lock().unwrap().push(listener);
        // refreshPresent: who was not named is not there.
        self.say(&sync_info(&ber::of(0xa2, &[ber::write(OCTETS, &COOKIE)])))
    }

    /// An entry that is there, by a number of its own.
    fn told(&self, number: u32, entry: &Entry) -> io::Result<()> {
        self.send(&message(self.id, number, entry, IS_ADDED))
    }
}

impl Shared {
    /// To all who are told of changes.
    pub(super) fn tell(&self, number: u32, entry: &Entry, state: u8) {
        for (socket, asked) in &*self.told.lock().unwrap() {
            let mut socket = socket;
            // Some have gone.
            let _ = socket.write_all(&message(*asked, number, entry, state));
        }
    }
}

/// What has become of an entry, to whoever asked by this number.
fn message(asked: u32, number: u32, entry: &Entry, state: u8) -> Vec<u8> {
    let state = [
        ber::write(ENUMERATED, &[state]),
        ber::write(OCTETS, &id(number)),
    ];
    let control = [
        ber::text(SYNC_STATE),
        ber::write(OCTETS, &ber::of(SEQUENCE, &state)),
    ];
    let controls = ber::of(CONTROLS, &[ber::of(SEQUENCE, &control)]);
    let asked = ber::number(INTEGER, asked);
    let operation = found(&entry.dn, &entry.attributes);
    ber::of(SEQUENCE, &[asked, operation, controls])
}

/// By what an entry is known that has this number.
fn id(number: u32) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

/// A Sync Info Message (RFC 4533 section 2.5) with this value.
fn sync_info(value: &[u8]) -> Vec<u8> {
    let name = ber::write(0x80, SYNC_INFO.as_bytes());
    ber::of(INTERMEDIATE, &[name, ber::write(0x81, value)])
}

/// RFC 4511 section 4.13.
const INTERMEDIATE: u8 = 0x79;

// RFC 4533 sections 2.3, 2.5 and 2.6.
const SYNC_STATE: &str = "1.3.6.1.4.1.4203.1.9.1.2";
const SYNC_INFO: &str = "1.3.6.1.4.1.4203.1.9.1.4";
const SYNC_REFRESH_REQUIRED: u32 = 4096;
pub(super) const IS_ADDED: u8 = 1;
pub(super) const IS_DELETED: u8 = 3;
/// A state that nobody could take for text.
pub const COOKIE: [u8; 5] = [0, 0xff, 0xfe, 0x30, 0x80];
