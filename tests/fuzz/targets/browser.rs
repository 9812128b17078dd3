//! The headers by which a web page, or a client without rights, may try to pass for another: `Host`, `Origin`, fetch
//! metadata, `Authorization`. Whatever they contain, only names of this host and its own pages are let through.

#![no_main]

use muster_access::browser::{Foreign, Names, Provenance, check_host, check_origin, is_of_own_page};
use muster_access::{Authorization, parse_authorization, sessions};

const SITES: [Option<&[u8]>; 4] = [None, Some(b"same-origin"), Some(b"same-site"), Some(b"cross-site")];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [kind, bytes @ ..] = bytes else { return };
    let mut fields = bytes.splitn(4, |byte| *byte == b'\n');
    let mut field = || fields.next().unwrap_or_default();
    let (host, origin, content_type, login) = (field(), field(), field(), field());
    let names = Names {
        own: "shop".to_owned(),
        hosts: vec!["shop.example.org".to_owned(), "*.cluster.local".to_owned()],
        origins: vec!["https://desk.example.org".to_owned()],
    };
    let hosts = [host];
    let request = Provenance {
        method: if kind & 1 == 0 { "GET" } else { "POST" },
        path: ["/", "/v1/programs", "/RPC2", "/ui/app.js"][usize::from(kind >> 1 & 3)],
        hosts: &hosts,
        origin: (!origin.is_empty()).then_some(origin),
        site: SITES[usize::from(kind >> 3 & 3)],
        has_body: kind & 32 != 0,
        content_type: (!content_type.is_empty()).then_some(content_type),
        ..Provenance::default()
    };
    if check_host(&request, &names).is_ok() {
        let host = str::from_utf8(host).expect("a name of this host is text").to_ascii_lowercase();
        let is_number = |text: &str| text.parse::<std::net::IpAddr>().is_ok();
        let bare = host.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(inside, _)| inside);
        let name = bare.unwrap_or_else(|| host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name));
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_known = ["localhost", "shop", "shop.example.org"].contains(&name);
        assert!(is_known || is_number(name) || name.ends_with(".localhost") || name.ends_with(".cluster.local"), "{host:?}");
    }
    let checked = check_origin(&request, "https", &names);
    if checked.is_ok() && request.method == "POST" && !origin.is_empty() {
        let origin = origin.to_ascii_lowercase();
        let own = [b"https://", host.to_ascii_lowercase().as_slice()].concat();
        assert!(origin == own || origin == b"https://desk.example.org");
    }
    if request.site == SITES[3] && request.method == "POST" && !origin.eq_ignore_ascii_case(b"https://desk.example.org") {
        assert!(matches!(checked, Err(Foreign::Origin)));
    }
    if is_of_own_page(&request, "https") && request.method == "POST" {
        assert!(request.site != SITES[2] && request.site != SITES[3]);
        assert!(!origin.is_empty() || request.site == SITES[1]);
    }
    // The last field is a cookie as well. An id is the one value of its name, whatever is around it.
    if let Some(host) = str::from_utf8(host).ok().filter(|host| !host.contains(';'))
        && let Some(id) = sessions::id_in([login].into_iter(), host, kind & 64 != 0)
    {
        assert!(!id.contains(';'));
        let twice = [login, b"; ", login].concat();
        assert!(sessions::id_in([twice.as_slice()].into_iter(), host, kind & 64 != 0).is_none());
    }
    match parse_authorization(login) {
        Some(Authorization::Bearer(token)) => assert!(!token.is_empty()),
        Some(Authorization::Basic { username, .. }) => assert!(!username.contains(':')),
        None => {}
    }
});
