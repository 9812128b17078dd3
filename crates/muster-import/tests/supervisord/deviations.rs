//! The list of known differences from the original in reading, which `docs/how-to/come-from-supervisord.md` holds with
//! their reasons: each is shown here, and there are no others.

use muster_import::supervisord::Configuration;

use crate::machine::Machine;

const PAGE: &str = include_str!("../../../../docs/how-to/come-from-supervisord.md");

fn read(text: &str) -> Result<Configuration, String> {
    Machine::small().read(text).map_err(|mistakes| mistakes.problems[0].message.clone())
}

/// The first cells of the table below the heading.
fn listed() -> Vec<&'static str> {
    let (_, behind) = PAGE.split_once("## Differences in reading").expect("the page has the section");
    let section = behind.split("\n## ").next().unwrap_or(behind);
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")).skip(1);
    rows.filter_map(|row| row.split(" | ").next()).collect()
}

#[test]
fn the_known_deviations_are_listed_and_no_more_than_five() {
    let shown: [(&str, &str, Result<(), &str>); 5] = [
        (
            "Python plugins are never imported",
            "[supervisord]\n[eventlistener:a]\ncommand=x\nevents=TICK_5\nresult_handler=no.such:handler\n\
             [rpcinterface:b]\nsupervisor.rpcinterface_factory=no.such:factory\n",
            Ok(()),
        ),
        ("a byte order mark is skipped", "\u{feff}[supervisord]\n[program:a]\ncommand=x\n", Ok(())),
        (
            "`%s` without a name is refused",
            "[supervisord]\n[program:a]\ncommand=x %s\n",
            Err("%s without a name would write out the whole environment"),
        ),
        (
            "work is bounded",
            "[supervisord]\n[program:a]\ncommand=x\nprocess_name=%(process_num)d\nnumprocs=10001\n",
            Err("at most 10000"),
        ),
        (
            "messages name only the nearest names and the group that is wrong",
            "[supervisord]\n[program:a]\ncommand=%(ENV_X)s\n",
            Err("%(ENV_X) stands for nothing here"),
        ),
    ];
    assert_eq!(listed(), shown.map(|(name, ..)| name));
    for (name, text, expected) in shown {
        match (read(text), expected) {
            (Ok(_), Ok(())) => {}
            (Err(message), Err(part)) if message.contains(part) => {}
            (found, _) => panic!("{name}: {:?}", found.err()),
        }
    }
}
