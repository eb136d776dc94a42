//! What the two programs of this crate share. `stonechat-bench` (`main.rs`, `measure`, `target`, `relay`) takes the figures
//! that this project quotes; `stonechat-load` (`bin/stonechat-load.rs`, `load`) puts load on any XMPP server. The clients'
//! side, `client`, is one for both. Nothing here knows the server's code.

pub mod client;
pub mod compare;
pub mod figures;
pub mod load;
pub mod measure;
pub mod million;
pub mod process;
pub mod relay;
pub mod section;
pub mod target;
