//! Compares what came with what a play expects, by the meaning of the XML: names, namespaces,
//! attributes, children, text. It refuses to know who sent it or why; order between stanzas is the
//! performer's business.
//!
//! Listed attributes and children must be there, more may be. In a value, `{any}` stands for
//! anything, `{number}` for digits, `{stamp}` for a time of XEP-0082, `{none}` says that the
//! attribute is absent, and any other `{name}` is bound by its first use and must be equal
//! afterwards. A line `exactly:` closes the element below it with all that it holds; `<without>`
//! lists children of which none may be there.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};

use super::SelfTest;
use super::direction::Scope;

/// What the names of a scene were bound to.
pub type Bindings = BTreeMap<String, String>;

/// The namespaces that plays need not declare.
pub const STREAM_OPEN: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const STREAM_CLOSE: &str = "</stream:stream>";

/// Puts a stanza back below a stream header, so that the header's namespaces hold.
pub fn below(header: &str, stanza: &str) -> String {
    format!("{header}{stanza}{STREAM_CLOSE}")
}

/// Splits the block of a `receives` direction into the texts of its elements, each with its own
/// `exactly:` before it.
///
/// # Errors
/// A sentence for the author when the block is not well-formed.
pub fn elements(block: &str) -> Result<Vec<String>, String> {
    let block: Vec<&str> = block
        .lines()
        .map(|l| {
            if l.trim() == "exactly:" {
                "<?exactly?>"
            } else {
                l
            }
        })
        .collect();
    let text = below(STREAM_OPEN, &block.join("\n"));
    let doc = Document::parse(&text).map_err(|e| format!("the block is not well-formed: {e}"))?;
    let found: Vec<String> = doc
        .root_element()
        .children()
        .filter(Node::is_element)
        .map(|node| {
            let mark = if is_closed(node) { "<?exactly?>" } else { "" };
            format!("{mark}{}", &text[node.range()])
        })
        .collect();
    if found.is_empty() {
        Err("the block holds no element".to_string())
    } else {
        Ok(found)
    }
}

/// Whether `actual`, received below `header`, is what `pattern` asks for; new names are bound only
/// if it is.
///
/// # Errors
/// The first difference, as a sentence.
pub fn compare(
    pattern: &str,
    scope: Scope,
    header: &str,
    actual: &str,
    bindings: &mut Bindings,
) -> Result<(), String> {
    let pattern = below(STREAM_OPEN, pattern);
    let pattern =
        Document::parse(&pattern).map_err(|e| format!("the pattern is not well-formed: {e}"))?;
    let actual = below(header, actual);
    let actual =
        Document::parse(&actual).map_err(|e| format!("what came is not well-formed: {e}"))?;
    let first = |doc: &'_ Document| doc.root_element().first_element_child().map(|n| n.id());
    let (Some(p), Some(a)) = (first(&pattern), first(&actual)) else {
        return Err("there is no element".to_string());
    };
    let (p, a) = (pattern.get_node(p), actual.get_node(a));
    let (p, a) = (
        p.expect("an id of this document"),
        a.expect("an id of this document"),
    );
    let mut trial = bindings.clone();
    element(p, a, scope, &mut trial)?;
    *bindings = trial;
    Ok(())
}

/// Recursion is bounded by the depth of the pattern, which the author of the play wrote.
fn element(
    pattern: Node,
    actual: Node,
    scope: Scope,
    bindings: &mut Bindings,
) -> Result<(), String> {
    let scope = if is_closed(pattern) {
        Scope::Exactly
    } else {
        scope
    };
    let (expected, came) = (name(pattern), name(actual));
    if expected != came {
        return Err(format!("expected {expected}, came {came}"));
    }
    for wanted in pattern.attributes() {
        let key = (wanted.namespace(), wanted.name());
        let found = actual
            .attributes()
            .find(|a| (a.namespace(), a.name()) == key)
            .map(|a| a.value());
        match (wanted.value(), found) {
            ("{none}", None) => {}
            ("{none}", Some(v)) => {
                return Err(format!("{expected}: '{}' must be absent, is '{v}'", key.1));
            }
            (_, None) => return Err(format!("{expected}: the attribute '{}' is missing", key.1)),
            (wanted, Some(v)) if !value(wanted, v, bindings) => {
                let wanted = known(wanted, bindings);
                return Err(format!(
                    "{expected}: '{}' should be '{wanted}', is '{v}'",
                    key.1
                ));
            }
            _ => {}
        }
    }
    if scope == Scope::Exactly {
        let listed = |a: &roxmltree::Attribute| {
            pattern
                .attributes()
                .any(|p| (p.namespace(), p.name()) == (a.namespace(), a.name()))
        };
        if let Some(extra) = actual.attributes().find(|a| !listed(a)) {
            return Err(format!(
                "{expected}: the attribute '{}' is not listed",
                extra.name()
            ));
        }
    }
    content(pattern, actual, scope, bindings)
}

