//! XEP-0004: Data Forms, version 2.13.2: forms that a client submits, and forms that this server writes. What a
//! field means, whoever reads the form knows.
//!
//! | section | item |
//! |---|---|
//! | 3.1 form types | [`Submission::read`] takes `submit`; [`FormWriter`] writes `form` and `result` |
//! | 3.2, 3.3 fields | [`Submission::value`], [`Submission::values`], [`FieldType`] |
//! | 3.4 multiple items | [`FormWriter::reported`], [`FormWriter::item`] |

use zeroize::Zeroize;

use super::ns;
use super::{Condition, StanzaError};
use crate::base::limits;
use crate::xml::{Element, Writer};

/// A form of type `submit`, its bounds checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Submission {
    fields: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    var: String,
    values: Vec<String>,
}

/// A field may be a new password, which is not left where somebody else's memory was.
impl Drop for Field {
    fn drop(&mut self) {
        self.values.iter_mut().for_each(Zeroize::zeroize);
    }
}

impl Submission {
    /// Reads the `<x/>` element.
    ///
    /// # Errors
    /// `bad-request` if it is not of type `submit`, a field has no name or comes twice, or there are more fields
    /// or values than [`limits::FORM_FIELDS_MAX`] and [`limits::FORM_VALUES_MAX`].
    pub fn read(form: &Element<'_>) -> Result<Submission, StanzaError> {
        if form.attribute("type").as_deref() != Some("submit") {
            return Err(bad("The form is not of type 'submit'"));
        }
        Submission::read_fields(form)
    }

    /// [`Submission::read`] for commands (XEP-0050 section 3.5.1): "Responders SHOULD consider any <x type='cancel'/> to
    /// be <x type='submit'/>".
    ///
    /// # Errors
    /// As [`Submission::read`].
    pub fn read_of_command(form: &Element<'_>) -> Result<Submission, StanzaError> {
        match form.attribute("type").as_deref() {
            Some("submit" | "cancel") => Submission::read_fields(form),
            _ => Err(bad("The form is not of type 'submit'")),
        }
    }

    fn read_fields(form: &Element<'_>) -> Result<Submission, StanzaError> {
        let mut fields: Vec<Field> = Vec::new();
        let mut values_count = 0;
        for field in form.children().filter(|child| child.is(ns::FORM, "field")) {
            // Section 3.2: "If the <field/> element type is anything other than "fixed" ..., it MUST possess a
            // 'var' attribute that uniquely identifies the field in the context of the form".
            let Some(var) = field.attribute("var") else {
                if field.attribute("type").as_deref() == Some("fixed") {
                    continue;
                }
                return Err(bad("A field of the form has no 'var'"));
            };
            if fields.iter().any(|known| known.var == var) {
                return Err(bad("A field of the form comes twice"));
            }
            let values: Vec<String> = field
                .children()
                .filter(|child| child.is(ns::FORM, "value"))
                .take(limits::FORM_VALUES_MAX + 1)
                .map(|value| value.text().into_owned())
                .collect();
            values_count += values.len();
            if fields.len() >= limits::FORM_FIELDS_MAX || values_count > limits::FORM_VALUES_MAX {
                return Err(bad("The form has too many fields or values"));
            }
            fields.push(Field {
                var: var.into_owned(),
                values,
            });
        }
        Ok(Submission { fields })
    }

    /// The FORM_TYPE (XEP-0068), which says what the other fields mean.
    pub fn form_type(&self) -> Option<&str> {
        self.values(FORM_TYPE).first().map(String::as_str)
    }

    /// The names of its fields without FORM_TYPE, in document order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.fields.iter().map(|field| field.var.as_str());
        names.filter(|name| *name != FORM_TYPE)
    }

    /// The value of a field that has one; none where the field is absent or empty.
    ///
    /// # Errors
    /// `bad-request` if there are several: "all other field types MUST NOT contain more than one <value/>
    /// element" (section 3.2).
    pub fn value(&self, var: &str) -> Result<Option<&str>, StanzaError> {
        match self.values(var) {
            [] => Ok(None),
            [value] if value.is_empty() => Ok(None),
            [value] => Ok(Some(value)),
            _ => Err(bad("A field of the form has more than one value")),
        }
    }

    /// The values of a field that may have many.
    pub fn values(&self, var: &str) -> &[String] {
        let field = self.fields.iter().find(|field| field.var == var);
        field.map_or(&[], |field| &field.values)
    }

    /// The value of a boolean field; none where it is absent.
    ///
    /// # Errors
    /// `bad-request` if it is no boolean: section 3.3 takes those of XML Schema, "0", "1", "false", "true".
    pub fn boolean(&self, var: &str) -> Result<Option<bool>, StanzaError> {
        match self.value(var)? {
            None => Ok(None),
            Some("1" | "true") => Ok(Some(true)),
            Some("0" | "false") => Ok(Some(false)),
            Some(_) => Err(bad("A field of the form is no boolean")),
        }
    }
}

