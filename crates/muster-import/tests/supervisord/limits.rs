//! Small texts that ask for much, and large ones.

use std::time::{Duration, Instant};

use muster_import::supervisord::{Configuration, Mistakes, limits};

use crate::machine::Machine;

/// Generous for an unoptimized build on a busy machine: what is guarded against takes minutes or all memory.
const PATIENCE: Duration = Duration::from_secs(60);

fn read(text: &str) -> Result<Configuration, Mistakes> {
    let begun = Instant::now();
    let read = Machine::small().read(format!("[supervisord]\n{text}"));
    assert!(begun.elapsed() < PATIENCE, "{:?} for {} bytes", begun.elapsed(), text.len());
    read
}

#[track_caller]
fn refused(text: &str, message: &str) {
    let mistakes = read(text).map(|read| read.groups.len()).expect_err("it is beyond the bounds");
    let problem = &mistakes.problems[0];
    assert!(problem.message.contains(message), "{problem}");
    assert_eq!(problem.original, None, "the original would accept it");
}

#[test]
fn many_processes_are_refused() {
    let program = |name: &str, numprocs: &str| {
        format!("[program:{name}]\ncommand=x\nprocess_name=p%(process_num)d\nnumprocs={numprocs}\n")
    };
    assert_eq!(read(&program("a", "2000")).unwrap().groups[0].processes.len(), 2000);
    refused(&program("a", "10001"), "numprocs must be at most 10000");
    refused(&program("a", "99999999999999999999"), "numprocs must be at most 10000");
    refused(&(program("a", "2") + "numprocs_start=9223372036854775807"), "numprocs_start is too large");
    let groups: String = (0..limits::PROCESSES / 10_000 + 1).map(|at| format!("[group:g{at}]\nprograms=a\n")).collect();
    let problems =
        Machine::small().read(format!("[supervisord]\n{groups}{}", program("a", "10000"))).unwrap_err().problems;
    assert!(problems[0].message.contains("limit is 50000 processes in all"), "{}", problems[0]);
}

#[test]
fn long_expansions_are_refused() {
    refused("[program:a]\ncommand=%(here)9999999s", "longer than");
    refused("[program:a]\ncommand=%(process_num).9999999d", "longer than");
    refused(&format!("[program:a]\ncommand={}", "%(here)1000000s".repeat(50)), "longer than");
    let text = "[program:a]\ncommand=%(here)900000s\nprocess_name=p%(process_num)d\nnumprocs=10000";
    refused(text, "longer than");
}

#[test]
fn a_name_that_doubles_stays_within_the_bounds() {
    // Each process sees the variable of the one before, twice.
    let text = "[program:a]\ncommand=x\nprocess_name=p%(process_num)d\nnumprocs=64\nenvironment=A=\"%(ENV_B)s%(ENV_B)s\",B=\"%(ENV_A)s%(ENV_A)s\"";
    let machine = Machine::small().variable("SEED", "x");
    assert!(machine.read(format!("[supervisord]\n{text}")).is_err());
}

#[test]
fn large_files_are_read_or_refused() {
    let many: String = (0..5_000).map(|at| format!("[program:p{at}]\ncommand=x\n")).collect();
    assert_eq!(read(&many).unwrap().groups.len(), 5_000);
    let unknown: String = (0..20_000).map(|at| format!("[what{at}]\n")).collect();
    let warnings = read(&unknown).unwrap().warnings;
    assert_eq!(warnings.len(), 10_001);
    assert!(warnings[10_000].message.contains("left out here"));
    let keys: String = (0..10_000).map(|at| format!("key{at}=x\n")).collect();
    assert!(read(&format!("[program:a]\ncommand=x\n{keys}")).is_ok());
    let wrong = "nothing\n".repeat(10_000);
    assert_eq!(read(&wrong).unwrap_err().problems.len(), 10_000);
    let line = "x;".repeat(200_000);
    assert!(read(&format!("[program:a]\ncommand={line}")).is_ok());
    let large = Machine::small().read(vec![b'\n'; limits::FILE_BYTES + 1]).unwrap_err();
    assert!(large.problems[0].message.contains("is larger than"), "{}", large.problems[0]);
}

#[test]
fn many_files_are_refused() {
    let mut machine = Machine::small();
    for at in 0..=limits::FILES {
        machine = machine.file(&format!("/D/c/{at}"), "");
    }
    let mistakes = machine.read("[supervisord]\n[include]\nfiles=c/*").unwrap_err();
    assert!(mistakes.problems[0].message.contains("files are included"), "{}", mistakes.problems[0]);
}

#[test]
fn the_number_of_reported_mistakes_is_bounded() {
    let problems = read(&"a\n".repeat(200_000)).unwrap_err().problems;
    assert_eq!(problems.len(), limits::PROBLEMS + 1);
    assert_eq!(problems.last().expect("just counted").message, "further mistakes are left out here");
}

#[test]
fn many_variables_are_refused() {
    let variables: Vec<String> = (0..1_000).map(|at| format!("A{at}=\"1\"")).collect();
    let program = format!(
        "[program:a]\ncommand=x\nprocess_name=%(process_num)d\nnumprocs=10000\nenvironment={}\n",
        variables.join(",")
    );
    refused(&program, "the limit is 500000 variables in all");
}

#[test]
fn keys_of_ours_cost_nothing_per_process() {
    let keys: String = (0..10_000).map(|at| format!("muster.key{at}=1\n")).collect();
    let program = "[program:a]\ncommand=x\nprocess_name=%(process_num)d\nnumprocs=10000\n";
    let read = read(&format!("{program}{keys}")).unwrap();
    assert_eq!(read.groups[0].processes[9_999].own.len(), 10_000);
}

