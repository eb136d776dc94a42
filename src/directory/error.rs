//! Why a directory did not answer. Refuses to hold a password, and to know who is told.

use std::fmt::{self, Write};

/// What stood between a question and its answer. Operators read it in the log and from `stonechat directory test`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryError {
    /// It answered with something that is no answer of LDAP's.
    Garbled,
    /// The time for an answer is over.
    Late,
    /// No server can be reached: why the last did not, if it was tried.
    NoServer(String),
    /// It refused, with a result code of RFC 4511 appendix A and its own words.
    Refused { code: u32, text: String },
    /// It sent us elsewhere, and we do not go there.
    Referred,
    /// More came than anybody asked for.
    TooMuch,
    /// As many questions wait as may.
    TooManyWaiting,
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DirectoryError::Garbled => f.write_str("the directory's answer is not LDAP"),
            DirectoryError::Late => f.write_str("the directory did not answer in time"),
            DirectoryError::NoServer(reason) => {
                write!(
                    f,
                    "no server of the directory can be used: {}",
                    Quoted(reason)
                )
            }
            DirectoryError::Refused { code, text } => {
                write!(f, "the directory refused (result {code}): {}", Quoted(text))
            }
            DirectoryError::Referred => {
                f.write_str("the directory sent us elsewhere, and we do not go there")
            }
            DirectoryError::TooMuch => {
                f.write_str("the directory sent more than anybody asked for")
            }
            DirectoryError::TooManyWaiting => {
                f.write_str("too many questions wait for the directory")
            }
        }
    }
}

/// Words of a directory as they may stand between quotation marks in one line of a log, and on a terminal.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            // It ends nothing.
            '\'' => f.write_char(c),
            c => write!(f, "{}", c.escape_debug()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_directory_says_is_part_of_one_line_whatever_it_says() {
        let said = "it's \"closed\"\r\n[WARN] forged\u{1b}[2J\u{2028}\u{202e}\u{85}\0 für \\";
        let errors = [
            DirectoryError::NoServer(said.to_owned()),
            DirectoryError::Refused {
                code: 53,
                text: said.to_owned(),
            },
        ];
        let expected =
            "it's \\\"closed\\\"\\r\\n[WARN] forged\\u{1b}[2J\\u{2028}\\u{202e}\\u{85}\\0 für \\\\";
        for error in errors {
            let text = error.to_string();
            assert!(text.ends_with(expected), "{text}");
        }
    }
}
