//! The daemon's web page: HTML, CSS and ES modules of our own, compressed at build time.
//!
//! Every file of `page/` is served below `/ui/` under its own name, but `index.html` at `/` and `/ui/`. To add one, add it there.
//! Nothing here knows of requests or programs: the daemon serves the files and replaces [`STATES`] for browsers without
//! JavaScript.

#![forbid(unsafe_code)]

#[cfg(test)]
mod squeeze;

use std::io::Read;

use flate2::read::GzDecoder;

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The name of the page itself.
pub const INDEX: &str = "index.html";

/// The place in the page, inside `<noscript>`, where the daemon puts the table of states.
pub const STATES: &str = "<!--states-->";

/// A file of the page.
#[derive(Debug)]
pub struct Asset {
    /// Its name, without a directory.
    pub name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// The beginning of the SHA-256 of its bytes, in hexadecimal.
    pub tag: &'static str,
    /// Its size in bytes.
    pub length: usize,
    /// Its bytes, compressed.
    pub gzip: &'static [u8],
}

impl Asset {
    /// Its bytes.
    pub fn inflate(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length);
        let read = GzDecoder::new(self.gzip).read_to_end(&mut bytes);
        read.expect("the build script has compressed it");
        bytes
    }
}

/// All files.
pub fn assets() -> &'static [Asset] {
    FILES
}

/// The file of this name.
pub fn asset(name: &str) -> Option<&'static Asset> {
    FILES.iter().find(|asset| asset.name == name)
}

/// The page itself.
pub fn index() -> &'static Asset {
    asset(INDEX).expect("a test checks that it is there")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// The most bytes of all files together, compressed.
    const MOST: usize = 60 * 1024;

    #[test]
    fn every_file_is_here_as_it_is_in_the_directory() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let names: Vec<&str> = FILES.iter().map(|asset| asset.name).collect();
        assert!(names.is_sorted());
        assert_eq!(std::fs::read_dir(&page).unwrap().count(), names.len());
        for asset in FILES {
            let source = std::fs::read_to_string(page.join(asset.name)).unwrap();
            let is_squeezed = asset.name.ends_with(".js") || asset.name.ends_with(".css");
            let expected = if is_squeezed { squeeze::squeezed(&source).unwrap() } else { source };
            assert_eq!(String::from_utf8(asset.inflate()).unwrap(), expected, "{}", asset.name);
            assert_eq!((asset.length, asset.tag.len()), (asset.inflate().len(), 32), "{}", asset.name);
            // Neither a time nor a name nor an operating system, so that every build has the same bytes.
            assert_eq!(asset.gzip[..4], [0x1f, 0x8b, 8, 0], "{}", asset.name);
            assert_eq!(asset.gzip[4..8], [0; 4], "{}", asset.name);
            assert_eq!(asset.gzip[9], 255, "{}", asset.name);
        }
    }

    #[test]
    fn only_comments_and_indentation_are_squeezed_out() {
        let text = "// a\n/** b\n * c\n */\nif (x) {\n  y(`/* ${z}`); // d\n}\n\n/* e */\n";
        assert_eq!(squeeze::squeezed(text).unwrap(), "if (x) {\ny(`/* ${z}`); // d\n}\n");
        assert!(squeeze::squeezed("a(`b\nc`)").is_err() && squeeze::squeezed("/* a */ b()\n").is_err());
    }

    #[test]
    fn the_page_is_small() {
        let size: usize = FILES.iter().map(|asset| asset.gzip.len()).sum();
        println!("{size} bytes in {} files", FILES.len());
        assert!(size <= MOST, "{size} bytes");
    }

    #[test]
    fn the_page_has_a_place_for_states_and_nothing_that_its_policy_forbids() {
        let page = String::from_utf8(index().inflate()).unwrap();
        let (before, after) = page.split_once(STATES).expect("it has the place");
        assert!(!after.contains(STATES), "once only");
        assert!(before.rfind("<noscript>") > before.rfind("</noscript>"), "inside <noscript>");
        for asset in FILES {
            let text = String::from_utf8(asset.inflate()).unwrap();
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage"] {
                assert!(!text.contains(word), "{} has {word}", asset.name);
            }
            let is_external = |place: &str| ["\"https:", "'https:", "\"//", "'//", "(https:", "(//"].contains(&place);
            for start in ["https:", "//"] {
                for (at, _) in text.match_indices(start) {
                    let place = &text[text.floor_char_boundary(at.saturating_sub(1))..at + start.len()];
                    assert!(!is_external(place), "{} has {place}", asset.name);
                }
            }
        }
        for word in [" style=", "<style", " onclick=", "javascript:"] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
