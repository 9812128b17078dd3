//! Doors for the fuzz targets in `tests/fuzz`. Compiled for them only (`cfg(fuzzing)`).

/// What answers on the socket.
pub fn answer(bytes: &[u8]) {
    crate::client::read_foreign(bytes);
}
