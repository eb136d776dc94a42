//! Who one is and as whom one may act: the one decision for all mechanisms (peers.md row 10). Refuses to
//! know how anybody proved it.

use std::sync::Arc;

use super::SaslFailure;
use crate::jid::{prepare_domainpart, prepare_localpart};

/// A user name as the localpart that it names, none if it cannot name any (RFC 7622 section 3.3). SCRAM asks
/// for SASLprep; XMPP's accounts are named by PRECIS, so that is what a name is compared under.
pub(super) fn prepared_localpart(name: &str) -> Option<Arc<str>> {
    prepare_localpart(name)
        .ok()
        .map(|prepared| Arc::from(&*prepared))
}

/// The localpart of a bare JID on `host`; none for anything else, full JIDs included.
pub(super) fn localpart_on(host: &str, address: &str) -> Option<Arc<str>> {
    let (localpart, domainpart) = address.split_once('@')?;
    if !same_domain(domainpart, host) {
        return None;
    }
    prepared_localpart(localpart)
}

/// Whether `localpart` on `host`, having proved to be that, may act as `authzid`: as itself only. None and
/// empty mean itself (RFC 6120 section 6.3.8); there are no proxies.
///
/// # Errors
/// `InvalidAuthzid` for anybody else and for anything that is no bare JID.
pub(super) fn may_act_as(
    host: &str,
    localpart: &str,
    authzid: Option<&str>,
) -> Result<(), SaslFailure> {
    match authzid {
        None | Some("") => Ok(()),
        Some(address) => match localpart_on(host, address) {
            Some(wanted) if *wanted == *localpart => Ok(()),
            _ => Err(SaslFailure::InvalidAuthzid),
        },
    }
}

fn same_domain(written: &str, host: &str) -> bool {
    prepare_domainpart(written).is_ok_and(|prepared| prepared == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_may_act_as_oneself_and_nobody_else() {
        let host = "example.com";
        for fine in [
            None,
            Some(""),
            Some("juliet@example.com"),
            Some("Juliet@EXAMPLE.com"),
        ] {
            assert_eq!(may_act_as(host, "juliet", fine), Ok(()), "{fine:?}");
        }
        for refused in [
            "romeo@example.com",
            "juliet@example.org",
            "juliet@example.com/balcony",
            "juliet@example.com@example.com",
            "juliet",
            "example.com",
            "@example.com",
            "juliet@",
            "juliet@example.com\0",
            " juliet@example.com",
        ] {
            assert_eq!(
                may_act_as(host, "juliet", Some(refused)),
                Err(SaslFailure::InvalidAuthzid),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn hosts_with_other_scripts_are_the_same_in_both_spellings() {
        assert!(localpart_on("bücher.example", "anna@xn--bcher-kva.example").is_some());
        assert!(localpart_on("bücher.example", "anna@BÜCHER.example").is_some());
        assert!(localpart_on("bücher.example", "anna@buecher.example").is_none());
    }

    #[test]
    fn names_that_no_account_can_have_name_none() {
        for name in ["", "a@b", "a/b", "a b", "a\0b", "<a>", &"a".repeat(1024)] {
            assert!(prepared_localpart(name).is_none(), "{name:?}");
        }
        assert_eq!(prepared_localpart("JULIET").as_deref(), Some("juliet"));
    }
}
