//! References to characters, and line ends (XML 1.0 sections 2.11, 3.3.3 and 4.1). Refuses to know entities
//! other than the five predefined ones.

use super::XmlError;
use super::run::run_length;

/// The character that `text` begins with a reference to, and the bytes behind it.
///
/// # Errors
///
/// `NotWellFormed` for a bare '&' or a character outside XML's `Char`; `Restricted` for any other entity: RFC
/// 6120 section 11.1 forbids entity references "with the exception of the predefined entities".
pub(super) fn parse_reference(text: &str) -> Result<(char, &str), XmlError> {
    // The longest that means anything is `&#x10FFFF;`; leading zeros are allowed, so look a little farther.
    let window = &text.as_bytes()[..text.len().min(REFERENCE_BYTES_MAX)];
    let end = memchr::memchr(b';', window).ok_or(XmlError::NotWellFormed)?;
    let rest = &text[end + 1..];
    let character = match &text[1..end] {
        "amp" => '&',
        "apos" => '\'',
        "gt" => '>',
        "lt" => '<',
        "quot" => '"',
        name => match name.strip_prefix('#') {
            Some(number) => parse_number(number).ok_or(XmlError::NotWellFormed)?,
            None if is_entity_name(name) => return Err(XmlError::Restricted),
            None => return Err(XmlError::NotWellFormed),
        },
    };
    Ok((character, rest))
}

/// Bytes of a reference that are looked at; a character reference with more leading zeros than fit here is
/// refused as not well-formed, which XML does not require and nobody will miss.
const REFERENCE_BYTES_MAX: usize = 64;

fn is_entity_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':' | 0x80..)
        })
}

fn parse_number(number: &str) -> Option<char> {
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    // `from_str_radix` allows a sign, XML does not.
    if digits.starts_with('+') {
        return None;
    }
    let character = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
    is_xml_char(character).then_some(character)
}

/// XML 1.0 section 2.2: `Char`.
fn is_xml_char(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => false,
        _ => true,
    }
}

/// Writes character data as canonical text. `references` is off inside CDATA sections.
pub(super) fn push_text(
    mut text: &str,
    references: References,
    out: &mut String,
) -> Result<(), XmlError> {
    loop {
        let special = run_length(text.as_bytes(), is_text_special);
        out.push_str(&text[..special]);
        text = &text[special..];
        let Some(&byte) = text.as_bytes().first() else {
            return Ok(());
        };
        match byte {
            b'&' if references == References::Meant => {
                let (character, rest) = parse_reference(text)?;
                text = rest;
                match character {
                    // A line end that was meant as a character: literally it would become a newline.
                    '\r' => out.push_str("&#13;"),
                    _ => push_text_char(character, out),
                }
                continue;
            }
            // Line ends are normalised: `\r\n` and a lone `\r` are one newline.
            b'\r' => {
                if text.as_bytes().get(1) != Some(&b'\n') {
                    out.push('\n');
                }
            }
            byte => push_text_char(char::from(byte), out),
        }
        text = &text[1..];
    }
}

/// Whether '&' begins a reference.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum References {
    /// In character data.
    Meant,
    /// In CDATA sections.
    Literal,
}

fn push_text_char(character: char, out: &mut String) {
    match character {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        _ => out.push(character),
    }
}

/// The bytes that canonical text does not contain as they are.
pub(super) fn is_text_special(byte: u8) -> bool {
    (byte == b'&') | (byte == b'<') | (byte == b'>') | (byte == b'\r')
}

/// The bytes that a canonical attribute value does not contain as they are.
pub(super) fn is_attribute_special(byte: u8) -> bool {
    is_text_special(byte) | (byte == b'\'') | (byte == b'\t') | (byte == b'\n')
}

/// The bytes of a document's text that need a look: all but those that are characters of XML (section 2.2), end no
/// line, and stand for themselves in canonical text. Behind 0xef are, among others, U+FFFE and U+FFFF.
pub(super) fn is_text_doubtful(byte: u8) -> bool {
    is_text_special(byte) | ((byte < b' ') & (byte != b'\t') & (byte != b'\n')) | (byte == 0xef)
}

/// Walks an attribute value as it stands in the document, calling `piece` with runs of ordinary characters
/// and `special` with each character that canonical values escape, after normalisation.
fn walk_attribute(
    mut value: &str,
    out: &mut String,
    special: fn(char, &mut String),
) -> Result<(), XmlError> {
    loop {
        let run = run_length(value.as_bytes(), is_attribute_special);
        out.push_str(&value[..run]);
        value = &value[run..];
        let Some(&byte) = value.as_bytes().first() else {
            return Ok(());
        };
        match byte {
            b'&' => {
                let (character, rest) = parse_reference(value)?;
                special(character, out);
                value = rest;
                continue;
            }
            // XML 1.0 section 3.3.3: a literal white space character becomes a space; of `\r\n` the first is
            // dropped by line-end normalisation.
            b'\r' if value.as_bytes().get(1) == Some(&b'\n') => {}
            b'\t' | b'\n' | b'\r' => out.push(' '),
            byte => special(char::from(byte), out),
        }
        value = &value[1..];
    }
}

/// Writes a document's attribute value in canonical escaped form, without quotes.
pub(super) fn push_attribute(value: &str, out: &mut String) -> Result<(), XmlError> {
    walk_attribute(value, out, push_attribute_char)
}

/// Writes a document's attribute value as the text that it means.
pub(super) fn push_unescaped(value: &str, out: &mut String) -> Result<(), XmlError> {
    walk_attribute(value, out, |character, out| out.push(character))
}

pub(super) fn push_attribute_char(character: char, out: &mut String) {
    match character {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '\'' => out.push_str("&apos;"),
        '\t' => out.push_str("&#9;"),
        '\n' => out.push_str("&#10;"),
        '\r' => out.push_str("&#13;"),
        _ => out.push(character),
    }
}
