//! Documents that several programs write, a section each: who writes again replaces its own and leaves the others alone.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Puts `text` into the document as the section called `name`: in the place that it had, or at the end.
pub fn put(document: &Path, name: &str, text: &str) -> Result<()> {
    let former = fs::read_to_string(document).unwrap_or_else(|_| HEAD.to_owned());
    let new = replaced(&former, name, text);
    fs::write(document, new).with_context(|| format!("writing {}", document.display()))
}

fn replaced(document: &str, name: &str, text: &str) -> String {
    let (begin, end) = (
        format!("<!-- {name} -->\n"),
        format!("<!-- end of {name} -->\n"),
    );
    let section = format!("{begin}{}\n{end}", text.trim_end());
    let place = document
        .find(&begin)
        .and_then(|start| Some(start..start + document[start..].find(&end)? + end.len()));
    match place {
        Some(place) => format!(
            "{}{section}{}",
            &document[..place.start],
            &document[place.end..]
        ),
        None => format!("{}\n\n{section}", document.trim_end()),
    }
}

const HEAD: &str = "# Results\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_where_it_stands() {
        let one = replaced(HEAD, "a", "first\n");
        assert_eq!(one, "# Results\n\n<!-- a -->\nfirst\n<!-- end of a -->\n");
        let two = replaced(&one, "b", "second");
        let again = replaced(&two, "a", "third");
        assert_eq!(
            again,
            "# Results\n\n<!-- a -->\nthird\n<!-- end of a -->\n\n<!-- b -->\nsecond\n<!-- end of b -->\n"
        );
    }
}
