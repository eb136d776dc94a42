//! The record layer of a TLS 1.3 server behind its handshake (RFC 8446 section 5): bytes in, bytes out, two directions' keys in
//! between, a quarter of a kilobyte in all. Refuses to know sockets and handshakes, and anything but TLS 1.3.
//!
//! | RFC 8446 | where |
//! |---|---|
//! | 4.6.1 tickets | rustls sends ours behind its handshake; a client's is an unexpected message |
//! | 4.6.2 authentication behind the handshake | never asked for, so an unexpected message |
//! | 4.6.3 key updates | [`Records::open`] takes them, answers when asked; [`Records::seal`] makes them before 5.5's limit |
//! | 5.1 fragments, alignment, empty ones | `Records::take_handshake`, `Records::take_content` |
//! | 5.2, 5.4 protection, padding, longest record | `first_record` and `seal_record` (`form.rs`), `Records::open_record` |
//! | 5.3 nonces | `Traffic::next_nonce` |
//! | 5.5 limits on keys | [`RECORDS_PER_KEY_MAX`] |
//! | 6 alerts | `Records::take_alert`, `Records::fail`, [`Records::close`] |
//!
//! What it bounds beyond that: records without content in a row, warnings in a row, and key updates in one burst of records, each of
//! which costs more than the 27 bytes that ask for it. Padding is taken and not made: XMPP says enough by when it speaks.

use std::fmt;

use ring::aead::{Aad, LessSafeKey};
use ring::error::Unspecified;
use rustls::ExtractedSecrets;
use zeroize::{Zeroize, zeroize_stack};

use super::Opened;
use super::form::{
    ALERT, APPLICATION_DATA, Alert, FRAGMENT_BYTES_MAX, HANDSHAKE, RECORD_EXTRA_BYTES,
    RECORD_HEADER_BYTES, Sealed, first_record, seal_record,
};
use super::traffic::{Suite, Traffic};

/// Both directions of one connection. Its keys are wiped when it is dropped, and as soon as they are good for nothing more.
pub struct Records {
    from_peer: Traffic,
    to_peer: Traffic,
    /// [`Opened::More`] while the peer is listened to.
    state: Opened,
    /// We have said close_notify or a fatal alert, or heard one.
    is_silent: bool,
    /// The peer has asked for a key update that has not been made yet.
    owes_update: bool,
    /// How much of a KeyUpdate was at the end of the last record.
    message_bytes: u8,
    /// Records without content in a row.
    empty_count: u8,
    /// Warnings without anything else in between.
    warning_count: u8,
}

/// Nothing can be said any more: the connection was closed or has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent;

/// The number that the next record of each direction has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Of what the peer sends.
    pub from_peer: u64,
    /// Of what we send.
    pub to_peer: u64,
}

/// Why a record is the last.
enum Halt {
    /// The peer says so.
    Ended,
    /// The peer has sent an error alert, of this number.
    Heard(u8),
    /// It is wrong, and the peer is told how.
    Failed(Alert),
}

impl Records {
    /// As [`super::Session::glance`]: what stands beside keys, and nothing of them.
    pub fn glance(&self) -> usize {
        let sequences = self.from_peer.sequence() ^ self.to_peer.sequence();
        sequences as usize ^ usize::from(self.is_silent ^ self.owes_update)
    }

    /// Records that neither say nor take anything, until [`Records::begin`] gives them keys.
    pub fn blank(suite: Suite) -> Records {
        Records {
            from_peer: Traffic::blank(suite),
            to_peer: Traffic::blank(suite),
            state: Opened::Broken,
            is_silent: true,
            owes_update: false,
            message_bytes: 0,
            empty_count: 0,
            warning_count: 0,
        }
    }

    /// Goes on under these traffic secrets, behind so many records.
    ///
    /// # Errors
    /// One is not as long as the suite's hash; then nothing is said or taken.
    pub fn begin(
        &mut self,
        from_peer: &[u8],
        to_peer: &[u8],
        sequence: Sequence,
    ) -> Result<(), Unspecified> {
        let begun = self.take_secrets(from_peer, to_peer, sequence);
        zeroize_stack::<STACK_BYTES>();
        begun?;
        self.state = Opened::More;
        self.is_silent = false;
        Ok(())
    }

