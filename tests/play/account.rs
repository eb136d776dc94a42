//! The accounts of a scene, fresh for every run, and what `${...}` stands for in its texts.
//! It refuses to know connections: a full JID that the server changed is told to it.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine};

use super::SelfTest;
use super::pattern::{Bindings, split_variable};

/// A registered user: `juliet-7f3a@localhost`.
#[derive(Debug, Clone)]
pub struct Account {
    pub localpart: String,
    pub password: String,
}

/// What the scene's names stand for on this run.
#[derive(Debug)]
pub struct Cast {
    host: String,
    mark: String,
    accounts: BTreeMap<String, Account>,
    /// Filled by `tell`: `Juliet/balcony` is the full JID, `Juliet/balcony:sm-id` the id of a
    /// session.
    told: BTreeMap<String, String>,
}

impl Cast {
    /// `mark` makes the localparts of this run unlike those of any other on the same server.
    pub fn new(host: &str, mark: &str) -> Cast {
        Cast {
            host: host.to_string(),
            mark: mark.to_string(),
            accounts: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Invents the account of a name.
    ///
    /// # Errors
    /// If the name has one already.
    pub fn add(&mut self, name: &str) -> Result<Account, String> {
        let localpart = format!("{}-{}", name.to_lowercase(), self.mark);
        let account = Account {
            password: format!("pencil of {localpart}"),
            localpart,
        };
        match self.accounts.insert(name.to_string(), account.clone()) {
            None => Ok(account),
            Some(_) => Err(format!("{name} has an account already")),
        }
    }

    /// The account of a name.
    pub fn account(&self, name: &str) -> Result<&Account, String> {
        self.accounts
            .get(name)
            .ok_or_else(|| format!("{name} has no account"))
    }

    /// Remembers what the server decided.
    pub fn tell(&mut self, key: &str, value: &str) {
        self.told.insert(key.to_string(), value.to_string());
    }

    /// Replaces every `${...}` and every `{name}` that is bound. Values are escaped for XML.
    ///
    /// # Errors
    /// A `${...}` that stands for nothing.
    pub fn fill(&self, text: &str, bindings: &Bindings) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let end = at + rest[at..].find('}').ok_or("a `{` is not closed")?;
            let before = &rest[..at];
            if let Some(before) = before.strip_suffix('$') {
                filled.push_str(before);
                filled.push_str(&self.value(&rest[at + 1..end], bindings)?);
            } else {
                filled.push_str(before);
                match split_variable(&rest[at..=end]).and_then(|(_, name, _)| bindings.get(name)) {
                    Some(bound) => filled.push_str(&escape(bound)),
                    None => filled.push_str(&rest[at..=end]),
                }
            }
            rest = &rest[end + 1..];
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn value(&self, key: &str, bindings: &Bindings) -> Result<String, String> {
        if key == "host" {
            return Ok(self.host.clone());
        }
        if let Some(told) = self.told.get(key) {
            return Ok(escape(told));
        }
        if let Some((times, what)) = key.strip_prefix("repeat:").and_then(|k| k.split_once(':')) {
            return Ok(what.repeat(
                times
                    .parse()
                    .map_err(|_| format!("not a number: {times}"))?,
            ));
        }
        if let Some(text) = key.strip_prefix("base64:") {
            return Ok(BASE64_STANDARD.encode(unescape(text)?));
        }
        let (actor, what) = key.split_once(':').unwrap_or((key, "jid"));
        let (name, resource) = actor.split_once('/').unwrap_or((actor, ""));
        let Account {
            localpart,
            password,
        } = self.account(name)?;
        let bare = format!("{localpart}@{}", self.host);
        Ok(match what {
            "jid" if resource.is_empty() => bare,
            "jid" => format!("{bare}/{resource}"),
            "name" => localpart.clone(),
            "shout" => localpart.to_uppercase(),
            "password" => escape(password),
            // RFC 4616: message = [authzid] UTF8NUL authcid UTF8NUL passwd
            "plain" => BASE64_STANDARD.encode(format!("\0{localpart}\0{password}")),
            // RFC 5802 section 7, client-first-message.
            "scram" => {
                BASE64_STANDARD.encode(format!("n,,n={localpart},r=fyko+d2lbbFgONRv9qkxdawL"))
            }
            "plain-own" => BASE64_STANDARD.encode(format!("{bare}\0{localpart}\0{password}")),
            "plain-new" => BASE64_STANDARD.encode(format!("\0{localpart}\0new {password}")),
            "plain-wrong" => BASE64_STANDARD.encode(format!("\0{localpart}\0not the {password}")),
            // draft-schmaus-kitten-sasl-ht-09: authcid NUL HMAC(token, "Initiator" || cb-data).
            token if token.starts_with("ht-") => {
                let (mechanism, name) = token.split_once('=').unwrap_or((token, "token"));
                let binding: &[u8] = match mechanism {
                    "ht-none" => b"",
                    "ht-expr" => &SIMULATED_EXPORTER,
                    other => return Err(format!("no mechanism: {other}")),
                };
                let token = bindings
                    .get(name)
                    .ok_or_else(|| format!("nothing is bound to {name}"))?;
                let proof =
                    super::scram::hmac_sha256(token.as_bytes(), &[b"Initiator", binding].concat());
                let message = [localpart.as_bytes(), b"\0", &proof].concat();
                BASE64_STANDARD.encode(message)
            }
            other => match other.strip_prefix("plain-as-") {
                Some(authzid) => {
                    let authzid = format!("{}@{}", self.account(authzid)?.localpart, self.host);
                    BASE64_STANDARD.encode(format!("{authzid}\0{localpart}\0{password}"))
                }
                None => return Err(format!("${{{key}}} stands for nothing")),
            },
        })
    }
}

/// What the simulated channel exports (RFC 9266).
const SIMULATED_EXPORTER: [u8; 32] = [7; 32];

/// Escapes for text and for attributes in either quote.
pub fn escape(text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    text.replace('\'', "&apos;").replace('"', "&quot;")
}

/// The bytes of a `sends bytes:` line: `\n`, `\r`, `\t`, `\\`, `\xFF`.
///
/// # Errors
/// An unknown escape.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let (byte, length) = match rest.as_bytes().get(at + 1) {
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(b'\\') => (b'\\', 2),
            Some(b'x') => {
                let digits = rest.get(at + 2..at + 4).unwrap_or_default();
                (
                    u8::from_str_radix(digits, 16)
                        .map_err(|_| format!("not two hex digits: {digits}"))?,
                    4,
                )
            }
            _ => return Err(format!("not an escape: {}", &rest[at..])),
        };
        bytes.push(byte);
        rest = &rest[at + length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

fn example() -> Cast {
    let mut cast = Cast::new("localhost", "7f3a");
    cast.add("Juliet").expect("a new name");
    cast
}

/// Self-tests.
pub const TESTS: &[SelfTest] = &[
    ("account::names_are_filled_in_as_fresh_jids", || {
        let mut cast = example();
        let text = "to='${Juliet/balcony}' from='${Juliet}'";
        let fill = |cast: &Cast| cast.fill(text, &Bindings::new()).unwrap();
        assert_eq!(
            fill(&cast),
            "to='juliet-7f3a@localhost/balcony' from='juliet-7f3a@localhost'"
        );
        cast.tell("Juliet/balcony", "juliet-7f3a@localhost/balcony-2");
        assert!(fill(&cast).starts_with("to='juliet-7f3a@localhost/balcony-2'"));
    }),
    (
        "account::an_unknown_name_is_an_error_and_an_unbound_one_stays",
        || {
            assert!(example().fill("${Romeo}", &Bindings::new()).is_err());
            let bound = Bindings::from([("id".to_string(), "a<b".to_string())]);
            assert_eq!(
                example().fill("{id} {any}", &bound).unwrap(),
                "a&lt;b {any}"
            );
        },
    ),
    ("account::plain_credentials_have_their_nul_bytes", || {
        let filled = example().fill("${Juliet:plain}", &Bindings::new()).unwrap();
        let plain = BASE64_STANDARD.decode(filled).unwrap();
        assert_eq!(plain, b"\0juliet-7f3a\0pencil of juliet-7f3a");
    }),
    ("account::bytes_may_be_any", || {
        assert_eq!(unescape("a\\n\\xff\\\\<").unwrap(), b"a\n\xff\\<");
        assert!(unescape("\\q").is_err() && unescape("\\x1").is_err());
    }),
];
