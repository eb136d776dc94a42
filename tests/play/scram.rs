//! The client's half of SCRAM-SHA-256 (RFC 5802, RFC 7677), with channel binding if it is told the channel.
//! It refuses to know SASL's framing: it takes and gives messages before base64.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use base64::prelude::{BASE64_STANDARD, Engine};

use super::SelfTest;

/// HMAC-SHA-256.
#[allow(dead_code)] // The plays' tokens are made with it.
pub fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// An exchange after its first message.
pub struct Scram {
    first_bare: String,
    /// The GS2 header, which says whether the channel is bound to.
    header: String,
    /// What names the channel.
    channel: Vec<u8>,
    password: String,
    nonce: String,
    server_signature: Vec<u8>,
}

impl Scram {
    /// `nonce` is printable ASCII without a comma.
    pub fn new(user: &str, password: &str, nonce: &str) -> Scram {
        // RFC 5802 section 5.1: "," and "=" in the user name are sent as =2C and =3D.
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Scram {
            first_bare: format!("n={user},r={nonce}"),
            header: "n,,".to_string(),
            channel: Vec::new(),
            password: password.to_string(),
            nonce: nonce.to_string(),
            server_signature: Vec::new(),
        }
    }

    /// The same, of a client that binds to the channel (`p=tls-exporter,,` and its data), or that could and believes
    /// that the server cannot (`y,,` and nothing).
    #[allow(dead_code)] // The plays bind to no channel, hostile clients do.
    pub fn with_header(mut self, header: &str, channel: &[u8]) -> Scram {
        self.header = header.to_string();
        self.channel = channel.to_vec();
        self
    }

    /// client-first-message.
    pub fn first(&self) -> String {
        format!("{}{}", self.header, self.first_bare)
    }

    /// XEP-0474 section 3: whether the lists of mechanisms and channel bindings that the client was shown are those
    /// that the server hashed into its challenge.
    #[allow(dead_code)] // As above.
    pub fn was_shown_all(challenge: &str, mechanisms: &[&str], bindings: &[&str]) -> bool {
        let (mut mechanisms, mut bindings) = (mechanisms.to_vec(), bindings.to_vec());
        mechanisms.sort_unstable();
        bindings.sort_unstable();
        let mut lists = mechanisms.join("\x1e");
        if !bindings.is_empty() {
            lists.push('\x1f');
            lists.push_str(&bindings.join("\x1e"));
        }
        let hash = BASE64_STANDARD.encode(Sha256::digest(lists.as_bytes()));
        challenge
            .split(',')
            .any(|field| field == format!("h={hash}"))
    }

    /// client-final-message.
    ///
    /// # Errors
    /// What is wrong with the server's challenge.
    pub fn last(&mut self, challenge: &str) -> Result<String, String> {
        let field = |key: &str| {
            let found = challenge.split(',').find_map(|f| f.strip_prefix(key));
            found.ok_or_else(|| format!("no {key} in the challenge {challenge}"))
        };
        let (nonce, salt, rounds) = (field("r=")?, field("s=")?, field("i=")?);
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(format!("the server's nonce does not extend ours: {nonce}"));
        }
        let salt = BASE64_STANDARD
            .decode(salt)
            .map_err(|e| format!("the salt {salt}: {e}"))?;
        let rounds: u32 = rounds
            .parse()
            .map_err(|_| format!("not a number of rounds: {rounds}"))?;
        let mut salted = [0_u8; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(self.password.as_bytes(), &salt, rounds, &mut salted);
        let client_key = hmac(&salted, b"Client Key");
        let stored_key = Sha256::digest(&client_key);
        let input = [self.header.as_bytes(), &self.channel].concat();
        let bare = format!("c={},r={nonce}", BASE64_STANDARD.encode(input));
        let auth_message = format!("{},{challenge},{bare}", self.first_bare);
        let signature = hmac(&stored_key, auth_message.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(k, s)| k ^ s)
            .collect();
        self.server_signature = hmac(&hmac(&salted, b"Server Key"), auth_message.as_bytes());
        Ok(format!("{bare},p={}", BASE64_STANDARD.encode(proof)))
    }

    /// Whether the server knew the keys too.
    pub fn is_proved_by(&self, server_final: &str) -> bool {
        let v = format!("v={}", BASE64_STANDARD.encode(&self.server_signature));
        server_final.split(',').next() == Some(v.as_str())
    }
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// Self-tests.
pub const TESTS: &[SelfTest] = &[
    ("scram::the_example_of_rfc_7677_section_3", || {
        let mut scram = Scram::new("user", "pencil", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let last = scram.last(challenge).unwrap();
        assert!(
            last.ends_with("p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
            "{last}"
        );
        assert!(scram.is_proved_by("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!scram.is_proved_by("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="));
    }),
    ("scram::a_server_nonce_that_is_not_ours_is_refused", || {
        assert!(
            Scram::new("u", "p", "abc")
                .last("r=xyz,s=AAAA,i=4096")
                .is_err()
        );
        assert!(
            Scram::new("u", "p", "abc")
                .last("r=abc,s=AAAA,i=4096")
                .is_err()
        );
    }),
];
