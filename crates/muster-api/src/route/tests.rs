//! Every route, written and read back.

use super::*;
use crate::log::{LogFormat, LogStream, Since};

/// One route for every entry of the registry, with all fields set.
fn examples() -> Vec<Route> {
    let select = "web,db:*".to_owned();
    let second = Duration::from_secs(1);
    let rolling = |verb| NonZeroU32::new(2).filter(|_| verb == Verb::Restart);
    let action = |verb| Route::Action { verb, select: select.clone(), wait: second, rolling: rolling(verb) };
    let mut routes = vec![
        Route::Info,
        Route::Programs { select: Some(select.clone()), fields: Some(ProgramFields::ALL) },
        Route::Program { name: "web:0".to_owned() },
        Route::Wait { select: select.clone(), until: WaitFor::Exited, timeout: second },
        Route::ProgramProcesses { select: select.clone() },
        Route::Logs { name: "web:0".to_owned(), query: log_query(LogStream::Stderr) },
        Route::ClearLogs { name: "web:0".to_owned() },
        Route::Stdin { name: "web:0".to_owned() },
        Route::Exec { name: "web:0".to_owned() },
        Route::Terminal { name: "web:0".to_owned() },
        Route::Scale { name: "web".to_owned(), wait: second },
        Route::DaemonLog { query: log_query(LogStream::Both) },
        Route::Processes,
        Route::Why { name: "web:0".to_owned() },
        Route::Events,
        Route::Config,
        Route::CheckConfig,
        Route::Reload { dry_run: true, reset_scale: true },
        Route::Schedule { times: Some(5) },
        Route::Sources,
        Route::Debug { part: DebugPart::Loop },
        Route::Trace { span: second },
        Route::Shutdown,
        Route::Healthz,
        Route::Livez,
        Route::Readyz,
        Route::Metrics,
        Route::OpenApi,
        Route::Session,
        Route::LogIn,
        Route::LogOut,
        Route::Stats { select: Some(select.clone()) },
        Route::Runs { select: Some(select.clone()), since: Some(Since::Ago(second)) },
        Route::Simulate,
        Route::Page { is_beside: false },
        Route::Page { is_beside: true },
        Route::PageFile { file: "app.js".to_owned() },
    ];
    routes.extend(Verb::ALL.map(action));
    routes.extend(SourceVerb::ALL.map(|verb| {
        let span = (verb == SourceVerb::Hold).then_some(second);
        Route::Source { verb, name: "fleet".to_owned(), span }
    }));
    routes
}

fn log_query(stream: LogStream) -> LogQuery {
    let since = Some(Since::Ago(Duration::from_secs(300)));
    LogQuery { stream, lines: Some(7), since, follow: true, format: LogFormat::Json }
}

fn parse_back(route: &Route) -> Result<Route, RouteError> {
    Route::parse(route.method().name(), &route.path())
}

#[test]
fn every_entry_of_the_registry_is_a_route_and_every_route_an_entry() {
    let mut of_routes: Vec<&str> = examples().iter().map(|route| route.endpoint().operation).collect();
    let mut of_registry: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.operation).collect();
    of_routes.sort_unstable();
    of_registry.sort_unstable();
    assert_eq!(of_routes, of_registry);
}

#[test]
fn every_route_is_read_back_from_its_path() {
    for route in examples() {
        assert_eq!(parse_back(&route), Ok(route));
    }
}

#[test]
fn paths_are_what_the_reference_says() {
    let web = || "web".to_owned();
    for (route, path) in [
        (Route::Programs { select: None, fields: None }, "/v1/programs"),
        (
            Route::Programs { select: None, fields: ProgramFields::parse("state,name") },
            "/v1/programs?fields=name,state",
        ),
        (Route::Programs { select: Some("w?b".to_owned()), fields: None }, "/v1/programs?select=w%3Fb"),
        (Route::Program { name: "web:0".to_owned() }, "/v1/programs/web:0"),
        (
            Route::Action { verb: Verb::Start, select: web(), wait: Duration::ZERO, rolling: None },
            "/v1/programs/web/start",
        ),
        (
            Route::Action { verb: Verb::Stop, select: web(), wait: Duration::from_millis(1500), rolling: None },
            "/v1/programs/web/stop?wait=1.5",
        ),
        (
            Route::Action { verb: Verb::Restart, select: web(), wait: Duration::ZERO, rolling: NonZeroU32::new(2) },
            "/v1/programs/web/restart?rolling=2",
        ),
        (
            Route::Wait { select: web(), until: WaitFor::Running, timeout: Duration::from_secs(30) },
            "/v1/programs/web/wait?for=running&timeout=30",
        ),
        (Route::Logs { name: web(), query: LogQuery::default() }, "/v1/programs/web/logs"),
        (
            Route::DaemonLog { query: log_query(LogStream::Both) },
            "/v1/logs?lines=7&since=300000ms&follow=true&format=json",
        ),
    ] {
        assert_eq!(route.path(), path);
        assert_eq!(parse_back(&route), Ok(route));
    }
}