    #[inline(never)]
    fn take_secrets(
        &mut self,
        from_peer: &[u8],
        to_peer: &[u8],
        sequence: Sequence,
    ) -> Result<(), Unspecified> {
        self.from_peer.begin(from_peer, sequence.from_peer)?;
        self.to_peer.begin(to_peer, sequence.to_peer)
    }

    /// Whether rustls, from which the secrets were overheard, has come to the same keys.
    pub fn agrees_with(&self, secrets: &ExtractedSecrets) -> bool {
        self.from_peer.agrees_with(&secrets.rx.1) && self.to_peer.agrees_with(&secrets.tx.1)
    }

    /// Opens the whole records at the beginning of `ciphertext`: says how many bytes they were, and what became of them. What they
    /// say goes into `plaintext` from `filled` on, which must have room for as much as `ciphertext` has; behind `filled` it may be
    /// overwritten. What must be answered goes to the end of `unsent`.
    pub fn open(
        &mut self,
        ciphertext: &[u8],
        plaintext: &mut [u8],
        filled: &mut usize,
        unsent: &mut Vec<u8>,
    ) -> (usize, Opened) {
        // Section 6.1: "Any data received after a closure alert has been received MUST be ignored."
        if self.state != Opened::More {
            return (0, self.state);
        }
        let (taken, halt) = self.open_burst(ciphertext, plaintext, filled);
        zeroize_stack::<STACK_BYTES>();
        match halt {
            None => self.answer_update(unsent),
            Some(Halt::Ended) => {
                self.state = Opened::Ended;
                self.from_peer.zeroize();
                // Section 6.1: closing one direction "does not have any effect on" the other.
                self.answer_update(unsent);
            }
            Some(Halt::Heard(alert)) => {
                log::debug!("tls_broken heard_alert={alert}");
                self.forget();
            }
            Some(Halt::Failed(alert)) => self.fail(alert, unsent),
        }
        (taken, self.state)
    }

    /// One key serves all records of a burst. It is on this function's stack, which the caller wipes.
    #[inline(never)]
    fn open_burst(
        &mut self,
        ciphertext: &[u8],
        plaintext: &mut [u8],
        filled: &mut usize,
    ) -> (usize, Option<Halt>) {
        let mut burst = Burst {
            key: None,
            update_count: 0,
        };
        let mut taken = 0;
        loop {
            let Sealed { header, body } = match first_record(&ciphertext[taken..]) {
                Ok(Some(record)) => record,
                Ok(None) => return (taken, None),
                Err(alert) => return (taken, Some(Halt::Failed(alert))),
            };
            taken += RECORD_HEADER_BYTES + body.len();
            let end = *filled + body.len();
            let Some(inner) = plaintext.get_mut(*filled..end) else {
                return (taken, Some(Halt::Failed(Alert::InternalError)));
            };
            inner.copy_from_slice(body);
            match self.open_record(&mut burst, header, inner) {
                Ok(count) => *filled += count,
                Err(halt) => return (taken, Some(halt)),
            }
        }
    }

    /// Opens one record where it is: how many bytes of application data are now at its beginning.
    fn open_record(
        &mut self,
        burst: &mut Burst,
        header: [u8; RECORD_HEADER_BYTES],
        sealed: &mut [u8],
    ) -> Result<usize, Halt> {
        let key = match &burst.key {
            Some(key) => key,
            None => &*burst.key.insert(self.from_peer.ready()?),
        };
        // Section 5.2: "the additional data input is the record header". If it came changed, it does not open.
        let nonce = self.from_peer.next_nonce()?;
        // Section 5.2: "If the decryption fails, the receiver MUST terminate the connection with a "bad_record_mac" alert."
        let inner = key
            .open_in_place(nonce, Aad::from(header), sealed)
            .map_err(|Unspecified| Alert::BadRecordMac)?;
        // Section 5.4: "the full encoded TLSInnerPlaintext MUST NOT exceed 2^14 + 1 octets".
        if inner.len() > FRAGMENT_BYTES_MAX + 1 {
            return Err(Halt::Failed(Alert::RecordOverflow));
        }
        // Section 5.4: "the receiving implementation scans the field from the end toward the beginning until it finds a non-zero
        // octet. This non-zero octet is the content type of the message", and "If a receiving implementation does not find a
        // non-zero octet in the cleartext, it MUST terminate the connection with an "unexpected_message" alert."
        let end = inner.iter().rposition(|byte| *byte != 0);
        let end = end.ok_or(Alert::UnexpectedMessage)?;
        let (content, kind) = (&inner[..end], inner[end]);
        self.take_content(burst, kind, content)
    }

