//! Records of TLS 1.3 from a client that has the keys and says anything: no panic, the same text and the same end however the
//! bytes are cut, and whatever is answered opens, in order, and ends with an alert if the connection does.
//!
//! The client seals with ring by itself, so that the two are not wrong in the same way.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305};
use ring::aead::{LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, HKDF_SHA384, KeyType, Prk};
use stonechat::worker::{Opened, Records, Sequence, Suite};

fn aead(suite: Suite) -> &'static Algorithm {
    match suite {
        Suite::Aes128 => &AES_128_GCM,
        Suite::Aes256 => &AES_256_GCM,
        Suite::ChaCha20 => &CHACHA20_POLY1305,
    }
}

/// One direction of the client's.
struct Half {
    suite: Suite,
    secret: Vec<u8>,
    number: u64,
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Half {
    fn expand(&self, label: &str, length: usize) -> Vec<u8> {
        let hash = if self.suite == Suite::Aes256 {
            HKDF_SHA384
        } else {
            HKDF_SHA256
        };
        let mut info = vec![0, length as u8, 6 + label.len() as u8];
        info.extend_from_slice(b"tls13 ");
        info.extend_from_slice(label.as_bytes());
        info.push(0);
        let mut out = vec![0; length];
        let secret = Prk::new_less_safe(hash, &self.secret);
        secret
            .expand(&[&info], Length(length))
            .unwrap()
            .fill(&mut out)
            .unwrap();
        out
    }

    fn update(&mut self) {
        self.secret = self.expand("traffic upd", self.secret.len());
        self.number = 0;
    }

    fn next(&mut self) -> (LessSafeKey, Nonce) {
        let key = self.expand("key", aead(self.suite).key_len());
        let mut nonce: [u8; 12] = self.expand("iv", 12).try_into().unwrap();
        let number = self.number.to_be_bytes();
        nonce[4..]
            .iter_mut()
            .zip(number)
            .for_each(|(byte, n)| *byte ^= n);
        self.number += 1;
        let key = LessSafeKey::new(UnboundKey::new(aead(self.suite), &key).unwrap());
        (key, Nonce::assume_unique_for_key(nonce))
    }

    fn seal(&mut self, inner: &[u8]) -> Vec<u8> {
        let length = inner.len() + 16;
        let header = [23, 3, 3, (length >> 8) as u8, length as u8];
        let (key, nonce) = self.next();
        let mut sealed = inner.to_vec();
        key.seal_in_place_append_tag(nonce, Aad::from(header), &mut sealed)
            .unwrap();
        [&header[..], &sealed].concat()
    }

    /// The server's records: none is broken, none is of another type, none follows an alert. Its text, and whether it ended.
    fn open(&mut self, mut bytes: &[u8]) -> (Vec<u8>, bool) {
        let (mut text, mut has_ended) = (Vec::new(), false);
        while !bytes.is_empty() {
            assert!(!has_ended, "the alert is the last");
            let length = usize::from(bytes[3]) << 8 | usize::from(bytes[4]);
            assert!(bytes[..3] == [23, 3, 3] && length <= (1 << 14) + 17);
            let (header, mut sealed) = (&bytes[..5], bytes[5..5 + length].to_vec());
            bytes = &bytes[5 + length..];
            let (key, nonce) = self.next();
            let inner = key
                .open_in_place(nonce, Aad::from(header), &mut sealed)
                .unwrap();
            let (kind, content) = inner.split_last().unwrap();
            match kind {
                23 => text.extend_from_slice(content),
                22 => {
                    assert_eq!(content, [24, 0, 0, 1, 0]);
                    self.update();
                }
                21 => {
                    assert!(content.len() == 2 && (content[0] == 2) == (content[1] != 0));
                    has_ended = true;
                }
                other => panic!("a record of type {other}"),
            }
        }
        (text, has_ended)
    }
}

/// What the bytes of the script become: the client's, and where in them the server says something.
fn play(script: &[u8], client: &mut Half) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut updates = 0;
    let mut rest = script;
    while let [what, count, more @ ..] = rest {
        let (text, behind) = more.split_at(more.len().min(usize::from(*count)));
        rest = behind;
        match what % 8 {
            0 => bytes.extend_from_slice(text),
            1 | 2 => bytes.extend(client.seal(&[text, &[23]].concat())),
            3 => bytes.extend(client.seal(&[text, &[22, 0, 0]].concat())),
            // Anything, its type too.
            4 if !text.is_empty() => bytes.extend(client.seal(text)),
            // With 32 and one that came of other bytes it matters how they are cut.
            5 if updates < 31 => {
                updates += 1;
                bytes.extend(client.seal(&[24, 0, 0, 1, count % 2, 22]));
                client.update();
            }
            6 => bytes.extend(client.seal(&[1, *count, 21])),
            7 => {
                let long = text.repeat(1 + usize::from(*count));
                bytes.extend(client.seal(&[&long[..long.len().min(17_000)], &[23]].concat()));
            }
            _ => {}
        }
    }
    bytes
}

/// The text that is heard and what state the server is in when all has come in pieces of `step`.
fn listen(
    server: &mut Records,
    bytes: &[u8],
    step: usize,
    to_client: &mut Half,
) -> (Vec<u8>, Opened) {
    let (mut text, mut waiting, mut said) = (Vec::new(), Vec::new(), 0);
    let mut state = Opened::More;
    for piece in bytes.chunks(step) {
        waiting.extend_from_slice(piece);
        let (mut plaintext, mut filled, mut unsent) = (vec![0; waiting.len()], 0, Vec::new());
        let (taken, opened) = server.open(&waiting, &mut plaintext, &mut filled, &mut unsent);
        state = opened;
        text.extend_from_slice(&plaintext[..filled]);
        waiting.drain(..taken);
        let echo = server.seal(&plaintext[..filled], &mut unsent);
        let (heard, has_ended) = to_client.open(&unsent);
        assert_eq!(echo.is_err(), opened == Opened::Broken);
        assert_eq!(heard.len(), if echo.is_ok() { filled } else { 0 });
        said += heard.len();
        assert!(!has_ended || opened == Opened::Broken);
        if opened != Opened::More {
            break;
        }
        assert!(
            waiting.len() < 5 + (1 << 14) + 256,
            "no more than one record waits"
        );
    }
    assert!(said <= text.len());
    let mut unsent = Vec::new();
    server.close(&mut unsent);
    assert_eq!(to_client.open(&unsent).1, state != Opened::Broken);
    assert!(server.seal(b"more", &mut unsent).is_err());
    (text, state)
}

fuzz_target!(|data: &[u8]| {
    let [choice, step, script @ ..] = data else {
        return;
    };
    let suite = [Suite::Aes128, Suite::Aes256, Suite::ChaCha20][usize::from(*choice) % 3];
    let length = if suite == Suite::Aes256 { 48 } else { 32 };
    let half = |seed: u8| Half {
        suite,
        secret: vec![seed; length],
        number: 0,
    };
    let bytes = play(script, &mut half(1));
    let ends = [usize::MAX, usize::from(*step) + 1].map(|step| {
        let mut server = Records::blank(suite);
        let sequence = Sequence {
            from_peer: 0,
            to_peer: 0,
        };
        server
            .begin(&half(1).secret, &half(2).secret, sequence)
            .unwrap();
        listen(&mut server, &bytes, step, &mut half(2))
    });
    assert!(ends[0] == ends[1], "{ends:?}");
});
