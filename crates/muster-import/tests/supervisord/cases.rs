//! Small configurations, and what supervisor 4.2.5 and 4.3.0 made of each on Python 3.11.

use muster_import::supervisord::{Address, Configuration, Mistakes, Process};

use crate::machine::Machine;
use crate::values::values;

/// The processes with one of their fields, or the original's error.
pub(crate) fn shown(read: &Result<Configuration, Mistakes>, field: impl Fn(&Process) -> String) -> String {
    let configuration = match read {
        Ok(configuration) => configuration,
        Err(mistakes) => {
            let original = mistakes.problems[0].original.as_deref();
            return format!("Error: {}", original.unwrap_or(&mistakes.problems[0].message));
        }
    };
    let mut shown: Vec<String> = Vec::new();
    for group in &configuration.groups {
        let processes = group.processes.iter();
        shown.extend(processes.map(|process| format!("{}:{}={}", group.name, process.name, field(process))));
        if group.processes.is_empty() {
            shown.push(format!("{}:", group.name));
        }
    }
    shown.join(" | ")
}

pub(crate) fn command(process: &Process) -> String {
    process.command.clone()
}

/// Checks a whole text behind `[supervisord]`: the commands of its processes, or the error.
#[track_caller]
fn check(text: &str, expected: &str) {
    check_on(Machine::small(), text, expected);
}

#[track_caller]
fn check_on(machine: Machine, text: &str, expected: &str) {
    check_raw(machine, format!("[supervisord]\n{text}"), expected);
}

#[track_caller]
fn check_raw(machine: Machine, text: impl AsRef<[u8]>, expected: &str) {
    let text = text.as_ref();
    assert_eq!(shown(&machine.read(text), command), expected, "{}", String::from_utf8_lossy(text));
}

/// Checks the rest of a `[program:a]`: its one process' command, or the error without where it is.
#[track_caller]
pub(crate) fn program(rest: &str, expected: &str) {
    program_on(Machine::small(), rest, command, expected);
}

#[track_caller]
pub(crate) fn program_on(machine: Machine, rest: &str, field: impl Fn(&Process) -> String, expected: &str) {
    let text = format!("[supervisord]\n[program:a]\n{rest}\n");
    let ours = shown(&machine.read(text), field);
    let ours = ours.trim_end_matches(" in section 'program:a' (file: '/D/s.conf')");
    assert_eq!(ours.strip_prefix("a:a=").unwrap_or(ours), expected, "{rest}");
}

#[test]
fn comments_begin_behind_white_space_in_rounds() {
    program("command=x b;c ;d #e", "x b;c ;d");
    program("command=x a#b ;c #d", "x a#b");
    program("command=;x", ";x");
    program("command=x\t;y", "x");
    program("command=x\u{a0};y", "x");
    program("command=x\u{c};y", "x");
    program("command=sh -c 'a ; b'", "sh -c 'a");
}

#[test]
fn indented_lines_belong_to_the_value_above() {
    let both = |process: &Process| format!("{:?} {}", process.command, process.autostart);
    program_on(Machine::small(), "command=x\n  autostart=false", both, "\"x\\nautostart=false\" true");
    program_on(Machine::small(), "  command=x\n  autostart=false", both, "\"x\" false");
    program("command=x\n  [program:b]\ncommand=y", "y");
    program("command=x\n\n  y", "x\n\ny");
    program("command=x\n ; no\n  y\n#z\n  q", "x\ny\nq");
}

#[test]
fn lines_are_keys_or_sections() {
    check("[program:a] foo ]bar\ncommand=x", "Error: Invalid name: 'a] foo ' because of character: ' '");
    check("[program:a]b]\ncommand=x", "a]b:a]b=x");
    program("command : x=y", "x=y");
    program("CoMMand = x", "x");
    program("command=x\ncommand=y", "y");
    check("[program:a]\ncommand=x\nautostart=false\n[program:a]\ncommand=y", "a:a=y");
    let bad = "Error: Source contains parsing errors: '/D/s.conf'\n\t[line  4]: ";
    check("[program:a]\ncommand=x\nfoo bar\nbaz\n", &format!("{bad}'foo bar\\n'\n\t[line  5]: 'baz\\n'"));
    check("[program:a]\ncommand=x\n=foo\n", &format!("{bad}'=foo\\n'"));
    check("[program:a]\ncommand=x\n[]", &format!("{bad}'[]'"));
    let homeless = "Error: File contains no section headers.\nfile: '/D/s.conf', line: 1\n'a=b\\n'";
    check_raw(Machine::small(), "a=b\n[supervisord]\n", homeless);
    let missing = "Error: .ini file does not include supervisord section";
    check_raw(Machine::small(), "[program:a]\ncommand=x\n", missing);
}

