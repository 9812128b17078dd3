//! Entry points for the fuzz targets in `tests/fuzz`. Compiled only for them (`cfg(fuzzing)`).

/// A response from the socket, to musterctl and to supervisorctl; the same bytes from a far end of `--via`, from a browser, and as a
/// command.
pub fn answer(bytes: &[u8]) {
    crate::client::read_foreign(bytes);
    crate::supervisorctl::read_foreign(bytes);
    crate::via::read_foreign(bytes);
    crate::web::read_foreign(bytes);
}