#[test]
fn the_instance_without_a_name_has_a_path() {
    let route = Route::Logs { name: String::new(), query: LogQuery::default() };
    assert_eq!(route.path(), "/v1/programs/%3D/logs");
    assert_eq!(Route::Why { name: String::new() }.path(), "/v1/programs/%3D/why");
}

#[test]
fn the_wrong_method_is_told_the_right_ones() {
    for (method, target, allow) in [
        ("POST", "/v1/info", "GET, HEAD"),
        ("TRACE", "/healthz", "GET, HEAD"),
        ("GET", "/v1/programs/web/start", "POST"),
        ("DELETE", "/v1/shutdown?x=%zz", "POST"),
        ("POST", "/v1/programs/web/logs", "GET, HEAD, DELETE"),
        ("get", "/v1/info", "GET, HEAD"),
    ] {
        assert_eq!(Route::parse(method, target), Err(RouteError::MethodNotAllowed { allow }), "{method} {target}");
    }
    assert_eq!(Route::parse("HEAD", "/readyz"), Ok(Route::Readyz));
}

#[test]
fn unknown_paths_are_not_found_whatever_the_method() {
    for target in
        ["", "/ui", "*", "/v1", "/v1/", "/v1/infos", "/v1/info/", "//v1/info", "/v1/programs/", "/v1/programs/a/b/c"]
    {
        assert_eq!(Route::parse("GET", target), Err(RouteError::NotFound), "{target}");
        assert_eq!(Route::parse("BREW", target), Err(RouteError::NotFound), "{target}");
    }
}

#[test]
fn a_path_without_the_version_or_with_another_one_is_told_so() {
    for (target, path) in [
        ("/programs", "/v1/programs"),
        ("/info?x=1", "/v1/info"),
        ("/programs/web/start", "/v1/programs/{select}/start"),
        ("/config/reload", "/v1/config/reload"),
    ] {
        assert_eq!(Route::parse("GET", target), Err(RouteError::Unversioned { path }), "{target}");
    }
    for target in ["/v2", "/v2/programs?x", "/v0/info"] {
        assert_eq!(Route::parse("GET", target), Err(RouteError::NoSuchVersion), "{target}");
    }
    let problem = crate::Problem::from(RouteError::NoSuchVersion);
    assert_eq!((problem.status, problem.supported.as_slice()), (404, ["v1".to_owned()].as_slice()));
    assert_eq!(problem.api.as_deref(), Some(crate::API_VERSION));
}

#[test]
fn a_wrong_parameter_is_named() {
    for (method, target, text) in [
        ("POST", "/v1/programs/web/start?wait=soon", r#""wait" must be a number of seconds: "soon""#),
        ("POST", "/v1/programs/web/start?wiat=5", r#""wiat" is not a parameter of this route: "5""#),
        ("GET", "/v1/programs/w%zz", r#""name" has a broken escape: "w%zz""#),
        ("GET", "/v1/info?verbose", r#""verbose" is not a parameter of this route"#),
        ("POST", "/v1/config/reload?dry_run=yes", r#""dry_run" must be true or false: "yes""#),
        ("GET", "/v1/programs/web/wait", r#""for" is missing"#),
        (
            "GET",
            "/v1/programs/web/wait?for=gone",
            r#""for" must be running, ready, healthy, stopped or exited: "gone""#,
        ),
        ("GET", "/v1/programs/web/logs?lines=all", r#""lines" must be a whole number: "all""#),
        ("GET", "/v1/programs/web/logs?stream=stdin", r#""stream" must be stdout, stderr or both: "stdin""#),
        ("GET", "/v1/logs?stream=stdout", r#""stream" is not a parameter of this route: "stdout""#),
        ("GET", "/v1/logs?follow=1", r#""follow" must be true or false: "1""#),
        (
            "GET",
            "/v1/logs?since=noon",
            r#""since" must be a time such as 2026-11-23T00:34:05Z or a span such as 5m: "noon""#,
        ),
    ] {
        assert_eq!(Route::parse(method, target).unwrap_err().to_string(), text);
    }
}
