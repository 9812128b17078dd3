//! Selects the instances of a request.

use muster_api::{Problem, ProblemKind};
use muster_config::nearest_name;
use muster_core::{Instance, Supervisor};
use muster_spec::Selector;

/// The selected instances, or all.
pub(crate) fn chosen<'a>(supervisor: &'a Supervisor, select: Option<&str>) -> Result<Vec<&'a Instance>, Problem> {
    let Some(selector) = select.map(|text| parse_selector(supervisor, text)).transpose()? else {
        return Ok(supervisor.snapshot().iter().collect());
    };
    let ids = supervisor.select(&selector).map_err(|pattern| no_such_program(supervisor, pattern))?;
    Ok(ids.into_iter().map(|id| supervisor.instance(id)).collect())
}

/// The instance with this name, or with the one behind `=`, which may be empty.
pub(crate) fn one<'a>(supervisor: &'a Supervisor, name: &str) -> Result<&'a Instance, Problem> {
    let exactly = || supervisor.find(name.strip_prefix('=')?);
    supervisor.find(name).or_else(exactly).ok_or_else(|| no_such_instance(supervisor, name))
}

/// Parses a selection, such as `web`, `web:*` or `all`. The exact name of an instance comes first.
pub(crate) fn parse_selector(supervisor: &Supervisor, text: &str) -> Result<Selector, Problem> {
    let is_name = |name: &str| {
        let found = supervisor.find(name);
        found.is_some_and(|instance| instance.name() == name && !instance.is_leaving())
    };
    Selector::parse(text, is_name).map_err(|error| {
        Problem::new(ProblemKind::BadParameter, error.to_string())
            .with_hint("such as web, web:0, web:*, w*, all, or several with commas")
    })
}

/// The name of a program with several instances names none of them.
fn no_such_instance(supervisor: &Supervisor, name: &str) -> Problem {
    let several = supervisor.snapshot().iter().any(|instance| instance.program().name == name);
    if several {
        let problem = Problem::no_such_program(vec![name.to_owned()]);
        return problem.with_hint(format!("it has several instances: {name}:0, {name}:1, …"));
    }
    no_such_program(supervisor, name)
}

/// Longer words are not misspelt names, and comparing them with many names would take long.
const LONGEST_MISTYPED: usize = 64;

/// The problem of a selection that matches nothing, with a hint at the name that was probably meant.
pub(crate) fn no_such_program(supervisor: &Supervisor, pattern: &str) -> Problem {
    let problem = Problem::no_such_program(vec![pattern.to_owned()]);
    let (word, of_all) = pattern.strip_suffix(":*").map_or((pattern, ""), |owner| (owner, ":*"));
    if word.len() > LONGEST_MISTYPED || word.contains(['*', '?']) {
        return problem;
    }
    let instances = supervisor.snapshot().iter().filter(|instance| !instance.is_leaving());
    let names = instances.flat_map(|instance| {
        let program = instance.program();
        let groups = program.groups.iter().map(String::as_str);
        [program.name.as_str(), instance.name()].into_iter().chain(groups)
    });
    match nearest_name(word, names) {
        Some(name) => problem.with_hint(format!("did you mean \"{name}{of_all}\"?")),
        None => problem,
    }
}
