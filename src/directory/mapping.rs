//! What an entry says as a vCard (XEP-0054), and what a vCard says as an entry. Refuses to know how either travels.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::ber::Entry;
use crate::config::{CardField, Cards, DirectoryCards};
use crate::stanza::ns;
use crate::xml::{Element, Writer};

/// What has to be read of an entry.
pub fn attributes(cards: &Cards) -> Vec<String> {
    let named = cards.fields.iter().map(|field| field.attribute.clone());
    let mut all: Vec<String> = named.collect();
    if !cards.display_name.is_empty() {
        all.push(CALLED.to_owned());
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// How many values of a field the vCard has of the entry.
pub fn count(cards: &Cards, field: &CardField, entry: &Entry) -> usize {
    values(cards, field, entry).len()
}

/// What people call somebody, if the entry says so.
pub fn display_name(cards: &Cards, entry: &Entry) -> Option<String> {
    if cards.display_name.is_empty() {
        return None;
    }
    let own = entry.texts(&cards.display_name).find_map(readable);
    own.or_else(|| entry.texts(CALLED).find_map(readable))
}

/// What is inside the vCard, in normal form; none if the entry has nothing to say.
pub fn card(cards: &Cards, entry: &Entry) -> Option<String> {
    let mut writer = Writer::new();
    writer.open("vCard", Some(ns::VCARD));
    let mut is_empty = true;
    let mut done: Vec<&CardField> = Vec::new();
    for field in &cards.fields {
        if done.iter().any(|other| shares_element(other, field)) {
            continue;
        }
        let together = || {
            cards
                .fields
                .iter()
                .filter(|other| shares_element(other, field))
        };
        is_empty &= match together().count() {
            1 => write_each(&mut writer, cards, field, entry) == 0,
            _ => write_one(&mut writer, cards, &together().collect::<Vec<_>>(), entry) == 0,
        };
        done.push(field);
    }
    writer.close();
    let written = writer.finish();
    let card = Element::parse(&written, "")?;
    (!is_empty).then(|| card.inner().to_owned())
}

/// Attributes and their new values, none of which is what the entry has; an attribute without any goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes(pub Vec<(String, Vec<Vec<u8>>)>);

/// Why an entry cannot become what a vCard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It says something else of what users may not change.
    Fixed,
    /// It has a photo that is none that we know.
    NoPicture,
    /// It has more to say, or longer, than an entry can hold.
    TooMuch,
}

/// What has to change for the entry to say what the vCard says.
///
/// # Errors
/// It must not, or cannot.
pub fn changes(cards: &Cards, entry: &Entry, card: &Element<'_>) -> Result<Changes, Misfit> {
    let mut changes = Vec::new();
    for field in &cards.fields {
        let has = values(cards, field, entry);
        let wanted = wanted(field, card);
        if field.is_photo() && wanted.is_empty() && has_photo(card) {
            match field.is_writable {
                // Who wants another photo does not want none.
                true => return Err(Misfit::NoPicture),
                false if !has.is_empty() || cards.source == DirectoryCards::Directory => {
                    return Err(Misfit::Fixed);
                }
                false => {}
            }
        }
        if wanted
            .iter()
            .any(|value| value.len() > value_bytes_max(cards, field))
            || wanted.len() > VALUES_MAX
        {
            return Err(Misfit::TooMuch);
        }
        let as_set = |values: &[Vec<u8>]| values.iter().cloned().collect::<BTreeSet<_>>();
        if as_set(&has) == as_set(&wanted) {
            continue;
        }
        match field.is_writable {
            true => changes.push((field.attribute.clone(), wanted)),
            // What a client leaves out it may not have known.
            false if !wanted.is_empty() && !has.is_empty() => return Err(Misfit::Fixed),
            false if !wanted.is_empty() && cards.source == DirectoryCards::Directory => {
                return Err(Misfit::Fixed);
            }
            false => {}
        }
    }
    let is_known = |name: &str| cards.fields.iter().any(|field| field.element == name);
    let mut children = card.children();
    // There is no place for it.
    if cards.source == DirectoryCards::Directory
        && children.any(|child| !is_known(child.name()) && !child.inner().is_empty())
    {
        return Err(Misfit::Fixed);
    }
    Ok(Changes(changes))
}

/// Both stand in one element of the vCard.
fn shares_element(one: &CardField, other: &CardField) -> bool {
    one.element == other.element
        && one.types == other.types
        && one.part.is_some() == other.part.is_some()
}

/// An element for each value; how many.
fn write_each(writer: &mut Writer, cards: &Cards, field: &CardField, entry: &Entry) -> usize {
    let values = values(cards, field, entry);
    for value in &values {
        open(writer, field);
        write_value(writer, field, value);
        writer.close();
    }
    values.len()
}

/// One element in which each of these fields has its first value; how many have one.
fn write_one(writer: &mut Writer, cards: &Cards, fields: &[&CardField], entry: &Entry) -> usize {
    let found = fields.iter().filter_map(|field| {
        let value = values(cards, field, entry).into_iter().next()?;
        Some((*field, value))
    });
    let found: Vec<(&CardField, Vec<u8>)> = found.collect();
    if let Some((first, _)) = found.first() {
        open(writer, first);
        for (field, value) in &found {
            write_value(writer, field, value);
        }
        writer.close();
    }
    found.len()
}

fn open(writer: &mut Writer, field: &CardField) {
    writer.open(&field.element, None);
    for type_ in &field.types {
        writer.open(type_, None).close();
    }
}

fn write_value(writer: &mut Writer, field: &CardField, value: &[u8]) {
    if field.is_photo() {
        writer
            .open("TYPE", None)
            .text(picture(value).unwrap_or_default());
        writer.close().open("BINVAL", None);
        writer.text(&STANDARD.encode(value)).close();
        return;
    }
    let text = String::from_utf8_lossy(value);
    match &field.part {
        Some(part) => writer.open(part, None).text(&text).close(),
        None => writer.text(&text),
    };
}

/// What the entry says of a field, as far as it can be shown.
fn values(cards: &Cards, field: &CardField, entry: &Entry) -> Vec<Vec<u8>> {
    if field.is_photo() {
        let photos = entry.values(&field.attribute);
        let mut fit =
            photos.filter(|photo| photo.len() <= cards.photo_bytes_max && picture(photo).is_some());
        return fit.next().map(<[u8]>::to_vec).into_iter().collect();
    }
    if field.element == "FN" {
        let name = display_name(cards, entry);
        return name.map(String::into_bytes).into_iter().collect();
    }
    let texts = entry.texts(&field.attribute).filter_map(readable);
    let texts = texts
        .map(String::into_bytes)
        .filter(|text| text.len() <= VALUE_BYTES_MAX);
    texts.take(VALUES_MAX).collect()
}

/// What a vCard says of a field.
fn wanted(field: &CardField, card: &Element<'_>) -> Vec<Vec<u8>> {
    let has_types = |element: &Element<'_>| {
        let mut types = field.types.iter();
        types.all(|type_| element.children().any(|child| child.name() == type_))
    };
    let elements = card
        .children()
        .filter(|child| child.name() == field.element);
    let texts = elements.filter(has_types).filter_map(|element| {
        let part = if field.is_photo() {
            Some("BINVAL")
        } else {
            field.part.as_deref()
        };
        let text = match part {
            Some(part) => element
                .children()
                .find(|child| child.name() == part)?
                .text()
                .into_owned(),
            None => element.text().into_owned(),
        };
        Some(text)
    });
    if field.is_photo() {
        // XEP-0054: "lines of 75 characters" are usual.
        let binary = texts.filter_map(|text| {
            let text: String = text.split_whitespace().collect();
            STANDARD.decode(text).ok()
        });
        return binary
            .filter(|photo| picture(photo).is_some())
            .take(1)
            .collect();
    }
    let texts = texts
        .filter_map(|text| readable(&text))
        .map(String::into_bytes);
    texts.collect()
}

