//! Addresses: of probes, of sources, of listeners. Every error can be printed, and an address that was read is read again
//! from what is printed of it.

#![no_main]

mod scratch;

use std::fmt::{Debug, Display};

use muster_config::{Source, load};
use muster_spec::{Authority, BadAddress, HostPort, SourceAddress, Url};

fn again<T: Debug + Display + PartialEq>(text: &str, parse: fn(&str) -> Result<T, BadAddress>) -> Option<T> {
    match parse(text) {
        Ok(found) => {
            let printed = found.to_string();
            assert!(!printed.contains(char::is_control), "{printed:?}");
            assert_eq!(parse(&printed).as_ref(), Ok(&found), "{text:?} was printed as {printed:?}");
            Some(found)
        }
        Err(bad) => {
            assert!(!bad.message.is_empty());
            None
        }
    }
}

/// Loads a listener at this address, which is in a file as a person could write it.
fn listen(text: &str) {
    let quoted: String = text.chars().filter(|c| !matches!(c, '"' | '\\') && !c.is_control()).collect();
    let file = format!("[http]\nlisten = [{{ address = \"{quoted}\", insecure = true }}]\n[program.web]\ncommand = \"x\"\n");
    let paths = [scratch::file("muster.toml", file.as_bytes())];
    let loaded = load(&Source::unguarded(&paths, &scratch::variable, "host"));
    let listeners = loaded.spec.iter().flat_map(|spec| &spec.control.listeners);
    for listener in listeners {
        // No user can log in there, so only a Unix socket may be left.
        assert_eq!(listener.address.place(), None, "{text:?}");
    }
    assert!(loaded.diagnostics.iter().all(|found| !found.text().is_empty()));
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let url = again(text, Url::parse);
    assert!(url.is_none_or(|url| url.port > 0 && url.target.starts_with('/')));
    let place = again(text, HostPort::parse);
    assert!(place.is_none_or(|place| place.port > 0 && !place.host.is_empty()));
    again(text, Authority::parse);
    again(text, SourceAddress::parse);
    listen(text);
});
