//! All mistakes at once with their places, and warnings.

use muster_import::supervisord::Mistakes;

use crate::machine::Machine;

fn mistakes(text: &str) -> Mistakes {
    Machine::small().read(text).expect_err("it has mistakes")
}

#[test]
fn every_mistake_is_reported_at_once_in_the_originals_order() {
    let text = "[supervisord]\nloglevel=loud\nuser=nobody-here\n[program:b]\ncommand=x\nstartsecs=soon\n\
                autorestart = maybe\nnonsense\n[program:a]\nstopsignal=NO\n[unix_http_server]\n";
    let problems = mistakes(text).problems;
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "/D/s.conf:8:1: is neither a section nor a key",
            "/D/s.conf:2:10: [supervisord] loglevel must be critical, error, warn, info, debug, trace or blather: 'loud'",
            "/D/s.conf:7:15: [program:b] autorestart must be true, false or unexpected: 'maybe'",
            "/D/s.conf:6:11: [program:b] startsecs must be a whole number: 'soon'",
            "/D/s.conf:10:12: [program:a] stopsignal must be a name such as TERM, or a number: 'NO'",
            "/D/s.conf:9:1: [program:a] needs a key command",
            "/D/s.conf:11:1: [unix_http_server] needs a key file",
            "/D/s.conf:3:6: [supervisord] user must be the name or number of a user on this machine: 'nobody-here'",
        ]
    );
    assert_eq!(problems[1].section.as_deref(), Some("supervisord"));
    assert_eq!(problems[1].option.as_deref(), Some("loglevel"));
    assert_eq!(problems[1].value.as_deref(), Some("loud"));
    assert_eq!(problems[1].original.as_deref(), Some("bad logging level name 'loud'"));
}

#[test]
fn one_mistake_is_reported_once() {
    let text = "[supervisord]\n[group:g]\nprograms=a\n[group:h]\nprograms=a\n[program:a]\ncommand=%(nope)s\n\
                process_name=p%(process_num)d\nnumprocs=9\n";
    assert_eq!(mistakes(text).problems.len(), 1);
    // A consequence of unreadable variables is not another mistake.
    let text = "[supervisord]\nenvironment=A\n[program:a]\ncommand=%(ENV_A)s\n";
    assert_eq!(mistakes(text).problems.len(), 1);
}

#[test]
fn values_that_may_be_secrets_are_left_out() {
    let text = "[supervisord]\nenvironment=KEY=hunter2@x\n[program:a]\ncommand=x\nenvironment=\"hunter2\n\
                [inet_http_server]\nport=1\npassword=hunter2\n";
    for problem in mistakes(text).problems {
        assert!(!problem.message.contains("hunter2") && problem.value.is_none(), "{problem}");
    }
    let text = "[supervisord]\nenvironment=KEY=hunter2\n[inet_http_server]\nport=1\nusername=u\npassword=hunter2\n";
    assert!(!format!("{:?}", Machine::small().read(text).unwrap().supervisord).contains("hunter2"));
    assert!(!format!("{:?}", Machine::small().read(text).unwrap().servers).contains("hunter2"));
}

#[test]
fn what_a_variable_stands_for_is_never_quoted() {
    let machine =
        || Machine::small().variable("S", "hunter2").variable("C", "x --key=hunter2$X").variable("Q", "'hunter2");
    for text in [
        "[program:a]\ncommand=%(ENV_C)s",
        "[program:a]\ncommand=x --key=%(ENV_S)s && y",
        "[program:a]\ncommand=x %(ENV_Q)s",
        "[program:a]\ncommand=x\nautorestart=%(ENV_S)s",
        "[program:a]\ncommand=x\nstopsignal=%(ENV_S)s",
        "[program:a]\ncommand=x\nuser=%(ENV_S)s",
        "[program:a]\ncommand=x\nstdout_logfile=/none/%(ENV_S)s/log",
        "[program:a]\ncommand=x\nenvironment=A=%(ENV_Q)s",
        "[group:g]\nprograms=%(ENV_S)s",
        "[eventlistener:l]\ncommand=x\nevents=%(ENV_S)s",
        "[eventlistener:l]\ncommand=x\nevents=TICK_5\nresult_handler=%(ENV_S)s",
        "[fcgi-program:f]\ncommand=x\nsocket=%(ENV_S)s",
        "[inet_http_server]\nport=%(ENV_S)s",
        "[unix_http_server]\nfile=/tmp/x\nchmod=%(ENV_S)s",
        "[unix_http_server]\nfile=/tmp/x\nchown=%(ENV_S)s",
        "loglevel=%(ENV_S)s",
        "directory=/none/%(ENV_S)s",
        "[include]\nfiles=/none/%(ENV_S)s.conf",
    ] {
        let (problems, warnings) = match machine().read(format!("[supervisord]\n{text}")) {
            Ok(read) => (Vec::new(), read.warnings),
            Err(mistakes) => (mistakes.problems, mistakes.warnings),
        };
        let said = problems.iter().map(|problem| format!("{problem} {:?} {:?}", problem.value, problem.allowed));
        let said = said.chain(warnings.iter().map(|warning| format!("{warning} {:?}", warning.hint)));
        let said: Vec<String> = said.collect();
        assert!(!said.is_empty(), "{text}");
        assert!(said.iter().all(|said| !said.contains("hunter2")), "{text}: {said:?}");
    }
}

