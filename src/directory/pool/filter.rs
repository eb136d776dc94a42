//! Filters that somebody else has written (RFC 4515). Refuses to know whose they are.

use crate::base::limits;

/// Whether this is a filter as RFC 4515 writes it, no deeper than [`limits::DIRECTORY_FILTER_DEPTH_MAX`].
pub fn is_filter(text: &str) -> bool {
    // Before it is parsed: the library goes as deep as the text does, which ends the process where the stack ends.
    is_shallow(text) && ldap3::parse_filter(text).is_ok()
}

/// In a value parentheses are escaped (RFC 4515 section 3): all that stand here are of the filter.
fn is_shallow(filter: &str) -> bool {
    let mut depth: usize = 0;
    filter.bytes().all(|byte| {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth <= limits::DIRECTORY_FILTER_DEPTH_MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_no_deeper_than_it_may_be() {
        let nested = |open: &str, depth: usize| {
            let depth = depth - 1;
            format!("{}(a=b){}", open.repeat(depth), ")".repeat(depth))
        };
        let most = limits::DIRECTORY_FILTER_DEPTH_MAX;
        for open in ["(!", "(&", "(|"] {
            assert!(is_filter(&nested(open, most)), "{open}");
            assert!(!is_filter(&nested(open, most + 1)), "{open}");
            assert!(!is_shallow(&nested(open, 1_000_000)), "{open}");
        }
        // Beside each other there may be any number.
        assert!(is_filter(&format!("(|{})", "(a=b)".repeat(1_000))));
        assert!(!is_filter(&format!("{}(a=b)", ")".repeat(most))));
    }
}
