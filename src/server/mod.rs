//! The process: what is built at the start, who is let in, how it ends. Refuses to know streams.

mod descriptors;
pub mod doorman;
