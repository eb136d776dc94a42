//! What a host's options say of attributes and vCard fields, with a preset behind them. Refuses to know what an entry says.

use super::check::Sink;
use super::directory::is_attribute;
use super::file::{DirectoryCards, DirectoryPreset, DirectoryWriter, HostDirectoryCards};
use crate::base::limits;

/// How entries become vCards, checked, with the preset applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cards {
    pub source: DirectoryCards,
    /// Empty if there is none.
    pub display_name: String,
    /// Every attribute that says something, in the order of the vCard: also name, mail and photo.
    pub fields: Vec<CardField>,
    /// Bytes of a photo as it is in the directory.
    pub photo_bytes_max: usize,
    pub writer: DirectoryWriter,
    pub fresh_ms: u64,
    pub cache_bytes: u64,
}

/// An attribute and the place in a vCard where its values stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardField {
    pub attribute: String,
    /// The element of the vCard.
    pub element: String,
    /// Empty elements in it that say which of several it is (`WORK`, `CELL`).
    pub types: Vec<String>,
    /// The element inside that holds the value; none where it stands in the element itself.
    pub part: Option<String>,
    /// Users may change it.
    pub is_writable: bool,
}

impl CardField {
    /// Whether values are photos, which stand in two elements.
    pub fn is_photo(&self) -> bool {
        self.element == "PHOTO"
    }

    /// Where in the vCard: "TEL+CELL/NUMBER".
    pub fn place(&self) -> String {
        let types: String = self.types.iter().map(|name| format!("+{name}")).collect();
        let part = self.part.as_ref().map(|name| format!("/{name}"));
        format!("{}{types}{}", self.element, part.unwrap_or_default())
    }

    /// "ATTRIBUTE=ELEMENT+TYPE/PART"; none for what is not that.
    fn read(text: &str) -> Option<CardField> {
        let (attribute, field) = text.split_once('=')?;
        let (attribute, field) = (attribute.trim(), field.trim());
        let (path, part) = match field.split_once('/') {
            Some((path, part)) => (path, Some(part)),
            None => (field, None),
        };
        let mut names = path.split('+');
        let element = names.next()?;
        let types: Vec<String> = names.map(str::to_owned).collect();
        let mut all = std::iter::once(element)
            .chain(types.iter().map(String::as_str))
            .chain(part);
        // XEP-0054 section 2: all names are of capitals.
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_uppercase())
                && name
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-')
        };
        (is_attribute(attribute) && all.all(is_name)).then(|| CardField {
            attribute: attribute.to_owned(),
            element: element.to_owned(),
            types,
            part: part.map(str::to_owned),
            is_writable: false,
        })
    }
}

/// What an empty option means.
struct PresetCards {
    photo: &'static str,
    fields: &'static [&'static str],
}

fn preset(preset: DirectoryPreset) -> PresetCards {
    match preset {
        DirectoryPreset::OpenLdap | DirectoryPreset::Ds389 => PresetCards {
            photo: "jpegPhoto",
            fields: &[
                "sn=N/FAMILY",
                "givenName=N/GIVEN",
                "title=TITLE",
                "o=ORG/ORGNAME",
                "ou=ORG/ORGUNIT",
                "telephoneNumber=TEL+WORK+VOICE/NUMBER",
                "mobile=TEL+CELL/NUMBER",
                "street=ADR+WORK/STREET",
                "l=ADR+WORK/LOCALITY",
                "st=ADR+WORK/REGION",
                "postalCode=ADR+WORK/PCODE",
            ],
        },
        DirectoryPreset::ActiveDirectory => PresetCards {
            photo: "thumbnailPhoto",
            fields: &[
                "sn=N/FAMILY",
                "givenName=N/GIVEN",
                "title=TITLE",
                "company=ORG/ORGNAME",
                "department=ORG/ORGUNIT",
                "telephoneNumber=TEL+WORK+VOICE/NUMBER",
                "mobile=TEL+CELL/NUMBER",
                "streetAddress=ADR+WORK/STREET",
                "l=ADR+WORK/LOCALITY",
                "st=ADR+WORK/REGION",
                "postalCode=ADR+WORK/PCODE",
                "co=ADR+WORK/CTRY",
                "wWWHomePage=URL",
            ],
        },
    }
}

/// The options with the preset's where nothing is said. `at` is the path of their section.
pub(super) fn check_cards(
    option: &HostDirectoryCards,
    kind: DirectoryPreset,
    at: &impl Fn(&str) -> String,
    sink: &mut Sink<'_>,
) -> Cards {
    let defaults = preset(kind);
    let or = |own: &String, preset: &str| match own.as_str() {
        "" => preset.to_owned(),
        "-" => String::new(),
        _ => own.clone(),
    };
    let display_name = or(&option.display_name, "displayName");
    let mail = or(&option.mail, "mail");
    let photo = or(&option.photo, defaults.photo);
    let mut fields = Vec::new();
    for (name, attribute, field) in [
        ("display_name", &display_name, "FN"),
        ("mail", &mail, "EMAIL+INTERNET/USERID"),
        ("photo", &photo, "PHOTO"),
    ] {
        if attribute.is_empty() {
            continue;
        }
        match CardField::read(&format!("{attribute}={field}")) {
            Some(field) => fields.push(field),
            None => sink.push(&at(name), "must be the name of an attribute, or \"-\""),
        }
    }
    let own: Vec<&str> = option.fields.iter().map(String::as_str).collect();
    let listed = if own.is_empty() {
        defaults.fields
    } else {
        &own
    };
    for text in listed {
        match CardField::read(text) {
            Some(field) if !field.is_photo() => fields.push(field),
            _ => sink.push(
                &at("fields"),
                format!("`{text}`: write ATTRIBUTE=FIELD, as in \"mobile=TEL+CELL/NUMBER\""),
            ),
        }
    }
    for name in &option.writable {
        let mut known = 0;
        for field in &mut fields {
            if field.attribute.eq_ignore_ascii_case(name) {
                field.is_writable = true;
                known += 1;
            }
        }
        if known == 0 {
            sink.push(
                &at("writable"),
                format!("`{name}` is no attribute that becomes a field of the vCard"),
            );
        }
    }
    let photo_bytes = option.photo_size.as_bytes();
    sink.require(
        photo_bytes <= limits::DIRECTORY_PHOTO_BYTES_LIMIT,
        &at("photo_size"),
        "must be at most \"512 KiB\"",
    );
    Cards {
        source: option.source,
        display_name,
        fields,
        photo_bytes_max: usize::try_from(photo_bytes).unwrap_or(usize::MAX),
        writer: option.write_as,
        fresh_ms: option.fresh.as_ms(),
        cache_bytes: option.cache.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_an_element_with_types_and_a_part() {
        let field = CardField::read("mobile = TEL+CELL+VOICE/NUMBER").expect("valid");
        assert_eq!(
            (field.attribute.as_str(), field.element.as_str()),
            ("mobile", "TEL")
        );
        assert_eq!(field.types, ["CELL", "VOICE"]);
        assert_eq!(field.part.as_deref(), Some("NUMBER"));
        assert_eq!(CardField::read("title=TITLE").expect("valid").part, None);
        for wrong in [
            "",
            "title",
            "title=",
            "=TITLE",
            "title=title",
            "title=TEL+/NUMBER",
            "title=TEL/",
            "a b=TITLE",
            "title=<x>",
        ] {
            assert_eq!(CardField::read(wrong), None, "{wrong}");
        }
    }
}
