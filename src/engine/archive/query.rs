//! What a client asks an archive for (XEP-0313 section 4.1), read and bounded. Refuses to know what is in it.

use crate::base::{Seal, Sequence, limits};
use crate::im::archive::{ArchiveId, Flip, Page, Query, Term, With};
use crate::jid::Jid;
use crate::stanza::{
    Condition, FieldType, FormKind, FormWriter, PageRequest, Position, Rounding, StanzaError,
    Submission, ns, parse_stamp,
};
use crate::xml::Element;

use super::term::Sought;

/// Which fields a form may have beyond those of XEP-0313.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    Plain,
    /// XEP-0431.
    WithFulltext,
}

impl Query {
    /// Reads the `<query/>` element.
    ///
    /// # Errors
    /// `feature-not-implemented` for a field that nobody knows (section 4.1.6), an index (XEP-0059 section 2.6) or a
    /// node; `item-not-found` for what cannot be a UID; `bad-request` for what is malformed; `resource-constraint` for
    /// what is too much at once.
    pub fn read(query: &Element<'_>, fields: Fields, seal: &Seal) -> Result<Query, StanzaError> {
        if query.raw().len() > limits::ARCHIVE_QUERY_BYTES_MAX {
            return Err(too_much("The query is too long"));
        }
        if query.attribute("node").is_some() {
            return Err(unknown("This archive has no nodes"));
        }
        let query_id = query.attribute("queryid");
        let is_long = |id: &str| id.len() > limits::ARCHIVE_QUERY_ID_BYTES_MAX;
        if query_id.as_deref().is_some_and(is_long) {
            return Err(bad("The queryid is too long"));
        }
        let mut read = Query {
            query_id: query_id.map(|id| id.into_owned()),
            to: u64::MAX,
            ..Query::default()
        };
        if let Some(form) = query.child(ns::FORM, "x") {
            read.filter(&Submission::read(&form)?, fields, seal)?;
        }
        if query.child(ns::MAM, "flip-page").is_some() {
            read.flip = Flip::NewestFirst;
        }
        read.turn_to(PageRequest::read(query)?, seal)?;
        Ok(read)
    }

    fn filter(
        &mut self,
        form: &Submission,
        fields: Fields,
        seal: &Seal,
    ) -> Result<(), StanzaError> {
        // "The hidden FORM_TYPE field MUST be set to this protocol's namespace".
        if form.form_type() != Some(ns::MAM) {
            return Err(bad("The form has another FORM_TYPE than this archive's"));
        }
        // "If a client includes a form field that the server does not recognise, the server MUST respond with a
        // 'feature-not-implemented' error."
        let known = |name: &str| {
            FIELDS.iter().any(|(_, known)| *known == name)
                || name == "ids"
                || (fields == Fields::WithFulltext && name == FULLTEXT_FIELD)
        };
        if !form.names().all(known) {
            return Err(unknown(
                "The form has a field that this archive does not know",
            ));
        }
        // What is said in a room is in the room's archive: there is nothing to leave out.
        form.boolean("include-groupchat")?;
        if let Some(with) = form.value("with")? {
            let with = Jid::parse(with)
                .map_err(|_| StanzaError::new(Condition::JidMalformed, "'with' is no valid JID"))?;
            self.with = Some(With {
                contact: Term::contact(with.bare_str()),
                // "If (and only if) the supplied JID is a bare JID", all its resources match.
                full_jid: with.resourcepart().map(|_| Term::full_jid(with.as_str())),
            });
        }
        let moment = |name, rounding| {
            let text = form.value(name)?;
            let parsed = text
                .map(|text| parse_stamp(text, rounding).ok_or_else(|| bad("A date is malformed")));
            parsed.transpose()
        };
        // "equal to or later than the given timestamp", "equal to or earlier".
        if let Some(start_ms) = moment("start", Rounding::Up)? {
            self.from = Sequence::first_at(start_ms);
        }
        if let Some(end_ms) = moment("end", Rounding::Down)? {
            self.to = Sequence::first_at(end_ms.saturating_add(1));
        }
        if let Some(id) = form.value("after-id")? {
            self.only_after(id, seal)?;
        }
        if let Some(id) = form.value("before-id")? {
            self.only_before(id, seal)?;
        }
        if let Some(text) = form.value(FULLTEXT_FIELD)? {
            self.search(text)?;
        }
        let ids = form.values("ids");
        if !ids.is_empty() {
            if ids.len() > limits::ARCHIVE_IDS_MAX {
                return Err(too_much("Too many messages are asked for at once"));
            }
            let ids: Option<Vec<ArchiveId>> =
                ids.iter().map(|id| ArchiveId::parse(id, seal)).collect();
            let mut ids = ids.ok_or_else(not_found)?;
            ids.sort_by_key(|id| id.number);
            ids.dedup();
            self.ids = Some(ids);
        }
        Ok(())
    }

