//! What one piece of a stream may cost. Refuses to know who is on the other side.

use crate::base::limits;

/// Bounds on one top-level piece of a stream; sizes in bytes as they arrive.
#[derive(Clone, Copy, Debug)]
pub struct FrameLimits {
    /// One top-level element, as sent and in normal form.
    pub element_bytes: usize,
    /// Elements inside one top-level element, itself included.
    pub element_count: usize,
    /// Nesting; a top-level element alone has depth 1.
    pub depth: usize,
    /// Attributes of one element, namespace declarations not counted.
    pub attributes: usize,
    /// Namespace declarations of one element.
    pub namespaces: usize,
    /// The XML declaration, the stream header and the stream's end tag, each.
    pub header_bytes: usize,
}

impl FrameLimits {
    /// For peers that have proved nothing yet.
    pub const PRE_AUTH: FrameLimits = FrameLimits {
        element_bytes: limits::PRE_AUTH_ELEMENT_BYTES_MAX,
        element_count: limits::PRE_AUTH_ELEMENT_COUNT_MAX,
        depth: limits::ELEMENT_DEPTH_MAX,
        attributes: limits::ATTRIBUTE_COUNT_MAX,
        namespaces: limits::NAMESPACE_COUNT_MAX,
        header_bytes: limits::STREAM_HEADER_BYTES_MAX,
    };

    /// For authenticated peers; the size is an operator's option.
    pub fn authenticated(element_bytes: usize) -> FrameLimits {
        FrameLimits {
            element_bytes,
            element_count: limits::ELEMENT_COUNT_MAX,
            ..FrameLimits::PRE_AUTH
        }
    }
}