#[test]
fn many_unknown_names_among_many_variables_are_reported() {
    let variables: Vec<String> = (0..20_000).map(|at| format!("A{at}=\"1\"")).collect();
    let programs: String = (0..9_000).map(|at| format!("[program:p{at}]\ncommand=%(ENV_B{at})s\n")).collect();
    let problems = read(&format!("environment={}\n{programs}", variables.join(","))).unwrap_err().problems;
    assert_eq!(problems.len(), 9_000);
    assert!(problems[0].allowed.as_deref().is_some_and(|near| near.contains("ENV_A")), "{:?}", problems[0]);
}

#[test]
fn the_number_of_warnings_is_bounded() {
    for line in [" [program:b]\n", " autostart=1\n", " 'x ;'\n", "key=x b;c ;d #e\n"] {
        let warnings = read(&format!("[program:a]\ncommand='x\n{}", line.repeat(100_000))).unwrap().warnings;
        assert!(warnings.len() <= limits::WARNINGS + 1, "{}", warnings.len());
        assert_eq!(warnings.last().expect("just counted").message, "further warnings are left out here", "{line}");
    }
}

#[test]
fn many_keys_and_sections_are_refused() {
    let keys: String = (0..limits::KEYS).map(|at| format!("{at}=\n")).collect();
    refused(&keys, "the limit is 300000 sections and keys in all");
    let sections: String = (0..limits::KEYS).map(|at| format!("[{at}]\n")).collect();
    refused(&sections, "the limit is 300000 sections and keys in all");
    // A repeated key replaces the one before.
    assert!(read(&"umask=022\n".repeat(limits::KEYS + 1)).is_ok());
}

#[test]
fn many_sections_with_many_defaults_are_refused() {
    let defaults: String = (0..1_000).map(|at| format!("k{at}=v\n")).collect();
    let sections: String = (0..10_000).map(|at| format!("[rpcinterface:r{at}]\n")).collect();
    let factory = "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n";
    refused(&format!("[DEFAULT]\n{factory}{defaults}{sections}"), "the limit is 500000 variables in all");
}

#[test]
fn what_takes_the_place_of_here_is_bounded() {
    let included = |text: &str| {
        let machine = Machine::small().file("/D/c/1.conf", "").file("/D/s.conf", "");
        machine.read(format!("[supervisord]\n[include]\nfiles=c/*\n{text}")).map_err(|mistakes| mistakes.problems)
    };
    let programs: String = (0..2_000).map(|at| format!("[program:p{at}]\ncommand=x\n")).collect();
    let few = included(&format!("[DEFAULT]\nk=%(here)s\n{programs}")).unwrap();
    assert_eq!(few.groups.len(), 2_000);
    let defaults: String = (0..1_000).map(|at| format!("k{at}=%(here)s\n")).collect();
    let problems = included(&format!("[DEFAULT]\n{defaults}{programs}")).unwrap_err();
    assert!(problems[0].message.contains("sections and keys in all"), "{}", problems[0]);
    let problems = included(&format!("[DEFAULT]\nk=%(here)s{}\n{programs}", "x".repeat(100_000))).unwrap_err();
    assert!(problems[0].message.contains("sections and keys in all"), "{}", problems[0]);
}

#[test]
fn what_every_process_has_a_copy_of_is_bounded() {
    let program = "[program:a]\ncommand=x\nprocess_name=%(process_num)d\nnumprocs=10000\n";
    let variables: Vec<String> = (0..1_000).map(|at| format!("A{at}=\"1\"")).collect();
    refused(&format!("environment={}\n{program}", variables.join(",")), "the limit is 500000 variables in all");
    let long = "x".repeat(100_000);
    refused(&format!("environment=A=\"{long}\"\n{program}"), "all processes are longer than");
    refused(&format!("[group:{long}]\nprograms=a\n{program}"), "all processes are longer than");
    refused(&format!("{program}serverurl={long}\n"), "all processes are longer than");
    refused(&format!("{program}exitcodes={}0\n", "0,".repeat(10_000)), "all processes are longer than");
    refused(&format!("[unix_http_server]\nfile=/{long}\n{program}"), "the URL of the server is too long");
}

#[test]
fn many_words_of_commands_are_refused() {
    refused(&format!("[program:a]\ncommand=x{}\n", " y".repeat(limits::WORDS)), "the limit is 1000000 words");
    let lines = " y\n".repeat(limits::WORDS);
    refused(&format!("[program:a]\ncommand=x\n{lines}"), "the limit is 1000000 words");
}

#[test]
fn a_long_list_of_programs_is_read_once() {
    let listed = |name: &str| vec![name; 400_000].join(",");
    let message = "the limit is 50000 processes in all";
    refused(&format!("[group:g]\nprograms={}\n[program:a]\ncommand=x\n", listed("a")), message);
    let problems = read(&format!("[group:g]\nprograms={}\n", listed("a"))).unwrap_err().problems;
    assert_eq!(problems.len(), 1, "each mistake is reported once");
}

#[test]
fn a_bound_is_reported_once() {
    let programs: String = (0..limits::PROCESSES + 1_000).map(|at| format!("[program:p{at}]\ncommand=x\n")).collect();
    let problems = read(&programs).unwrap_err().problems;
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].section.as_deref(), Some("program:p50000"));
}

#[test]
fn many_comments_are_passed_over() {
    assert!(read(&"; c\n".repeat(1_000_000)).is_ok());
    assert!(read(&"\n".repeat(1_000_000)).is_ok());
}
