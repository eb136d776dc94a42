//! Clients that say what a test writes out, one thing behind the other, and hear what comes of it. Refuses to know what that means:
//! `device.rs` has clients that do.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{ConnId, World};

pub const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";

/// What a client hears when it has said this.
pub fn says(world: &mut World, conn: ConnId, xml: &str) -> String {
    world.write(conn, xml.as_bytes());
    world.settle();
    hears(world, conn)
}

/// What it has not heard yet.
pub fn hears(world: &mut World, conn: ConnId) -> String {
    String::from_utf8(world.read(conn)).expect("the server writes UTF-8")
}

/// What it hears when it has said that it is somebody, whose password is "secret".
pub fn proves(world: &mut World, conn: ConnId, name: &str) -> String {
    let plain = STANDARD.encode(format!("\0{name}\0secret"));
    says(world, conn, HEADER);
    let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
    let auth = format!("<auth xmlns='{sasl}' mechanism='PLAIN'>{plain}</auth>");
    says(world, conn, &auth)
}

/// A client of an account, which may bind a resource.
pub fn log_in(world: &mut World, name: &str) -> ConnId {
    let conn = world.connect_secure(1);
    let heard = proves(world, conn, name);
    assert!(heard.contains("<success"), "{heard}");
    says(world, conn, HEADER);
    conn
}

/// It binds this resource, or one that the server names, and says this at once.
pub fn bind(world: &mut World, conn: ConnId, resource: Option<&str>, first: &str) {
    let resource = resource.map(|name| format!("<resource>{name}</resource>"));
    let resource = resource.unwrap_or_default();
    let bind = format!("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{resource}</bind>");
    let xml = format!("<iq type='set' id='b'>{bind}</iq>{first}");
    let heard = says(world, conn, &xml);
    assert!(heard.contains("<jid>"), "{heard}");
}

/// Both.
pub fn session(world: &mut World, name: &str, resource: Option<&str>, first: &str) -> ConnId {
    let conn = log_in(world, name);
    bind(world, conn, resource, first);
    conn
}
