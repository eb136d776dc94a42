//! Makes, changes and removes the entries of rooms. Refuses to know who wants it, and whether they may.

use std::sync::Arc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::access::Access;
use super::error::DirectoryError;
use super::pool::{Link, Purpose};
use super::rooms::Room;
use super::servers::Servers;
use crate::config::DirectoryConfig;

/// A connection on which rooms are written. Each call blocks, not longer than connecting and one answer may take.
pub struct RoomWriter {
    link: Link,
    base: String,
    patience: Duration,
}

impl RoomWriter {
    /// One that has no connection yet.
    pub fn new(config: &DirectoryConfig, access: Access) -> RoomWriter {
        let patience = access.connect_timeout + access.operation_timeout;
        let servers = Arc::new(Servers::new(access.servers.len()));
        RoomWriter {
            link: Link::new(Arc::new(access), servers, Purpose::Searching),
            base: config.options.rooms_base.clone(),
            patience,
        }
    }

    /// Makes an entry: its name.
    ///
    /// # Errors
    /// The directory's: `Refused` with result 68 if there is one already.
    pub fn create(&mut self, room: &Room) -> Result<String, DirectoryError> {
        let dn = room.dn(&self.base);
        let mut attributes = room.attributes();
        attributes.retain(|(_, values)| !values.is_empty());
        let one = |name: &str, value: Vec<u8>| (name.to_owned(), vec![Zeroizing::new(value)]);
        let class = one("objectClass", b"stonechatRoom".to_vec());
        let name = one("cn", room.localpart.clone().into_bytes());
        attributes.extend([class, name]);
        self.link.add(&dn, &attributes, self.until())?;
        Ok(dn)
    }

    /// Makes the entry of this name say what this room is; its name stays.
    ///
    /// # Errors
    /// The directory's: `Refused` with result 32 if there is none.
    pub fn change(&mut self, dn: &str, room: &Room) -> Result<(), DirectoryError> {
        self.link.replace(dn, &room.attributes(), self.until())
    }

    /// Removes it.
    ///
    /// # Errors
    /// As [`RoomWriter::change`].
    pub fn remove(&mut self, dn: &str) -> Result<(), DirectoryError> {
        self.link.delete(dn, self.until())
    }

    fn until(&self) -> Instant {
        Instant::now() + self.patience
    }
}
