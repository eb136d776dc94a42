//! Accounts, sessions and what RFC 6121 says of them. Refuses to know streams and how bytes travel.

pub mod credentials;