/// Whether a vCard has a photo, whatever it is: XEP-0054 says it by `BINVAL` or `EXTVAL`.
fn has_photo(card: &Element<'_>) -> bool {
    let mut photos = card.children().filter(|child| child.name() == "PHOTO");
    photos.any(|photo| {
        let mut said = photo.children().filter(|child| child.name() != "TYPE");
        said.any(|child| !child.text().trim().is_empty())
    })
}

fn value_bytes_max(cards: &Cards, field: &CardField) -> usize {
    match field.is_photo() {
        true => cards.photo_bytes_max,
        false => VALUE_BYTES_MAX,
    }
}

/// A text without what no XML may hold (XML section 2.2), and without space around it; none if nothing is left.
pub fn readable(text: &str) -> Option<String> {
    let allowed = |c: &char| !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    let text: String = text.trim().chars().filter(allowed).collect();
    (!text.is_empty()).then_some(text)
}

/// The media type of a picture, by how it begins; none for anything else.
fn picture(bytes: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 3] = [
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"GIF8", "image/gif"),
    ];
    let found = kinds.iter().find(|(begin, _)| bytes.starts_with(begin));
    found.map(|(_, type_)| *type_)
}

/// What every person is called (RFC 4519 section 2.3).
const CALLED: &str = "cn";
/// Values of one field: more phones has nobody.
const VALUES_MAX: usize = 16;
/// Bytes of one that is text.
const VALUE_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Outside, load};

    fn cards(options: &str) -> Cards {
        let text = format!(
            "[[host]]\nname = \"a\"\n[host.directory]\nservers = [\"ldap://a\"]\nbase = \"dc=a\"\n\
             bind_dn = \"cn=a\"\npassword_file = \"p\"\n[host.directory_cards]\n{options}"
        );
        let outside = Outside {
            features: &[],
            address: |_| Ok(()),
            log_filter: |_| Ok(()),
            cores: 1,
        };
        let config = load("s.toml", &text, &outside).expect("valid");
        config.hosts[0]
            .directory
            .as_ref()
            .expect("is there")
            .cards
            .clone()
    }

    fn juliet() -> Entry {
        Entry::of(
            "uid=juliet,dc=a",
            &[
                ("cn", &[b"Juliet Capulet"]),
                ("SN", &[b"Capulet"]),
                ("givenName", &[b"Juliet"]),
                ("mail", &[b"j@a", b"\x00\x01", b"juliet@a"]),
                ("title", &[b"<Daughter> & heir"]),
                ("telephoneNumber", &[b"1", b"2"]),
                ("jpegPhoto", &[b"no picture", b"\xff\xd8\xff\xe0"]),
            ],
        )
    }

    #[test]
    fn an_entry_is_a_vcard() {
        let card = card(&cards(""), &juliet()).expect("has much to say");
        assert_eq!(
            card,
            "<FN>Juliet Capulet</FN>\
             <EMAIL><INTERNET/><USERID>j@a</USERID></EMAIL><EMAIL><INTERNET/><USERID>juliet@a</USERID></EMAIL>\
             <PHOTO><TYPE>image/jpeg</TYPE><BINVAL>/9j/4A==</BINVAL></PHOTO>\
             <N><FAMILY>Capulet</FAMILY><GIVEN>Juliet</GIVEN></N>\
             <TITLE>&lt;Daughter&gt; &amp; heir</TITLE>\
             <TEL><WORK/><VOICE/><NUMBER>1</NUMBER></TEL><TEL><WORK/><VOICE/><NUMBER>2</NUMBER></TEL>"
        );
        assert_eq!(super::card(&cards(""), &Entry::of("uid=x", &[])), None);
    }

    #[test]
    fn photos_are_bounded_and_pictures() {
        let cards = cards("photo_size = \"3 B\"\nmail = \"-\"\nfields = [\"title=TITLE\"]\n");
        let card = card(&cards, &juliet()).expect("has something to say");
        assert!(!card.contains("PHOTO") && !card.contains("EMAIL"), "{card}");
    }

    fn change(options: &str, card: &str) -> Result<Changes, Misfit> {
        let text = format!("<vCard xmlns='vcard-temp'>{card}</vCard>");
        let card = Element::parse(&text, "").expect("normal");
        changes(&cards(options), &juliet(), &card)
    }

    #[test]
    fn what_users_may_change_becomes_a_change_and_what_they_may_not_a_refusal() {
        let nothing = Ok(Changes(Vec::new()));
        let phone = "<TEL><WORK/><VOICE/><NUMBER>3</NUMBER></TEL>";
        assert_eq!(
            change("", "<FN>Juliet Capulet</FN><NICKNAME>J</NICKNAME>"),
            nothing
        );
        assert_eq!(change("", phone), Err(Misfit::Fixed));
        assert_eq!(change("", "<FN>Romeo</FN>"), Err(Misfit::Fixed));
        let writable = "writable = [\"TelephoneNumber\"]\n";
        let three = Ok(Changes(vec![(
            "telephoneNumber".to_owned(),
            vec![b"3".to_vec()],
        )]));
        assert_eq!(change(writable, phone), three);
        // What a whole vCard does not have, the entry shall not have.
        let none = Ok(Changes(vec![("telephoneNumber".to_owned(), Vec::new())]));
        assert_eq!(change(writable, "<FN>Juliet Capulet</FN>"), none);
        assert_eq!(
            change(writable, &format!("{phone}<FN>Romeo</FN>")),
            Err(Misfit::Fixed)
        );
        // There is no place for it but what the user keeps here.
        assert_eq!(change("", "<URL>x</URL>"), nothing);
        assert_eq!(
            change("source = \"directory\"\n", "<URL>x</URL>"),
            Err(Misfit::Fixed)
        );
        let long = phone.replace('3', &"3".repeat(VALUE_BYTES_MAX + 1));
        assert_eq!(change(writable, &long), Err(Misfit::TooMuch));
    }

    #[test]
    fn a_photo_is_written_as_bytes() {
        let photo = "<PHOTO><TYPE>image/png</TYPE><BINVAL>iVBORw0K\nGgo=</BINVAL></PHOTO>";
        let png = b"\x89PNG\r\n\x1a\n".to_vec();
        let written = Ok(Changes(vec![("jpegPhoto".to_owned(), vec![png])]));
        assert_eq!(change("writable = [\"jpegPhoto\"]\n", photo), written);
    }

    #[test]
    fn a_photo_that_is_none_that_we_know_does_not_remove_the_one_that_is_there() {
        let writable = "writable = [\"jpegPhoto\"]\n";
        let binary =
            |text: &str| format!("<PHOTO><TYPE>image/webp</TYPE><BINVAL>{text}</BINVAL></PHOTO>");
        let elsewhere = "<PHOTO><EXTVAL>https://verona.example/j.jpg</EXTVAL></PHOTO>";
        for photo in [&binary("UklGRgAA"), &binary("no base64!"), elsewhere] {
            assert_eq!(change(writable, photo), Err(Misfit::NoPicture), "{photo}");
            assert_eq!(change("", photo), Err(Misfit::Fixed), "{photo}");
            let none = change("photo = \"-\"\n", photo);
            assert_eq!(none, Ok(Changes(Vec::new())), "{photo}");
        }
        let gone = Ok(Changes(vec![("jpegPhoto".to_owned(), Vec::new())]));
        for photo in ["", "<PHOTO/>", &binary(" ")] {
            assert_eq!(change(writable, photo), gone, "{photo}");
        }
    }
}
