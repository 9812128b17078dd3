//! The reference page `docs/reference/api.md` documents every route, parameter, field and error, and no others.

use std::collections::BTreeSet;

use muster_api::{ENDPOINTS, Endpoint, ProblemKind, Route, openapi};

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/api.md");
    std::fs::read_to_string(path).expect("the reference page is there")
}

/// The third-level sections under this second-level heading: title and text.
fn sections(page: &str, chapter: &str) -> Vec<(String, String)> {
    let chapter = page.split("\n## ").find_map(|part| part.strip_prefix(chapter)).expect("the section exists");
    let parts = chapter.split("\n### ").skip(1);
    parts.filter_map(|part| part.split_once('\n')).map(|(title, text)| (title.to_owned(), text.to_owned())).collect()
}

/// The code in the first column of the tables of a text.
fn first_column(text: &str) -> BTreeSet<String> {
    let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    cells.map(|(cell, _)| cell.to_owned()).collect()
}

fn set<'a>(words: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    words.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_route_has_a_section_and_every_section_a_route() {
    let titles = sections(&page(), "Routes").into_iter().map(|(title, _)| title).collect::<Vec<_>>();
    let routes = ENDPOINTS.iter().map(|endpoint| format!("{} {}", endpoint.method.name(), endpoint.path));
    assert_eq!(titles, routes.collect::<Vec<_>>());
}

#[test]
fn sections_name_every_parameter_status_and_body() {
    for ((title, text), endpoint) in sections(&page(), "Routes").iter().zip(ENDPOINTS) {
        assert_eq!(first_column(text), set(endpoint.query.iter().map(|parameter| parameter.name)), "{title}");
        for (status, schema) in endpoint.answers {
            assert!(text.contains(&status.to_string()), "{title} does not mention {status}");
            let linked = schema.trim_end_matches('s').to_lowercase();
            assert!(
                ["OpenApi", "Nothing", "Text"].contains(schema) || text.contains(&format!("(#{linked}")),
                "{title} has no link to {schema}"
            );
        }
        if let Some((body, _)) = endpoint.body.filter(|(body, _)| *body != "Bytes") {
            assert!(text.contains(&format!("(#{})", body.to_lowercase())), "{title} has no link to {body}");
        }
    }
}

#[test]
fn the_example_of_a_route_asks_for_that_route() {
    for ((title, text), endpoint) in sections(&page(), "Routes").iter().zip(ENDPOINTS) {
        let (_, example) = text.split_once("```sh\ncurl ").unwrap_or_else(|| panic!("{title} has no example"));
        let (_, target) = example.split_once("http://localhost").expect("the example has a URL");
        let target = target.split([' ', '\'', '\n']).next().unwrap_or_default();
        let method = example.split_once("-X ").and_then(|(_, rest)| rest.split(' ').next()).unwrap_or("GET");
        let asked: Endpoint = *Route::parse(method, target).expect("the example is understood").endpoint();
        assert_eq!(asked.operation, endpoint.operation, "{title}");
    }
}

#[test]
fn bodies_list_the_fields_of_their_schemas() {
    let document = openapi();
    let schemas = document["components"]["schemas"].as_object().expect("schemas are an object");
    let fields = |name: &str| {
        let schema = if name == "ProgramDetail" { &schemas[name]["allOf"][1] } else { &schemas[name] };
        schema["properties"].as_object().map(|properties| properties.keys().cloned().collect::<BTreeSet<_>>())
    };
    let described: Vec<(String, String)> = sections(&page(), "Bodies");
    for (name, text) in &described {
        let (text, _) = text.split_once("\n## ").unwrap_or((text, ""));
        assert_eq!(Some(first_column(text)), fields(name), "{name}");
    }
    let titles: BTreeSet<String> = described.into_iter().map(|(title, _)| title).collect();
    let objects = schemas.keys().filter(|name| fields(name).is_some()).cloned().collect::<BTreeSet<_>>();
    assert_eq!(titles, objects);
}

#[test]
fn events_list_the_kinds_and_the_fields_of_each() {
    let document = openapi();
    let kinds = document["components"]["schemas"]["Event"]["anyOf"].as_array().expect("one schema for each kind");
    let described = sections(&page(), "Events");
    let common = set(["id", "at", "kind"]);
    let page = page();
    let (_, chapter) = page.split_once("\n## Events\n").expect("the section exists");
    assert_eq!(first_column(chapter.split("\n### ").next().unwrap_or_default()), common);
    for (schema, (title, text)) in kinds.iter().zip(&described) {
        assert_eq!(schema["properties"]["kind"]["enum"][0].as_str(), Some(title.as_str()));
        let fields = schema["properties"].as_object().expect("kinds are objects").keys().cloned();
        let (text, _) = text.split_once("\n## ").unwrap_or((text, ""));
        assert_eq!(first_column(text), fields.filter(|field| !common.contains(field)).collect(), "{title}");
    }
    assert_eq!(kinds.len(), described.len());
}

#[test]
fn every_error_is_listed_with_its_status() {
    let page = page();
    let (_, errors) = page.split_once("\n## Errors\n").expect("the section exists");
    assert_eq!(first_column(errors), set(ProblemKind::ALL.iter().map(|kind| kind.uri())));
    for kind in ProblemKind::ALL {
        let row = format!("| `{}` | {} |", kind.uri(), kind.status());
        assert!(errors.contains(&row), "no row {row}");
    }
}