fn content(
    pattern: Node,
    actual: Node,
    scope: Scope,
    bindings: &mut Bindings,
) -> Result<(), String> {
    let expected = name(pattern);
    let (without, wanted): (Vec<Node>, Vec<Node>) = pattern
        .children()
        .filter(Node::is_element)
        .partition(|n| n.tag_name().name() == "without");
    let found: Vec<Node> = actual.children().filter(Node::is_element).collect();
    if wanted.is_empty() {
        let (text, came) = (text(pattern), text(actual));
        if text == "{any}" {
            return Ok(());
        }
        let listed = scope == Scope::Exactly || !text.trim().is_empty();
        if listed && without.is_empty() && !value(&text, &came, bindings) {
            return Err(format!(
                "{expected}: the text should be '{}', is '{came}'",
                known(&text, bindings)
            ));
        }
    }
    if scope == Scope::Exactly && found.len() > wanted.len() {
        let names: Vec<String> = found.iter().map(|n| name(*n)).collect();
        return Err(format!(
            "{expected}: holds more than is listed: {}",
            names.join(", ")
        ));
    }
    for unwanted in without
        .iter()
        .flat_map(|w| w.children().filter(Node::is_element))
    {
        if found
            .iter()
            .any(|f| element(unwanted, *f, Scope::Listed, &mut bindings.clone()).is_ok())
        {
            return Err(format!("{expected}: {} must not be there", name(unwanted)));
        }
    }
    children(&wanted, &found, scope, bindings).map_err(|why| {
        if why.starts_with('<') {
            format!("{expected} / {why}")
        } else {
            why
        }
    })
}

/// Finds for each wanted child one of its own among the found, trying every choice: what a choice
/// binds may rule out another.
fn children(
    wanted: &[Node],
    found: &[Node],
    scope: Scope,
    bindings: &mut Bindings,
) -> Result<(), String> {
    let Some((first, rest)) = wanted.split_first() else {
        return Ok(());
    };
    let mut why = format!("{} is missing", name(*first));
    for (i, candidate) in found.iter().enumerate() {
        let mut trial = bindings.clone();
        let mut others = found.to_vec();
        others.remove(i);
        let outcome = element(*first, *candidate, scope, &mut trial)
            .and_then(|()| children(rest, &others, scope, &mut trial));
        match outcome {
            Ok(()) => {
                *bindings = trial;
                return Ok(());
            }
            Err(reason) if name(*candidate) == name(*first) => why = reason,
            Err(_) => {}
        }
    }
    Err(why)
}

/// Whether a value fits; binds the names that were free.
fn value(pattern: &str, actual: &str, bindings: &mut Bindings) -> bool {
    let Some((literal, variable, rest)) = split_variable(pattern) else {
        return pattern == actual;
    };
    let Some(actual) = actual.strip_prefix(literal) else {
        return false;
    };
    if let Some(bound) = bindings.get(variable).cloned() {
        return actual
            .strip_prefix(bound.as_str())
            .is_some_and(|tail| value(rest, tail, bindings));
    }
    let ends = actual.char_indices().map(|(i, _)| i).chain([actual.len()]);
    for end in ends.filter(|end| *end > 0) {
        let (taken, tail) = actual.split_at(end);
        let mut trial = bindings.clone();
        let fits = match variable {
            "any" => true,
            "number" => taken.bytes().all(|b| b.is_ascii_digit()),
            "stamp" => is_stamp(taken),
            name => {
                trial.insert(name.to_string(), taken.to_string());
                true
            }
        };
        if fits && value(rest, tail, &mut trial) {
            *bindings = trial;
            return true;
        }
    }
    pattern == "{any}"
}

/// `before{name}after`, if there is a name in braces.
pub fn split_variable(text: &str) -> Option<(&str, &str, &str)> {
    let open = text.find('{')?;
    let close = open + text[open..].find('}')?;
    let name = &text[open + 1..close];
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    is_name.then(|| (&text[..open], name, &text[close + 1..]))
}

fn known(pattern: &str, bindings: &Bindings) -> String {
    bindings
        .iter()
        .fold(pattern.to_string(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        })
}

