//! The keys of one direction of a TLS 1.3 connection and those that follow them (RFC 8446 sections 5.3, 7.2 and 7.3), by
//! ring's HKDF and AEADs. Refuses to know what records say.

use std::fmt;

use ring::aead::{self, LessSafeKey, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::hkdf::{self, KeyType};
use rustls::{CipherSuite, ConnectionTrafficSecrets};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A cipher suite of TLS 1.3 (RFC 8446 appendix B.4) that rustls agrees on with ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// TLS_AES_128_GCM_SHA256.
    Aes128,
    /// TLS_AES_256_GCM_SHA384.
    Aes256,
    /// TLS_CHACHA20_POLY1305_SHA256.
    ChaCha20,
}

impl Suite {
    /// The suite that rustls calls so; none if we cannot seal with it.
    pub fn of(suite: CipherSuite) -> Option<Suite> {
        match suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => Some(Suite::Aes128),
            CipherSuite::TLS13_AES_256_GCM_SHA384 => Some(Suite::Aes256),
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => Some(Suite::ChaCha20),
            _ => None,
        }
    }

    /// What seals.
    pub fn aead(self) -> &'static aead::Algorithm {
        match self {
            Suite::Aes128 => &aead::AES_128_GCM,
            Suite::Aes256 => &aead::AES_256_GCM,
            Suite::ChaCha20 => &aead::CHACHA20_POLY1305,
        }
    }

    /// Of whose hash the key schedule is.
    pub fn hkdf(self) -> hkdf::Algorithm {
        match self {
            Suite::Aes128 | Suite::ChaCha20 => hkdf::HKDF_SHA256,
            Suite::Aes256 => hkdf::HKDF_SHA384,
        }
    }
}

/// The traffic secret of one direction, what follows from it, and how many records were sealed with that. Wiped when dropped.
///
/// The key is kept as its bytes: ring makes 544 of them once it is ready for use, which it never wipes. [`Traffic::ready`] does so
/// for each burst of records, in a quarter of a microsecond, on the stack of whoever wipes that.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Traffic {
    secret: [u8; SECRET_BYTES_MAX],
    key: [u8; KEY_BYTES_MAX],
    iv: [u8; aead::NONCE_LEN],
    #[zeroize(skip)]
    suite: Suite,
    #[zeroize(skip)]
    sequence: u64,
}

impl Traffic {
    /// Without keys: they are written where they stay, since what moves leaves copies behind.
    pub fn blank(suite: Suite) -> Traffic {
        Traffic {
            secret: [0; SECRET_BYTES_MAX],
            key: [0; KEY_BYTES_MAX],
            iv: [0; aead::NONCE_LEN],
            suite,
            sequence: 0,
        }
    }

    /// Takes a secret, and the number of the next record under it.
    ///
    /// # Errors
    /// It is not as long as the suite's hash.
    pub fn begin(&mut self, secret: &[u8], sequence: u64) -> Result<(), Unspecified> {
        let hash = self.suite.hkdf();
        let own = self.secret.get_mut(..hash.len()).ok_or(Unspecified)?;
        if secret.len() != own.len() {
            return Err(Unspecified);
        }
        own.copy_from_slice(secret);
        self.sequence = sequence;
        // Section 7.3: "[sender]_write_key = HKDF-Expand-Label(Secret, "key", "", key_length)", and the same with "iv".
        let secret = hkdf::Prk::new_less_safe(hash, own);
        let key_bytes = self.suite.aead().key_len();
        expand_label(&secret, b"key", &mut self.key[..key_bytes])?;
        expand_label(&secret, b"iv", &mut self.iv)
    }

    /// Goes on to the next secret; the old one and its keys are gone.
    ///
    /// # Errors
    /// None that could happen: ring's signature has one.
    pub fn update(&mut self) -> Result<(), Unspecified> {
        let hash = self.suite.hkdf();
        let mut next = Zeroizing::new([0; SECRET_BYTES_MAX]);
        let next = &mut next[..hash.len()];
        // Section 7.2: "application_traffic_secret_N+1 = HKDF-Expand-Label(application_traffic_secret_N, "traffic upd", "",
        // Hash.length)".
        let secret = hkdf::Prk::new_less_safe(hash, &self.secret[..hash.len()]);
        expand_label(&secret, b"traffic upd", next)?;
        // Section 5.3: "the first record transmitted under a particular traffic key MUST use sequence number 0".
        self.begin(next, 0)
    }

    /// The key, ready for use. Who has used it wipes the stack.
    ///
    /// # Errors
    /// As [`Traffic::update`].
    pub fn ready(&self) -> Result<LessSafeKey, Unspecified> {
        let algorithm = self.suite.aead();
        let key = UnboundKey::new(algorithm, &self.key[..algorithm.key_len()])?;
        Ok(LessSafeKey::new(key))
    }

