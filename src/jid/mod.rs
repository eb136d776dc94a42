//! Addresses and their preparation (RFC 7622). Refuses to know what lives at an address.

mod error;
mod list;
mod lookalike;
mod prepare;

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub use error::JidError;
pub use list::JidList;
pub use lookalike::{is_deceptive, skeleton};
pub use prepare::{prepare_domainpart, prepare_localpart, prepare_resourcepart};

/// A prepared address: two that denote the same entity are equal byte for byte, so comparing, ordering and
/// hashing look at the text alone (and agree with those of `str`). 24 bytes, `Option<Jid>` too; a clone
/// bumps a reference count.
#[derive(Clone)]
pub struct Jid {
    text: Arc<str>,
    /// Offset of the '@' behind the localpart, or [`NONE`].
    at: u16,
    /// Offset of the '/' before the resourcepart, or [`NONE`].
    slash: u16,
}

/// No separator: above the 3,071 bytes that an address may have at most (RFC 7622 section 3.1).
const NONE: u16 = u16::MAX;

impl Jid {
    /// Splits `text` and prepares every part.
    ///
    /// # Errors
    ///
    /// The first part that is missing, too long or not allowed.
    pub fn parse(text: &str) -> Result<Jid, JidError> {
        // RFC 7622 section 3.2: remove any portion from the first '/' on, then any portion up to the first
        // '@'. "This parsing order is important": the resourcepart may contain both.
        let (bare, resource) = match memchr::memchr(b'/', text.as_bytes()) {
            Some(slash) => (&text[..slash], Some(&text[slash + 1..])),
            None => (text, None),
        };
        let (local, domain) = match memchr::memchr(b'@', bare.as_bytes()) {
            Some(at) => (Some(&bare[..at]), &bare[at + 1..]),
            None => (None, bare),
        };
        let parts = Parts::prepare(local, domain, resource)?;
        if parts.unchanged && parts.len() == text.len() {
            return Ok(parts.located(Arc::from(text)));
        }
        Ok(parts.joined())
    }

    /// The address that this text is, which was prepared before it was kept somewhere: only how long its parts are is looked
    /// at. None if it cannot be one.
    pub fn from_prepared(text: &str) -> Option<Jid> {
        let (bare, resource) = match memchr::memchr(b'/', text.as_bytes()) {
            Some(slash) => (&text[..slash], Some(&text[slash + 1..])),
            None => (text, None),
        };
        let at = memchr::memchr(b'@', bare.as_bytes());
        let domain = at.map_or(bare, |at| &bare[at + 1..]);
        let fits = |part: &str| (1..=prepare::PART_BYTES_MAX).contains(&part.len());
        let is_one = fits(domain) && at.is_none_or(|at| fits(&bare[..at]));
        (is_one && resource.is_none_or(fits)).then(|| Jid {
            text: Arc::from(text),
            at: at.map_or(NONE, offset),
            slash: resource.map_or(NONE, |_| offset(bare.len())),
        })
    }

    /// The address of a server or service.
    ///
    /// # Errors
    ///
    /// As [`prepare_domainpart`].
    pub fn domain(domainpart: &str) -> Result<Jid, JidError> {
        Jid::from_parts(None, domainpart, None)
    }

    /// An address of parts that are prepared here.
    ///
    /// # Errors
    ///
    /// The first part that is empty, too long or not allowed.
    pub fn from_parts(
        local: Option<&str>,
        domain: &str,
        resource: Option<&str>,
    ) -> Result<Jid, JidError> {
        Ok(Parts::prepare(local, domain, resource)?.joined())
    }

    /// What stands before the '@'.
    pub fn localpart(&self) -> Option<&str> {
        (self.at != NONE).then(|| &self.text[..usize::from(self.at)])
    }

    /// The domain in its U-label form, or an IP literal.
    pub fn domainpart(&self) -> &str {
        let from = if self.at == NONE {
            0
        } else {
            usize::from(self.at) + 1
        };
        &self.text[from..self.bare_len()]
    }

    /// What stands behind the first '/'.
    pub fn resourcepart(&self) -> Option<&str> {
        (self.slash != NONE).then(|| &self.text[usize::from(self.slash) + 1..])
    }

