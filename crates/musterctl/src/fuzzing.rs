//! Entry points for the fuzz targets in `tests/fuzz`. Compiled only for them (`cfg(fuzzing)`).

/// A response from the socket, to musterctl and to supervisorctl.
pub fn answer(bytes: &[u8]) {
    crate::client::read_foreign(bytes);
    crate::supervisorctl::read_foreign(bytes);
}
