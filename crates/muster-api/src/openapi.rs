//! The OpenAPI 3.1 document, assembled from the registry of routes and the schemas.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::compatible::COMPATIBLE;
use crate::endpoint::{ENDPOINTS, Endpoint, Method};
use crate::log::{BYTES, JSON_LINES};
use crate::problem::COMMON_PROBLEMS;
use crate::problem::ProblemKind;
use crate::right::Right;
use crate::schema::reference;
use crate::version::API_VERSION;
use crate::{JSON, PROBLEM_JSON, example, schema};

/// The pseudo-schema of an answer without a body. Like `Bytes`, it has no entry among the schemas.
const NOTHING: &str = "Nothing";
const RAW: &str = "Bytes";

const BEARER: &str = "bearer";
const BASIC: &str = "basic";

/// The description of the whole API, served as `GET /openapi.json`.
pub fn openapi() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in ENDPOINTS {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.name().to_ascii_lowercase()] = operation(endpoint);
    }
    for (_, endpoint) in COMPATIBLE {
        paths.insert(endpoint.path.to_owned(), json!({"get": compatible(endpoint)}));
        if endpoint.method == Method::Post {
            paths.insert(endpoint.path.to_owned(), json!({"post": compatible(endpoint)}));
        }
    }
    let mut schemas = Map::new();
    schemas.extend(schema::all().into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "musterd",
            "version": API_VERSION,
            "description": "Look at and control a musterd over HTTP/1.1, on its Unix socket and its other listeners. \
                            Every GET is also a HEAD. Errors are problem details (RFC 9457).",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {
            BEARER: {"type": "http", "scheme": "bearer", "description": "a token of [http.user.NAME]"},
            BASIC: {"type": "http", "scheme": "basic", "description": "a user of [http.user.NAME] and its password"},
        }},
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut operation = json!({
        "operationId": endpoint.operation,
        "summary": endpoint.summary,
        "parameters": parameters(endpoint),
        "security": security(endpoint.needs),
        "responses": responses(endpoint),
    });
    if let Some((schema, required)) = endpoint.body {
        let content = if schema == RAW { json!({BYTES: {}}) } else { json!({JSON: content(schema)}) };
        operation["requestBody"] = json!({"required": required, "content": content});
    }
    operation
}

/// A login with the least role. On a Unix socket the kernel says whose process a client is, which is no login; and a
/// listener may give a role to anyone.
fn security(needs: Right) -> Value {
    let role = [needs.role()];
    json!([{}, {BEARER: role}, {BASIC: role}])
}

/// An operation of an interface of supervisord, which has its own pages of errors.
fn compatible(endpoint: &Endpoint) -> Value {
    let mut operation = json!({
        "operationId": endpoint.operation,
        "summary": endpoint.summary,
        "parameters": parameters(endpoint),
        "security": security(endpoint.needs),
        "responses": {
            "200": {"description": "done", "content": {endpoint.media_type: content("Text")}},
            "default": {"description": "an error as supervisord words it", "content": {"text/html": content("Text")}},
        },
    });
    if let Some((schema, required)) = endpoint.body {
        operation["requestBody"] = json!({"required": required, "content": {endpoint.media_type: content(schema)}});
    }
    operation
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let of_path = endpoint.path_parameter().map(|name| {
        let schema = match name {
            "name" => "Name",
            "part" => "DebugPart",
            "file" => "Text",
            _ => "Selector",
        };
        json!({"name": name, "in": "path", "required": true, "schema": reference(schema)})
    });
    let of_query = endpoint.query.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": parameter.description,
            "schema": reference(parameter.schema),
        })
    });
    of_path.into_iter().chain(of_query).collect()
}