#[test]
fn lines_end_in_three_ways_and_texts_are_utf8() {
    check_raw(Machine::small(), "[supervisord]\r[program:a]\rcommand=x\r", "a:a=x");
    check_raw(Machine::small(), "[supervisord]\r\n[program:a]\r\ncommand=x\r\n y\r\n", "a:a=x\ny");
    check_raw(Machine::small(), "\u{feff}[supervisord]\n[program:a]\ncommand=x\n", "a:a=x");
    let latin1 = b"[supervisord]\n[program:a]\ncommand=x \xe9\n";
    let error = "Error: 'utf-8' codec can't decode byte 0xe9 in position 36: invalid continuation byte";
    check_raw(Machine::small(), latin1, error);
    let error = "Error: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte";
    check_raw(Machine::small(), b"\xff", error);
    let error = "Error: 'utf-8' codec can't decode byte 0xc3 in position 0: unexpected end of data";
    check_raw(Machine::small(), b"[supervisord]\n;\xc3", error);
    // The original counts from the beginning of what it decodes at once.
    let far = [b"[supervisord]\n;".as_slice(), &[b'x'; 8200], b"\xe9\n"].concat();
    let error = "Error: 'utf-8' codec can't decode byte 0xe9 in position 23: invalid continuation byte";
    check_raw(Machine::small(), far, error);
}

#[test]
fn default_supplies_every_section() {
    check("[DEFAULT]\ncommand=d %(program_name)s\n[program:a]\n[program:b]\ncommand=x", "a:a=d a | b:b=x");
}

#[test]
fn values_are_expanded_once_log_files_and_global_variables_twice() {
    let log = |process: &Process| format!("{:?}", process.stdout.logfile);
    let bad = "is badly formatted: unsupported format character";
    values(
        "stdout_logfile",
        log,
        [
            (
                "/tmp/a%%b.log",
                &format!("Error: Format string '/tmp/a%b.log' for 'stdout_logfile' {bad} 'b' (0x62) at index 7"),
            ),
            ("/tmp/a%%%%b.log", "Path(\"/tmp/a%b.log\")"),
        ],
    );
    let variables = |process: &Process| format!("{:?}", process.environment.iter().collect::<Vec<_>>());
    values("environment", variables, [("A=\"50%%\"", "[(\"A\", \"50%\")]")]);
    let twice = format!("Error: Format string 'A=\"50%\"' for 'environment' {bad} '\"' (0x22) at index 6");
    check("environment=A=\"50%%\"\n[program:a]\ncommand=x", &twice);
    check("environment=A=\"50%%%%\"\n[program:a]\ncommand=%(ENV_A)s", "a:a=50%");
    check("[program:a]\ncommand=x\nprocess_name=a%%b", "a:a%b=x");
    let machine = || Machine::small().variable("PC", "a%d").variable("PORT", "80");
    program_on(machine(), "command=%(ENV_PC)s", command, "a%d");
    // A conversion without a name: Python takes the dictionary of all names for its argument.
    let error = "Error: Format string '/tmp/a%d' for 'stdout_logfile' is badly formatted: %d format: a real number is \
                 required, not dict";
    program_on(machine(), "command=x\nstdout_logfile=/tmp/%(ENV_PC)s", log, error);
    let error = "Error: Format string '%(ENV_PORT)d' for 'program:a.command' is badly formatted: %d format: a real \
                 number is required, not str";
    program_on(machine(), "command=%(ENV_PORT)d", command, error);
    let text = "command=%(ENV_PORT)r %(ENV_PORT)5s %(ENV_PORT)-5s| %(ENV_PORT).1s";
    program_on(machine(), text, command, "'80'    80 80   | 8");
}