/// Checks the warnings about a text after `[supervisord]`: a part of each, its hint included.
#[track_caller]
fn odd(text: &str, expected: &[&str]) {
    let configuration = Machine::small().read(format!("[supervisord]\n{text}"));
    let warnings = configuration.unwrap_or_else(|mistakes| panic!("{text}: {:?}", mistakes.problems)).warnings;
    let lines: Vec<String> =
        warnings.iter().map(|warning| format!("{warning} ({})", warning.hint.as_deref().unwrap_or_default())).collect();
    assert_eq!(lines.len(), expected.len(), "{text}: {lines:?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.contains(expected), "{text}: {line}");
    }
}

#[test]
fn unknown_sections_and_keys_are_reported_with_a_guess() {
    odd("http_port=9001", &["2:1: [supervisord] http_port is not a key that is read (write [inet_http_server]"]);
    let key = |key: &str, meant: &str| {
        let expected = format!("4:1: [program:a] {key} is not a key that is read ({meant}");
        odd(&format!("[program:a]\ncommand=x\n{key}=1"), &[&expected]);
    };
    key("auto_start", "write autostart)");
    key("stdout_backups", "write stdout_logfile_backups)");
    key("startsec", "write startsecs)");
    key("depends_on", "write muster.depends_on");
    key("zzz", ")");
    odd("[program:a]\ncommand=x\nmuster.kill=main\n[musterd]\nx=1", &[]);
    odd("[programs:a]\ncommand=x", &["2:1: [programs:a] is not a section that is read (write [program:a])"]);
    odd("[program]\ncommand=x", &["(write [program:NAME])"]);
    odd("[supervisor]\nx=1", &["(write [supervisord])"]);
    odd("[group:g]\nprogram=a", &["(write programs)"]);
}

#[test]
fn silent_surprises_of_the_original_are_reported() {
    odd("nodaemon=true\numask=077\ndirectory=/tmp", &["umask has no effect", "directory has no effect"]);
    let program = |rest: &str, expected: &[&str]| odd(&format!("[program:a]\n{rest}"), expected);
    program("command=a && b", &["no shell reads the command"]);
    program("command=a $PORT", &["no shell reads the command, so this is an argument as it stands: $PORT"]);
    program("command=sh -c 'a && b'", &[]);
    program("command=x\nstartsecs=0\nautorestart=true", &["restarted without end"]);
    program("command=x 'y", &["No closing quotation"]);
    program("command=", &["it is empty"]);
    program("command=nginx", &["daemonizes by default"]);
    program("command=sshd -D", &["muster.kill"]);
    program("command=x\nprocess_name=a%(process_num).0s\nnumprocs=2", &["several processes are called 'a'"]);
    program("command=x\nstdout_logfile=syslog", &["stdout_logfile=syslog is deprecated"]);
    program("command=x\nstdout_logfile_maxbytes=0", &["grows without end"]);
    program("command=x\nredirect_stderr=true\nstderr_logfile=/tmp/x", &["stderr_logfile is ignored"]);
    odd("[group:x]\nprograms=a\n[program:a]\ncommand=1\n[program:x]\ncommand=2", &["a second group 'x'"]);
    odd("[group:g]\nprograms=f\n[fcgi-program:f]\ncommand=x\nsocket=tcp://h:1", &["which the original does not do"]);
    odd("[group:g]\nprograms=f\n[fcgi-program:f]\ncommand=x\nsocket=no", &["the socket is ignored"]);
    odd("[rpcinterface:x]\nsupervisor.rpcinterface_factory=a:b", &["Python plugins"]);
    odd(
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        &[],
    );
    odd("[ctlplugin:x]", &["Python plugins"]);
    odd("[eventlistener:l]\ncommand=x\nevents=TICK\nresult_handler=a:b", &["Python plugins"]);
}