    /// The text without the resourcepart.
    pub fn bare_str(&self) -> &str {
        &self.text[..self.bare_len()]
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text without the resourcepart, which is this address's own if it has none.
    pub fn share_bare(&self) -> Arc<str> {
        match self.is_bare() {
            true => Arc::clone(&self.text),
            false => Arc::from(self.bare_str()),
        }
    }

    /// This address without its resourcepart; costs nothing if it has none.
    pub fn to_bare(&self) -> Jid {
        Jid {
            text: self.share_bare(),
            at: self.at,
            slash: NONE,
        }
    }

    /// This address with `resource`, prepared here, in place of any it has.
    ///
    /// # Errors
    ///
    /// As [`prepare_resourcepart`].
    pub fn with_resource(&self, resource: &str) -> Result<Jid, JidError> {
        let resource = prepare_resourcepart(resource)?;
        let bare = self.bare_str();
        let mut text = String::with_capacity(bare.len() + 1 + resource.len());
        text.push_str(bare);
        text.push('/');
        text.push_str(&resource);
        Ok(Jid {
            text: Arc::from(text),
            at: self.at,
            slash: offset(bare.len()),
        })
    }

    /// Has no resourcepart (a domain alone is bare, too).
    pub fn is_bare(&self) -> bool {
        self.slash == NONE
    }

    /// Has a resourcepart.
    pub fn is_full(&self) -> bool {
        self.slash != NONE
    }

    /// Has neither localpart nor resourcepart.
    pub fn is_domain(&self) -> bool {
        self.at == NONE && self.slash == NONE
    }

    fn bare_len(&self) -> usize {
        if self.slash == NONE {
            self.text.len()
        } else {
            usize::from(self.slash)
        }
    }
}

/// Prepared parts on their way to one allocation.
struct Parts<'a> {
    local: Option<Cow<'a, str>>,
    domain: Cow<'a, str>,
    resource: Option<Cow<'a, str>>,
    /// Preparation changed no part (but may have cut the domain's trailing dot).
    unchanged: bool,
}

impl<'a> Parts<'a> {
    fn prepare(
        local: Option<&'a str>,
        domain: &'a str,
        resource: Option<&'a str>,
    ) -> Result<Parts<'a>, JidError> {
        let local = local.map(prepare_localpart).transpose()?;
        let domain = prepare_domainpart(domain)?;
        let resource = resource.map(prepare_resourcepart).transpose()?;
        let unchanged = !matches!(local, Some(Cow::Owned(_)))
            && matches!(domain, Cow::Borrowed(_))
            && !matches!(resource, Some(Cow::Owned(_)));
        Ok(Parts {
            local,
            domain,
            resource,
            unchanged,
        })
    }

    fn at(&self) -> Option<usize> {
        self.local.as_ref().map(|local| local.len())
    }

    fn bare_len(&self) -> usize {
        self.at().map_or(0, |at| at + 1) + self.domain.len()
    }

    fn len(&self) -> usize {
        self.bare_len() + self.resource.as_ref().map_or(0, |part| 1 + part.len())
    }

    fn located(&self, text: Arc<str>) -> Jid {
        Jid {
            text,
            at: self.at().map_or(NONE, offset),
            slash: match self.resource {
                Some(_) => offset(self.bare_len()),
                None => NONE,
            },
        }
    }

    fn joined(&self) -> Jid {
        let mut text = String::with_capacity(self.len());
        if let Some(local) = &self.local {
            text.push_str(local);
            text.push('@');
        }
        text.push_str(&self.domain);
        if let Some(resource) = &self.resource {
            text.push('/');
            text.push_str(resource);
        }
        self.located(Arc::from(text))
    }
}

/// Every part was bounded by 1,023 bytes, so an offset is below 3,072.
fn offset(at: usize) -> u16 {
    u16::try_from(at).expect("prepared parts are at most 1,023 bytes each")
}

impl PartialEq for Jid {
    fn eq(&self, other: &Jid) -> bool {
        self.text == other.text
    }
}

impl Eq for Jid {}

impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Jid) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Jid {
    fn cmp(&self, other: &Jid) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Jid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// A map with addresses as keys can be asked with prepared text.
impl Borrow<str> for Jid {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

const _: () = assert!(size_of::<Jid>() == 24);
const _: () = assert!(size_of::<Option<Jid>>() == 24);

#[cfg(test)]
mod tests;
