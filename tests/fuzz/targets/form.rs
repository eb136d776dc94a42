//! Any element as a form that a client submits: an error or fields within their bounds, never a panic; and what this
//! server writes of them is a form again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stonechat::stanza::{FieldType, FormKind, FormWriter, Submission, ns};
use stonechat::xml::{Element, FrameLimits, Scope, Scratch, normalise};

fuzz_target!(|text: &str| {
    let limits = FrameLimits::authenticated(1 << 20);
    let mut scratch = Scratch::new();
    let inside = format!("<message>{text}</message>");
    if normalise(&inside, &Scope::without_header(""), &limits, &mut scratch).is_err() {
        return;
    }
    let Some(element) = Element::parse(scratch.normal().inner, "") else {
        return;
    };
    let Ok(form) = Submission::read(&element) else {
        return;
    };
    let _ = form.form_type();
    let mut writer = FormWriter::new(FormKind::Form, "urn:example:fuzz");
    for name in form.names() {
        let _ = (form.value(name), form.boolean(name));
        let values: Vec<&str> = form.values(name).iter().map(String::as_str).collect();
        writer = writer.field(FieldType::TextMulti, name, &values);
    }
    let written = writer.finish();
    let again = Element::parse(&written, ns::CLIENT).expect("it is an element");
    assert!(again.is(ns::FORM, "x"));
    assert!(again.children().count() > form.names().count());
});
