//! The configuration and the lines. `_` is a blank within a word, `@` the directory of the daemon.

pub(crate) const SECTIONS: &str = "\
[supervisord]
[unix_http_server]
file=%(here)s/socket
[inet_http_server]
port=127.0.0.1:PORT
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://%(here)s/./socket
[include]
files=more/*.conf
[program:cat]
command=/bin/cat
[program:talk]
command=/bin/sh -c 'echo said; echo complained >&2; exec sleep 1000'
[program:quiet]
command=/bin/sleep 1000
stdout_logfile=NONE
stderr_logfile=NONE
[program:off]
command=/bin/sleep 1000
autostart=false
[program:exited]
command=/bin/sh -c 'sleep 1; exit 3'
startsecs=0
autorestart=false
[program:fatal]
command=/no/such/command
startretries=0
[program:failing]
command=/bin/sh -c 'exit 1'
startretries=0
startsecs=9
autostart=false
[program:plain]
command=%(here)s/plain
startretries=0
autostart=false
[program:w]
command=/bin/sleep 1000
numprocs=2
process_name=w_%(process_num)02d
priority=5
[program:one]
command=/bin/sleep 1000
[program:two]
command=/bin/sleep 1000
autostart=false
[group:g]
programs=one,two
priority=15
[program:a-program-whose-name-is-longer-than-a-column]
command=/bin/sleep 1000
";

/// A name beyond ASCII. The original cuts long answers with one, so only looking at it can be compared.
pub(crate) const GREEN: &str = "[program:gr\u{fc}n]\ncommand=/bin/sleep 1000\n";

/// Never ends before there is a file `end`, and must be killed or waited for.
pub(crate) const SLOW: &str = "\
[program:slow]
command=/bin/sh -c 'trap \"\" TERM; echo up; while [ ! -e @/end ]; do sleep 0.1; done'
stopwaitsecs=3000
";

/// Lines whose answer does not depend on a daemon.
pub(crate) const ALONE: &[&str] = &[
    // The command line.
    "-h",
    "--help",
    "-?",
    "-x",
    "-c",
    "--foo",
    "--s",
    "-s foo",
    "-s unix://",
    "-s unix:///x -s unix:///y",
    "-i -i",
    "-c @/none.conf",
    "-c @",
    "-c @/empty.conf status",
    "-c @/bad.conf status",
    "-c @/unknown.conf status -x",
    "-c s.conf --history-file=x",
    "-c s.conf -r @/history version",
    // Servers that are not there.
    "-s unix://@/none status",
    "-s unix://@/none status cat",
    "-s unix://@/none start cat",
    "-s unix://@/none stop cat",
    "-s unix://@/none avail",
    "-s unix://@/none shutdown",
    "-s unix://@/none reload",
    "-s unix://@/none reread",
    "-s unix://@/none pid",
    "-s unix://@/none tail -f cat",
    "-s unix://@/none add x",
    "-s http://127.0.0.1:1 status",
    "-s http://127.0.0.1:1 start cat",
    "-s http://127.0.0.1:1 version",
    "-s http://127.0.0.1:1 avail",
    "-s http://127.0.0.1:1 shutdown",
    "-s http://127.0.0.1:x status",
    "-s http://127.0.0.1:70000 status",
    "-s ftp://127.0.0.1 status",
    "-s ftp://127.0.0.1 shutdown",
    "-s unix://@ status",
    "-s unix://@/plain status",
    "-s unix://@/plain/x avail",
    "-c s.conf open unix://@/none",
    "-c s.conf open http://127.0.0.1:1",
    "-c s.conf open ftp://x",
    "-c s.conf open",
    "-c s.conf open unix://@/socket",
    "-s unix:///none open http://127.0.0.1:PORT",
    // Lines.
    "-c s.conf foo",
    "-c s.conf foo bar",
    "-c s.conf statusx",
    "-c s.conf status-x",
    "-c s.conf !status",
    "-c s.conf ?stop",
    "-c s.conf ?",
    "-c s.conf __status___cat_",
    "-c s.conf _",
    "-c s.conf quit",
    "-c s.conf exit now",
    "-c s.conf EOF",
    "-c s.conf EOFx",
    // Help.
    "-c s.conf help",
    "-c s.conf help help",
    "-c s.conf help foo bar",
    "-c s.conf help EOF",
    // Words that are missing, or too many.
    "-c s.conf avail x",
    "-c s.conf reread x",
    "-c s.conf version x",
    "-c s.conf shutdown now",
    "-c s.conf reload now",
    "-c s.conf start",
    "-c s.conf stop",
    "-c s.conf restart",
    "-c s.conf signal",
    "-c s.conf signal TERM",
    "-c s.conf clear",
    "-c s.conf fg",
    "-c s.conf fg a b",
    "-c s.conf add",
    "-c s.conf remove",
    "-c s.conf tail",
    "-c s.conf tail a b c d",
    "-c s.conf tail -f",
    "-c s.conf tail -5",
    "-c s.conf tail -x talk",
    "-c s.conf tail - talk",
    "-c s.conf tail talk it's",
    "-c s.conf tail talk a b",
    "-c s.conf maintail a b",
    "-c s.conf maintail x",
    "-c s.conf maintail -x",
];

/// Lines that ask a daemon and change nothing.
pub(crate) const LOOKS: &[&str] = &[
    // Status.
    "-c s.conf status",
    "-c s.conf -i status",
    "-s unix://@/socket status",
    "-s http://127.0.0.1:PORT status",
    "-s http://127.0.0.1:PORT/ version",
    "-c s.conf status all",
    "-c s.conf status cat",
    "-c s.conf status cat talk cat",
    "-c s.conf status off",
    "-c s.conf status exited fatal",
    "-c s.conf status nosuch",
    "-c s.conf status cat nosuch",
    "-c s.conf status off nosuch",
    "-c s.conf status all nosuch",
    "-c s.conf status nosuch:*",
    "-c s.conf status g:*",
    "-c s.conf status g:",
    "-c s.conf status g",
    "-c s.conf status g:one g:nosuch",
    "-c s.conf status w:w_00",
    "-c s.conf status gr\u{fc}n",
    // Pids.
    "-c s.conf pid",
    "-c s.conf pid all",
    "-c s.conf pid cat",
    "-c s.conf pid off",
    "-c s.conf pid nosuch",
    "-c s.conf pid cat nosuch off",
    "-c s.conf pid off nosuch",
    "-c s.conf pid g:*",
    // Logs.
    "-c s.conf tail talk",
    "-c s.conf tail talk stderr",
    "-c s.conf tail talk STDERR",
    "-c s.conf tail -2 talk",
    "-c s.conf tail -1_0 talk",
    "-c s.conf tail --2 talk",
    "-c s.conf tail -0 talk",
    "-c s.conf tail -3000000000 talk",
    "-c s.conf tail quiet",
    "-c s.conf tail off",
    "-c s.conf tail nosuch",
    "-c s.conf tail g:*",
    "-c s.conf tail -f nosuch",
    "-c s.conf tail -f quiet",
    "-c s.conf tail -f nosuch stderr",
    // Others.
    "-c s.conf avail",
    "-c s.conf reread",
    "-c s.conf fg nosuch",
    "-c s.conf fg off",
    "-c s.conf add nosuch cat",
    "-c s.conf remove nosuch cat",
    "-c s.conf update",
    "-c s.conf update nosuch",
    "-c s.conf signal 0 cat",
    "-c s.conf signal USR9 cat",
    "-c s.conf signal 0 off",
    "-c s.conf signal 0 nosuch cat",
    "-c s.conf signal 0 nosuch:*",
    "-c s.conf signal 0 g:*",
    "-c s.conf signal USR9 g:*",
    "-c s.conf signal 0 all",
    "-c s.conf clear nosuch",
    "-c s.conf clear nosuch:*",
    "-c s.conf start nosuch",
    "-c s.conf start nosuch:*",
    "-c s.conf start cat",
    "-c s.conf start cat nosuch g:nosuch",
    "-c s.conf stop off",
    "-c s.conf stop nosuch off",
    "-c s.conf stop nosuch:*",
    "-c s.conf restart nosuch",
    "-c s.conf restart nosuch:*",
];

/// Lines that are played one after the other.
pub(crate) type Scene = &'static [&'static str];

/// Scenes that change states. `FILE<TEXT` replaces a file.
pub(crate) const CHANGES: &[Scene] = &[
    &["stop cat", "stop cat", "start cat", "restart cat", "restart off", "stop g:two off cat", "status"],
    &["stop g:*", "stop g:*", "start g:*", "start g:*", "restart g:one w:*", "status g:*"],
    &["start failing", "start fatal", "start plain", "start exited", "restart exited cat", "restart fatal", "status"],
    &[
        "signal KILL quiet",
        "\"signal_TERM\"_quiet",
        "signal_HUP talk",
        "clear talk",
        "tail talk",
        "clear talk off",
        "clear cat nosuch",
        "status",
    ],
    &["stop all", "stop all", "status", "start all", "start all", "status"],
    &["restart all", "status"],
    &["remove g", "stop g:*", "remove g", "status g:*", "add g", "add g", "status g:*", "avail"],
    &["stop cat", "reload", "status"],
    &[
        "more/x.conf<[program:new]\ncommand=/bin/sleep 1000\n",
        "reread",
        "avail",
        "update nosuch g",
        "update",
        "update",
        "status new",
        "more/x.conf<[program:new]\ncommand=/bin/sleep 1001\n",
        "reread",
        "update g",
        "update new nosuch",
        "status new",
        "avail",
    ],
    &[
        "more/x.conf<[program:new]\ncommand=/bin/sleep 1000\n",
        "update",
        "more/x.conf<[program:other]\ncommand=/bin/sleep 1000\n[program:third]\ncommand=/bin/sleep 1000\nautostart=false\n",
        "reread",
        "update other",
        "update all",
        "status other third new",
        "more/x.conf<[program:other]\ncommand=/bin/sleep 1000\n",
        "reread",
        "update",
        "more/x.conf<[program:other]\npriority=1\n",
        "reread",
        "update",
        "avail",
        "more/x.conf<",
        "reread",
        "update",
        "reread",
        "add other",
    ],
];

/// Inputs of the shell.
pub(crate) const SESSIONS: &[&str] = &[
    "",
    "\n  \nquit\nstatus\n",
    "help\nhelp stop\n?fg\nfoo\nexit",
    "help add\n\
     help avail\n\
     help clear\n\
     help exit\n\
     help fg\n\
     help maintail\n\
     help open\n\
     help pid\n\
     help quit\n\
     help reload\n\
     help remove\n\
     help reread\n\
     help restart\n\
     help shutdown\n\
     help signal\n\
     help start\n\
     help status\n\
     help stop\n\
     help tail\n\
     help update\n\
     help version\n",
    "status cat\npid off\nversion\nstop\n",
    "open unix://@/none\nversion\nopen unix://@/socket\nversion\nopen nowhere\n",
    "shutdown\nn\nreload\n\nreload\nno\nshutdown\n",
    "help",
    "status nosuch\ntail nosuch\ntail talk\nEOF\nstatus\n",
];
