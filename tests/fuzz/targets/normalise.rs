//! Normal form is a fixed point, its index of children is right, and what reads it never panics.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use stonechat::xml::{Children, Element, FrameLimits, Scope, Scratch, normalise, parse_header};

static SCOPE: OnceLock<Scope> = OnceLock::new();

fuzz_target!(|text: &str| {
    let scope = SCOPE.get_or_init(|| {
        parse_header("<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>")
            .expect("it is a header")
            .scope
    });
    let _ = parse_header(text);
    if let Some(element) = Element::parse(text, "") {
        let _ = (
            element.text(),
            element.attribute("a"),
            element.children().count(),
        );
    }
    let limits = FrameLimits::authenticated(1 << 20);
    let mut once = Scratch::new();
    if normalise(text, scope, &limits, &mut once).is_err() {
        return;
    }
    let once = once.normal();
    let children: Vec<_> = Children::new(once.inner, scope.content()).collect();
    assert_eq!(children.len(), once.children.len());
    for (element, child) in children.iter().zip(once.children) {
        assert_eq!(
            element.raw(),
            &once.inner[child.start as usize..child.end as usize]
        );
        assert_eq!(element.name(), child.name(once.inner));
        if let Some(ns) = child.ns(once.inner) {
            assert_eq!(element.ns(), ns);
        }
        let _ = element.text();
    }
    let mut twice = Scratch::new();
    normalise(
        &format!("<x>{}</x>", once.inner),
        scope,
        &limits,
        &mut twice,
    )
    .expect("normal form is well-formed");
    assert_eq!(twice.normal().inner, once.inner);
    assert_eq!(twice.normal().children, once.children);
});
