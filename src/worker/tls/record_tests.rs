//! Records between two ends of ours, of which one says what no honest peer would. Against rustls and OpenSSL: `tests.rs` beside
//! this, `tests/shell_compact.rs`.

use super::super::form::{SEALED_BYTES_MAX, TAG_BYTES};
use super::*;

const SUITES: [Suite; 3] = [Suite::Aes128, Suite::Aes256, Suite::ChaCha20];
const FIRST: Sequence = Sequence {
    from_peer: 0,
    to_peer: 0,
};

/// A server's records and its client's.
fn pair(suite: Suite) -> (Records, Records) {
    pair_at(suite, FIRST)
}

/// The same when the server's records have come so far.
fn pair_at(suite: Suite, sequence: Sequence) -> (Records, Records) {
    let length = if suite == Suite::Aes256 { 48 } else { 32 };
    let (from_client, from_server) = (vec![1; length], vec![2; length]);
    let mut server = Records::blank(suite);
    server.begin(&from_client, &from_server, sequence).unwrap();
    let mirrored = Sequence {
        from_peer: sequence.to_peer,
        to_peer: sequence.from_peer,
    };
    let mut client = Records::blank(suite);
    client.begin(&from_server, &from_client, mirrored).unwrap();
    (server, client)
}

impl Records {
    /// A record of this type with so many zeros behind it.
    fn record(&mut self, kind: u8, content: &[u8], zeros: usize) -> Vec<u8> {
        let mut inner = content.to_vec();
        inner.push(kind);
        inner.resize(inner.len() + zeros, 0);
        self.record_of(&inner)
    }

    /// A record of these bytes, the last of which its type is or its padding.
    fn record_of(&mut self, inner: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let (last, rest) = inner.split_last().unwrap();
        let key = self.to_peer.ready().unwrap();
        seal_record(&key, &mut self.to_peer, *last, rest, &mut out).unwrap();
        out
    }

    /// What the other end has said, record by record: types and contents.
    fn hear(&mut self, mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut heard = Vec::new();
        while let Some(Sealed { header, body }) = first_record(bytes).unwrap() {
            bytes = &bytes[RECORD_HEADER_BYTES + body.len()..];
            let mut inner = body.to_vec();
            let key = self.from_peer.ready().unwrap();
            let nonce = self.from_peer.next_nonce().unwrap();
            let opened = key.open_in_place(nonce, Aad::from(header), &mut inner);
            let opened = opened.expect("under this key");
            let (kind, content) = opened.split_last().unwrap();
            if *kind == HANDSHAKE {
                self.from_peer.update().unwrap();
            }
            heard.push((*kind, content.to_vec()));
        }
        assert!(bytes.is_empty(), "half a record");
        heard
    }
}

