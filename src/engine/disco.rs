//! What an entity says of itself (XEP-0030 section 3.1) as a value, and its verification string (XEP-0115 section 5.1).
//! Refuses to know who asks and who answers.
//!
//! A cache of what clients can do (XEP-0115 section 5.4: only what was verified, and bounded) is not here, because
//! nothing asks what clients can do yet. Filters of PEP (XEP-0060 section 9.1) will: then [`Info::verification`] is
//! the check, an `Info` read from a client's answer is what is kept, by hash and per worker.

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::stanza::{FieldType, FormKind, FormWriter, ns};
use crate::xml::Writer;

/// Identities, features and extended information (XEP-0128).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// No two of the same category, type and language.
    pub identities: Vec<Identity>,
    pub features: Vec<Cow<'static, str>>,
    pub forms: Vec<InfoForm>,
}

/// What kind of thing it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub category: Cow<'static, str>,
    pub type_: Cow<'static, str>,
    /// `xml:lang`; empty for none.
    pub lang: Cow<'static, str>,
    /// Empty for none.
    pub name: Cow<'static, str>,
}

/// A form of more information: what its fields mean, and names with values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InfoForm {
    pub form_type: Cow<'static, str>,
    pub fields: Vec<(Cow<'static, str>, Vec<String>)>,
}

impl Identity {
    /// An identity in no language.
    pub fn new(category: &'static str, type_: &'static str, name: &'static str) -> Identity {
        Identity {
            category: category.into(),
            type_: type_.into(),
            lang: "".into(),
            name: name.into(),
        }
    }
}

impl Info {
    /// One identity and these features, each said once.
    pub fn new(identity: Identity, features: impl Iterator<Item = &'static str>) -> Info {
        let mut seen = BTreeSet::new();
        Info {
            identities: vec![identity],
            features: features
                .filter(|feature| seen.insert(*feature))
                .map(Cow::Borrowed)
                .collect(),
            forms: Vec::new(),
        }
    }

    /// The `<query/>` of an answer in normal form; it mirrors the node that was asked for.
    pub fn write(&self, node: Option<&str>) -> String {
        let mut writer = Writer::new();
        writer.open("query", Some(ns::DISCO_INFO));
        if let Some(node) = node {
            writer.attribute("node", node);
        }
        for identity in &self.identities {
            writer
                .open("identity", None)
                .attribute("category", &identity.category)
                .attribute("type", &identity.type_);
            for (name, value) in [("xml:lang", &identity.lang), ("name", &identity.name)] {
                if !value.is_empty() {
                    writer.attribute(name, value);
                }
            }
            writer.close();
        }
        for feature in &self.features {
            writer
                .open("feature", None)
                .attribute("var", feature)
                .close();
        }
        for form in &self.forms {
            let written = FormWriter::new(FormKind::Result, &form.form_type);
            let written = form.fields.iter().fold(written, |written, (var, values)| {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                written.field(FieldType::ListMulti, var, &values)
            });
            writer.raw(&written.finish());
        }
        writer.finish()
    }

    /// The string that stands for all of this in presence and stream features, made with SHA-1. Whoever verifies what
    /// others say refuses duplicates first (XEP-0115 section 5.4).
    pub fn verification(&self) -> String {
        let mut said = String::new();
        let mut identities: Vec<[&str; 4]> = self
            .identities
            .iter()
            .map(|it| [&*it.category, &*it.type_, &*it.lang, &*it.name])
            .collect();
        // "i;octet" collation is the order of bytes.
        identities.sort_unstable();
        for identity in identities {
            append(&mut said, &identity.join("/"));
        }
        let mut features: Vec<&str> = self.features.iter().map(|it| &**it).collect();
        features.sort_unstable();
        features.iter().for_each(|it| append(&mut said, it));
        let mut forms: Vec<&InfoForm> = self.forms.iter().collect();
        forms.sort_by_key(|form| form.form_type.clone());
        for form in forms {
            append(&mut said, &form.form_type);
            let mut fields: Vec<_> = form.fields.iter().collect();
            fields.sort_by_key(|(var, _)| var.clone());
            for (var, values) in fields {
                append(&mut said, var);
                let mut values: Vec<&str> = values.iter().map(String::as_str).collect();
                values.sort_unstable();
                values.iter().for_each(|value| append(&mut said, value));
            }
        }
        STANDARD.encode(Sha1::digest(said.as_bytes()))
    }
}

fn append(said: &mut String, part: &str) {
    said.push_str(part);
    said.push('<');
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEATURES: [&str; 4] = [
        "http://jabber.org/protocol/muc",
        "http://jabber.org/protocol/disco#info",
        "http://jabber.org/protocol/caps",
        "http://jabber.org/protocol/disco#items",
    ];

    /// XEP-0115 section 5.2.
    #[test]
    fn the_simple_example_has_its_verification_string() {
        let identity = Identity::new("client", "pc", "Exodus 0.9.1");
        let info = Info::new(identity, FEATURES.into_iter().chain(FEATURES));
        assert_eq!(info.features.len(), 4);
        assert_eq!(info.verification(), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    }

    /// XEP-0115 section 5.3.
    #[test]
    fn the_complex_example_has_its_verification_string() {
        let identity = |lang, name| Identity {
            lang: Cow::Borrowed(lang),
            ..Identity::new("client", "pc", name)
        };
        let field = |var, values: &[&str]| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            (Cow::Borrowed(var), values)
        };
        let info = Info {
            identities: vec![identity("en", "Psi 0.11"), identity("el", "Ψ 0.11")],
            forms: vec![InfoForm {
                form_type: "urn:xmpp:dataforms:softwareinfo".into(),
                fields: vec![
                    field("ip_version", &["ipv6", "ipv4"]),
                    field("os", &["Mac"]),
                    field("os_version", &["10.5.1"]),
                    field("software", &["Psi"]),
                    field("software_version", &["0.11"]),
                ],
            }],
            ..Info::new(Identity::default(), FEATURES.into_iter())
        };
        assert_eq!(info.verification(), "q07IKJEyjvHSyhy//CH0CxmKi8w=");
    }

    #[test]
    fn an_answer_is_in_normal_form_and_mirrors_its_node() {
        let mut info = Info::new(Identity::new("a", "b", "it's"), ["urn:x"].into_iter());
        info.forms.push(InfoForm {
            form_type: "urn:f".into(),
            fields: vec![("v".into(), vec!["1".into(), "<".into()])],
        });
        assert_eq!(
            info.write(Some("n'")),
            "<query xmlns='http://jabber.org/protocol/disco#info' node='n&apos;'>\
             <identity category='a' type='b' name='it&apos;s'/><feature var='urn:x'/>\
             <x xmlns='jabber:x:data' type='result'><field type='hidden' var='FORM_TYPE'><value>urn:f</value></field>\
             <field type='list-multi' var='v'><value>1</value><value>&lt;</value></field></x></query>"
        );
    }
}
