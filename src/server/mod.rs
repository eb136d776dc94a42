//! The process: what is built at the start, who is let in, how it ends. Refuses to know streams.

pub mod descriptors;
pub mod doorman;