/// What comes of bytes that come in pieces of `step`: text, state, answers.
fn feed(records: &mut Records, bytes: &[u8], step: usize) -> (Vec<u8>, Opened, Vec<u8>) {
    let (mut text, mut unsent, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    let mut opened = Opened::More;
    for piece in bytes.chunks(step.max(1)) {
        waiting.extend_from_slice(piece);
        let mut plaintext = vec![0; waiting.len()];
        let mut filled = 0;
        let taken;
        (taken, opened) = records.open(&waiting, &mut plaintext, &mut filled, &mut unsent);
        text.extend_from_slice(&plaintext[..filled]);
        waiting.drain(..taken);
        if opened != Opened::More {
            break;
        }
    }
    (text, opened, unsent)
}

/// Feeds what must break the connection: the text before it is heard, and this alert is the answer.
fn refused(suite: Suite, alert: Alert, say: impl Fn(&mut Records) -> Vec<u8>) {
    let (mut server, mut client) = pair(suite);
    let mut bytes = client.record(APPLICATION_DATA, b"before", 0);
    bytes.extend(say(&mut client));
    bytes.extend([APPLICATION_DATA, 3, 3, 0, 40]);
    bytes.extend([7; 40]);
    let (text, opened, unsent) = feed(&mut server, &bytes, bytes.len());
    assert_eq!(text, b"before", "{alert:?}");
    assert_eq!(opened, Opened::Broken, "{alert:?}");
    let said = [(ALERT, vec![FATAL, alert as u8])];
    assert_eq!(client.hear(&unsent), said, "{alert:?}");
    assert_broken(&mut server);
}

/// Nothing is said, nothing is heard, nothing is left.
fn assert_broken(records: &mut Records) {
    let mut unsent = Vec::new();
    assert_eq!(records.seal(b"after", &mut unsent), Err(Silent));
    assert_eq!(records.renew(&mut unsent), Err(Silent));
    records.close(&mut unsent);
    let (mut plaintext, mut filled) = ([0; 100], 0);
    let opened = records.open(&[23; 100], &mut plaintext, &mut filled, &mut unsent);
    assert_eq!(opened, (0, Opened::Broken));
    assert_eq!((filled, unsent), (0, Vec::new()));
    assert!(records.from_peer.is_wiped() && records.to_peer.is_wiped());
}

#[test]
fn what_is_said_arrives_however_it_is_cut() {
    for suite in SUITES {
        for length in [1, 2, 100, 16_383, 16_384, 16_385, 70_000] {
            let (mut server, mut client) = pair(suite);
            let text: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut bytes = Vec::new();
            server.seal(&text, &mut bytes).unwrap();
            server.seal(b"and more", &mut bytes).unwrap();
            let contents = client.hear(&bytes);
            assert!(contents.iter().all(|(kind, _)| *kind == APPLICATION_DATA));
            let longest = contents.iter().map(|(_, content)| content.len()).max();
            assert_eq!(longest, Some(text.len().clamp(8, FRAGMENT_BYTES_MAX)));
            let heard: Vec<u8> = contents.into_iter().flat_map(|(_, it)| it).collect();
            assert_eq!(heard, [&text[..], b"and more"].concat());
            for step in [1, 7, 1_000, usize::MAX] {
                if step == 1 && length > 100 {
                    continue;
                }
                let (_, mut client) = pair(suite);
                let (heard, opened, unsent) = feed(&mut client, &bytes, step);
                assert_eq!(opened, Opened::More);
                assert!(
                    heard == [&text[..], b"and more"].concat(),
                    "{suite:?} {length} {step}"
                );
                assert!(unsent.is_empty());
            }
        }
    }
}

#[test]
fn nothing_said_is_no_record() {
    let (mut server, _) = pair(Suite::Aes128);
    let mut bytes = Vec::new();
    server.seal(b"", &mut bytes).unwrap();
    assert!(bytes.is_empty());
}

#[test]
fn a_changed_bit_anywhere_breaks_the_connection_and_is_never_heard() {
    for suite in SUITES {
        let (_, mut client) = pair(suite);
        let record = client.record(APPLICATION_DATA, b"<message/>", 3);
        for bit in 0..record.len() * 8 {
            let mut changed = record.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let (mut server, mut client) = pair(suite);
            // So that a length that was made longer is not waited for.
            changed.resize(RECORD_HEADER_BYTES + SEALED_BYTES_MAX, 0);
            let (text, opened, unsent) = feed(&mut server, &changed, usize::MAX);
            assert_eq!((text, opened), (Vec::new(), Opened::Broken), "bit {bit}");
            let alert = match bit / 8 {
                0 => Alert::UnexpectedMessage,
                3 if overflows(&changed) => Alert::RecordOverflow,
                _ => Alert::BadRecordMac,
            };
            assert_eq!(client.hear(&unsent), [(ALERT, vec![FATAL, alert as u8])]);
        }
    }
}

fn overflows(record: &[u8]) -> bool {
    usize::from(u16::from_be_bytes([record[3], record[4]])) > SEALED_BYTES_MAX
}

#[test]
fn a_record_twice_or_out_of_order_or_left_out_breaks_the_connection() {
    for order in [&[0, 0][..], &[1, 0], &[0, 2], &[1]] {
        let (mut server, mut client) = pair(Suite::Aes128);
        let records = [b"a", b"b", b"c"].map(|text| client.record(APPLICATION_DATA, text, 0));
        let bytes: Vec<u8> = order.iter().flat_map(|at| records[*at].clone()).collect();
        let (text, opened, unsent) = feed(&mut server, &bytes, 1);
        assert_eq!(opened, Opened::Broken, "{order:?}");
        assert_eq!(text, &b"a"[..usize::from(order[0] == 0)], "{order:?}");
        let alert = (ALERT, vec![FATAL, Alert::BadRecordMac as u8]);
        assert_eq!(client.hear(&unsent), [alert]);
    }
}

#[test]
fn what_is_too_short_for_a_tag_opens_not() {
    for length in 0..=TAG_BYTES as u8 {
        refused(Suite::ChaCha20, Alert::BadRecordMac, |_| {
            let mut record = vec![APPLICATION_DATA, 3, 3, 0, length];
            record.resize(RECORD_HEADER_BYTES + usize::from(length), 0);
            record
        });
    }
}

#[test]
fn padding_is_taken_off_and_counts_against_the_longest_record() {
    for (length, zeros) in [
        (5, 0),
        (5, 1),
        (5, 10_000),
        (0, 100),
        (FRAGMENT_BYTES_MAX, 0),
    ] {
        let (mut server, mut client) = pair(Suite::Aes128);
        let record = client.record(APPLICATION_DATA, &vec![b'x'; length], zeros);
        let (text, opened, _) = feed(&mut server, &record, usize::MAX);
        assert_eq!((text.len(), opened), (length, Opened::More));
    }
    for (length, zeros) in [
        (FRAGMENT_BYTES_MAX + 1, 0),
        (FRAGMENT_BYTES_MAX, 1),
        (FRAGMENT_BYTES_MAX, 200),
        (1, FRAGMENT_BYTES_MAX),
    ] {
        refused(Suite::Aes128, Alert::RecordOverflow, |client| {
            client.record(APPLICATION_DATA, &vec![b'x'; length], zeros)
        });
    }
    for zeros in [1, 2, FRAGMENT_BYTES_MAX + 1] {
        refused(Suite::Aes128, Alert::UnexpectedMessage, |client| {
            client.record_of(&vec![0; zeros])
        });
    }
}

#[test]
fn a_length_beyond_the_longest_is_refused_before_its_bytes_have_come() {
    for length in [SEALED_BYTES_MAX as u16 + 1, u16::MAX] {
        let (mut server, mut client) = pair(Suite::Aes128);
        let [high, low] = length.to_be_bytes();
        let header = [APPLICATION_DATA, 3, 3, high, low];
        let (_, opened, unsent) = feed(&mut server, &header, 1);
        assert_eq!(opened, Opened::Broken);
        let alert = (ALERT, vec![FATAL, Alert::RecordOverflow as u8]);
        assert_eq!(client.hear(&unsent), [alert]);
    }
}

#[test]
fn records_of_other_types_are_unexpected_outside_and_inside() {
    for kind in (0..=255).filter(|kind| *kind != APPLICATION_DATA) {
        refused(Suite::Aes128, Alert::UnexpectedMessage, |client| {
            let mut record = client.record(APPLICATION_DATA, b"text", 0);
            record[0] = kind;
            record
        });
    }
    for kind in (1..=255).filter(|kind| !(ALERT..=APPLICATION_DATA).contains(kind)) {
        refused(Suite::Aes128, Alert::UnexpectedMessage, |client| {
            client.record(kind, &[1], 0)
        });
    }
}

#[test]
fn records_without_content_may_come_but_not_for_ever() {
    let (mut server, mut client) = pair(Suite::Aes128);
    for _ in 0..3 {
        for _ in 0..EMPTY_RECORDS_MAX {
            let record = client.record(APPLICATION_DATA, b"", 9);
            assert_eq!(feed(&mut server, &record, 50).1, Opened::More);
        }
        let record = client.record(APPLICATION_DATA, b"text", 0);
        assert_eq!(feed(&mut server, &record, 50).0, b"text");
    }
    refused(Suite::Aes128, Alert::UnexpectedMessage, |client| {
        let mut record = || client.record(APPLICATION_DATA, b"", 0);
        (0..=EMPTY_RECORDS_MAX).flat_map(|_| record()).collect()
    });
    for kind in [HANDSHAKE, ALERT] {
        refused(Suite::Aes128, Alert::UnexpectedMessage, |client| {
            client.record(kind, b"", 5)
        });
    }
}

const NOT_REQUESTED: [u8; 5] = [24, 0, 0, 1, 0];
const REQUESTED: [u8; 5] = [24, 0, 0, 1, 1];

impl Records {
    /// A KeyUpdate in these parts; what follows is under the next key.
    fn key_update(&mut self, parts: &[&[u8]]) -> Vec<u8> {
        let records = parts.iter().map(|part| self.record(HANDSHAKE, part, 0));
        let records: Vec<Vec<u8>> = records.collect();
        self.to_peer.update().unwrap();
        records.concat()
    }
}

#[test]
fn a_key_update_is_taken_in_any_parts_and_answered_if_that_was_asked_for() {
    for suite in SUITES {
        for message in [REQUESTED, NOT_REQUESTED] {
            for parts in [
                vec![&message[..]],
                vec![&message[..1], &message[1..]],
                vec![&message[..4], &message[4..]],
                message.chunks(1).collect(),
            ] {
                let (mut server, mut client) = pair(suite);
                for _ in 0..3 {
                    let mut bytes = client.record(APPLICATION_DATA, b"old ", 0);
                    bytes.extend(client.key_update(&parts));
                    bytes.extend(client.record(APPLICATION_DATA, b"new", 0));
                    let (text, opened, mut unsent) = feed(&mut server, &bytes, usize::MAX);
                    assert_eq!((&text[..], opened), (&b"old new"[..], Opened::More));
                    server.seal(b"answer", &mut unsent).unwrap();
                    let said = client.hear(&unsent);
                    let answer = (APPLICATION_DATA, b"answer".to_vec());
                    match message == REQUESTED {
                        true => assert_eq!(said, [(HANDSHAKE, NOT_REQUESTED.to_vec()), answer]),
                        false => assert_eq!(said, [answer]),
                    }
                }
            }
        }
    }
}

/// Section 4.6.3: "causes an implementation which receives multiple KeyUpdates while it is silent to respond with a single
/// update".
#[test]
fn who_asks_for_many_key_updates_and_does_not_read_gets_one() {
    let (mut server, mut client) = pair(Suite::Aes128);
    let mut unsent = Vec::new();
    server.seal(b"unread", &mut unsent).unwrap();
    let unread = unsent.len();
    for _ in 0..10 {
        let bytes = client.key_update(&[&REQUESTED]);
        let mut plaintext = vec![0; bytes.len()];
        let opened = server.open(&bytes, &mut plaintext, &mut 0, &mut unsent);
        assert_eq!(opened, (bytes.len(), Opened::More));
        assert_eq!(unsent.len(), unread);
    }
    server.seal(b"next", &mut unsent).unwrap();
    let said = client.hear(&unsent);
    let kinds: Vec<u8> = said.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [APPLICATION_DATA, HANDSHAKE, APPLICATION_DATA]);
}

