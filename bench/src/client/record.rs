//! TLS 1.3 records (RFC 8446 section 5) of a client whose handshake is over, with nothing kept but the keys: a million
//! clients of a library would need more memory than the server that they load. For driving servers of our own only: nothing
//! here protects anybody. It knows nothing of handshakes.

use anyhow::{Context, Result, bail, ensure};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305};
use ring::aead::{LessSafeKey, Nonce, UnboundKey};
use rustls::ConnectionTrafficSecrets;

/// Both directions of one connection.
pub struct Keys {
    to_server: Half,
    from_server: Half,
}

struct Half {
    key: [u8; 32],
    iv: [u8; 12],
    number: u64,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Aes128,
    Aes256,
    ChaCha20,
}

impl Keys {
    /// The keys of a connection that rustls has brought up.
    pub fn of(secrets: rustls::ExtractedSecrets) -> Result<Self> {
        Ok(Self {
            to_server: Half::of(secrets.tx)?,
            from_server: Half::of(secrets.rx)?,
        })
    }

    /// Appends `plaintext` as one record.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        ensure!(plaintext.len() <= PLAINTEXT_MAX, "more than a record holds");
        let length = plaintext.len() + 1 + TAG;
        let header = [APPLICATION_DATA, 3, 3, (length >> 8) as u8, length as u8];
        let start = out.len() + header.len();
        out.extend_from_slice(&header);
        out.extend_from_slice(plaintext);
        out.push(APPLICATION_DATA);
        let (key, nonce) = self.to_server.next()?;
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(header), &mut out[start..]);
        out.extend_from_slice(tag.ok().context("not sealed")?.as_ref());
        Ok(())
    }

    /// Opens whole records in place and appends their text; what the server says about TLS itself is passed over.
    pub fn open(&mut self, mut records: &mut [u8], text: &mut Vec<u8>) -> Result<()> {
        while !records.is_empty() {
            let (header, rest) = records.split_at_mut_checked(5).context("half a header")?;
            let length = usize::from(header[3]) << 8 | usize::from(header[4]);
            let (record, rest) = rest.split_at_mut_checked(length).context("half a record")?;
            records = rest;
            let (key, nonce) = self.from_server.next()?;
            let opened = key.open_in_place(nonce, Aad::from(&header[..]), record);
            let opened = opened.ok().context("a record that does not open")?;
            let end = opened.iter().rposition(|byte| *byte != 0);
            let end = end.context("a record without a type")?;
            match (opened[end], opened.first()) {
                (APPLICATION_DATA, _) => text.extend_from_slice(&opened[..end]),
                (HANDSHAKE, Some(&NEW_SESSION_TICKET)) => {}
                (ALERT, _) => {}
                (kind, _) => bail!("a record of type {kind} that this client does not know"),
            }
        }
        Ok(())
    }
}

impl Half {
    fn of((number, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Self> {
        let (bytes, iv, kind) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (key.as_ref(), iv, Kind::Aes128),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (key.as_ref(), iv, Kind::Aes256),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (key.as_ref(), iv, Kind::ChaCha20)
            }
            _ => bail!("a cipher suite that this client does not know"),
        };
        let mut key = [0; 32];
        key[..bytes.len()].copy_from_slice(bytes);
        let iv = iv.as_ref().try_into()?;
        Ok(Self {
            key,
            iv,
            number,
            kind,
        })
    }

    /// The key, expanded for one record, and the record's nonce (RFC 8446 section 5.3).
    fn next(&mut self) -> Result<(LessSafeKey, Nonce)> {
        let (algorithm, length): (&'static Algorithm, usize) = match self.kind {
            Kind::Aes128 => (&AES_128_GCM, 16),
            Kind::Aes256 => (&AES_256_GCM, 32),
            Kind::ChaCha20 => (&CHACHA20_POLY1305, 32),
        };
        let key = UnboundKey::new(algorithm, &self.key[..length]);
        let key = LessSafeKey::new(key.ok().context("a key of the wrong length")?);
        let mut nonce = self.iv;
        let number = self.number.to_be_bytes();
        nonce[4..].iter_mut().zip(number).for_each(|(n, s)| *n ^= s);
        self.number += 1;
        Ok((key, Nonce::assume_unique_for_key(nonce)))
    }
}

/// How many of these bytes are whole records: what is behind them has to wait for more.
pub fn whole(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(header) = bytes.get(end..end + HEADER) {
        let length = usize::from(header[3]) << 8 | usize::from(header[4]);
        if bytes.len() < end + HEADER + length {
            break;
        }
        end += HEADER + length;
    }
    end
}

const HEADER: usize = 5;
const APPLICATION_DATA: u8 = 23;
const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const NEW_SESSION_TICKET: u8 = 4;
const TAG: usize = 16;
/// RFC 8446 section 5.1.
pub const PLAINTEXT_MAX: usize = 1 << 14;

// What a million clients may cost, by issue 4.
const _: () = assert!(size_of::<Keys>() <= 300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_whole_or_wait() {
        let two = [23, 3, 3, 0, 2, 1, 2, 23, 3, 3, 0, 1, 9];
        assert_eq!(whole(&two), 13);
        assert_eq!(whole(&two[..12]), 7);
        assert_eq!(whole(&two[..9]), 7);
        assert_eq!(whole(&two[..4]), 0);
        assert_eq!(whole(&[]), 0);
    }
}
