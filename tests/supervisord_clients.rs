//! Clients of supervisord that others wrote, unchanged, with musterd: superlance's listeners, Ansible's module, the Prometheus
//! node exporter, Python and PHP. They use the Unix socket.

mod harness;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use harness::{Server, clients, ended, free_port, is_root, send, skip, wait_for, wait_until};

const PROGRAMS: &str = "\
[program:cat]\ncommand=cat\nstdout_logfile=%(here)s/cat.log\n\
[program:off]\ncommand=sleep 1000\nautostart=false\n\
[program:talk]\ncommand=sh -c \"echo abcde; exec sleep 1000\"\nstdout_logfile=%(here)s/talk.log\n";

/// A supervisord of ours with a directory of its own; dropping it ends it.
struct Supervisord {
    child: Child,
    place: tempfile::TempDir,
}

impl Drop for Supervisord {
    fn drop(&mut self) {
        send(self.child.id() as i32, 15);
        let _ = self.child.wait();
    }
}

impl Supervisord {
    /// Starts it with these sections, in which `@` is its directory, and waits until the program `cat` runs.
    fn start(sections: &str) -> Supervisord {
        let place = tempfile::tempdir().expect("a temporary directory can be created");
        let user = if is_root() { "user=root\n" } else { "" };
        let text = format!(
            "[supervisord]\nlogfile=main.log\npidfile=main.pid\nchildlogdir=.\n{user}\
             [unix_http_server]\nfile=%(here)s/socket\n\
             [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
             [supervisorctl]\nserverurl=unix://%(here)s/socket\n{}",
            sections.replace('@', &place.path().to_string_lossy())
        );
        fs::write(place.path().join("s.conf"), text).expect("it is ours");
        let mut command = Command::new(harness::musterd());
        command.arg0("supervisord").args(["-n", "-c", "s.conf"]).current_dir(place.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Supervisord { child: command.spawn().expect("it can be executed"), place };
        wait_until("cat runs", || server.pid("cat").is_some());
        server
    }

    fn socket(&self) -> PathBuf {
        self.place.path().join("socket")
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.place.path().join(name)).unwrap_or_default()
    }

    /// The process of a program that is RUNNING.
    fn pid(&self, name: &str) -> Option<u32> {
        let end = ended(
            Command::new(harness::musterctl())
                .arg0("supervisorctl")
                .args(["-c", "s.conf", "status", name])
                .current_dir(self.place.path()),
        );
        end.out.split_once(" RUNNING   pid ")?.1.split_once(',')?.0.parse().ok()
    }
}

/// Whether these files exist; what is missing is reported.
fn are_there(files: &[&str], package: &str) -> bool {
    let missing: Vec<_> = files.iter().filter(|file| !Path::new(file).exists()).collect();
    if !missing.is_empty() {
        skip(&format!("Debian's package {package} is not installed: there is no {missing:?}"));
    }
    missing.is_empty()
}

/// Runs a script that prints `passed` at its end.
fn passes(command: &mut Command) {
    let end = ended(command);
    assert_eq!((end.code, end.out.as_str()), (Some(0), "passed\n"), "{}", end.err);
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

#[test]
fn python_s_client_looks_controls_and_gets_faults() {
    let server = Supervisord::start(PROGRAMS);
    wait_until("talk has spoken", || server.file("talk.log") == "abcde\n" && server.pid("talk").is_some());
    passes(Command::new("python3").arg(script("session.py")).arg(server.socket()));
}

#[test]
fn a_php_client_looks_controls_and_gets_faults() {
    if !are_there(&["/usr/bin/php"], "php-cli") {
        return;
    }
    let server = Supervisord::start(PROGRAMS);
    wait_until("talk has spoken", || server.file("talk.log") == "abcde\n");
    let has_xml = ended(Command::new("php").args(["-r", "exit(function_exists('simplexml_load_string') ? 0 : 1);"]));
    if has_xml.code != Some(0) {
        return skip("PHP cannot read XML (Debian's package php-xml)");
    }
    passes(Command::new("php").arg(script("session.php")).arg(server.socket()));
}

#[test]
fn the_node_exporter_collects_all_processes() {
    const EXPORTER: &str = "/usr/bin/prometheus-node-exporter";
    if !are_there(&[EXPORTER], "prometheus-node-exporter") {
        return;
    }
    let server = Supervisord::start(PROGRAMS);
    let address = format!("127.0.0.1:{}", free_port());
    let exporter = Command::new(EXPORTER)
        .args(["--collector.disable-defaults", "--collector.supervisord"])
        .arg(format!("--collector.supervisord.url=unix://{}", server.socket().display()))
        .arg(format!("--web.listen-address={address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut exporter = Killed(exporter.expect("it can be executed"));
    let metrics = wait_for("the exporter answers", || {
        assert!(exporter.0.try_wait().is_ok_and(|status| status.is_none()), "the exporter has ended");
        let mut stream = TcpStream::connect(&address).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    });
    for line in [
        "node_scrape_collector_success{collector=\"supervisord\"} 1",
        "node_supervisord_up{group=\"cat\",name=\"cat\"} 1",
        "node_supervisord_up{group=\"off\",name=\"off\"} 0",
        "node_supervisord_state{group=\"cat\",name=\"cat\"} 20",
        "node_supervisord_exit_status{group=\"off\",name=\"off\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing:\n{metrics}");
    }
    assert!(metrics.contains("node_supervisord_start_time_seconds{group=\"talk\",name=\"talk\"}"), "{metrics}");
}

/// A process that is killed when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ansible_s_module_reaches_every_state() {
    const PLAYBOOK: &str = "/usr/bin/ansible-playbook";
    const MODULE: &str =
        "/usr/lib/python3/dist-packages/ansible_collections/community/general/plugins/modules/supervisorctl.py";
    const ORIGINAL: &str = "/usr/bin/supervisorctl";
    if !are_there(&[PLAYBOOK, MODULE, ORIGINAL], "ansible, or supervisor") {
        return;
    }
    let plays = |own: bool| {
        let groups = "[group:g]\nprograms=x,y\n[program:x]\ncommand=sleep 1000\n[program:y]\ncommand=sleep 1000\n";
        let server = Supervisord::start(&format!("{PROGRAMS}{groups}"));
        let place = server.place.path();
        let link = place.join("supervisorctl");
        symlink(harness::musterctl(), &link).expect("it is ours");
        let ctl = if own { link } else { PathBuf::from(ORIGINAL) };
        let mut command = Command::new(PLAYBOOK);
        command.args(["-i", "localhost,", "-c", "local"]).arg(script("states.yml"));
        command.arg("-e").arg(format!("ctl={} configuration={}/s.conf", ctl.display(), place.display()));
        command.current_dir(place).env("HOME", place).env("ANSIBLE_HOME", place).env("LC_ALL", "C.UTF-8");
        command.env("ANSIBLE_LOCAL_TEMP", place).env("ANSIBLE_REMOTE_TEMP", place).env("ANSIBLE_NOCOLOR", "1");
        let end = ended(&mut command);
        assert_eq!(end.code, Some(0), "{}:\n{}{}", ctl.display(), end.out, end.err);
    };
    std::thread::scope(|scope| [true, false].map(|own| scope.spawn(move || plays(own))).map(|play| play.join()))
        .into_iter()
        .for_each(|outcome| outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
}

/// A mail server that keeps what it gets.
struct MailServer {
    port: u16,
    mails: Arc<Mutex<String>>,
}

impl MailServer {
    fn start() -> MailServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let mails = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&mails);
        std::thread::spawn(move || {
            // A client that disconnects ends its own session only.
            listener.incoming().flatten().for_each(|stream| drop(receive(&stream, &kept)));
        });
        MailServer { port, mails }
    }

    fn has(&self, text: &str) -> bool {
        self.mails.lock().expect("no thread panics while holding the lock").contains(text)
    }
}

