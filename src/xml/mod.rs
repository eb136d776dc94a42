//! Bytes to checked elements and back (RFC 6120 section 11). Refuses to know what an element means.
