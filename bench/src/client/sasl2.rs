//! SASL2 with Bind 2 and tokens (XEP-0388, 0386, 0484): the elements that a client sends, and what it reads out of
//! `<success>`. It knows nothing of when they are due.

use std::collections::HashMap;

use anyhow::{Context, Result};

use super::sasl::{Mechanism, base64, from_base64, token_messages};

/// Tokens by the numbers of their users.
pub type Tokens = HashMap<u32, String>;

pub const NAMESPACE: &str = "urn:xmpp:sasl:2";

/// The wish for a token, inside of an authentication by password.
pub fn token_request() -> String {
    let name = Mechanism::Fast.name();
    format!("<request-token xmlns='urn:xmpp:fast:0' mechanism='{name}'/>")
}

/// Authentication by token, and what a server answers that knows it. `more` stands beside it.
pub fn with_token(number: u32, user: &str, token: &str, more: &str) -> (String, Vec<u8>) {
    let (initial, expected) = token_messages(user, token);
    let more = format!("<fast xmlns='urn:xmpp:fast:0'/>{more}");
    let element = authenticate(number, Mechanism::Fast, &initial, &more);
    (element, expected)
}

/// Authentication with a resource at once: `more` stands beside them.
pub fn authenticate(user: u32, mechanism: Mechanism, initial: &[u8], more: &str) -> String {
    let (name, initial) = (mechanism.name(), base64(initial));
    // A version 4 UUID for each user: a token is good for one client.
    format!(
        "<authenticate xmlns='{NAMESPACE}' mechanism='{name}'>\
         <initial-response>{initial}</initial-response>\
         <user-agent id='d4565fa7-4d72-4749-b3d3-{user:012x}'><software>bench</software></user-agent>\
         {more}<bind xmlns='urn:xmpp:bind:0'><tag>b</tag></bind></authenticate>"
    )
}

/// What a server says to whom it let in.
pub struct Success {
    /// Of the mechanism, decoded.
    pub data: Vec<u8>,
    pub is_bound: bool,
    pub token: Option<String>,
    /// `<resumed/>` or `<failed/>` of XEP-0198, when a stream was to be resumed.
    pub resumption: Option<String>,
}

impl Success {
    /// Reads what ends with `</success>`.
    pub fn read(element: &str) -> Result<Self> {
        let (_, element) = element.rsplit_once("<success").context("no success")?;
        let data = between(element, "<additional-data>", "</additional-data>");
        let token = element
            .split_once("<token ")
            .and_then(|(_, token)| between(token, " token='", "'"));
        let resumption = ["<resumed", "<failed"].iter().find_map(|tag| {
            let (_, rest) = element.split_once(tag)?;
            Some(format!("{tag}{}>", rest.split_once('>')?.0))
        });
        Ok(Self {
            data: from_base64(data.unwrap_or_default())?,
            is_bound: element.contains("<bound"),
            token: token.map(str::to_owned),
            resumption,
        })
    }
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(behind)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_gives_data_and_token() {
        let success = "<stream:features/><success xmlns='urn:xmpp:sasl:2'><additional-data>dj0x\
                       </additional-data><bound xmlns='urn:xmpp:bind:0'/>\
                       <token xmlns='urn:xmpp:fast:0' token='secret' expiry='2026'/></success>";
        let success = Success::read(success).expect("whole");
        assert_eq!(success.data, b"v=1");
        assert!(success.is_bound);
        assert_eq!(success.token.as_deref(), Some("secret"));
        assert_eq!(success.resumption, None);
    }

    #[test]
    fn a_success_says_whether_a_stream_goes_on() {
        let resumed = "<success xmlns='urn:xmpp:sasl:2'><resumed xmlns='urn:xmpp:sm:3' h='3' previd='1'/></success>";
        let success = Success::read(resumed).expect("whole");
        assert!(!success.is_bound);
        let said = success.resumption.expect("said");
        assert_eq!(said, "<resumed xmlns='urn:xmpp:sm:3' h='3' previd='1'/>");
    }
}
