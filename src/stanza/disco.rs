//! What an entity says of itself (XEP-0030 section 3.1) as a value, and its verification string (XEP-0115 section 5.1).
//! Refuses to know who asks and who answers.

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::{FieldType, FormKind, FormWriter, ns};
use crate::base::limits;
use crate::xml::{Element, Writer};

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

impl InfoForm {
    /// What a form says. Nothing if it is to be ignored: "the FORM_TYPE field is not of type "hidden" or the form does not
    /// include a FORM_TYPE field" (XEP-0115 section 5.4). None if it is ill-formed.
    fn read(form: &Element<'_>) -> Option<Option<InfoForm>> {
        let mut read = InfoForm {
            form_type: "".into(),
            fields: Vec::new(),
        };
        let mut form_type: Option<Vec<String>> = None;
        for field in form.children().filter(|it| it.is(ns::FORM, "field")) {
            let var = said(field.attribute("var").unwrap_or_default())?;
            let values = field.children().filter(|it| it.is(ns::FORM, "value"));
            let values: Option<Vec<_>> = values
                .map(|value| Some(said(value.text())?.into_owned()))
                .collect();
            if var != FORM_TYPE {
                read.fields.push((var, values?));
            } else if field.attribute("type").as_deref() == Some("hidden") {
                form_type = Some(values?);
            }
        }
        let Some(form_type) = form_type else {
            return Some(None);
        };
        // "the FORM_TYPE field contains more than one <value/> element with different XML character data".
        let first = form_type.first()?.clone();
        if form_type.iter().any(|other| *other != first) {
            return None;
        }
        read.form_type = first.into();
        Some(Some(read))
    }
}

/// What somebody else says, to be kept; none if no verification string can stand for it alone.
fn said(text: Cow<'_, str>) -> Option<Cow<'static, str>> {
    (!text.contains('<')).then(|| Cow::Owned(text.into_owned()))
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

    /// What the `<query/>` of somebody's answer says; none if it is ill-formed (XEP-0115 section 5.4), longer than
    /// [`limits::CAPABILITIES_BYTES_MAX`], or says anything with a '<', which separates the parts of a verification string
    /// so that one could stand for another.
    pub fn read(query: &Element<'_>) -> Option<Info> {
        if query.raw().len() > limits::CAPABILITIES_BYTES_MAX {
            return None;
        }
        let mut info = Info::default();
        for child in query.children() {
            let attribute = |name| said(child.attribute(name).unwrap_or_default());
            match (child.ns(), child.name()) {
                (ns::DISCO_INFO, "identity") => info.identities.push(Identity {
                    category: attribute("category")?,
                    type_: attribute("type")?,
                    lang: attribute("xml:lang")?,
                    name: attribute("name")?,
                }),
                (ns::DISCO_INFO, "feature") => info.features.push(attribute("var")?),
                (ns::FORM, "x") => info.forms.extend(InfoForm::read(&child)?),
                _ => {}
            }
        }
        let mut seen = BTreeSet::new();
        let mut is_new = |key: [&str; 5]| seen.insert(key.map(str::to_owned));
        let well_formed = info
            .identities
            .iter()
            .all(|it| is_new(["i", &it.category, &it.type_, &it.lang, &it.name]))
            && info
                .features
                .iter()
                .all(|var| is_new(["f", var, "", "", ""]))
            && info
                .forms
                .iter()
                .all(|form| is_new(["x", &form.form_type, "", "", ""]));
        well_formed.then_some(info)
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

    /// Bytes that it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let identities = self.identities.iter().map(|it| {
            size_of::<Identity>()
                + it.category.len()
                + it.type_.len()
                + it.lang.len()
                + it.name.len()
        });
        let features = self.features.iter().map(|it| size_of_val(it) + it.len());
        let fields = self.forms.iter().flat_map(|form| &form.fields);
        let fields = fields.map(|field| {
            let values = field.1.iter().map(|value| size_of_val(value) + value.len());
            size_of_val(field) + field.0.len() + values.sum::<usize>()
        });
        let forms = size_of_val(self.forms.as_slice());
        size_of::<Info>() + forms + identities.chain(features).chain(fields).sum::<usize>()
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

const FORM_TYPE: &str = "FORM_TYPE";

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

    fn read(inner: &str) -> Option<Info> {
        let xml = format!("<query xmlns='{}'>{inner}</query>", ns::DISCO_INFO);
        Info::read(&Element::parse(&xml, "")?)
    }

    #[test]
    fn what_was_written_is_read() {
        let mut info = Info::new(Identity::new("client", "pc", "it's"), FEATURES.into_iter());
        info.forms.push(InfoForm {
            form_type: "urn:f".into(),
            fields: vec![("v".into(), vec!["1".into(), "2".into()])],
        });
        let xml = info.write(Some("n"));
        let query = Element::parse(&xml, "").expect("an element");
        assert_eq!(Info::read(&query), Some(info));
    }

    /// XEP-0115 section 5.4.
    #[test]
    fn what_comes_twice_or_could_stand_for_something_else_is_ill_formed() {
        let identity = "<identity category='client' type='pc' name='a'/>";
        let form = |type_, values: &str| {
            format!(
                "<x xmlns='jabber:x:data'><field type='{type_}' var='FORM_TYPE'>{values}</field></x>"
            )
        };
        let hidden = form("hidden", "<value>urn:f</value>");
        for ill_formed in [
            [identity, identity].concat(),
            "<feature var='a'/><feature var='a'/>".to_owned(),
            [hidden.as_str(), &hidden].concat(),
            form("hidden", "<value>urn:f</value><value>urn:g</value>"),
            "<feature var='a&lt;b'/>".to_owned(),
            "<feature var='a'/>".repeat(limits::CAPABILITIES_BYTES_MAX),
        ] {
            assert_eq!(read(&ill_formed), None, "{ill_formed:.80}");
        }
        // "ignore the form but continue processing".
        let ignored = read(&form("text-single", "<value>urn:f</value>")).expect("well-formed");
        assert_eq!(ignored, Info::default());
        assert_eq!(read(&hidden).map(|info| info.forms.len()), Some(1));
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
