use super::*;

const ROSTER: &str = "<query xmlns='jabber:iq:roster' ver='&lt;1&gt;'>\
    <item jid='a@b' name='It&apos;s'><group>A &amp; B</group></item> text \
    <item jid='c@d'/><x xmlns='u' xml:lang='de'>x<y>not</y>&gt;<z/>z</x></query><rest/>";

fn roster() -> Element<'static> {
    Element::parse(ROSTER, "jabber:client").unwrap()
}

#[test]
fn an_element_is_read_without_a_tree() {
    let query = roster();
    assert!(query.is("jabber:iq:roster", "query"));
    assert_eq!(query.attribute("ver").as_deref(), Some("<1>"));
    assert_eq!(query.attribute("v"), None);
    assert!(query.raw().ends_with("</query>"));
    let names: Vec<_> = query
        .children()
        .map(|child| (child.ns(), child.name()))
        .collect();
    assert_eq!(
        names,
        [
            ("jabber:iq:roster", "item"),
            ("jabber:iq:roster", "item"),
            ("u", "x")
        ]
    );
    let item = query.child("jabber:iq:roster", "item").unwrap();
    assert_eq!(item.attribute("name").as_deref(), Some("It's"));
    assert_eq!(
        item.child("jabber:iq:roster", "group").unwrap().text(),
        "A & B"
    );
    assert_eq!(item.inner(), "<group>A &amp; B</group>");
    assert_eq!(query.children().nth(1).unwrap().raw(), "<item jid='c@d'/>");
}

#[test]
fn direct_text_is_concatenated() {
    let x = roster().child("u", "x").unwrap();
    assert_eq!(x.text(), "x>z");
    assert_eq!(x.attribute("xml:lang").as_deref(), Some("de"));
    assert_eq!(roster().text(), " text ");
}

#[test]
fn inherited_namespaces_reach_grandchildren() {
    let message = Element::parse("<a><b><c xmlns=''><d/></c></b></a>", "jabber:client").unwrap();
    let b = message.child("jabber:client", "b").unwrap();
    assert!(b.child("", "c").unwrap().child("", "d").is_some());
}

#[test]
fn what_is_not_normal_form_does_no_harm() {
    for text in [
        "",
        "x",
        "<",
        "<a",
        "<a>",
        "<a></",
        "</a>",
        "<>",
        "</>",
        "<a><",
        "<a><b></a>",
        "<a xmlns='>",
        "<a xmlns='/>",
        "<a b=>",
        "<a b/>",
        "<a>&</a>",
        "<a b='&x'/>",
        "<\u{fc}",
        "<a>></a>",
        "<a><></a>",
        "< ",
        "<a >\u{fc}",
    ] {
        if let Some(element) = Element::parse(text, "") {
            let _ = (
                element.text(),
                element.attribute("b"),
                element.children().count(),
            );
        }
    }
}

/// Nothing here recurses, however deep the input.
#[test]
fn depth_costs_no_stack() {
    let deep = format!("{}{}", "<a>".repeat(200_000), "</a>".repeat(200_000));
    let element = Element::parse(&deep, "").unwrap();
    assert_eq!(element.children().count(), 1);
}
