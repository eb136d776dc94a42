//! The directory: people, groups and rooms that a real OpenLDAP keeps, and servers on the wire that mean no good. It
//! refuses to know what Stonechat keeps itself. Needs slapd and ldap-utils, which `scripts/test packages` installs.

mod ber;
mod house;
mod schema;
#[allow(dead_code)] // Figures and the tests of the back end do more with it.
mod slapd;
#[allow(dead_code)] // So do those of servers that misbehave.
mod stand_in;
