//! Commands about the server itself: `shutdown`, `reload`, `open`.

use super::{expect_fault, has_no_words, is_confirmed, status};
use crate::ctl::Failure;
use crate::ctl::controller::{Controller, Done, exit};
use crate::ctl::url;
use crate::faults::Code;

pub(super) fn shutdown(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !has_no_words(controller, argument, "shutdown")
        || !is_confirmed(controller, "Really shut the remote supervisord process down y/N? ")?
    {
        return Ok(());
    }
    let line = match controller.supervisor().call("shutdown", &[]) {
        Ok(_) => "Shut down".to_owned(),
        Err(failure) if failure.code() == Some(Code::ShutdownState) => "ERROR: already shutting down".to_owned(),
        Err(failure) => {
            controller.exit = exit::GENERIC;
            let why = match failure {
                Failure::Refused => "refused connection",
                Failure::Missing => "no such file",
                _ => return Err(failure),
            };
            format!("ERROR: {} {why} (already shut down?)", controller.server.url)
        }
    };
    controller.print(&line);
    Ok(())
}

pub(super) fn reload(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !has_no_words(controller, argument, "reload")
        || !is_confirmed(controller, "Really restart the remote supervisord process y/N? ")?
    {
        return Ok(());
    }
    match controller.supervisor().call("restart", &[]) {
        Ok(_) => {
            controller.print("Restarted supervisord");
            Ok(())
        }
        Err(failure) => expect_fault(controller, failure, &[(Code::ShutdownState, "ERROR: already shutting down")]),
    }
}

pub(super) fn open(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !url::scheme(argument).is_some_and(|(scheme, _)| scheme == "unix" || scheme == "http") {
        controller.print("ERROR: url must be http:// or unix://");
        controller.exit = exit::GENERIC;
        return Ok(());
    }
    argument.clone_into(&mut controller.server.url);
    let before = controller.exit;
    status::status(controller, "")?;
    controller.exit = before;
    Ok(())
}
