//! The options of a host whose vCards come from its LDAP directory. Refuses to know what a preset says where they are
//! empty (`config/cards.rs` does).

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use crate::base::limits;
use crate::config::units::{Duration, Size};

/// How the entries of a host's directory become vCards (XEP-0054), and what users may change of them. What depends on the
/// kind of directory is the preset's where it is empty; conf/README.md lists those.
#[derive(Clone, Debug, Deserialize, Documented, DocumentedFields, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostDirectoryCards {
    /// Where the vCards of the host's users come from: "off" what users store, as on other hosts; "directory" their
    /// entries alone; "merge" both, where an element that the entry has a value for is the entry's alone.
    /// reload: live
    pub source: DirectoryCards,
    /// The attribute with the name that people are called by, or "-" for none; `cn` where an entry has none.
    /// reload: live
    pub display_name: String,
    /// The attribute with the mail address, or "-" for none.
    /// reload: live
    pub mail: String,
    /// The attribute with the photo (JPEG, PNG or GIF), or "-" for none.
    /// reload: live
    pub photo: String,
    /// Bytes of a photo, at most "512 KiB"; a larger one is left out.
    /// reload: live
    pub photo_size: Size,
    /// What else an entry says, as "ATTRIBUTE=FIELD": a field is an element of the vCard, with the types that it has
    /// behind a plus and what is inside behind a slash, as in "mobile=TEL+CELL/NUMBER" or "sn=N/FAMILY".
    /// reload: live
    pub fields: Vec<String>,
    /// The attributes that users change by changing their vCards; a change of any other is refused.
    /// reload: live
    pub writable: Vec<String>,
    /// As whom that is written: "service" as `bind_dn`, "user" as the user by its right to act for others (RFC 4370).
    /// reload: live
    pub write_as: DirectoryWriter,
    /// How long what an entry says is believed.
    /// reload: live
    pub fresh: Duration,
    /// Bytes of vCards that are remembered for that long.
    /// reload: live
    pub cache: Size,
}

impl Default for HostDirectoryCards {
    fn default() -> HostDirectoryCards {
        HostDirectoryCards {
            source: DirectoryCards::default(),
            display_name: String::new(),
            mail: String::new(),
            photo: String::new(),
            photo_size: Size::from_bytes(limits::DIRECTORY_PHOTO_BYTES_MAX),
            fields: Vec::new(),
            writable: Vec::new(),
            write_as: DirectoryWriter::default(),
            fresh: Duration::from_ms(limits::DIRECTORY_CARD_FRESH_MS),
            cache: Size::from_bytes(limits::DIRECTORY_CARD_CACHE_BYTES),
        }
    }
}

/// Where vCards come from.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectoryCards {
    /// Users' entries.
    Directory,
    /// Users' entries, and what users say besides.
    #[default]
    Merge,
    /// What users say.
    Off,
}

/// As whom an entry is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectoryWriter {
    /// As who we are.
    #[default]
    Service,
    /// As the user.
    User,
}
