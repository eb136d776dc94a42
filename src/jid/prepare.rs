//! Preparation and enforcement of the three parts (RFC 7622 sections 3.2 to 3.4). Refuses to know how parts
//! are put together.

// An address in brackets is text here: `core` has the notation and no sockets.
use core::net::Ipv6Addr;
use std::borrow::Cow;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::{OpaqueString, UsernameCaseMapped};

use super::JidError;

/// "Each allowable portion of a JID is 1 to 1023 octets in length" (RFC 7622 section 3.1), after preparation.
pub(super) const PART_BYTES_MAX: usize = 1023;
/// Longest part that is looked at: preparation shrinks by 3 at most (a fullwidth letter to an ASCII one).
const UNPREPARED_BYTES_MAX: usize = 4 * PART_BYTES_MAX;
/// RFC 1034's limits, which "naturally apply" (RFC 7622 section 3.2), on the A-label form.
const DOMAIN_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// The localpart in the UsernameCaseMapped profile without the characters that XMPP excludes further
/// (RFC 7622 section 3.3). Lower-case ASCII is borrowed.
///
/// # Errors
///
/// `LocalEmpty`, `LocalNotAllowed` or `LocalTooLong` (1,023 bytes after preparation).
pub fn prepare_localpart(text: &str) -> Result<Cow<'_, str>, JidError> {
    let mut upper = false;
    let mut ascii = true;
    for &byte in text.as_bytes() {
        match byte {
            b'A'..=b'Z' => upper = true,
            b'"' | b'&' | b'\'' | b'/' | b':' | b'<' | b'>' | b'@' => {
                return Err(JidError::LocalNotAllowed);
            }
            0x21..=0x7e => {}
            0x80.. => ascii = false,
            _ => return Err(JidError::LocalNotAllowed),
        }
    }
    let prepared = if !ascii {
        if text.len() > UNPREPARED_BYTES_MAX {
            return Err(JidError::LocalTooLong);
        }
        let prepared = stable(text, |text| UsernameCaseMapped::enforce(text).ok())
            .ok_or(JidError::LocalNotAllowed)?;
        // Mapping may produce what was not there before: a fullwidth '@' becomes an '@'.
        if prepared.bytes().any(|byte| EXCLUDED.contains(&byte)) {
            return Err(JidError::LocalNotAllowed);
        }
        prepared
    } else if upper {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    };
    match prepared.len() {
        0 => Err(JidError::LocalEmpty),
        1..=PART_BYTES_MAX => Ok(prepared),
        _ => Err(JidError::LocalTooLong),
    }
}

/// RFC 7622 section 3.3.1: explicitly disallowed, although the profile allows them.
const EXCLUDED: [u8; 8] = *b"\"&'/:<>@";

/// The domainpart as lower-case U-labels without a trailing dot, or an IP literal, IPv6 in brackets and in
/// its canonical form (RFC 5952). Zone identifiers (RFC 6874) are refused: they mean nothing outside one
/// host. A lower-case ASCII name is borrowed.
///
/// # Errors
///
/// `DomainEmpty`, `DomainNotAllowed` or `DomainTooLong` (253 bytes as A-labels, 63 a label).
pub fn prepare_domainpart(text: &str) -> Result<Cow<'_, str>, JidError> {
    // RFC 7622 section 3.2: a final dot "MUST be stripped before any other canonicalization steps".
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Err(JidError::DomainEmpty);
    }
    if let Some(literal) = text.strip_prefix('[') {
        return prepare_ipv6(text, literal);
    }
    if is_plain_host(text.as_bytes()) {
        return Ok(Cow::Borrowed(text));
    }
    if text.len() > UNPREPARED_BYTES_MAX {
        return Err(JidError::DomainTooLong);
    }
    let prepared = stable(text, u_labels).ok_or(JidError::DomainNotAllowed)?;
    // The A-label form is checked for its lengths only; the U-label form is what is kept.
    match Uts46::new().to_ascii(
        prepared.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::Check,
        DnsLength::Verify,
    ) {
        Ok(_) if prepared.len() <= PART_BYTES_MAX => Ok(prepared),
        _ => Err(JidError::DomainTooLong),
    }
}

fn u_labels(text: &str) -> Option<Cow<'_, str>> {
    let (prepared, result) =
        Uts46::new().to_unicode(text.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
    // A label of zero length is no error to UTS 46; a full stop of another script has become a dot by now.
    let empty = prepared.is_empty() || prepared.split('.').any(str::is_empty);
    (result.is_ok() && !empty).then_some(prepared)
}

/// Lower-case NR-LDH labels within RFC 1034's lengths: what idna would return unchanged.
fn is_plain_host(text: &[u8]) -> bool {
    let mut label_start = 0;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => {}
            // Neither first nor third and fourth of a label: that is reserved, `xn--` for example.
            b'-' if at > label_start => {
                if at - label_start == 3 && text[at - 1] == b'-' {
                    return false;
                }
            }
            b'.' => {
                if !is_plain_label(&text[label_start..at]) {
                    return false;
                }
                label_start = at + 1;
            }
            _ => return false,
        }
    }
    text.len() <= DOMAIN_BYTES_MAX && is_plain_label(&text[label_start..])
}

fn is_plain_label(label: &[u8]) -> bool {
    !label.is_empty() && label.len() <= LABEL_BYTES_MAX && label.last() != Some(&b'-')
}

fn prepare_ipv6<'a>(text: &'a str, literal: &str) -> Result<Cow<'a, str>, JidError> {
    let address = literal
        .strip_suffix(']')
        .and_then(|address| address.parse::<Ipv6Addr>().ok())
        .ok_or(JidError::DomainNotAllowed)?;
    let canonical = format!("[{address}]");
    if canonical == text {
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(canonical))
}

/// The resourcepart in the OpaqueString profile (RFC 7622 section 3.4). Printable ASCII is borrowed. A
/// leading space is refused, after example 18 of section 3.5, although the profile would let it pass.
///
/// # Errors
///
/// `ResourceEmpty`, `ResourceNotAllowed` or `ResourceTooLong` (1,023 bytes after preparation).
pub fn prepare_resourcepart(text: &str) -> Result<Cow<'_, str>, JidError> {
    let mut ascii = true;
    for &byte in text.as_bytes() {
        match byte {
            0x20..=0x7e => {}
            0x80.. => ascii = false,
            _ => return Err(JidError::ResourceNotAllowed),
        }
    }
    let prepared = if ascii {
        Cow::Borrowed(text)
    } else {
        if text.len() > UNPREPARED_BYTES_MAX {
            return Err(JidError::ResourceTooLong);
        }
        stable(text, |text| OpaqueString::enforce(text).ok()).ok_or(JidError::ResourceNotAllowed)?
    };
    if prepared.starts_with(' ') {
        return Err(JidError::ResourceNotAllowed);
    }
    match prepared.len() {
        0 => Err(JidError::ResourceEmpty),
        1..=PART_BYTES_MAX => Ok(prepared),
        _ => Err(JidError::ResourceTooLong),
    }
}

/// `text` as `prepare` leaves it, refused if a second pass would change it again: such a name would be
/// another one after every hop.
fn stable(
    text: &str,
    prepare: impl for<'b> Fn(&'b str) -> Option<Cow<'b, str>>,
) -> Option<Cow<'_, str>> {
    let once = prepare(text)?;
    if once == text {
        return Some(Cow::Borrowed(text));
    }
    let once = once.into_owned();
    (prepare(&once)? == once).then_some(Cow::Owned(once))
}