    fn take_content(&mut self, burst: &mut Burst, kind: u8, content: &[u8]) -> Result<usize, Halt> {
        // Section 5.1: "if a handshake message is split over two or more records, there MUST NOT be any other records between
        // them."
        if self.message_bytes > 0 && kind != HANDSHAKE {
            return Err(Halt::Failed(Alert::UnexpectedMessage));
        }
        match kind {
            APPLICATION_DATA if content.is_empty() => {
                // Section 5.1: they "MAY be sent, as they are potentially useful as a traffic analysis countermeasure".
                self.empty_count += 1;
                match self.empty_count > EMPTY_RECORDS_MAX {
                    true => Err(Halt::Failed(Alert::UnexpectedMessage)),
                    false => Ok(0),
                }
            }
            APPLICATION_DATA => {
                self.empty_count = 0;
                self.warning_count = 0;
                Ok(content.len())
            }
            HANDSHAKE => self.take_handshake(burst, content).map(|()| 0),
            ALERT => self.take_alert(content).map(|()| 0),
            // Section 5: "If a TLS implementation receives an unexpected record type, it MUST terminate the connection with an
            // "unexpected_message" alert", and so with "a protected change_cipher_spec record".
            _ => Err(Halt::Failed(Alert::UnexpectedMessage)),
        }
    }

    /// Takes a part of a KeyUpdate or all of it. Nothing else may come here: no ticket was asked for and no certificate, and "If a
    /// server has negotiated TLS 1.3 and receives a ClientHello at any other time, it MUST terminate the connection with an
    /// "unexpected_message" alert" (section 4.1.2).
    fn take_handshake(&mut self, burst: &mut Burst, content: &[u8]) -> Result<(), Halt> {
        // Section 5.4: "Implementations MUST NOT send Handshake and Alert records that have a zero-length
        // TLSInnerPlaintext.content; if such a message is received, the receiving implementation MUST terminate the connection
        // with an "unexpected_message" alert."
        if content.is_empty() {
            return Err(Halt::Failed(Alert::UnexpectedMessage));
        }
        for (at, byte) in content.iter().enumerate() {
            let place = usize::from(self.message_bytes);
            match KEY_UPDATE_HEADER.get(place) {
                Some(expected) if expected == byte => self.message_bytes += 1,
                Some(_) if place == 0 => return Err(Halt::Failed(Alert::UnexpectedMessage)),
                // Section 6: what has "a length extending beyond the message boundary or contain an out-of-range length".
                Some(_) => return Err(Halt::Failed(Alert::DecodeError)),
                None => {
                    // Section 5.1: "Implementations MUST verify that all messages immediately preceding a key change align with a
                    // record boundary; if not, then they MUST terminate the connection with an "unexpected_message" alert."
                    if at + 1 < content.len() {
                        return Err(Halt::Failed(Alert::UnexpectedMessage));
                    }
                    self.message_bytes = 0;
                    self.take_key_update(burst, *byte)?;
                }
            }
        }
        Ok(())
    }

