//! Daemons that daemonize unless a flag keeps them in the foreground. A supervisor would see such a program exit at once.
//!
//! The flags are from the manuals, as Debian 12 ships them. Only the command is checked: a configuration file may have the
//! same effect as a flag, so the result is a warning.

/// A program that leaves the foreground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habit {
    name: &'static str,
    /// The flag to add, or to remove.
    advice: Advice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Advice {
    Add(&'static str),
    LeaveOut(&'static str),
    RunInstead(&'static str),
}

impl Habit {
    /// The message.
    pub fn message(self) -> String {
        match self.advice {
            Advice::Add(_) => format!("{} daemonizes by default, which looks like an exit", self.name),
            Advice::LeaveOut(flag) => {
                format!("{flag} makes {} daemonize, which looks like an exit", self.name)
            }
            Advice::RunInstead(_) => format!("{} keeps a server in the background and supervises it itself", self.name),
        }
    }

    /// The hint.
    pub fn hint(self) -> String {
        match self.advice {
            Advice::Add(flag) => format!("add {flag}, unless its configuration already does the same"),
            Advice::LeaveOut(flag) => format!("leave out {flag}"),
            Advice::RunInstead(command) => format!("run {command} instead"),
        }
    }
}

/// Daemons that fork unless one of these flags is given; the first flag is the recommended one.
const FORKS_WITHOUT: [(&str, &[&str]); 22] = [
    ("nginx", &["-g 'daemon off;'", "daemon off"]),
    ("cron", &["-f", "--foreground"]),
    ("crond", &["-f", "-n", "-d", "--foreground"]),
    ("rsyslogd", &["-n"]),
    ("syslog-ng", &["-F", "--foreground"]),
    ("sshd", &["-D", "-d", "-i", "-t"]),
    ("apache2", &["-DFOREGROUND", "FOREGROUND", "-X"]),
    ("httpd", &["-DFOREGROUND", "FOREGROUND", "-X", "-f"]),
    ("apachectl", &["-DFOREGROUND", "FOREGROUND"]),
    ("apache2ctl", &["-DFOREGROUND", "FOREGROUND"]),
    ("php-fpm", &["--nodaemonize", "-F"]),
    ("vsftpd", &["-obackground=NO", "background=NO"]),
    ("proftpd", &["--nodaemon", "-n"]),
    ("dnsmasq", &["--keep-in-foreground", "-k", "--no-daemon", "-d"]),
    ("named", &["-f", "-g"]),
    ("lighttpd", &["-D"]),
    ("smbd", &["--foreground", "-F", "-i"]),
    ("nmbd", &["--foreground", "-F", "-i"]),
    ("atd", &["-f", "-d"]),
    ("chronyd", &["-d", "-n"]),
    ("ntpd", &["-n"]),
    ("dbus-daemon", &["--nofork"]),
];

/// Daemons that stay in the foreground unless one of these flags is given.
const FORKS_WITH: [(&str, &[&str]); 7] = [
    ("memcached", &["-d", "--daemon"]),
    ("haproxy", &["-D"]),
    ("gunicorn", &["-D", "--daemon"]),
    ("uwsgi", &["--daemonize", "-d"]),
    ("varnishd", &["--daemon"]),
    ("postfix", &[]),
    ("supervisord", &[]),
];

/// Whether a command starts a daemon that would leave the foreground.
pub fn leaves_foreground(command: &[String]) -> Option<Habit> {
    let (program, arguments) = command.split_first()?;
    let base = program.rsplit('/').next()?;
    if asks_only(arguments) {
        return None;
    }
    let says = |flag: &str| arguments.iter().any(|argument| has_flag(argument, flag));
    if let Some((name, flags)) = FORKS_WITHOUT.iter().find(|(name, _)| is_named(base, name)) {
        let stays = flags.iter().any(|flag| says(flag));
        return (!stays).then_some(Habit { name, advice: Advice::Add(flags[0]) });
    }
    if let Some((name, flags)) = FORKS_WITH.iter().find(|(name, _)| is_named(base, name)) {
        return flags.iter().find(|flag| says(flag)).map(|flag| Habit { name, advice: Advice::LeaveOut(flag) });
    }
    match base {
        "redis-server" | "valkey-server" if is_redis_daemon(arguments) => {
            Some(Habit { name: "redis-server", advice: Advice::LeaveOut("--daemonize yes") })
        }
        "mysqld_safe" => Some(Habit { name: "mysqld_safe", advice: Advice::RunInstead("mysqld") }),
        "mariadbd-safe" => Some(Habit { name: "mariadbd-safe", advice: Advice::RunInstead("mariadbd") }),
        "service" | "rc-service" => Some(Habit { name: "service", advice: Advice::RunInstead("the server itself") }),
        "pg_ctl" | "pg_ctlcluster" => Some(Habit { name: "pg_ctl", advice: Advice::RunInstead("postgres") }),
        _ => None,
    }
}

/// Whether it only prints its version or help, or tests its configuration.
fn asks_only(arguments: &[String]) -> bool {
    const QUESTIONS: [&str; 7] = ["-v", "-V", "--version", "--help", "-h", "-t", "-T"];
    arguments.iter().any(|argument| QUESTIONS.contains(&argument.as_str()))
}

/// `php-fpm8.2` is php-fpm too.
fn is_named(base: &str, name: &str) -> bool {
    let version = base.strip_prefix(name);
    version.is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

/// A flag by itself, in a cluster of letters (`-de`), with a value (`--daemonize=yes`), or as words within an argument.
fn has_flag(argument: &str, flag: &str) -> bool {
    if let Some(letter) = flag.strip_prefix('-').filter(|letter| letter.len() == 1) {
        let cluster =
            argument.strip_prefix('-').filter(|cluster| cluster.bytes().all(|byte| byte.is_ascii_alphabetic()));
        return cluster.is_some_and(|cluster| cluster.len() <= 4 && cluster.contains(letter));
    }
    let with_value = argument.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='));
    with_value || (!flag.starts_with('-') && argument.contains(flag))
}

fn is_redis_daemon(arguments: &[String]) -> bool {
    arguments.windows(2).any(|pair| pair[0] == "--daemonize" && pair[1] == "yes")
        || arguments.iter().any(|argument| argument == "--daemonize=yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(command: &str) -> Option<String> {
        let words = crate::dialect::toml::command::split(command).unwrap();
        let words: Vec<String> = words.into_iter().map(|word| word.text).collect();
        leaves_foreground(&words).map(Habit::hint)
    }

    #[test]
    fn daemons_that_would_fork_are_told_what_they_need() {
        for (command, needs) in [
            ("nginx", "-g 'daemon off;'"),
            ("/usr/sbin/nginx -c /etc/nginx.conf", "-g 'daemon off;'"),
            ("cron", "-f"),
            ("crond -l 2", "-f"),
            ("rsyslogd", "-n"),
            ("/usr/sbin/sshd -e", "-D"),
            ("apache2 -k start", "-DFOREGROUND"),
            ("php-fpm8.2", "--nodaemonize"),
            ("redis-server /etc/redis.conf --daemonize yes", "--daemonize yes"),
            ("memcached -d -m 64", "-d"),
            ("haproxy -f /etc/haproxy.cfg -D", "-D"),
            ("mysqld_safe", "mysqld"),
            ("service nginx start", "the server itself"),
            ("dnsmasq", "--keep-in-foreground"),
        ] {
            let hint = hint(command);
            assert!(hint.as_ref().is_some_and(|hint| hint.contains(needs)), "{command}: {hint:?}");
        }
    }

    #[test]
    fn daemons_that_stay_are_left_alone() {
        for command in [
            "nginx -g 'daemon off;'",
            "nginx -g 'pid /run/x; daemon off;'",
            "nginx -t",
            "cron -f",
            "cron -fL 2",
            "sshd -De",
            "rsyslogd -n -iNONE",
            "apache2 -D FOREGROUND",
            "httpd -DFOREGROUND",
            "apachectl -D FOREGROUND",
            "php-fpm -F",
            "php-fpm --nodaemonize",
            "redis-server --port 1 --daemonize no",
            "memcached -u memcache",
            "haproxy -W -db -f x",
            "postgres -D /var/lib/postgresql",
            "gunicorn app",
            "mysqld",
            "",
        ] {
            assert_eq!(hint(command), None, "{command}");
        }
    }
}