#[test]
fn servers_without_a_password_are_reported() {
    odd("[unix_http_server]\nfile=/tmp/s", &["any user who can open the socket"]);
    odd("[inet_http_server]\nport=127.0.0.1:1", &["every process in the container"]);
    odd("[inet_http_server]\nport=*:1", &["it will not be opened"]);
    odd("[inet_http_server]\nport=*:1\nusername=\npassword=x", &["it will not be opened"]);
    odd("[inet_http_server]\nport=*:1\nusername=u\npassword=x", &[]);
    let read = Machine::small().read("[supervisord]\n[inet_http_server]\nport=1").unwrap();
    let critical = "Server 'inet_http_server' running without any HTTP authentication checking";
    assert_eq!(read.warnings[0].critical.as_deref(), Some(critical));
}

#[test]
fn a_server_s_address_is_handed_down() {
    let url = |text: &str| Machine::small().read(format!("[supervisord]\n{text}")).unwrap().server_url;
    let (inet, unix) = ("[inet_http_server]\nport=*:1\n", "[unix_http_server]\nfile=/tmp/s\n");
    assert_eq!(url(""), None);
    assert_eq!(url(inet).as_deref(), Some("http://localhost:1"));
    assert_eq!(url(&format!("{inet}{unix}")).as_deref(), Some("unix:///tmp/s"));
    // Of several on TCP the original takes the last.
    assert_eq!(url(&format!("{inet}[inet_http_server:b]\nport=H:2\n")).as_deref(), Some("http://h:2"));
}

#[test]
fn a_process_knows_where_its_options_stand() {
    let text = "[supervisord]\n[program:a]\ncommand = x\nmuster.kill = \"main\"\n";
    let configuration = Machine::small().read(text).unwrap();
    let process = &configuration.groups[0].processes[0];
    assert_eq!(configuration.place(process, "command").unwrap().to_string(), "/D/s.conf:3:11");
    assert_eq!(configuration.place(process, "startsecs"), None);
    assert_eq!((process.own[0].key.as_str(), process.own[0].text.as_str()), ("kill", "\"main\""));
}

