//! `fg`: the output of a process on the terminal, and what is typed as its input.

use super::{exit, words};
use crate::ctl::Failure;
use crate::ctl::controller::{Controller, Done};
use crate::ctl::python_error::fault_text;
use crate::faults::Code;

const RUNNING: i64 = 20;

pub(super) fn fg(controller: &mut Controller<'_>, argument: &str) -> Done {
    if !controller.is_up()? {
        return Ok(());
    }
    let fail = |controller: &mut Controller<'_>, message: &str| {
        controller.print(message);
        controller.exit = exit::GENERIC;
        Ok(())
    };
    let name = match words(argument).as_slice() {
        [] => {
            controller.usage("ERROR: no process name supplied", "fg");
            return Ok(());
        }
        [name] => *name,
        _ => return fail(controller, "ERROR: too many process names supplied"),
    };
    match controller.supervisor().process(name) {
        Ok(process) if process.state == RUNNING => {}
        Ok(_) => return fail(controller, "ERROR: process not running"),
        Err(failure) if failure.code() == Some(Code::BadName) => {
            return fail(controller, "ERROR: bad process name supplied");
        }
        Err(Failure::Fault(fault)) => {
            controller.print(&format!("ERROR: {}", fault_text(&fault)));
            return Ok(());
        }
        Err(failure) => return Err(failure),
    }
    controller.print("==> Press Ctrl-C to exit <==");
    let paths = ["stdout", "stderr"].map(|stream| format!("/logtail/{name}/{stream}"));
    controller.world.attach(&controller.server, &paths);
    let ended = converse(controller, name);
    controller.world.detach();
    match ended {
        Ok(()) | Err(Failure::Interrupted) => {
            controller.print("Exiting foreground");
            Ok(())
        }
        failed => failed,
    }
}

/// Sends lines until the input ends or the process is gone.
fn converse(controller: &mut Controller<'_>, name: &str) -> Done {
    while let Some(line) = controller.world.typed()? {
        let text = format!("{line}\n");
        match controller.supervisor().order("sendProcessStdin", &[name, &text]) {
            Ok(()) => {}
            Err(failure) if failure.code() == Some(Code::NotRunning) => {
                controller.print("Process got killed");
                return Ok(());
            }
            Err(Failure::Fault(fault)) => {
                controller.print(&format!("ERROR: {}", fault_text(&fault)));
                return Ok(());
            }
            Err(failure) => return Err(failure),
        }
        if controller.supervisor().process(name)?.state != RUNNING {
            controller.print("Process got killed");
            return Ok(());
        }
    }
    Ok(())
}
