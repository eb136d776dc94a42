//! Finds the end of a run of ordinary bytes, many at a time. Refuses to know which bytes are not ordinary.

/// How many bytes stand before the first that `is_special`, which must be a few comparisons: compilers make one
/// instruction of sixteen of each, and a table would keep them from it.
#[inline]
pub(super) fn run_length(bytes: &[u8], is_special: impl Fn(u8) -> bool) -> usize {
    let (chunks, _) = bytes.as_chunks::<CHUNK_BYTES>();
    let is_ordinary =
        |chunk: &&[u8; CHUNK_BYTES]| !chunk.iter().fold(false, |any, &b| any | is_special(b));
    let start = chunks.iter().take_while(is_ordinary).count() * CHUNK_BYTES;
    let rest = &bytes[start..];
    let end = rest.iter().position(|&byte| is_special(byte));
    start + end.unwrap_or(rest.len())
}

/// What the smallest vector registers hold.
const CHUNK_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for length in 0..70 {
            let mut bytes = vec![b'x'; length];
            assert_eq!(run_length(&bytes, |byte| byte == b'<'), length);
            for at in (0..length).rev() {
                bytes[at] = b'<';
                assert_eq!(run_length(&bytes, |byte| byte == b'<'), at);
            }
        }
    }
}
