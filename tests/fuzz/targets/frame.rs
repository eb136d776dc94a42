//! Any split of any bytes gives the same frames, and no more is buffered than the limits allow. The first byte
//! of the input seeds the split.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stonechat::xml::{Frame, FrameLimits, Framer, XmlError, parse_header};

const LIMITS: FrameLimits = FrameLimits {
    element_bytes: 200,
    element_count: 16,
    depth: 8,
    attributes: 8,
    namespaces: 4,
    header_bytes: 100,
};

fn frames<'a>(
    chunks: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<String>, (Vec<String>, XmlError)> {
    let mut framer = Framer::new();
    let mut frames = Vec::new();
    for chunk in chunks {
        let mut rest = chunk;
        loop {
            match framer.next(rest, &LIMITS) {
                Err(error) => return Err((frames, error)),
                Ok((_, None)) => break,
                Ok((taken, Some(frame))) => {
                    rest = &rest[taken..];
                    match frame {
                        Frame::Header(text) => {
                            assert!(text.len() <= LIMITS.header_bytes);
                            let _ = parse_header(text);
                            frames.push(text.to_owned());
                        }
                        Frame::Element(text) => {
                            assert!(text.len() <= LIMITS.element_bytes);
                            frames.push(text.to_owned());
                        }
                        Frame::End(name) => frames.push(format!("end {name}")),
                        Frame::Keepalive => {}
                    }
                }
            }
        }
        assert!(framer.buffered() <= LIMITS.element_bytes);
    }
    Ok(frames)
}

fuzz_target!(|data: &[u8]| {
    let Some((&seed, bytes)) = data.split_first() else {
        return;
    };
    let whole = frames(std::iter::once(bytes));
    assert_eq!(frames(bytes.chunks(1)), whole);
    assert_eq!(frames(bytes.chunks(usize::from(seed) % 16 + 2)), whole);
});
