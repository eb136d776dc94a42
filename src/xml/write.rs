//! Writes XML in normal form. Refuses to check names and characters: what it is given comes from us, or from
//! a peer by way of normalisation.

use super::reference::{is_attribute_special, is_text_special};
use super::run::run_length;

/// Appends `text` as canonical character data.
pub fn escape_text(text: &str, out: &mut Vec<u8>) {
    escape(text, is_text_special, |piece| {
        out.extend_from_slice(piece.as_bytes())
    });
}

/// Appends `value` as a canonical attribute value, without the quotes (which are to be `'`).
pub fn escape_attribute(value: &str, out: &mut Vec<u8>) {
    escape(value, is_attribute_special, |piece| {
        out.extend_from_slice(piece.as_bytes());
    });
}

#[inline]
fn escape(mut text: &str, is_special: impl Fn(u8) -> bool, mut write: impl FnMut(&str)) {
    loop {
        let at = run_length(text.as_bytes(), &is_special);
        write(&text[..at]);
        let Some(special) = text.as_bytes().get(at) else {
            return;
        };
        write(match special {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'\'' => "&apos;",
            b'\t' => "&#9;",
            b'\n' => "&#10;",
            _ => "&#13;",
        });
        text = &text[at + 1..];
    }
}

/// Builds XML in normal form, element by element.
#[derive(Debug, Default)]
pub struct Writer {
    out: String,
    open: Vec<OpenTag>,
    /// The last start tag has no '>' yet.
    pending: bool,
}

/// Where in the output an open element's name stands.
#[derive(Clone, Copy, Debug)]
struct OpenTag {
    start: usize,
    end: usize,
}

impl Writer {
    /// Nothing written.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// A start tag; `ns` is given exactly where it differs from the parent's.
    pub fn open(&mut self, name: &str, ns: Option<&str>) -> &mut Writer {
        self.flush();
        self.out.push('<');
        let start = self.out.len();
        self.out.push_str(name);
        self.open.push(OpenTag {
            start,
            end: self.out.len(),
        });
        self.pending = true;
        if let Some(ns) = ns {
            self.attribute("xmlns", ns);
        }
        self
    }

    /// An attribute of the element that was just opened.
    pub fn attribute(&mut self, name: &str, value: &str) -> &mut Writer {
        debug_assert!(self.pending, "attributes come before contents");
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("='");
        let out = &mut self.out;
        escape(value, is_attribute_special, |piece| out.push_str(piece));
        self.out.push('\'');
        self
    }

    /// Character data, escaped here.
    pub fn text(&mut self, text: &str) -> &mut Writer {
        if !text.is_empty() {
            self.flush();
            let out = &mut self.out;
            escape(text, is_text_special, |piece| out.push_str(piece));
        }
        self
    }

    /// Contents that are in normal form already and inherit the namespace of the element at hand.
    pub fn raw(&mut self, normal: &str) -> &mut Writer {
        if !normal.is_empty() {
            self.flush();
            self.out.push_str(normal);
        }
        self
    }

    /// Ends the element that was opened last and is still open.
    pub fn close(&mut self) -> &mut Writer {
        let Some(tag) = self.open.pop() else {
            debug_assert!(false, "nothing is open");
            return self;
        };
        if self.pending {
            self.pending = false;
            self.out.push_str("/>");
        } else {
            self.out.push_str("</");
            self.out.extend_from_within(tag.start..tag.end);
            self.out.push('>');
        }
        self
    }

    /// What was written, with everything closed that is still open.
    pub fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }

    fn flush(&mut self) {
        if self.pending {
            self.pending = false;
            self.out.push('>');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_written_in_normal_form() {
        let mut writer = Writer::new();
        writer
            .open("query", Some("jabber:iq:roster"))
            .attribute("ver", "a'b&c\n");
        writer
            .open("item", None)
            .attribute("name", "<Romeo>\"")
            .close();
        writer.open("group", None).text("]]> & \r\n'\"").close();
        writer.text("").raw("<a/>").open("b", None).open("c", None);
        assert_eq!(
            writer.finish(),
            "<query xmlns='jabber:iq:roster' ver='a&apos;b&amp;c&#10;'><item name='&lt;Romeo&gt;\"'/>\
             <group>]]&gt; &amp; &#13;\n'\"</group><a/><b><c/></b></query>"
        );
    }

    #[test]
    fn escaping_appends() {
        let mut out = b"x".to_vec();
        escape_text("a<b'", &mut out);
        escape_attribute("a<b'\"", &mut out);
        assert_eq!(out, b"xa&lt;b'a&lt;b&apos;\"");
    }
}
