//! Real supervisord configurations: what a daemon shows of the file itself, and of the TOML that `musterd convert` writes for
//! it, is equal but for the differences that the report names.
//!
//! The texts are other people's and not part of this repository: `MUSTER_CORPUS` names their folder. Secrets are not masked
//! here, so that values are compared.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a test may stop where it stands, and asks the environment for its data"
)]

mod compare;
#[path = "../../../muster-convert/tests/convert/loading.rs"]
mod loading;
#[allow(dead_code)]
#[path = "../../../muster-import/tests/supervisord/machine.rs"]
mod machine;

use std::path::Path;

use muster_config::{Disguises, Role};
use muster_convert::supervisord::{Input, convert};
use muster_import::supervisord::{Inherited, Mode, read, to_spec};
use muster_load::effective;
use muster_spec::Spec;
use serde_json::Value;

use compare::Compared;
use loading::{errors, load_text};
use machine::{Machine, corpus};

#[test]
fn a_converted_configuration_is_shown_as_the_original() {
    let cases = corpus();
    if cases.is_empty() {
        return;
    }
    let (mut wrong, mut programs, mut converted) = (Vec::new(), 0, 0);
    for case in &cases {
        let name = case.file_stem().unwrap().to_string_lossy().into_owned();
        match check(case) {
            Ok(Some(count)) => {
                programs += count;
                converted += 1;
            }
            Ok(None) => {}
            Err(why) => wrong.push(format!("{name}: {}", why.join("\n  "))),
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    eprintln!("{} cases, {converted} converted, {programs} programs compared", cases.len());
    assert!(converted * 10 > cases.len() * 9 && programs >= 2 * converted, "{converted}, {programs}");
}

/// The effective configuration, without masks.
fn shown(spec: &Spec) -> Value {
    let config = effective(spec.clone(), Vec::new(), Disguises::default());
    serde_json::json!({ "musterd": config.musterd, "http": config.http, "programs": config.programs })
}

/// The files are not read from this machine.
fn no_file(_: &Path, _: Role<'_>) -> std::io::Result<std::fs::File> {
    Err(std::io::ErrorKind::NotFound.into())
}

/// The number of programs compared; `None` if the original refuses the file.
fn check(case: &Path) -> Result<Option<usize>, Vec<String>> {
    let truth: Value = serde_json::from_slice(&std::fs::read(case).unwrap()).unwrap();
    let (mut machine, main) = Machine::of_case(case, &truth);
    machine.host = "vm".to_owned();
    let bytes = machine.files[&main].clone();
    let Ok(model) = read(&main, Mode::of(&bytes), &machine) else { return Ok(None) };
    let original = to_spec(&model, &machine, Inherited { umask: 0o022, becomes_user: false }, &no_file, |_| ()).spec;
    let converted = convert(&[Input { path: main.clone(), text: bytes }], &machine);
    let converted = converted
        .map_err(|mistakes| mistakes.iter().map(|mistake| format!("refused: {mistake}")).collect::<Vec<_>>())?;
    let here = main.rsplit_once('/').unwrap().0;
    let loaded = load_text(&converted.toml, &format!("{here}/muster.toml"), &machine.variables);
    let Some(written) = &loaded.spec else {
        let mut errors = errors(&loaded);
        if converted.programs == 0 && matches!(errors.as_slice(), [one] if one.contains("there are no programs")) {
            return Ok(Some(0));
        }
        errors.push(converted.toml);
        return Err(errors);
    };
    let mut compared = Compared::new(&converted.report, &model);
    compared.losses();
    compared.daemon(&shown(&original), &shown(written));
    compared.programs((&original, &shown(&original)), (written, &shown(written)));
    match compared.wrong.is_empty() {
        true => Ok(Some(compared.count)),
        false => {
            compared.wrong.push(converted.toml.clone());
            Err(compared.wrong)
        }
    }
}