/// Section 4.6.3: "both sides MUST enforce that a KeyUpdate with the old key is received before accepting any messages encrypted
/// with the new key."
#[test]
fn keys_change_with_the_key_update_and_not_before_or_later() {
    refused(Suite::Aes128, Alert::BadRecordMac, |client| {
        client.to_peer.update().unwrap();
        client.record(APPLICATION_DATA, b"too early", 0)
    });
    refused(Suite::Aes128, Alert::BadRecordMac, |client| {
        let mut bytes = client.record(HANDSHAKE, &NOT_REQUESTED, 0);
        bytes.extend(client.record(APPLICATION_DATA, b"too late", 0));
        bytes
    });
}

#[test]
fn a_key_update_that_is_none_breaks_the_connection() {
    let cases: [(Alert, &[&[u8]]); 11] = [
        (Alert::IllegalParameter, &[&[24, 0, 0, 1, 2]]),
        (Alert::IllegalParameter, &[&[24, 0, 0, 1], &[255]]),
        (Alert::DecodeError, &[&[24, 0, 0, 0]]),
        (Alert::DecodeError, &[&[24, 0, 0, 2, 0, 0]]),
        (Alert::DecodeError, &[&[24, 1, 0, 1, 0]]),
        (Alert::DecodeError, &[&[24, 0], &[255, 1, 0]]),
        // Behind it is more in the same record.
        (Alert::UnexpectedMessage, &[&[24, 0, 0, 1, 0, 24]]),
        (
            Alert::UnexpectedMessage,
            &[&[24, 0, 0, 1, 0, 24, 0, 0, 1, 0]],
        ),
        (Alert::UnexpectedMessage, &[&[24], &[0, 0, 1, 1, 0]]),
        // Nothing at all, in the middle.
        (Alert::UnexpectedMessage, &[&[24, 0], &[], &[0, 1, 0]]),
        (Alert::UnexpectedMessage, &[&[0, 24, 0, 0, 1, 0]]),
    ];
    for (alert, parts) in cases {
        refused(Suite::Aes128, alert, |client| {
            let records = parts.iter().map(|part| client.record(HANDSHAKE, part, 0));
            records.collect::<Vec<_>>().concat()
        });
    }
    for (kind, content) in [
        (APPLICATION_DATA, &b"text"[..]),
        (APPLICATION_DATA, b""),
        (ALERT, &[1, 0]),
    ] {
        refused(Suite::Aes128, Alert::UnexpectedMessage, |client| {
            let mut bytes = client.record(HANDSHAKE, &NOT_REQUESTED[..3], 0);
            bytes.extend(client.record(kind, content, 0));
            bytes
        });
    }
}

