//! The words a play may use: one row a direction, with the sentence that explains it in
//! `tests/scenarios/README.md`. It refuses to know what a direction does; `perform.rs` acts.

use std::collections::BTreeMap;

use super::SelfTest;
use super::direction::{Direction, HostOption, Order, Scope};

/// What the placeholders of a form stood for; `BLOCK` is the indented text below the line.
pub struct Words(BTreeMap<&'static str, String>);

impl Words {
    fn word(&self, placeholder: &str) -> String {
        self.0.get(placeholder).cloned().unwrap_or_default()
    }

    fn number<N: std::str::FromStr>(&self) -> Result<N, String> {
        self.word("N")
            .parse()
            .map_err(|_| format!("not a number that fits: {}", self.word("N")))
    }

    fn list(&self) -> Vec<String> {
        self.word("LIST")
            .split(',')
            .map(|s| s.trim().to_string())
            .filter(|s| !s.is_empty())
            .collect()
    }

    fn milliseconds(&self) -> Result<u64, String> {
        let unit = match self.word("UNIT").trim_end_matches('s') {
            "millisecond" => 1,
            "second" => 1_000,
            "minute" => 60_000,
            "hour" => 3_600_000,
            "day" => 86_400_000,
            other => return Err(format!("unknown unit of time: {other}")),
        };
        Ok(self.number::<u64>()? * unit)
    }
}

/// A row of the table. In a form, words in capitals are placeholders; a last `LIST`, `VALUE` or
/// `TEXT` takes the rest of the line; a colon at the end asks for an indented block.
pub struct Row {
    pub form: &'static str,
    pub says: &'static str,
    build: fn(&Words) -> Result<Direction, String>,
}

/// Every direction there is.
pub const TABLE: &[Row] = &[
    Row {
        form: "Only on LIST",
        says: "The scene is played on these stages only (`world1`, `world4`, `tcp`, `tls`).",
        build: |w| Ok(Direction::OnlyOn(w.list())),
    },
    Row {
        form: "With option PATH = VALUE",
        says: "The server of this scene runs with this option, VALUE in TOML.",
        build: |w| {
            Ok(Direction::Option(HostOption {
                path: w.word("PATH"),
                value: w.word("VALUE"),
            }))
        },
    },
    Row {
        form: "WHO has one resource: LIST",
        says: "A fresh account; the resource is logged in and available before the scene begins.",
        build: resources,
    },
    Row {
        form: "WHO has two resources: LIST",
        says: "The same with two; what they told each other on arriving is forgotten.",
        build: resources,
    },
    Row {
        form: "WHO has three resources: LIST",
        says: "The same with three.",
        build: resources,
    },
    Row {
        form: "WHO has an account",
        says: "A fresh account, nobody logged in.",
        build: |w| Ok(Direction::HasAccount(w.word("WHO"))),
    },
    Row {
        form: "WHO is subscribed to NAME",
        says: "Sees their presence from the beginning of the scene on; both have a resource.",
        build: |w| {
            Ok(Direction::IsSubscribed {
                who: w.word("WHO"),
                to: w.word("NAME"),
            })
        },
    },
    Row {
        form: "WHO and NAME are contacts",
        says: "Both see each other's presence from the beginning of the scene on; both have a resource.",
        build: |w| {
            Ok(Direction::AreContacts {
                who: w.word("WHO"),
                other: w.word("NAME"),
            })
        },
    },
    Row {
        form: "the operator disables WHO",
        says: "The account may not log in any more, and whoever is logged in is thrown out.",
        build: |w| operates(w, "disable"),
    },
    Row {
        form: "the operator enables WHO",
        says: "The account may log in (again).",
        build: |w| operates(w, "enable"),
    },
    Row {
        form: "the operator removes WHO",
        says: "The account is no more, and neither is what it had.",
        build: |w| operates(w, "remove"),
    },
    Row {
        form: "the operator logs WHO out",
        says: "Sessions end, and so do tokens (XEP-0484).",
        build: |w| operates(w, "logout"),
    },
    Row {
        form: "the operator invites a newcomer",
        says: "`${invitation}` is the token; it registers anybody once.",
        build: |_| {
            Ok(Direction::Invites {
                contact: None,
                name: None,
            })
        },
    },
    Row {
        form: "the operator invites for WHO",
        says: "The same, and who comes by it is a contact of theirs.",
        build: |w| {
            Ok(Direction::Invites {
                contact: Some(w.word("WHO")),
                name: None,
            })
        },
    },
    Row {
        form: "the operator invites WHO",
        says: "The same for one name only.",
        build: |w| {
            Ok(Direction::Invites {
                contact: None,
                name: Some(w.word("WHO")),
            })
        },
    },
    Row {
        form: "WHO has a name",
        says: "A fresh name and a password, and no account.",
        build: |w| Ok(Direction::HasName(w.word("WHO"))),
    },
    Row {
        form: "WHO connects",
        says: "Logs in and binds the resource, but sends no presence.",
        build: |w| Ok(Direction::Connects(w.word("WHO"))),
    },
    Row {
        form: "WHO logs in",
        says: "Connects and sends initial presence. Their own presence coming back is hidden.",
        build: |w| Ok(Direction::LogsIn(w.word("WHO"))),
    },
    Row {
        form: "WHO logs out",
        says: "Sends unavailable presence, closes the stream, waits until the server has closed it too.",
        build: |w| Ok(Direction::LogsOut(w.word("WHO"))),
    },
    Row {
        form: "WHO goes offline",
        says: "The same.",
        build: |w| Ok(Direction::LogsOut(w.word("WHO"))),
    },
    Row {
        form: "WHO loses THEIR connection",
        says: "The connection breaks without a word; nothing more is read from it.",
        build: |w| Ok(Direction::LosesConnection(w.word("WHO"))),
    },
    Row {
        form: "WHO resumes",
        says: "A new connection resumes the session (XEP-0198) with the count of stanzas the client has read.",
        build: |w| Ok(Direction::Resumes(w.word("WHO"))),
    },
    Row {
        form: "WHO becomes available",
        says: "Sends presence without a priority.",
        build: |w| {
            Ok(Direction::BecomesAvailable {
                who: w.word("WHO"),
                priority: 0,
            })
        },
    },
    Row {
        form: "WHO becomes available with priority N",
        says: "Sends presence with that priority.",
        build: |w| {
            Ok(Direction::BecomesAvailable {
                who: w.word("WHO"),
                priority: w.number()?,
            })
        },
    },
    Row {
        form: "WHO becomes unavailable",
        says: "Sends unavailable presence and stays connected.",
        build: |w| Ok(Direction::BecomesUnavailable(w.word("WHO"))),
    },
    Row {
        form: "WHO enables carbons",
        says: "XEP-0280; the result is awaited.",
        build: |w| Ok(Direction::EnablesCarbons(w.word("WHO"))),
    },
    Row {
        form: "WHO enables stream management",
        says: "XEP-0198 with resumption; `<enabled/>` is awaited. The client then acknowledges only when told to.",
        build: |w| Ok(Direction::EnablesStreamManagement(w.word("WHO"))),
    },
    Row {
        form: "WHO acknowledges N",
        says: "Sends `<a h='N'/>`.",
        build: |w| {
            Ok(Direction::Acknowledges {
                who: w.word("WHO"),
                h: w.number()?,
            })
        },
    },
    Row {
        form: "WHO is acknowledged N",
        says: "Asks with `<r/>` until the server has said `h='N'`; a higher `h` fails.",
        build: |w| {
            Ok(Direction::IsAcknowledged {
                who: w.word("WHO"),
                count: w.number()?,
            })
        },
    },
    Row {
        form: "WHO sends:",
        says: "Sends the block. `${...}` is filled in, a bound `{id}` too.",
        build: |w| {
            Ok(Direction::Sends {
                who: w.word("WHO"),
                text: w.word("BLOCK"),
            })
        },
    },
    Row {
        form: "WHO sends bytes: TEXT",
        says: "Sends the rest of the line as it is, with the escapes `\\n`, `\\r`, `\\t`, `\\\\`, `\\xFF`.",
        build: |w| {
            Ok(Direction::SendsBytes {
                who: w.word("WHO"),
                text: w.word("TEXT"),
            })
        },
    },
    Row {
        form: "WHO receives:",
        says: "The next stanzas match the block, one after the other. More attributes and children may be there.",
        build: |w| receives(w, Order::Written, Scope::Listed),
    },
    Row {
        form: "WHO receives exactly:",
        says: "The same, and nothing may be there that is not listed, at any depth.",
        build: |w| receives(w, Order::Written, Scope::Exactly),
    },
    Row {
        form: "WHO receives in any order:",
        says: "The next stanzas match the block, in whatever order.",
        build: |w| receives(w, Order::Any, Scope::Listed),
    },
    Row {
        form: "WHO receives nothing",
        says: "Proved: every stream is asked twice and answers, and nothing else has come on this one.",
        build: |w| Ok(Direction::ReceivesNothing(w.word("WHO"))),
    },
    Row {
        form: "N UNIT pass",
        says: "Virtual time: milliseconds, seconds, minutes, hours or days. It costs none of ours.",
        build: |w| {
            Ok(Direction::TimePasses {
                ms: w.milliseconds()?,
            })
        },
    },
    Row {
        form: "N UNIT passes",
        says: "The same, for one.",
        build: |w| {
            Ok(Direction::TimePasses {
                ms: w.milliseconds()?,
            })
        },
    },
    Row {
        form: "WHO opens a connection",
        says: "A raw connection: nothing is sent, nothing is hidden.",
        build: |w| Ok(Direction::OpensConnection(w.word("WHO"))),
    },
    Row {
        form: "WHO opens a stream",
        says: "Sends a stream header to the host, on a new connection if there is none, and reads the server's. \
               The features stay to be received. After SASL this is the restart.",
        build: |w| Ok(Direction::OpensStream(w.word("WHO"))),
    },
    Row {
        form: "WHO opens a secure stream",
        says: "Connects, negotiates STARTTLS if the stage asks for it, opens a stream, reads the features.",
        build: |w| Ok(Direction::OpensSecureStream(w.word("WHO"))),
    },
    Row {
        form: "WHO secures THEIR connection",
        says: "The TLS handshake, after `<proceed/>` was received.",
        build: |w| Ok(Direction::SecuresConnection(w.word("WHO"))),
    },
    Row {
        form: "WHO authenticates as NAME",
        says: "SCRAM-SHA-256 on a secure stream with the password of that account, then the restart; reads the features.",
        build: |w| {
            Ok(Direction::Authenticates {
                who: w.word("WHO"),
                account: w.word("NAME"),
            })
        },
    },
    Row {
        form: "WHO closes THEIR stream",
        says: "Sends `</stream:stream>`.",
        build: |w| Ok(Direction::ClosesStream(w.word("WHO"))),
    },
    Row {
        form: "the stream of WHO is closed",
        says: "`</stream:stream>` comes next, without a stream error.",
        build: |w| Ok(Direction::StreamIsClosed(w.word("WHO"))),
    },
    Row {
        form: "the stream of WHO is closed with CONDITION",
        says: "A stream error with that condition comes next, then `</stream:stream>`, then the connection is closed.",
        build: |w| {
            Ok(Direction::StreamFails {
                who: w.word("WHO"),
                condition: w.word("CONDITION"),
            })
        },
    },
    Row {
        form: "the connection of WHO is closed",
        says: "The server closes the connection; what it still sends before is dropped.",
        build: |w| Ok(Direction::ConnectionIsClosed(w.word("WHO"))),
    },
];

fn operates(w: &Words, command: &'static str) -> Result<Direction, String> {
    let who = w.word("WHO");
    Ok(Direction::Operates { command, who })
}

fn resources(w: &Words) -> Result<Direction, String> {
    let resources = w.list();
    if resources.is_empty() {
        return Err("no resource is named".to_string());
    }
    Ok(Direction::HasResources {
        who: w.word("WHO"),
        resources,
    })
}

fn receives(w: &Words, order: Order, scope: Scope) -> Result<Direction, String> {
    Ok(Direction::Receives {
        who: w.word("WHO"),
        pattern: w.word("BLOCK"),
        order,
        scope,
    })
}

/// Understands one line and the indented block below it.
///
/// # Errors
/// A sentence for the author of the play.
pub fn understand(line: &str, block: Option<&str>) -> Result<Direction, String> {
    for row in TABLE {
        let Some(mut words) = fit(row.form, line) else {
            continue;
        };
        return match (row.form.ends_with(':'), block) {
            (true, None) => Err(format!("`{}` needs an indented block", row.form)),
            (false, Some(_)) => Err(format!("`{}` takes no indented block", row.form)),
            (_, block) => {
                words
                    .0
                    .insert("BLOCK", block.unwrap_or_default().to_string());
                (row.build)(&words)
            }
        };
    }
    Err(format!("not a direction of the vocabulary: {line}"))
}

fn fit(form: &'static str, line: &str) -> Option<Words> {
    let mut words = BTreeMap::new();
    let mut rest = line.trim();
    for expected in form.split(' ') {
        let rest_of_line = matches!(expected, "LIST" | "VALUE" | "TEXT");
        let (word, after) = match rest.split_once(char::is_whitespace) {
            _ if rest_of_line => (rest, ""),
            Some((word, after)) => (word, after.trim_start()),
            None => (rest, ""),
        };
        if word.is_empty() {
            return None;
        }
        let fits = match expected {
            "WHO" => is_actor(word),
            "NAME" => is_actor(word) && !word.contains('/'),
            "N" => word
                .trim_start_matches('-')
                .bytes()
                .all(|b| b.is_ascii_digit()),
            "THEIR" => matches!(word, "her" | "his" | "its" | "their"),
            "UNIT" | "PATH" | "CONDITION" => true,
            _ if rest_of_line => true,
            literal => literal == word,
        };
        if !fits {
            return None;
        }
        words.insert(expected, word.to_string());
        rest = after;
    }
    rest.is_empty().then_some(Words(words))
}

/// `Juliet` or `Juliet/balcony`: a capital, so that no word of a form is taken for an actor.
fn is_actor(word: &str) -> bool {
    let (name, resource) = word.split_once('/').unwrap_or((word, "-"));
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_alphanumeric())
        && !resource.is_empty()
}

