//! The XML declaration (RFC 6120 sections 11.5 and 11.6). Refuses to know the stream behind it.

use xmlparser::{Token, Tokenizer};

use super::XmlError;

/// Checks a whole `<?xml ...?>`.
///
/// # Errors
///
/// `NotUtf8`, `NotWellFormed`, or `UnsupportedEncoding` for any encoding but UTF-8.
pub(super) fn check_declaration(bytes: &[u8]) -> Result<(), XmlError> {
    let text = str::from_utf8(bytes).map_err(|_| XmlError::NotUtf8)?;
    let mut tokens = Tokenizer::from(text);
    // RFC 6120 section 11.5: a standalone declaration of "no" is ignored, which is one of the two ways out.
    match tokens.next() {
        Some(Ok(Token::Declaration { encoding, span, .. })) if span.end() == text.len() => {
            match encoding {
                Some(name) if !name.eq_ignore_ascii_case("utf-8") => {
                    Err(XmlError::UnsupportedEncoding)
                }
                _ => Ok(()),
            }
        }
        _ => Err(XmlError::NotWellFormed),
    }
}
