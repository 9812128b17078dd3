//! Pages as files of a directory.

use std::io;
use std::path::Path;

use crate::Page;

/// Writes each page to a file of this directory, which is created. An error names the file.
pub fn write_all(directory: &Path, pages: &[Page]) -> io::Result<()> {
    let named = |path: &Path, error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    std::fs::create_dir_all(directory).map_err(|error| named(directory, error))?;
    for page in pages {
        let path = directory.join(page.file_name());
        std::fs::write(&path, &page.text).map_err(|error| named(&path, error))?;
    }
    Ok(())
}
