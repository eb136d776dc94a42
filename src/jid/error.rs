//! Why a text is no address. Refuses to know which stanza or stream error that becomes.

use std::fmt;

/// Why a text is no address (stanza error `jid-malformed`, stream error `improper-addressing` or
/// `host-unknown`, by place).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JidError {
    DomainEmpty,
    DomainNotAllowed,
    DomainTooLong,
    LocalEmpty,
    LocalNotAllowed,
    LocalTooLong,
    ResourceEmpty,
    ResourceNotAllowed,
    ResourceTooLong,
}

impl fmt::Display for JidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JidError::DomainEmpty => "the address has no domain",
            JidError::DomainNotAllowed => "the domain of the address is not a valid host name",
            JidError::DomainTooLong => "the domain of the address is longer than DNS allows",
            JidError::LocalEmpty => "nothing stands before the '@' of the address",
            JidError::LocalNotAllowed => {
                "the part before the '@' contains a character that is not allowed there"
            }
            JidError::LocalTooLong => "the part before the '@' is longer than 1023 bytes",
            JidError::ResourceEmpty => "nothing stands behind the '/' of the address",
            JidError::ResourceNotAllowed => {
                "the part behind the '/' contains a character that is not allowed there"
            }
            JidError::ResourceTooLong => "the part behind the '/' is longer than 1023 bytes",
        })
    }
}

impl std::error::Error for JidError {}
