//! Squeezes and compresses the files of `page/` and lists them in `files.rs`, with the same bytes for the same files: no time, no name of this
//! machine, and an order of their names.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

#[path = "src/squeeze.rs"]
mod squeeze;

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};

/// The types of files by the ends of their names.
const TYPES: [(&str, &str); 4] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("svg", "image/svg+xml"),
];

/// The operating system in the header of a gzip file: unknown.
const UNKNOWN: u8 = 255;

/// The number of bytes of the SHA-256 in an entity tag.
const TAG: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let page = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("page");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=page");
    let mut paths = fs::read_dir(page)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.sort();
    let mut list = "pub(crate) static FILES: &[Asset] = &[\n".to_owned();
    for path in paths {
        list.push_str(&entry(&path, &out)?);
    }
    list.push_str("];\n");
    fs::write(out.join("files.rs"), list)?;
    Ok(())
}

/// Compresses a file, and returns its entry in the list.
fn entry(path: &Path, out: &Path) -> Result<String, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", path.display());
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_plain =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte));
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let Some((_, media_type)) = TYPES.iter().find(|(of, _)| *of == ending).filter(|_| is_plain && path.is_file())
    else {
        return Err(format!("page/{name}: not a file of a known type with a name of small letters").into());
    };
    let mut bytes = fs::read(path)?;
    if matches!(ending, "js" | "css") {
        let squeezed =
            squeeze::squeezed(std::str::from_utf8(&bytes)?).map_err(|error| format!("page/{name}: {error}"))?;
        bytes = squeezed.into_bytes();
    }
    let mut encoder = GzBuilder::new().mtime(0).operating_system(UNKNOWN).write(Vec::new(), Compression::best());
    encoder.write_all(&bytes)?;
    fs::write(out.join(name).with_extension(format!("{ending}.gz")), encoder.finish()?)?;
    let mut tag = String::new();
    for byte in &Sha256::digest(&bytes)[..TAG] {
        write!(tag, "{byte:02x}")?;
    }
    Ok(format!(
        "    Asset {{ name: {name:?}, media_type: {media_type:?}, tag: {tag:?}, length: {}, gzip: include_bytes!(concat!(env!(\
         \"OUT_DIR\"), \"/{name}.gz\")) }},\n",
        bytes.len()
    ))
}
