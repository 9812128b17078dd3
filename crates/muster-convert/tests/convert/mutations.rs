//! Mutated inputs: never a panic, and bounded time.

use std::time::{Duration, Instant};

use muster_convert::supervisord::Input;
use muster_convert::{procfile, s6, supervisord};

use crate::machine::Machine;

const TEXT: &str = "; top\n[unix_http_server]\nfile=/run/s.sock ; (path)\nchmod=0770\n[supervisord]\nnodaemon=true\n\
    environment=A=\"1\",B=\"%(ENV_HOME)s\"\nuser=app\n[program:web]\ncommand=gunicorn -b :80%(process_num)02d {x} $${y} \
    \"a b\" 'c'\nprocess_name=%(program_name)s_%(process_num)02d\nnumprocs=3\nenvironment=P=\"%(ENV_PORT)s\",Q='%(here)s'\n\
    stdout_logfile=%(here)s/%(program_name)s.log\nredirect_stderr=true\nstopsignal=QUIT\n[eventlistener:end]\n\
    command=kill.sh\nevents=PROCESS_STATE_FATAL\n[group:g]\nprograms=web\n[fcgi-program:f]\ncommand=php\nsocket=tcp://:9000\n";

/// A generator of numbers: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap()
    }
}

fn mutated(text: &[u8], random: &mut Random) -> Vec<u8> {
    const PIECES: [&[u8]; 18] = [
        b"%",
        b"%(",
        b")s",
        b"%(ENV_X)s",
        b"%(process_num)d",
        b"{",
        b"}",
        b"$",
        b"${",
        b"\n",
        b"\"",
        b"'",
        b"\\",
        b"=",
        b"\xff",
        b"\0",
        b";",
        b"[program:all]\ncommand=x\n",
    ];
    let mut text = text.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(text.len());
        match random.below(3) {
            0 => _ = text.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied()),
            1 => {
                let end = (at + random.below(12)).min(text.len());
                text.drain(at..end);
            }
            _ => {
                let end = (at + random.below(40)).min(text.len());
                let copy = text[at..end].to_vec();
                let to = random.below(text.len());
                text.splice(to..to, copy);
            }
        }
    }
    text
}

fn machine() -> Machine {
    Machine { has_everything: true, ..Machine::small() }
}

#[test]
fn mutated_texts_never_panic_and_what_is_written_loads() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..1500 {
        let text = mutated(TEXT.as_bytes(), &mut random);
        let shown = String::from_utf8_lossy(&text).into_owned();
        let Ok(done) = supervisord::convert(&[Input { path: "/D/s.conf".into(), text }], &machine()) else { continue };
        let variables = [("PORT", "80"), ("X", "x"), ("HOME", "/root")];
        let variables: Vec<_> = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let loaded = crate::loading::load_text(&done.toml, "/D/muster.toml", &variables);
        let errors = crate::loading::errors(&loaded);
        let harmless =
            |error: &String| error.contains("needs the environment variable") || error.contains("no programs");
        assert!(errors.iter().all(harmless), "{errors:?}\n{shown}\n{}", done.toml);
    }
    for _ in 0..500 {
        let text = mutated(b"web: bundle exec puma -p $PORT\n# x\nrelease: rake a && b\nworker: A=1 x\n", &mut random);
        let Ok(done) = procfile::convert("Procfile", &text, true, &procfile::Formation::default()) else { continue };
        let errors = crate::loading::errors(&crate::loading::load_text(&done.toml, "/D/muster.toml", &[]));
        assert_eq!(errors, Vec::<String>::new(), "{}\n{}", String::from_utf8_lossy(&text), done.toml);
    }
    for _ in 0..500 {
        let file = |path: &str, text: &[u8], random: &mut Random| (path.to_owned(), mutated(text, random));
        let files = [
            file("s6-rc.d/a/type", b"longrun", &mut random),
            file("s6-rc.d/a/run", b"#!/command/with-contenv bash\nexec x", &mut random),
            file("s6-rc.d/a/timeout-kill", b"5000", &mut random),
            file("s6-rc.d/b/type", b"oneshot", &mut random),
            file("s6-rc.d/b/up", b"/etc/b \"x\" {", &mut random),
            file("s6-rc.d/a/dependencies", b"b c", &mut random),
        ];
        let tree = s6::Tree { root: "etc/s6-overlay".into(), files: files.into() };
        let Ok(done) = s6::convert(&tree, &|_| None) else { continue };
        let errors = crate::loading::errors(&crate::loading::load_text(&done.toml, "/D/muster.toml", &[]));
        assert_eq!(errors, Vec::<String>::new(), "{}", done.toml);
    }
}

/// The bounds are those of a build without optimization; an optimized one takes a tenth.
#[test]
fn ten_megabytes_take_little_time() {
    let most = if cfg!(debug_assertions) { Duration::from_secs(60) } else { Duration::from_secs(2) };
    let many = "; about\n[program:NAME]\ncommand=x -p %(ENV_PORT)s {a} ; behind\nenvironment=A=\"%(ENV_B)s\"\n";
    let megabytes = if cfg!(debug_assertions) { 1 } else { 10 };
    let count = megabytes * 1_000_000 / many.len();
    let programs: String = (0..count).map(|at| many.replace("NAME", &format!("p{at}"))).collect();
    let braces = |c: &str| format!("[program:a]\ncommand=x {}\n", c.repeat(60_000));
    let own = |section: &str, key: &str| -> String {
        let keys = (0..megabytes * 20_000).map(|at| format!("{key}.x{at} = {at}\n"));
        format!("[program:a]\ncommand=x\n{section}{}", keys.collect::<String>())
    };
    let texts = [
        programs,
        own("", "muster.environment"),
        own("[musterd]\n", "environment"),
        own("[musterd]\n", "http.x"),
        "[program:a]\ncommand=x\n".to_owned() + &"; c\n".repeat(megabytes * 250_000),
        braces("{"),
        braces("{a"),
        braces("$"),
        braces("${"),
        braces("%%"),
        braces("}"),
        format!(
            "[program:a]\ncommand=x\nnumprocs=1000\nprocess_name=%(process_num)x\nenvironment=A=\"{}\"\n",
            "y".repeat(2000)
        ),
    ];
    for text in texts {
        let begin: String = text.chars().take(60).collect();
        let start = Instant::now();
        let done = supervisord::convert(&[Input { path: "/D/s.conf".into(), text: text.into() }], &machine());
        let took = start.elapsed();
        assert!(took < most, "{took:?}: {begin}");
        drop(done);
    }
}