/// The types of fields (section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    Boolean,
    Fixed,
    Hidden,
    JidMulti,
    JidSingle,
    ListMulti,
    ListSingle,
    TextMulti,
    TextPrivate,
    TextSingle,
}

impl FieldType {
    /// The attribute's value.
    pub fn name(self) -> &'static str {
        match self {
            FieldType::Boolean => "boolean",
            FieldType::Fixed => "fixed",
            FieldType::Hidden => "hidden",
            FieldType::JidMulti => "jid-multi",
            FieldType::JidSingle => "jid-single",
            FieldType::ListMulti => "list-multi",
            FieldType::ListSingle => "list-single",
            FieldType::TextMulti => "text-multi",
            FieldType::TextPrivate => "text-private",
            FieldType::TextSingle => "text-single",
        }
    }
}

/// What a form that this server writes is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormKind {
    /// To be filled in.
    Form,
    /// Data.
    Result,
}

/// One of the answers that a question may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub value: String,
    /// What people read.
    pub label: String,
}

/// A field for people to fill in.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    pub type_: FieldType,
    pub var: &'a str,
    /// What people read.
    pub label: &'a str,
    pub is_required: bool,
    /// What it is unless they change it.
    pub values: &'a [String],
    /// What they can choose.
    pub choices: &'a [Choice],
}

/// Writes a form field by field.
pub struct FormWriter {
    writer: Writer,
}

impl FormWriter {
    /// A form of this FORM_TYPE.
    pub fn new(kind: FormKind, form_type: &str) -> FormWriter {
        FormWriter::begin(kind, form_type, "")
    }

    fn begin(kind: FormKind, form_type: &str, head: &str) -> FormWriter {
        let mut writer = Writer::new();
        let kind = match kind {
            FormKind::Form => "form",
            FormKind::Result => "result",
        };
        writer
            .open("x", Some(ns::FORM))
            .attribute("type", kind)
            .raw(head)
            .open("field", None)
            .attribute("type", FieldType::Hidden.name())
            .attribute("var", FORM_TYPE)
            .open("value", None)
            .text(form_type)
            .close()
            .close();
        FormWriter { writer }
    }

    /// A form for people to read: with a title, and instructions if there are any.
    pub fn titled(kind: FormKind, form_type: &str, title: &str, instructions: &str) -> FormWriter {
        let mut head = Writer::new();
        head.open("title", None).text(title).close();
        if !instructions.is_empty() {
            head.open("instructions", None).text(instructions).close();
        }
        FormWriter::begin(kind, form_type, &head.finish())
    }

    /// A field to be filled in.
    pub fn question(mut self, question: &Question<'_>) -> FormWriter {
        self.writer
            .open("field", None)
            .attribute("type", question.type_.name())
            .attribute("var", question.var)
            .attribute("label", question.label);
        if question.is_required {
            self.writer.open("required", None).close();
        }
        for value in question.values {
            self.writer.open("value", None).text(value).close();
        }
        for choice in question.choices {
            self.writer
                .open("option", None)
                .attribute("label", &choice.label)
                .open("value", None)
                .text(&choice.value)
                .close()
                .close();
        }
        self.writer.close();
        self
    }

    /// Section 3.4: the columns of a table, names and labels. Its lines follow with [`FormWriter::item`].
    pub fn reported(mut self, columns: &[(&str, &str)]) -> FormWriter {
        self.writer.open("reported", None);
        for (var, label) in columns {
            self.writer
                .open("field", None)
                .attribute("var", var)
                .attribute("label", label)
                .close();
        }
        self.writer.close();
        self
    }

    /// A line of a table, with a value for each of its columns.
    pub fn item(mut self, values: &[(&str, &str)]) -> FormWriter {
        self.writer.open("item", None);
        for (var, value) in values {
            self.writer
                .open("field", None)
                .attribute("var", var)
                .open("value", None)
                .text(value)
                .close()
                .close();
        }
        self.writer.close();
        self
    }

