//! The actions of the page, and the original's messages about them.

use super::call;
use crate::faults::Code;
use crate::methods::{Daemon, Member};
use crate::xmlrpc::Fault;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Does something, and returns the message about it; `None` if there is no such action.
pub(super) async fn act(daemon: &impl Daemon, action: &str, process: Option<&str>, local: i64) -> Option<String> {
    let at = || time_text(local);
    match (action, process) {
        ("refresh", _) => Some(format!("Page refreshed at {}", at())),
        ("stopall", _) => Some(match call(daemon, "stopAllProcesses", Vec::new()).await {
            Ok(_) => format!("All stopped at {}", at()),
            Err(fault) => unexpected(&fault),
        }),
        ("restartall", _) => {
            // As in the original, the message does not depend on the results.
            let _ = call(daemon, "stopAllProcesses", Vec::new()).await;
            let _ = call(daemon, "startAllProcesses", Vec::new()).await;
            Some(format!("All restarted at {}", at()))
        }
        (_, Some(name)) => act_on(daemon, action, name).await,
        _ => None,
    }
}

async fn act_on(daemon: &impl Daemon, action: &str, name: &str) -> Option<String> {
    let (group, process) = name.split_once(':').unwrap_or((name, name));
    if !daemon.members().iter().any(|member: &Member| member.group == group && member.name == process) {
        return Some(format!("No such process named {name}"));
    }
    let run = async |method: &str| call(daemon, method, vec![name.into()]).await;
    Some(match action {
        "start" => match run("startProcess").await {
            Ok(_) => format!("Process {name} started"),
            Err(fault) => format!("ERROR: Process {name}: {}", not_started(&fault)),
        },
        "stop" => match run("stopProcess").await {
            Ok(_) => format!("Process {name} stopped"),
            Err(fault) => unexpected(&fault),
        },
        "restart" => {
            let _ = run("stopProcess").await;
            let _ = run("startProcess").await;
            format!("Process {name} restarted")
        }
        "clearlog" => match run("clearProcessLogs").await {
            Ok(_) => format!("Log for {name} cleared"),
            Err(fault) => unexpected(&fault),
        },
        _ => return None,
    })
}

fn not_started(fault: &Fault) -> String {
    let words = [
        (Code::NoFile, "no such file"),
        (Code::NotExecutable, "file not executable"),
        (Code::AlreadyStarted, "already started"),
        (Code::SpawnError, "spawn error"),
        (Code::AbnormalTermination, "abnormal termination"),
    ];
    let known = words.into_iter().find(|(code, _)| code.number() == fault.code);
    known.map_or_else(|| unexpected(fault), |(_, words)| words.to_owned())
}

pub(super) fn unexpected(Fault { code, string }: &Fault) -> String {
    format!("unexpected rpc fault [{code}] {string}")
}

pub(super) fn is_no_file(fault: &Fault) -> bool {
    fault.code == Code::NoFile.number()
}

/// `time.ctime()` in Python, of this time in the machine's zone.
fn time_text(local: i64) -> String {
    let (days, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
    let name = DAYS[usize::try_from(days.rem_euclid(7)).unwrap_or(0)];
    let (year, month, day) = civil(days);
    let month = MONTHS[month.clamp(1, 12) - 1];
    format!("{name} {month} {day:2} {:02}:{:02}:{:02} {year}", second / 3600, second / 60 % 60, second % 60)
}

/// The date this many days after 1970-01-01, in years that begin in March so that leap days come last.
fn civil(days: i64) -> (i64, usize, i64) {
    let from_march_0000 = days + 719_468;
    let (era, day_of_era) = (from_march_0000.div_euclid(146_097), from_march_0000.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, usize::try_from(month).unwrap_or(1), day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_python() {
        for (local, expected) in [
            (0, "Thu Jan  1 00:00:00 1970"),
            (1_795_940_064, "Sun Nov 29 08:14:24 2026"),
            (951_782_399, "Mon Feb 28 23:59:59 2000"),
            (951_782_400, "Tue Feb 29 00:00:00 2000"),
            (-1, "Wed Dec 31 23:59:59 1969"),
            (4_107_542_400, "Mon Mar  1 00:00:00 2100"),
        ] {
            assert_eq!(time_text(local), expected);
        }
    }
}