/// The vocabulary as the table of `tests/scenarios/README.md`.
pub fn as_markdown() -> String {
    let mut text = String::from("| Direction | What it does |\n|---|---|\n");
    for row in TABLE {
        text.push_str(&format!("| `{}` | {} |\n", row.form, row.says));
    }
    text
}

/// Self-tests.
pub const TESTS: &[SelfTest] = &[
    ("vocabulary::a_cast_line_names_its_resources", || {
        let direction = understand("Juliet has two resources: balcony, chamber", None);
        let resources = vec!["balcony".to_string(), "chamber".to_string()];
        assert_eq!(
            direction,
            Ok(Direction::HasResources {
                who: "Juliet".into(),
                resources
            })
        );
    }),
    ("vocabulary::time_is_told_in_units", || {
        assert_eq!(
            understand("10 minutes pass", None),
            Ok(Direction::TimePasses { ms: 600_000 })
        );
        assert_eq!(
            understand("1 hour passes", None),
            Ok(Direction::TimePasses { ms: 3_600_000 })
        );
        assert!(understand("3 moons pass", None).is_err());
    }),
    ("vocabulary::an_option_keeps_its_value_as_written", || {
        let expected = HostOption {
            path: "sm.resume".into(),
            value: "\"1 min\"".into(),
        };
        assert_eq!(
            understand("With option sm.resume = \"1 min\"", None),
            Ok(Direction::Option(expected))
        );
    }),
    (
        "vocabulary::a_block_belongs_under_a_colon_and_nowhere_else",
        || {
            assert!(understand("Romeo sends:", None).is_err());
            assert!(understand("Romeo sends:", Some("<r/>")).is_ok());
            assert!(understand("Romeo receives nothing", Some("<r/>")).is_err());
        },
    ),
    ("vocabulary::a_misspelt_direction_is_refused", || {
        assert!(understand("Romeo recieves nothing", None).is_err());
        assert!(understand("romeo receives nothing", None).is_err());
        assert!(understand("Romeo receives nothing at all", None).is_err());
    }),
];