#[test]
fn no_other_handshake_message_is_expected() {
    for message in (0..=255).filter(|message| *message != KEY_UPDATE_HEADER[0]) {
        refused(Suite::Aes128, Alert::UnexpectedMessage, |client| {
            client.record(HANDSHAKE, &[message, 0, 0, 1, 0], 0)
        });
    }
}

#[test]
fn key_updates_are_bounded_in_one_burst_and_free_over_many() {
    let (mut server, mut client) = pair(Suite::Aes128);
    for _ in 0..4 * KEY_UPDATES_PER_BURST_MAX {
        let bytes = client.key_update(&[&NOT_REQUESTED]);
        assert_eq!(feed(&mut server, &bytes, usize::MAX).1, Opened::More);
    }
    refused(Suite::Aes128, Alert::UnexpectedMessage, |client| {
        let updates = 0..=KEY_UPDATES_PER_BURST_MAX;
        updates
            .flat_map(|_| client.key_update(&[&NOT_REQUESTED]))
            .collect()
    });
}

/// Section 5.5.
#[test]
fn a_key_seals_no_more_records_than_it_may() {
    let nearly = Sequence {
        from_peer: 0,
        to_peer: RECORDS_PER_KEY_MAX - 2,
    };
    for suite in SUITES {
        let (mut server, mut client) = pair_at(suite, nearly);
        let mut unsent = Vec::new();
        let text = vec![b'x'; 4 * FRAGMENT_BYTES_MAX];
        server.seal(&text, &mut unsent).unwrap();
        let kinds: Vec<u8> = client.hear(&unsent).iter().map(|(kind, _)| *kind).collect();
        let [data, update] = [APPLICATION_DATA, HANDSHAKE];
        assert_eq!(kinds, [data, data, update, data, data]);
        assert_eq!(server.to_peer.sequence(), 2);
        let (_, mut client) = pair_at(suite, nearly);
        assert!(feed(&mut client, &unsent, usize::MAX).0 == text);
    }
}