#[test]
fn conversions_are_printf_s() {
    let error = |text: &str, why: &str| {
        format!("Error: Format string '{text}' for 'program:a.command' is badly formatted: {why}")
    };
    program("command=a %y", &error("a %y", "unsupported format character 'y' (0x79) at index 3"));
    program("command=a %", &error("a %", "incomplete format"));
    program("command=%5%", &error("%5%", "unsupported format character '%' (0x25) at index 2"));
    program("command=%(a", &error("%(a", "incomplete format key"));
    let text = "[program:a]\ncommand=%(process_num)02d %(process_num)x %(process_num)s %(process_num)5.1f %(numprocs)d\n\
                numprocs=2\nprocess_name=%(program_name)s_%(process_num)02d\nnumprocs_start=10";
    check(text, "a:a_10=10 a 10  10.0 2 | a:a_11=11 b 11  11.0 2");
}

#[test]
fn names_that_are_unknown_are_named_with_known_ones() {
    let error = |name: &str, section: &str, known: &str| {
        format!(
            "Error: Format string '%({name})s' for '{section}' contains names ('{name}') which cannot be expanded. \
             Available names: {known}"
        )
    };
    let near = "ENV_HOME, ENV_PATH, here, host_node_name, program_name";
    program(
        "command=%(ENV_NOPE)s",
        &error("ENV_NOPE", "program:a.command", "ENV_HOME, ENV_PATH, group_name, here, numprocs"),
    );
    check(
        "[program:a]\ncommand=x\npriority=%(program_name)s",
        &error("program_name", "program:a.priority", "ENV_HOME, ENV_PATH, here"),
    );
    let inside = format!("{} in section 'program:a' (file: '/D/s.conf')", error("ENV_A", "program:a.user", near));
    let machine = Machine::small();
    let read = machine.read("[supervisord]\n[program:a]\ncommand=x\nuser=%(ENV_A)s\nenvironment=A=\"root\"");
    let ours = shown(&read, command);
    assert_eq!(ours.split(". Available").next(), inside.split(". Available").next());
    check("[inet_http_server]\nport=%(here)s", &error("here", "inet_http_server.port", "ENV_HOME, ENV_PATH"));
    check(
        "[include]\nfiles=%(ENV_NOPE)s",
        &error("ENV_NOPE", "include.files", "ENV_HOME, ENV_PATH, here, host_node_name"),
    );
}

/// The first of the two expansions knows no host.
#[test]
fn global_variables_name_the_host_in_their_second_expansion() {
    check("environment=A=\"%%(host_node_name)s\"\n[program:a]\ncommand=%(ENV_A)s", "a:a=vm");
    let read = Machine::small().read("[supervisord]\nenvironment=A=\"%(host_node_name)s\"");
    let expected = "Error: Format string 'A=\"%(host_node_name)s\"' for 'supervisord.environment' contains names \
                    ('host_node_name') which cannot be expanded. Available names: ENV_HOME, ENV_PATH, here";
    assert_eq!(shown(&read, command), expected);
}

#[test]
fn a_program_sees_its_own_variables_and_those_of_processes_before() {
    program("command=%(ENV_A)s\nenvironment=A=\"q\"", "q");
    let text = "[program:a]\ncommand=x %(ENV_A)s\nenvironment=A=\"%(process_num)d\"\nnumprocs=2\nprocess_name=p%(process_num)d";
    check(text, "a:p0=x 0 | a:p1=x 1");
    let text = "[program:a]\ncommand=%(ENV_B)s\nenvironment=B=\"%(ENV_L)s.\",L=\"x\"\nnumprocs=2\nprocess_name=p%(process_num)d";
    assert!(shown(&Machine::small().read(format!("[supervisord]\n{text}")), command).contains("('ENV_L')"));
    check_on(Machine::small().variable("L", "y"), text, "a:p0=y. | a:p1=y.");
    let text = "[program:a]\ncommand=x\nenvironment=ZZ=\"1\"\n[program:b]\ncommand=%(ENV_ZZ)s";
    assert!(shown(&Machine::small().read(format!("[supervisord]\n{text}")), command).contains("('ENV_ZZ')"));
    program("command=%(host_node_name)s %(group_name)s %(here)s", "vm a /D");
    let directory = |process: &Process| format!("{:?}", process.directory);
    values("directory", directory, [("/tmp/%(process_num)d", "Some(\"/tmp/0\")"), ("~/x", "Some(\"~/x\")")]);
}