/// XEP-0082 section 3.2: `CCYY-MM-DDThh:mm:ss[.sss]TZD`; ours are in UTC.
fn is_stamp(text: &str) -> bool {
    let Some(text) = text.strip_suffix('Z') else {
        return false;
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let shape: String = whole
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    shape == "0000-00-00T00:00:00"
        && !fraction.is_empty()
        && fraction.bytes().all(|b| b.is_ascii_digit())
}

fn is_closed(node: Node) -> bool {
    node.prev_siblings()
        .skip(1)
        .find(|n| !n.is_text())
        .is_some_and(|n| n.pi().is_some_and(|pi| pi.target == "exactly"))
}

fn name(node: Node) -> String {
    match node.tag_name().namespace() {
        None | Some("jabber:client") => format!("<{}>", node.tag_name().name()),
        Some(ns) => format!("<{} xmlns='{ns}'>", node.tag_name().name()),
    }
}

fn text(node: Node) -> String {
    node.children()
        .filter(Node::is_text)
        .filter_map(|n| n.text())
        .collect()
}

fn check(pattern: &str, scope: Scope, actual: &str) -> Result<(), String> {
    let pattern = elements(pattern)?.remove(0);
    compare(&pattern, scope, STREAM_OPEN, actual, &mut Bindings::new())
}

/// Self-tests.
pub const TESTS: &[SelfTest] = &[
    (
        "pattern::more_than_listed_may_be_there_unless_exactly",
        || {
            let (pattern, came) = (
                "<message type='chat'><body>Hi</body></message>",
                "<message id='1' type='chat'><x/><body>Hi</body></message>",
            );
            assert_eq!(check(pattern, Scope::Listed, came), Ok(()));
            assert!(check(pattern, Scope::Exactly, came).is_err());
            assert!(
                check(
                    "exactly:\n<message type='chat'><body>Hi</body></message>",
                    Scope::Listed,
                    came
                )
                .is_err()
            );
            assert_eq!(
                check(
                    "<message type='chat' id='1'><x/><body>{any}</body></message>",
                    Scope::Exactly,
                    came
                ),
                Ok(())
            );
        },
    ),
    ("pattern::exactly_closes_only_the_element_below_it", || {
        let came = "<m a='1'><n b='2'/><o c='3'/></m>";
        assert_eq!(
            check("<m>\nexactly:\n<n b='2'/><o/></m>", Scope::Listed, came),
            Ok(())
        );
        assert!(check("<m>\nexactly:\n<o/></m>", Scope::Listed, came).is_err());
    }),
    (
        "pattern::prefixes_and_quotes_do_not_matter_but_namespaces_do",
        || {
            assert_eq!(
                check(
                    "<a xmlns='u'><b k=\"v\"/></a>",
                    Scope::Exactly,
                    "<p:a xmlns:p='u'><p:b k='v'/></p:a>"
                ),
                Ok(())
            );
            assert!(check("<a xmlns='u'/>", Scope::Listed, "<a/>").is_err());
        },
    ),
    ("pattern::a_name_is_bound_once_and_equal_afterwards", || {
        let pattern = "<a><b k='{id}'/><c k='{id}'/></a>";
        assert_eq!(
            check(pattern, Scope::Listed, "<a><b k='1'/><c k='1'/></a>"),
            Ok(())
        );
        assert!(check(pattern, Scope::Listed, "<a><b k='1'/><c k='2'/></a>").is_err());
        assert_eq!(
            check(
                pattern,
                Scope::Listed,
                "<a><b k='1'/><b k='2'/><c k='2'/></a>"
            ),
            Ok(())
        );
    }),
    ("pattern::a_value_may_hold_a_name_within", || {
        let mut bindings = Bindings::new();
        assert!(value("r=abc{nonce},s={any}", "r=abcdef,s=x", &mut bindings));
        assert_eq!(bindings["nonce"], "def");
        assert!(!value("r=abc{other},s=", "r=abcdef", &mut bindings));
    }),
    ("pattern::absence_can_be_asked_for", || {
        assert_eq!(
            check(
                "<m id='{none}'><without><d xmlns='u'/></without></m>",
                Scope::Listed,
                "<m><d/></m>"
            ),
            Ok(())
        );
        assert!(check("<m id='{none}'/>", Scope::Listed, "<m id=''/>").is_err());
        assert!(
            check(
                "<m><without><d xmlns='u'/></without></m>",
                Scope::Listed,
                "<m><d xmlns='u'/></m>"
            )
            .is_err()
        );
    }),
    ("pattern::absence_takes_the_namespace_of_its_place", || {
        let pattern = "<q xmlns='u'><without><i/></without></q>";
        assert_eq!(check(pattern, Scope::Listed, "<q xmlns='u'/>"), Ok(()));
        assert!(check(pattern, Scope::Listed, "<q xmlns='u'><i/></q>").is_err());
    }),
    ("pattern::text_is_compared_as_it_is", || {
        assert!(check("<b>a</b>", Scope::Listed, "<b>a </b>").is_err());
        assert_eq!(
            check(
                "<b>1 &lt; 2</b>",
                Scope::Exactly,
                "<b><![CDATA[1 < 2]]></b>"
            ),
            Ok(())
        );
        assert!(check("<b/>", Scope::Exactly, "<b>a</b>").is_err());
    }),
    ("pattern::a_stamp_is_a_time_of_xep_0082", || {
        assert!(is_stamp("2026-11-23T02:05:59Z") && is_stamp("2026-11-23T02:05:59.123Z"));
        assert!(!is_stamp("20261123T02:05:59") && !is_stamp("2026-11-23T02:05:59.Z"));
    }),
    ("pattern::every_wanted_child_needs_one_of_its_own", || {
        assert!(check("<m><b/><b/></m>", Scope::Listed, "<m><b/></m>").is_err());
    }),
];