    fn take_key_update(&mut self, burst: &mut Burst, request: u8) -> Result<(), Halt> {
        match request {
            UPDATE_NOT_REQUESTED => {}
            // Section 4.6.3: who "receives multiple KeyUpdates while it is silent" may "respond with a single update".
            UPDATE_REQUESTED => self.owes_update = true,
            // Section 4.6.3: "If an implementation receives any other value, it MUST terminate the connection with an
            // "illegal_parameter" alert."
            _ => return Err(Halt::Failed(Alert::IllegalParameter)),
        }
        burst.update_count += 1;
        if burst.update_count > KEY_UPDATES_PER_BURST_MAX {
            return Err(Halt::Failed(Alert::UnexpectedMessage));
        }
        // Section 4.6.3: "Upon receiving a KeyUpdate, the receiver MUST update its receiving keys."
        self.from_peer.update()?;
        burst.key = None;
        Ok(())
    }

    fn take_alert(&mut self, content: &[u8]) -> Result<(), Halt> {
        // Section 5.1: "a record with an Alert type MUST contain exactly one message". Section 6: "the "level" field can safely be
        // ignored".
        let [_, description] = *content else {
            return Err(Halt::Failed(match content.is_empty() {
                // Section 5.4, as above.
                true => Alert::UnexpectedMessage,
                false => Alert::DecodeError,
            }));
        };
        if description == Alert::CloseNotify as u8 {
            return Err(Halt::Ended);
        }
        // Section 6.1: "This alert SHOULD be followed by a "close_notify"." All others "MUST be treated as error alerts when
        // received regardless of the AlertLevel in the message", unknown ones too (section 6).
        if description != USER_CANCELED {
            return Err(Halt::Heard(description));
        }
        self.warning_count += 1;
        match self.warning_count > WARNINGS_MAX {
            true => Err(Halt::Failed(Alert::UnexpectedMessage)),
            false => Ok(()),
        }
    }

    /// Answers a request for a key update, but only when all is sent that was said: who asks and does not read shall not fill the
    /// memory. Then [`Records::seal`] does it, "prior to sending its next Application Data record" (section 4.6.3).
    fn answer_update(&mut self, unsent: &mut Vec<u8>) {
        if self.owes_update && unsent.is_empty() && !self.is_silent {
            let updated = self.update_keys(unsent);
            zeroize_stack::<STACK_BYTES>();
            if updated.is_err() {
                self.fail(Alert::InternalError, unsent);
            }
        }
    }

    /// Seals `plaintext` to the end of `unsent`, in as few records as it needs.
    ///
    /// # Errors
    /// The connection has been closed or has failed; nothing was sealed.
    pub fn seal(&mut self, plaintext: &[u8], unsent: &mut Vec<u8>) -> Result<(), Silent> {
        if self.is_silent {
            return Err(Silent);
        }
        let sealed = self.seal_burst(plaintext, unsent);
        zeroize_stack::<STACK_BYTES>();
        sealed.map_err(|Unspecified| {
            self.fail(Alert::InternalError, unsent);
            Silent
        })
    }

    #[inline(never)]
    fn seal_burst(&mut self, plaintext: &[u8], unsent: &mut Vec<u8>) -> Result<(), Unspecified> {
        if self.owes_update {
            self.update_keys(unsent)?;
        }
        let record_count = plaintext.len().div_ceil(FRAGMENT_BYTES_MAX);
        unsent.reserve(plaintext.len() + record_count * RECORD_EXTRA_BYTES);
        let mut key = self.to_peer.ready()?;
        // Section 5.1: "records carrying data in chunks of 2^14 bytes or less".
        for fragment in plaintext.chunks(FRAGMENT_BYTES_MAX) {
            if self.to_peer.sequence() >= RECORDS_PER_KEY_MAX {
                self.update_keys(unsent)?;
                key = self.to_peer.ready()?;
            }
            seal_record(&key, &mut self.to_peer, APPLICATION_DATA, fragment, unsent)?;
        }
        Ok(())
    }

    /// Tells the peer that what follows is under the next key. It is not asked to change its own, which is its affair.
    ///
    /// # Errors
    /// As [`Records::seal`].
    pub fn renew(&mut self, unsent: &mut Vec<u8>) -> Result<(), Silent> {
        if self.is_silent {
            return Err(Silent);
        }
        let updated = self.update_keys(unsent);
        zeroize_stack::<STACK_BYTES>();
        updated.map_err(|Unspecified| {
            self.fail(Alert::InternalError, unsent);
            Silent
        })
    }