#[test]
fn names_of_programs_and_groups() {
    check("[program:tö]\ncommand=x\n[program:]\ncommand=y\n[program:*]\ncommand=z", ":=y | *:*=z | tö:tö=x");
    check("[program:a b]\ncommand=x", "Error: Invalid name: 'a b' because of character: ' '");
    check("[program:a/b]\ncommand=x", "Error: Invalid name: 'a/b' because of character: '/'");
    check_on(
        Machine::small().variable("N", "a:b c/d"),
        "[program:a]\ncommand=x\nprocess_name=%(ENV_N)s",
        "a:a:b c/d=x",
    );
    check("[program: a ]\ncommand=x", "a:a=x");
    check("[eventlistener: a ]\ncommand=x\nevents=TICK_5", " a :a=x");
    check("[program:a]\ncommand=x\nnumprocs=0", "a:");
    check("[program:a]\nnumprocs=-1", "a:");
    program("command=x\nnumprocs=2", "Error: %(process_num) must be present within process_name when numprocs > 1");
    check("[program:a]\ncommand=x %(process_num)d\nnumprocs=2\nprocess_name=p%(process_num).0s", "a:p=x 0 | a:p=x 1");
    let text = "[program:a]\ncommand=x\nnumprocs=12\nprocess_name=p%(process_num)d";
    let names = "p0 p1 p10 p11 p2 p3 p4 p5 p6 p7 p8 p9".split(' ').map(|name| format!("a:{name}=x"));
    check(text, &names.collect::<Vec<_>>().join(" | "));
}

#[test]
fn groups_have_members() {
    check("[group:x]\nprograms=a\n[program:a]\ncommand=1\n[program:x]\ncommand=2", "x:a=1 | x:x=2");
    check("[group:g]\nprograms=b,a\n[program:a]\ncommand=1\n[program:b]\ncommand=2", "g:b=2 | g:a=1");
    check("[group:g]\nprograms=a\n[group:h]\nprograms=a\n[program:a]\ncommand=1", "g:a=1 | h:a=1");
    check("[group:g]\nprograms=zz", "Error: [group:g] names unknown program or fcgi-program zz");
    // The original names the section of the member before.
    check("[group:g]\nprograms=a,\n[program:a]\ncommand=1", "Error: [group:g] names unknown program or fcgi-program ");
    check("[group:g]", "g:");
    let listener = "[group:g]\nprograms=l\n[eventlistener:l]\ncommand=1\nevents=TICK_5";
    check(listener, "Error: [group:g] names unknown program or fcgi-program l");
    let fcgi = "[program:a]\ncommand=1\n[fcgi-program:a]\ncommand=2\nsocket=unix:///tmp/q\n";
    check(fcgi, "a:a=1 | a:a=2");
    let error = "Error: [group:g] name a is ambiguous (exists as program and fcgi-program)";
    check(&format!("{fcgi}[group:g]\nprograms=a"), error);
    // A member's priority may use its name, and its socket is not read.
    check("[group:g]\nprograms=f\n[fcgi-program:f]\ncommand=2\nsocket=nonsense", "g:f=2");
}

#[test]
fn groups_and_processes_are_sorted() {
    let text = "[program:c]\ncommand=1\npriority=5\n[program:b]\ncommand=2\n[program:a]\ncommand=3\n\
                [eventlistener:l]\ncommand=4\nevents=TICK";
    check(text, "l:l=4 | c:c=1 | a:a=3 | b:b=2");
    // In a group the order is that of `programs`, whatever the priorities are.
    let text =
        "[group:g]\nprograms=x,y\npriority=15\n[program:x]\ncommand=1\npriority=2\n[program:y]\ncommand=2\npriority=1";
    check(text, "g:x=1 | g:y=2");
}

