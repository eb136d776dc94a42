//! What the process makes on disk belongs to its user alone: rows hold keys and messages, and a store, a copy of
//! it or a record may end up in a directory that others can enter. One of the few modules with `unsafe`, because
//! the standard library has no call for it.

/// Takes group and others out of the mode of every file and directory that this process makes from now on,
/// whoever of the crates that we stand on makes it.
#[allow(unsafe_code)]
pub fn keep_files_private() {
    // SAFETY: the call takes a number and cannot fail; it is made before there is a second thread.
    unsafe { libc::umask(0o077) };
}
