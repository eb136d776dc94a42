//! Preparation is idempotent: a prepared address parses to itself, whole and by its parts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stonechat::jid::{Jid, prepare_domainpart, prepare_localpart, prepare_resourcepart};

fuzz_target!(|text: &str| {
    for prepare in [prepare_localpart, prepare_domainpart, prepare_resourcepart] {
        if let Ok(once) = prepare(text) {
            let twice = prepare(&once).expect("a prepared part is valid");
            assert_eq!(twice, once);
        }
    }
    let Ok(jid) = Jid::parse(text) else {
        return;
    };
    assert_eq!(Jid::parse(jid.as_str()).as_ref(), Ok(&jid));
    let parts = Jid::from_parts(jid.localpart(), jid.domainpart(), jid.resourcepart());
    assert_eq!(parts.as_ref(), Ok(&jid));
    let bare = jid.to_bare();
    assert_eq!(bare.as_str(), jid.bare_str());
    if let Some(resource) = jid.resourcepart() {
        assert_eq!(bare.with_resource(resource), Ok(jid));
    }
});
