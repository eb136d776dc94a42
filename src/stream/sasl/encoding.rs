//! Base64 as SASL in XMPP writes it (RFC 6120 sections 6.4.2, 6.4.3 and 13.9.1). Refuses to be lenient:
//! what is not canonical is `incorrect-encoding`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::SaslFailure;
use crate::base::Secret;

/// The text of `<auth/>`: none if it is empty, which means that there is no initial response.
///
/// # Errors
/// `IncorrectEncoding`.
pub fn decode_initial_response(text: &str) -> Result<Option<Secret>, SaslFailure> {
    if text.is_empty() {
        return Ok(None);
    }
    decode_response(text).map(Some)
}

/// The text of `<response/>`, or of XEP-0388's `<initial-response/>`. Section 6.4.2: "If the initiating
/// entity needs to send a zero-length initial response, it MUST transmit the response as a single equals
/// sign character"; a response without any text is as long.
///
/// # Errors
/// `IncorrectEncoding`.
pub fn decode_response(text: &str) -> Result<Secret, SaslFailure> {
    if text.is_empty() || text == "=" {
        return Ok(Secret::new(Vec::new()));
    }
    decode(text.as_bytes())
        .map(Secret::new)
        .ok_or(SaslFailure::IncorrectEncoding)
}

/// The text of a `<challenge/>` or `<success/>` that carries `data`; "=" for no bytes.
pub fn encode(data: &[u8]) -> String {
    if data.is_empty() {
        return "=".to_owned();
    }
    STANDARD.encode(data)
}

/// Canonical base64 with padding, as it also stands inside SCRAM's messages.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_and_an_equals_sign_are_told_apart_in_an_initial_response() {
        assert!(decode_initial_response("").unwrap().is_none());
        let empty = decode_initial_response("=").unwrap().expect("it is there");
        assert!(empty.expose().is_empty());
        assert!(decode_response("").unwrap().expose().is_empty());
        assert_eq!(encode(b""), "=");
    }

    #[test]
    fn unterminated_and_careless_base64_is_incorrect_encoding() {
        for text in [
            "Zm8", "Zm9v=", "Zg==Zg==", "Zh==", "Zm 9v", "Zm9v\n", "====", "Zm9v-_==", "é",
        ] {
            assert_eq!(
                decode_response(text).unwrap_err(),
                SaslFailure::IncorrectEncoding,
                "{text:?}"
            );
        }
        assert_eq!(decode_response("Zm9v").unwrap().expose(), b"foo");
    }
}