/// A text after `[supervisord]`, the line of its mistake, the key, and what the report contains: the value where it may be
/// shown, and what is allowed.
const REFUSED: [(&str, u32, &str, &[&str]); 49] = [
    ("minfds=x", 2, "minfds", &["'x'", "a whole number"]),
    ("minprocs=0.5", 2, "minprocs", &["'0.5'", "a whole number"]),
    ("directory=/none", 2, "directory", &["'/none'", "a directory that exists"]),
    ("user=nosuch", 2, "user", &["'nosuch'", "name or number of a user"]),
    ("umask=9", 2, "umask", &["'9'", "an octal number"]),
    ("logfile=/none/x", 2, "logfile", &["'/none/x'", "a directory that exists"]),
    ("logfile_maxbytes=1K", 2, "logfile_maxbytes", &["'1K'", "kb, mb or gb"]),
    ("logfile_backups=x", 2, "logfile_backups", &["'x'", "a whole number"]),
    ("loglevel=loud", 2, "loglevel", &["'loud'", "critical, error"]),
    ("pidfile=/none/x", 2, "pidfile", &["'/none/x'", "a directory that exists"]),
    ("nodaemon=y", 2, "nodaemon", &["'y'", "true, yes"]),
    ("silent=y", 2, "silent", &["'y'", "true, yes"]),
    ("childlogdir=/none", 2, "childlogdir", &["'/none'", "a directory that exists"]),
    ("nocleanup=y", 2, "nocleanup", &["'y'", "true, yes"]),
    ("strip_ansi=y", 2, "strip_ansi", &["'y'", "true, yes"]),
    ("environment=A", 2, "environment", &["NAME=\"value\""]),
    ("identifier=%(x)s", 2, "identifier", &["%(x)", "near to it"]),
    ("identifier=%y", 2, "identifier", &["'y'", "write %%"]),
    ("identifier=%s", 2, "identifier", &["%s", "write %%"]),
    ("[group:g]\nprograms=zz", 3, "programs", &["'zz'", "must name sections [program:NAME]"]),
    ("[group:g]\nprograms=f\n[program:f]\ncommand=x\n[fcgi-program:f]", 3, "programs", &["'f'", "must name one"]),
    ("[group:g]\npriority=x", 3, "priority", &["'x'", "a whole number"]),
    ("[group:a b]\nprograms=", 2, "", &["[group:a b]", "no blank"]),
    ("[program:a b]\ncommand=x", 2, "", &["[program:a b]", "no blank"]),
    ("[program:a]", 2, "", &["needs a key command"]),
    ("[program:a]\ncommand=x\nautostart=y", 4, "autostart", &["'y'", "true, yes"]),
    ("[program:a]\ncommand=x\nautorestart=never", 4, "autorestart", &["'never'", "unexpected"]),
    ("[program:a]\ncommand=x\nstopsignal=NO", 4, "stopsignal", &["'NO'", "a name such as TERM"]),
    ("[program:a]\ncommand=x\nstopsignal=99", 4, "stopsignal", &["'99'", "a name such as TERM"]),
    ("[program:a]\ncommand=x\nexitcodes=256", 4, "exitcodes", &["'256'", "0 to 255"]),
    ("[program:a]\ncommand=x\nuser=nosuch", 4, "user", &["'nosuch'", "name or number of a user"]),
    ("[program:a]\ncommand=x\numask=9", 4, "umask", &["'9'", "an octal number"]),
    ("[program:a]\ncommand=x\nprocess_name=a:b", 4, "process_name", &["'a:b'", "without blank"]),
    ("[program:a]\ncommand=x\nprocess_name=b\nnumprocs=2", 4, "process_name", &["'b'", "must contain %(process_num)"]),
    (
        "[program:a]\ncommand=x\nnumprocs=99999\nprocess_name=%(process_num)d",
        4,
        "numprocs",
        &["99999", "at most 10000"],
    ),
    ("[program:a]\ncommand=x\nstopasgroup=1\nkillasgroup=0", 5, "killasgroup", &["must not be false"]),
    ("[program:a]\ncommand=x\nstdout_logfile=/none/x", 4, "stdout_logfile", &["'/none/x'", "AUTO or none"]),
    ("[program:a]\ncommand=x\nstderr_logfile_maxbytes=x", 4, "stderr_logfile_maxbytes", &["'x'", "kb, mb or gb"]),
    ("[program:a]\ncommand=x\nstdout_syslog=x", 4, "stdout_syslog", &["'x'", "true, yes"]),
    ("[program:a]\ncommand=x\nenvironment=A=", 4, "environment", &["NAME=\"value\""]),
    ("[eventlistener:l]\ncommand=x", 2, "", &["needs a key events"]),
    ("[eventlistener:l]\ncommand=x\nevents=TICK_6", 4, "events", &["'TICK_6'", "TICK_"]),
    ("[eventlistener:l]\ncommand=x\nevents=EVENT\nbuffer_size=0", 5, "buffer_size", &["0", "1 or more"]),
    ("[eventlistener:l]\ncommand=x\nevents=EVENT\nredirect_stderr=1", 5, "redirect_stderr", &["must be false"]),
    ("[fcgi-program:f]\ncommand=x", 2, "", &["needs a key socket"]),
    ("[fcgi-program:f]\ncommand=x\nsocket=h:1", 4, "socket", &["'h:1'", "unix:///path or tcp://host:port"]),
    ("[inet_http_server]\nport=x", 3, "port", &["'x'", "from 1 to 65535"]),
    ("[unix_http_server]\nfile=/tmp/x\nchown=nosuch", 4, "chown", &["'nosuch'", "user or user:group"]),
    ("[rpcinterface:x]", 2, "", &["needs a key supervisor.rpcinterface_factory"]),
];

#[test]
fn each_mistake_names_its_place_the_key_the_value_and_what_is_allowed() {
    for (text, line, key, parts) in REFUSED {
        let problem = &mistakes(&format!("[supervisord]\n{text}\n")).problems[0];
        let said = format!("{problem} ({})", problem.allowed.as_deref().unwrap_or_default());
        assert!(said.starts_with(&format!("/D/s.conf:{line}:")), "{text}: {said}");
        assert_eq!(problem.option.as_deref().unwrap_or_default(), key, "{text}: {said}");
        assert!(said.contains(&format!("[{}]", problem.section.as_deref().unwrap_or_default())), "{text}: {said}");
        for part in parts.iter().chain([&key]) {
            assert!(said.contains(part), "{text}: {said} lacks {part}");
        }
    }
}
