//! How a log file is rotated: the keys of `logs`, and of `[musterd]` with `logfile_` in front.

use muster_spec::Rotation;

use crate::field::Field;

pub(crate) fn max_size(rotation: &mut Rotation, field: &Field<'_>) {
    if let Some(size) = field.size() {
        rotation.max_size = size;
    }
}

pub(crate) fn max_files(rotation: &mut Rotation, field: &Field<'_>) {
    if let Some(count) = field.integer(0..=1000).and_then(|count| u32::try_from(count).ok()) {
        rotation.max_files = count;
    }
}

pub(crate) fn compress(rotation: &mut Rotation, field: &Field<'_>) {
    if let Some(flag) = field.flag() {
        rotation.compress = flag;
    }
}