/// One session of SMTP: a dot ends a mail, and any other line is accepted.
fn receive(mut stream: &TcpStream, mails: &Mutex<String>) -> std::io::Result<()> {
    stream.write_all(b"220 test\r\n")?;
    let mut is_mail = false;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        match line.as_str() {
            "." => is_mail = false,
            _ if is_mail => {
                let mut mails = mails.lock().expect("no thread panics while holding the lock");
                mails.push_str(&line);
                mails.push('\n');
                continue;
            }
            "data" | "DATA" => {
                is_mail = true;
                stream.write_all(b"354 go on\r\n")?;
                continue;
            }
            "quit" | "QUIT" => return stream.write_all(b"221 bye\r\n"),
            _ => {}
        }
        stream.write_all(b"250 ok\r\n")?;
    }
    Ok(())
}

#[test]
fn listeners_of_superlance_act() {
    let Some(clients) = clients() else { return };
    let (web, mail) = (Server::answering(500), MailServer::start());
    let bin = clients.join("venv/bin");
    let listener = |name: &str, words: &str, events: &str| {
        format!("[eventlistener:{name}]\ncommand={}/{name} {words}\nevents={events}\n", bin.display())
    };
    let host = format!("--toEmail=to@test --fromEmail=from@test --interval=0.01 --smtpHost=127.0.0.1:{}", mail.port);
    let keep = |file: &str| format!("-s \"dd of=@/{file} status=none\"");
    let sections = [
        PROGRAMS.to_owned(),
        "[program:crash]\ncommand=sh -c 'sleep 1.5; exit 3'\nautorestart=false\n".to_owned(),
        "[program:fatal]\ncommand=/no/such/command\nstartretries=0\n".to_owned(),
        listener("crashmail", &format!("-a -m me@test {}", keep("crashmail")), "PROCESS_STATE_EXITED"),
        listener("memmon", &format!("-p cat=1KB -m me@test {}", keep("memmon")), "TICK_5"),
        listener("httpok", &format!("-p talk -t 3 {}", web.url("/health")), "TICK_5"),
        listener("crashmailbatch", &format!("{host} --tickEvent=TICK_5"), "PROCESS_STATE,TICK_5"),
        listener("fatalmailbatch", &format!("{host} --tickEvent=TICK_5"), "PROCESS_STATE,TICK_5"),
    ];
    let server = Supervisord::start(&sections.concat());
    let pid = |name: &str| wait_for(name, || server.pid(name));
    let (cat, talk) = (pid("cat"), pid("talk"));
    wait_until("crashmail mails", || {
        server.file("crashmail").contains("Process crash in group crash exited unexpectedly")
    });
    wait_until("memmon restarts", || server.pid("cat").is_some_and(|now| now != cat));
    wait_until("memmon mails", || server.file("memmon").contains("memmon.py restarted the process named cat"));
    wait_until("httpok restarts", || server.pid("talk").is_some_and(|now| now != talk));
    wait_until("crashmailbatch mails", || mail.has("Process crash:crash"));
    wait_until("fatalmailbatch mails", || mail.has("Process fatal:fatal failed to start too many times"));
}