#[test]
fn servers() {
    let address =
        |text: &str| match &Machine::small().read(format!("[supervisord]\n{text}")).unwrap().servers[0].address {
            Address::Inet { host, port } => format!("{host} {port}"),
            Address::Unix { file, chmod, .. } => format!("{file} {chmod:o}"),
        };
    let port = |port: &str| address(&format!("[inet_http_server]\nport={port}"));
    assert_eq!(["9001", ":9001", "*:9001"].map(port), [" 9001"; 3]);
    assert_eq!(port("LocalHost:9001"), "localhost 9001");
    assert_eq!(port("[::1]:9001"), "[::1] 9001");
    assert_eq!(port("::1:9001"), "::1 9001");
    for wrong in ["0", "70000", "x", ""] {
        let error = format!("Error: not a valid port number: '{wrong}' ");
        check(&format!("[inet_http_server]\nport={wrong}"), &error);
    }
    check("[inet_http_server]\nport=1:", "Error: no port number specified in ''");
    check("[inet_http_server]\nport=h:70000", "Error: 70000 is above upper bound (65535)");
    check("[inet_http_server]", "Error: section [inet_http_server] has no port value");
    check("[unix_http_server]", "Error: section [unix_http_server] has no file value");
    assert_eq!(address("[unix_http_server]\nfile=%(here)s/x.sock"), "/D/x.sock 700");
    assert_eq!(address("[unix_http_server:b]\nfile=x.sock\nchmod=0077"), "/x.sock 77");
    check("[unix_http_server]\nfile=/tmp/x\nchmod=a", "Error: Invalid chmod value a");
    check("[unix_http_server]\nfile=/tmp/x\nchown=no:root", "Error: Invalid sockchown value no:root");
    let error = "Error: Section [inet_http_server] contains incomplete authentication: If a username or a password is \
                 specified, both the username and password must be specified";
    check("[inet_http_server]\nport=9\nusername=a", error);
    check("[inet_http_server]\nport=9\nusername=\npassword=\n[program:a]\ncommand=x", "a:a=x");
}

#[test]
fn listeners() {
    let listener = |rest: &str| format!("[eventlistener:l]\ncommand=x\n{rest}");
    let unknown = |event: &str| format!("Error: Unknown event type {event} in [eventlistener:l] events");
    check(&listener("events=tick_5,TICK"), "l:l=x");
    check(&listener("events=PROCESS_STATE_CHANGE"), &unknown("PROCESS_STATE_CHANGE"));
    check(&listener("events=TICK,"), &unknown(""));
    check(&listener(""), "Error: [eventlistener:l] section requires an \"events\" line");
    let error = "Error: [eventlistener:l] section sets invalid buffer_size (0)";
    check(&listener("events=TICK_5\nbuffer_size=0"), error);
    let error = "Error: [eventlistener:l] section sets redirect_stderr=true but this is not allowed because it will \
                 interfere with the eventlistener protocol";
    check(&listener("events=TICK_5\nredirect_stderr=true"), error);
}

#[test]
fn fcgi_sockets() {
    let socket = |rest: &str| format!("[fcgi-program:f]\ncommand=x\nsocket={rest}");
    let wrong = |why: &str| format!("Error: {why} in [fcgi-program:f] socket");
    check(&socket("tcp://localhost:9002"), "f:f=x");
    check(&socket("unix:///tmp/%(program_name)s.sock"), "f:f=x");
    check(&socket("tcp://:9002"), &wrong("('Bad socket format %s', 'tcp://:9002')"));
    check(&socket("tcp://h:x"), &wrong("('Bad socket format %s', 'tcp://h:x')"));
    check(&socket("/tmp/x"), &wrong("('Bad socket format %s', '/tmp/x')"));
    check(&socket("unix://rel"), &wrong("('Unix socket path %s is not an absolute path', 'rel')"));
    check(&socket("tcp://h:70000"), &wrong("70000 is above upper bound (65535)"));
    check(&socket(""), "Error: [fcgi-program:f] section requires a \"socket\" line");
    let names = "'fcgi-program:f.socket' contains names ('process_num')";
    let text = format!("[supervisord]\n{}", socket("unix:///tmp/%(process_num)d"));
    assert!(shown(&Machine::small().read(text), command).contains(names));
    let error = wrong("socket_owner and socket_mode params should only be used with a Unix domain socket");
    check(&socket("tcp://h:1\nsocket_mode=0700"), &error);
    check(&socket("tcp://h:1\nsocket_backlog=0"), "Error: Invalid socket_backlog value 0");
    check(&socket("unix:///tmp/x\nsocket_owner=nosuch"), "Error: Invalid socket_owner value nosuch");
}

#[test]
fn the_daemon_s_own_settings() {
    check("loglevel=warning", "Error: bad logging level name 'warning'");
    check("loglevel=TRACE\n[program:a]\ncommand=x", "a:a=x");
    check("pidfile=/nonexist/x.pid", "Error: The directory named as part of the path /nonexist/x.pid does not exist");
    check("childlogdir=/nonexist", "Error: /nonexist is not an existing directory");
    check("user=nosuch\n[program:a]\ncommand=x", "Error: Invalid user name nosuch");
    let error = "Error: section [rpcinterface:x] does not specify a supervisor.rpcinterface_factory";
    check("[rpcinterface:x]", error);
}
