//! Documents of XML-RPC. Whatever is read survives being written and read again, and neither reader panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_supervisord::xmlrpc::{Value, parse_request, parse_response, write_request, write_response};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(call) = parse_request(bytes) {
        let written = write_request(&call.method, &call.params);
        let again = parse_request(&written).expect("what is written can be read");
        assert_eq!(again.params.len(), call.params.len());
        // Texts may change once: a terminal's sequences are left out.
        let settled = write_request(&again.method, &again.params);
        assert_eq!(parse_request(&settled).map(|call| write_request(&call.method, &call.params)), Ok(settled));
    }
    if let Ok(Ok(value)) = parse_response(bytes) {
        assert!(parse_response(&write_response(&Ok(value))).is_ok_and(|outcome| outcome.is_ok()));
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    let Ok(Ok(Value::Str(_))) = parse_response(&write_response(&Ok(Value::Str(text)))) else {
        panic!("a text becomes a text");
    };
});