    /// A field with these values.
    pub fn field(self, type_: FieldType, var: &str, values: &[&str]) -> FormWriter {
        self.field_with(type_, var, values, "")
    }

    /// A field that has to be filled in.
    pub fn required(self, type_: FieldType, var: &str) -> FormWriter {
        self.field_with(type_, var, &[], "<required/>")
    }

    /// A field with these values, and more inside (normal form): XEP-0122 and the like.
    pub fn field_with(
        mut self,
        type_: FieldType,
        var: &str,
        values: &[&str],
        inside: &str,
    ) -> FormWriter {
        self.writer
            .open("field", None)
            .attribute("type", type_.name())
            .attribute("var", var);
        for value in values {
            self.writer.open("value", None).text(value).close();
        }
        self.writer.raw(inside).close();
        self
    }

    /// The `<x/>` element in normal form.
    pub fn finish(self) -> String {
        self.writer.finish()
    }
}

fn bad(text: &'static str) -> StanzaError {
    StanzaError::new(Condition::BadRequest, text)
}

const FORM_TYPE: &str = "FORM_TYPE";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(xml: &str) -> Result<Submission, StanzaError> {
        Submission::read(&Element::parse(xml, ns::CLIENT).unwrap())
    }

    fn submit(fields: &str) -> Result<Submission, StanzaError> {
        read(&format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:f</value></field>{fields}</x>"
        ))
    }

    #[test]
    fn fields_are_found_by_name_whatever_their_declared_type() {
        let form = submit(
            "<field var='a'><value>1 &amp; 2</value></field><field var='b' type='list-multi'>\
             <value>x</value><value>y</value></field><field var='c'><value/></field>\
             <field type='fixed'><value>text</value></field>",
        )
        .unwrap();
        assert_eq!(form.form_type(), Some("urn:f"));
        assert_eq!(form.value("a"), Ok(Some("1 & 2")));
        assert_eq!(form.values("b"), ["x", "y"]);
        assert!(form.value("b").is_err());
        assert_eq!(form.value("c"), Ok(None));
        assert_eq!(form.value("none"), Ok(None));
        assert_eq!(form.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn booleans_are_those_of_xml_schema() {
        let form = submit(
            "<field var='a'><value>1</value></field><field var='b'><value>false</value></field>\
             <field var='c'><value>yes</value></field>",
        )
        .unwrap();
        assert_eq!(form.boolean("a"), Ok(Some(true)));
        assert_eq!(form.boolean("b"), Ok(Some(false)));
        assert!(form.boolean("c").is_err());
        assert_eq!(form.boolean("d"), Ok(None));
    }

    #[test]
    fn what_is_no_submission_is_refused() {
        assert!(read("<x xmlns='jabber:x:data' type='form'/>").is_err());
        assert!(read("<x xmlns='jabber:x:data'/>").is_err());
        assert!(submit("<field><value>x</value></field>").is_err());
        assert!(submit("<field var='a'/><field var='a'/>").is_err());
    }

    #[test]
    fn a_form_has_as_many_fields_and_values_as_its_bounds_say() {
        let fields = |count: usize| -> String {
            (0..count).map(|n| format!("<field var='{n}'/>")).collect()
        };
        // FORM_TYPE is one of them.
        assert!(submit(&fields(limits::FORM_FIELDS_MAX - 1)).is_ok());
        assert!(submit(&fields(limits::FORM_FIELDS_MAX)).is_err());
        let values = |count: usize| format!("<field var='v'>{}</field>", "<value/>".repeat(count));
        assert!(submit(&values(limits::FORM_VALUES_MAX - 1)).is_ok());
        assert!(submit(&values(limits::FORM_VALUES_MAX)).is_err());
    }

    #[test]
    fn a_form_is_written_in_normal_form() {
        let xml = FormWriter::new(FormKind::Form, "urn:f")
            .field(FieldType::JidSingle, "with", &[])
            .field(FieldType::TextSingle, "a", &["<b>"])
            .finish();
        assert_eq!(
            xml,
            "<x xmlns='jabber:x:data' type='form'><field type='hidden' var='FORM_TYPE'>\
             <value>urn:f</value></field><field type='jid-single' var='with'/>\
             <field type='text-single' var='a'><value>&lt;b&gt;</value></field></x>"
        );
    }
}
