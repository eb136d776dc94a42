//! The directory: people, groups and rooms that a real OpenLDAP keeps, or another, and servers on the wire that mean no good. It
//! refuses to know what Stonechat keeps itself. Needs slapd, ldap-utils, 389-ds-base and samba, which
//! `scripts/test packages` installs.

mod ber;
mod cards;
mod changes;
#[path = "../hostile/client.rs"]
#[allow(dead_code)] // The hostile do more with it.
mod client;
mod displays;
mod ds389;
mod elsewhere;
mod emptied;
mod faults;
#[path = "../play/framer.rs"]
#[allow(dead_code)] // The theatre's self-tests run with the theatre.
mod framer;
mod groups;
mod hosts;
mod house;
mod keys;
mod late;
mod logins;
mod merging;
mod misbehaviour;
mod page;
mod passwords;
#[path = "../common/ports.rs"]
mod ports;
mod proofs;
mod referrals;
mod returns;
mod rooms;
mod rosters;
mod samba;
mod schema;
#[path = "../play/scram.rs"]
#[allow(dead_code)] // As above.
mod scram;
mod served;
#[path = "../operation/server.rs"]
#[allow(dead_code)] // Other tests of the binary do more with it.
mod server;
#[allow(dead_code)] // Figures and the tests of the back end do more with it.
mod slapd;
#[allow(dead_code)] // So do those of servers that misbehave.
mod stand_in;
mod tool;
mod versions;
mod wire;

/// What the borrowed files of the theatre know as a test of themselves.
type SelfTest = (&'static str, fn());