fn responses(endpoint: &Endpoint) -> Value {
    let mut by_status: BTreeMap<u16, (Vec<&str>, Map<String, Value>)> = BTreeMap::new();
    for &(status, schema) in endpoint.answers {
        let (titles, contents) = by_status.entry(status).or_default();
        titles.push(answer_title(status));
        if schema != NOTHING {
            contents.insert(endpoint.media_type.to_owned(), content(schema));
        }
        if endpoint.media_type == JSON_LINES {
            contents.insert(BYTES.to_owned(), json!({}));
        }
    }
    for kind in endpoint.problems.iter().chain(COMMON_PROBLEMS) {
        let (titles, contents) = by_status.entry(kind.status()).or_default();
        titles.push(kind.title());
        contents.insert(PROBLEM_JSON.to_owned(), json!({"schema": reference("Problem")}));
    }
    let mut responses = Map::new();
    responses.extend(by_status.into_iter().map(|(status, (titles, contents))| response(status, &titles, contents)));
    Value::Object(responses)
}

fn answer_title(status: u16) -> &'static str {
    match status {
        101 => "switched to `muster-exec/1`",
        202 => "accepted",
        204 => "done, without a body",
        304 => "not modified",
        503 => "not ready",
        _ => "done",
    }
}

fn response(status: u16, titles: &[&str], contents: Map<String, Value>) -> (String, Value) {
    let mut response = json!({"description": titles.join(", or ")});
    if !contents.is_empty() {
        response["content"] = Value::Object(contents);
    }
    if status == ProblemKind::MethodNotAllowed.status() {
        let allow = json!({"description": "the methods of this path", "schema": {"type": "string"}});
        response["headers"] = json!({"Allow": allow});
    }
    (status.to_string(), response)
}

fn content(schema: &str) -> Value {
    let mut content = json!({"schema": reference(schema)});
    if let Some(example) = example::of(schema) {
        content["example"] = example;
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Collects every string under a `$ref` key, at any depth.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = openapi();
        let mut described = 0;
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let all = ENDPOINTS.iter().chain(COMPATIBLE.iter().map(|(_, endpoint)| endpoint));
                let endpoint = { all }.find(|endpoint| endpoint.operation == operation["operationId"]);
                let endpoint = endpoint.unwrap_or_else(|| panic!("{method} {path} is no route"));
                assert_eq!((endpoint.path, endpoint.method.name()), (path.as_str(), method.to_uppercase().as_str()));
                described += 1;
            }
        }
        assert_eq!(described, ENDPOINTS.len() + COMPATIBLE.len());
    }

    #[test]
    fn every_operation_says_which_role_it_needs_and_how_it_is_refused() {
        let document = openapi();
        for endpoint in ENDPOINTS {
            let operation = &document["paths"][endpoint.path][endpoint.method.name().to_lowercase()];
            assert_eq!(operation["security"][1]["bearer"][0], endpoint.needs.role(), "{}", endpoint.operation);
            for status in ["401", "403", "421", "429"] {
                assert!(operation["responses"][status].is_object(), "{} lacks {status}", endpoint.operation);
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document = openapi();
        let mut used = Vec::new();
        references(&document, &mut used);
        for reference in &used {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(used.contains(&format!("#/components/schemas/{name}")), "nothing uses {name}");
        }
    }

    #[test]
    fn a_status_with_two_meanings_shows_both() {
        let document = openapi();
        let readiness = &document["paths"]["/readyz"]["get"]["responses"]["503"];
        assert_eq!(readiness["description"], "not ready, or busy");
        let kinds: Vec<&String> = readiness["content"].as_object().unwrap().keys().collect();
        assert_eq!(kinds, [JSON, PROBLEM_JSON]);
    }

    #[test]
    fn parameters_and_bodies_are_described() {
        let document = openapi();
        let wait = &document["paths"]["/v1/programs/{select}/wait"]["get"];
        let parameters: Vec<(&str, bool)> = wait["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|parameter| (parameter["name"].as_str().unwrap(), parameter["required"].as_bool().unwrap()))
            .collect();
        assert_eq!(parameters, [("select", true), ("for", true), ("timeout", false)]);
        let signal = &document["paths"]["/v1/programs/{select}/signal"]["post"]["requestBody"];
        assert_eq!((&signal["required"], &signal["content"][JSON]["example"]["signal"]), (&json!(true), &json!("HUP")));
    }
}