    fn search(&mut self, text: &str) -> Result<(), StanzaError> {
        if text.len() > limits::ARCHIVE_SEARCH_BYTES_MAX {
            return Err(bad("The text to search for is too long"));
        }
        let sought = Sought::read(text);
        if sought.words.is_empty() {
            return Err(bad("There is no word to search for"));
        }
        if sought.words.len().max(sought.phrases.len()) > limits::ARCHIVE_SEARCH_WORDS_MAX {
            return Err(too_much("Too many words are searched for at once"));
        }
        self.words = sought.words.into_iter().collect();
        self.phrases = sought.phrases;
        Ok(())
    }

    fn turn_to(&mut self, page: PageRequest, seal: &Seal) -> Result<(), StanzaError> {
        let max = page.max.unwrap_or(limits::ARCHIVE_PAGE_COUNT);
        let max = max.min(limits::ARCHIVE_PAGE_COUNT_MAX);
        self.page = Page::First(max);
        match page.position {
            Position::First => {}
            Position::After(id) => self.only_after(&id, seal)?,
            Position::Before(id) => {
                self.only_before(&id, seal)?;
                self.page = Page::Last(max);
            }
            Position::Last => self.page = Page::Last(max),
            Position::Index(_) => return Err(unknown("Pages begin at messages, not at numbers")),
        }
        if max == 0 {
            self.page = Page::Count;
        }
        Ok(())
    }

    fn only_after(&mut self, id: &str, seal: &Seal) -> Result<(), StanzaError> {
        let id = ArchiveId::parse(id, seal).ok_or_else(not_found)?;
        self.references.push(id);
        self.from = self.from.max(id.number.saturating_add(1));
        Ok(())
    }

    fn only_before(&mut self, id: &str, seal: &Seal) -> Result<(), StanzaError> {
        let id = ArchiveId::parse(id, seal).ok_or_else(not_found)?;
        self.references.push(id);
        self.to = self.to.min(id.number);
        Ok(())
    }
}

/// The form with every field that a query may have (section 4.1.6).
pub fn form(fields: Fields) -> String {
    let mut form = FormWriter::new(FormKind::Form, ns::MAM);
    for (type_, name) in FIELDS {
        form = form.field(type_, name, &[]);
    }
    // "the server MUST include a <validate/> element that signals the list is open to arbitrary values".
    let open = format!(
        "<validate xmlns='{}' datatype='xs:string'><open/></validate>",
        ns::FORM_VALIDATE
    );
    form = form.field_with(FieldType::ListMulti, "ids", &[], &open);
    if fields == Fields::WithFulltext {
        form = form.field(FieldType::TextSingle, FULLTEXT_FIELD, &[]);
    }
    form.finish()
}

/// What is not in the archive: "the server MUST return an item-not-found error" (sections 4.1.4 and 4.3.2).
pub(super) fn not_found() -> StanzaError {
    StanzaError::new(
        Condition::ItemNotFound,
        "There is no such message in this archive",
    )
}

fn too_much(text: &'static str) -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint, text)
}

fn bad(text: &'static str) -> StanzaError {
    StanzaError::new(Condition::BadRequest, text)
}

fn unknown(text: &'static str) -> StanzaError {
    StanzaError::new(Condition::FeatureNotImplemented, text)
}

/// All fields but `ids`, whose list is open, and those of extensions.
const FIELDS: [(FieldType, &str); 6] = [
    (FieldType::JidSingle, "with"),
    (FieldType::TextSingle, "start"),
    (FieldType::TextSingle, "end"),
    (FieldType::TextSingle, "before-id"),
    (FieldType::TextSingle, "after-id"),
    (FieldType::Boolean, "include-groupchat"),
];
/// XEP-0431 section 3.1.
const FULLTEXT_FIELD: &str = "{urn:xmpp:fulltext:0}fulltext";
