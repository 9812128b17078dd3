//! Entries are unique, and templates match whole paths.

use super::*;

#[test]
fn operations_and_routes_are_unique() {
    for (place, endpoint) in ENDPOINTS.iter().enumerate() {
        for other in &ENDPOINTS[..place] {
            assert_ne!(endpoint.operation, other.operation);
            assert!(endpoint.path != other.path || endpoint.method != other.method, "{}", endpoint.path);
        }
    }
}

#[test]
fn templates_match_whole_paths_only() {
    let start = Endpoint::named("startPrograms");
    assert_eq!(start.path_parameter(), Some("select"));
    for (path, captured) in [
        ("/v1/programs/web/start", Some("web")),
        ("/v1/programs/start/start", Some("start")),
        ("/v1/programs//start", None),
        ("/v1/programs/start", None),
        ("/v1/programs/a/b/start", None),
        ("/v1/programs/web/start/", None),
        ("/v1/programs/web", None),
    ] {
        assert_eq!(start.captures(path), captured, "{path}");
    }
    assert_eq!(Endpoint::named("getInfo").captures("/v1/info"), Some(""));
    assert_eq!(Endpoint::named("getInfo").captures("/v1/infos"), None);
}