/// Section 5.3: it "MUST either rekey [...] or terminate the connection".
#[test]
fn sequence_numbers_do_not_wrap() {
    let (mut server, mut client) = pair(Suite::Aes128);
    let record = client.record(APPLICATION_DATA, b"text", 0);
    server.from_peer.begin(&[1; 32], u64::MAX).unwrap();
    let (text, opened, unsent) = feed(&mut server, &record, usize::MAX);
    assert_eq!((text, opened), (Vec::new(), Opened::Broken));
    let alert = (ALERT, vec![FATAL, Alert::InternalError as u8]);
    assert_eq!(client.hear(&unsent), [alert]);
}

#[test]
fn close_notify_ends_one_direction_and_leaves_the_other() {
    // The level does not matter.
    for level in [WARNING, FATAL, 0, 77] {
        let (mut server, mut client) = pair(Suite::Aes128);
        let mut bytes = client.record(APPLICATION_DATA, b"last words", 0);
        bytes.extend(client.record(ALERT, &[level, 0], 0));
        // Section 6.1: "Any data received after a closure alert has been received MUST be ignored."
        bytes.extend([1, 2, 3, 4, 5, 6, 7, 8]);
        let (text, opened, mut unsent) = feed(&mut server, &bytes, usize::MAX);
        assert_eq!((&text[..], opened), (&b"last words"[..], Opened::Ended));
        assert!(server.from_peer.is_wiped());
        let ended = server.open(&[9; 99], &mut [0; 99], &mut 0, &mut unsent);
        assert_eq!(ended, (0, Opened::Ended));
        server.seal(b"goodbye", &mut unsent).unwrap();
        server.close(&mut unsent);
        server.close(&mut unsent);
        assert_eq!(server.seal(b"more", &mut unsent), Err(Silent));
        let goodbye = (APPLICATION_DATA, b"goodbye".to_vec());
        let notify = (ALERT, vec![WARNING, 0]);
        assert_eq!(client.hear(&unsent), [goodbye, notify]);
        assert!(server.to_peer.is_wiped());
    }
}