    /// The nonce of the next record, which no other record under this key has.
    ///
    /// # Errors
    /// Section 5.3: "If a TLS implementation would need to wrap a sequence number, it MUST either rekey (Section 4.6.3) or
    /// terminate the connection."
    pub fn next_nonce(&mut self) -> Result<Nonce, Unspecified> {
        let number = self.sequence;
        self.sequence = number.checked_add(1).ok_or(Unspecified)?;
        // Section 5.3: the number "is encoded in network byte order and padded to the left with zeros to iv_length", and "XORed
        // with either the static client_write_iv or server_write_iv".
        let mut nonce = self.iv;
        let number = number.to_be_bytes();
        let right = nonce.len() - number.len();
        for (byte, of_number) in nonce[right..].iter_mut().zip(number) {
            *byte ^= of_number;
        }
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    /// How many records were sealed or opened under this key.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether nothing is left of secret and keys.
    #[cfg(test)]
    pub fn is_wiped(&self) -> bool {
        let bytes = self.secret.iter().chain(&self.key).chain(&self.iv);
        bytes.copied().all(|byte| byte == 0)
    }

    /// Whether rustls has come to the same keys.
    pub fn agrees_with(&self, secrets: &ConnectionTrafficSecrets) -> bool {
        let (suite, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Suite::Aes128, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Suite::Aes256, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (Suite::ChaCha20, key, iv),
            _ => return false,
        };
        let own = &self.key[..self.suite.aead().key_len()];
        suite == self.suite && bool::from(own.ct_eq(key.as_ref()) & self.iv[..].ct_eq(iv.as_ref()))
    }
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traffic")
            .field("suite", &self.suite)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// RFC 8446 section 7.1 without a context: "HKDF-Expand-Label(Secret, Label, Context, Length) = HKDF-Expand(Secret, HkdfLabel,
/// Length)", where the `HkdfLabel` is the length in two bytes, the label behind its own length, and the context behind its own.
fn expand_label(secret: &hkdf::Prk, label: &[u8], out: &mut [u8]) -> Result<(), Unspecified> {
    let length = u16::try_from(out.len()).map_err(|_| Unspecified)?;
    let label_bytes = u8::try_from(LABEL_PREFIX.len() + label.len()).map_err(|_| Unspecified)?;
    let info: [&[u8]; 5] = [
        &length.to_be_bytes(),
        &[label_bytes],
        LABEL_PREFIX,
        label,
        &[0],
    ];
    secret.expand(&info, Length(out.len()))?.fill(out)
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

const LABEL_PREFIX: &[u8] = b"tls13 ";
/// Of SHA-384.
const SECRET_BYTES_MAX: usize = 48;
/// Of AES-256 and ChaCha20.
const KEY_BYTES_MAX: usize = 32;

const _: () = assert!(size_of::<Traffic>() <= 104);

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
        let pair = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
        digits.chunks(2).map(|it| pair(it).unwrap()).collect()
    }

    /// RFC 8448 section 3: "derive write traffic keys for application data", of the server and of the client.
    #[test]
    fn keys_are_those_of_the_trace_in_rfc_8448() {
        let trace = [
            (
                "a1 1a f9 f0 55 31 f8 56 ad 47 11 6b 45 a9 50 32 82 04 b4 f4 4b fb 6b 3a 4b 4f 1f 3f cb 63 16 43",
                "9f 02 28 3b 6c 9c 07 ef c2 6b b9 f2 ac 92 e3 56",
                "cf 78 2b 88 dd 83 54 9a ad f1 e9 84",
            ),
            (
                "9e 40 64 6c e7 9a 7f 9d c0 5a f8 88 9b ce 65 52 87 5a fa 0b 06 df 00 87 f7 92 eb b7 c1 75 04 a5",
                "17 42 2d da 59 6e d5 d9 ac d8 90 e3 c6 3f 50 51",
                "5b 78 92 3d ee 08 57 90 33 e5 23 d9",
            ),
        ];
        for (secret, key, iv) in trace {
            let mut traffic = Traffic::blank(Suite::Aes128);
            traffic.begin(&bytes(secret), 0).unwrap();
            assert_eq!(traffic.key[..16], bytes(key));
            assert_eq!(traffic.iv[..], bytes(iv));
        }
    }

    #[test]
    fn nonces_count_and_never_begin_anew() {
        let mut traffic = Traffic::blank(Suite::ChaCha20);
        traffic.begin(&[7; 32], 0).unwrap();
        let iv = traffic.iv;
        let first = traffic.next_nonce().unwrap();
        assert_eq!(*first.as_ref(), iv);
        let second = traffic.next_nonce().unwrap();
        let mut expected = iv;
        expected[11] ^= 1;
        assert_eq!(*second.as_ref(), expected);
        traffic.sequence = u64::MAX;
        assert!(traffic.next_nonce().is_err());
        assert!(traffic.next_nonce().is_err());
    }

    #[test]
    fn a_secret_of_another_length_is_none() {
        for (suite, length) in [
            (Suite::Aes128, 32),
            (Suite::Aes256, 48),
            (Suite::ChaCha20, 32),
        ] {
            for wrong in [0, length - 1, length + 1, 64] {
                let begun = Traffic::blank(suite).begin(&vec![1; wrong], 0);
                assert!(begun.is_err(), "{suite:?} {wrong}");
            }
            assert!(Traffic::blank(suite).begin(&vec![1; length], 0).is_ok());
        }
    }

    #[test]
    fn an_update_leaves_nothing_of_what_was_and_a_wipe_nothing_at_all() {
        let mut traffic = Traffic::blank(Suite::Aes256);
        traffic.begin(&[9; 48], 5).unwrap();
        let before = (traffic.secret, traffic.key, traffic.iv);
        traffic.update().unwrap();
        assert_eq!(traffic.sequence(), 0);
        assert!(traffic.secret != before.0 && traffic.key != before.1 && traffic.iv != before.2);
        assert!(!traffic.is_wiped());
        traffic.zeroize();
        assert!(traffic.is_wiped());
        let said = format!("{traffic:?}");
        assert_eq!(said, "Traffic { suite: Aes256, sequence: 0, .. }");
    }
}
