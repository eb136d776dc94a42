//! What several features stand on. Refuses to know any feature, and who carries effects out.

pub mod archive;