#[test]
fn who_has_said_goodbye_still_listens() {
    let (mut server, mut client) = pair(Suite::Aes128);
    server.close(&mut Vec::new());
    let mut bytes = client.record(APPLICATION_DATA, b"text", 0);
    bytes.extend(client.key_update(&[&REQUESTED]));
    bytes.extend(client.record(APPLICATION_DATA, b" and text", 0));
    let (text, opened, unsent) = feed(&mut server, &bytes, usize::MAX);
    assert_eq!((&text[..], opened), (&b"text and text"[..], Opened::More));
    // Nothing can be answered any more, not even what is wrong.
    assert!(unsent.is_empty());
    let (_, opened, unsent) = feed(&mut server, &[99; 99], usize::MAX);
    assert_eq!((opened, unsent), (Opened::Broken, Vec::new()));
}

#[test]
fn an_error_alert_ends_everything_without_an_answer() {
    for description in (1..=255).filter(|description| *description != USER_CANCELED) {
        for level in [WARNING, FATAL] {
            let (mut server, mut client) = pair(Suite::Aes128);
            let mut bytes = client.record(ALERT, &[level, description], 0);
            bytes.extend(client.record(APPLICATION_DATA, b"never heard", 0));
            let (text, opened, unsent) = feed(&mut server, &bytes, usize::MAX);
            assert_eq!((text, opened), (Vec::new(), Opened::Broken));
            assert!(unsent.is_empty());
            assert_broken(&mut server);
        }
    }
}

#[test]
fn user_canceled_means_nothing_and_may_not_be_said_for_ever() {
    let (mut server, mut client) = pair(Suite::Aes128);
    for _ in 0..3 {
        for _ in 0..WARNINGS_MAX {
            let record = client.record(ALERT, &[WARNING, USER_CANCELED], 0);
            assert_eq!(feed(&mut server, &record, 9).1, Opened::More);
        }
        let record = client.record(APPLICATION_DATA, b"text", 0);
        assert_eq!(feed(&mut server, &record, 9).0, b"text");
    }
    refused(Suite::Aes128, Alert::UnexpectedMessage, |client| {
        let mut warning = || client.record(ALERT, &[WARNING, USER_CANCELED], 0);
        (0..=WARNINGS_MAX).flat_map(|_| warning()).collect()
    });
}

#[test]
fn an_alert_has_two_bytes() {
    for content in [&[1][..], &[1, 0, 0], &[2, 20, 2, 20]] {
        refused(Suite::Aes128, Alert::DecodeError, |client| {
            client.record(ALERT, content, 0)
        });
    }
}

#[test]
fn records_without_keys_say_and_take_nothing() {
    let mut records = Records::blank(Suite::Aes128);
    assert_broken(&mut records);
    assert!(records.begin(&[1; 32], &[2; 31], FIRST).is_err());
    let mut unsent = Vec::new();
    assert_eq!(records.seal(b"text", &mut unsent), Err(Silent));
    assert!(unsent.is_empty());
}

#[test]
fn no_secret_is_printed() {
    let (server, _) = pair(Suite::Aes128);
    assert_eq!(
        format!("{server:?}"),
        "Records { state: More, is_silent: false, .. }"
    );
}