    #[inline(never)]
    fn update_keys(&mut self, unsent: &mut Vec<u8>) -> Result<(), Unspecified> {
        let [kind, high, middle, low] = KEY_UPDATE_HEADER;
        let message = [kind, high, middle, low, UPDATE_NOT_REQUESTED];
        // Section 4.6.3: "Both sender and receiver MUST encrypt their KeyUpdate messages with the old keys."
        let key = self.to_peer.ready()?;
        seal_record(&key, &mut self.to_peer, HANDSHAKE, &message, unsent)?;
        self.owes_update = false;
        self.to_peer.update()
    }

    /// Says close_notify, after which nothing can be said.
    pub fn close(&mut self, unsent: &mut Vec<u8>) {
        self.say(WARNING, Alert::CloseNotify, unsent);
        self.is_silent = true;
        self.to_peer.zeroize();
    }

    /// Tells the peer what was wrong, the last word of this connection in both directions.
    fn fail(&mut self, alert: Alert, unsent: &mut Vec<u8>) {
        log::debug!("tls_broken alert={alert:?}");
        self.say(FATAL, alert, unsent);
        self.forget();
    }

    /// Gives up without a word.
    ///
    /// Section 6: "Servers and clients MUST forget the secret values and keys established in failed connections".
    pub fn forget(&mut self) {
        self.state = Opened::Broken;
        self.is_silent = true;
        self.from_peer.zeroize();
        self.to_peer.zeroize();
    }

    fn say(&mut self, level: u8, alert: Alert, unsent: &mut Vec<u8>) {
        if self.is_silent {
            return;
        }
        if self.seal_alert([level, alert as u8], unsent).is_err() {
            log::error!("tls_alert_unsealed alert={alert:?}");
        }
        zeroize_stack::<STACK_BYTES>();
    }

    #[inline(never)]
    fn seal_alert(&mut self, alert: [u8; 2], unsent: &mut Vec<u8>) -> Result<(), Unspecified> {
        let key = self.to_peer.ready()?;
        seal_record(&key, &mut self.to_peer, ALERT, &alert, unsent)
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("state", &self.state)
            .field("is_silent", &self.is_silent)
            .finish_non_exhaustive()
    }
}

/// What holds for the records that are opened together.
struct Burst {
    key: Option<LessSafeKey>,
    update_count: u8,
}

impl From<Unspecified> for Halt {
    /// Not the peer's fault: what it can cause has an alert of its own.
    fn from(_: Unspecified) -> Halt {
        Halt::Failed(Alert::InternalError)
    }
}

impl From<Alert> for Halt {
    fn from(alert: Alert) -> Halt {
        Halt::Failed(alert)
    }
}

/// The one alert that means nothing behind a handshake.
const USER_CANCELED: u8 = 90;
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// RFC 8446 section 4: of a KeyUpdate, its type and the length of what follows.
const KEY_UPDATE_HEADER: [u8; 4] = [24, 0, 0, 1];
const UPDATE_NOT_REQUESTED: u8 = 0;
const UPDATE_REQUESTED: u8 = 1;

/// Records under one key. RFC 8446 section 5.5 allows 2^24.5 for AES-GCM and any number for ChaCha20; rustls stops here, too.
pub const RECORDS_PER_KEY_MAX: u64 = 1 << 24;
/// Records without content that may come in a row: as many as rustls takes.
const EMPTY_RECORDS_MAX: u8 = 32;
/// Warnings that may come in a row: as many as rustls takes.
const WARNINGS_MAX: u8 = 4;
/// Key updates in what one read brings: each is made with six hashes or so of a few hundred nanoseconds. Who has a reason for one
/// sends one; more reads cost the sender a packet each, and us no more than any other packet.
const KEY_UPDATES_PER_BURST_MAX: u8 = 32;
/// More than is used while a key is ready: 544 bytes of key, and ring's own.
const STACK_BYTES: usize = 4 * 1024;

// What makes compact connections compact.
const _: () = assert!(size_of::<Records>() <= 216);

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
