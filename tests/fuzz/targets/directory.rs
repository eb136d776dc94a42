//! Any bytes as what a directory answers, in every form that is read of it: no panic, and what is read holds together.
//! The first byte chooses the form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stonechat::directory::answers;

fuzz_target!(|data: &[u8]| {
    if let Some((form, bytes)) = data.split_first() {
        assert_eq!(answers::read(*form, bytes), Ok(()));
    }
});
