//! Small configurations with random damage: reading them ends, and never with a panic.

use muster_import::supervisord::{Mode, read, split_command};

use crate::machine::Machine;

const SEEDS: [&str; 4] = [
    "[supervisord]\nnodaemon=true\nenvironment=A=\"1\",B='x y'\n[unix_http_server]\nfile=%(here)s/s.sock ; c\nchmod=0700\n",
    "[supervisord]\n[program:a]\ncommand=x \"%(ENV_HOME)s\" %(process_num)02d\nnumprocs=3\nprocess_name=%(program_name)s_%(process_num)x\n  more\nstdout_logfile=/tmp/%(program_name)-9.3s.log\nstdout_logfile_maxbytes=1MB\nexitcodes=0,2\nstopsignal=INT\n",
    "[supervisord]\n[group:g]\nprograms=a,f\npriority=5\n[program:a]\ncommand=x\n[fcgi-program:f]\ncommand=y\nsocket=tcp://h:9\n[eventlistener:l]\ncommand=z\nevents=TICK_5,PROCESS_LOG\nbuffer_size=3\n",
    "[supervisord]\n[include]\nfiles=c/*.conf [a-c]/?.ini\n[DEFAULT]\nautostart=%(here)s\n[inet_http_server]\nport=*:9001\nusername=u\npassword=p\n",
];

/// Text that a mutation puts in.
const PIECES: [&str; 28] = [
    "%",
    "%%",
    "%(",
    ")s",
    "%(here)s",
    "%(process_num)*d",
    "\n",
    "\n  ",
    "\r",
    "[",
    "]",
    "=",
    ":",
    ";",
    " #",
    "\"",
    "'",
    "\\",
    ",",
    "-1",
    "99999999999999999999",
    "\u{85}",
    "\u{663}",
    "ü",
    "\u{feff}",
    "[program:b]\n",
    "~nobody/",
    "\0",
];

/// A generator that repeats itself: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    match random.below(6) {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] = u8::try_from(random.below(256)).unwrap(),
        2 if at < bytes.len() => {
            bytes.remove(at);
        }
        3 => {
            let to = (at + random.below(40)).min(bytes.len());
            let copy = bytes[at..to].to_vec();
            let into = random.below(bytes.len() + 1);
            bytes.splice(into..into, copy);
        }
        _ => {
            let piece = PIECES[random.below(PIECES.len())];
            bytes.splice(at..at, piece.bytes());
        }
    }
}

#[test]
fn damaged_configurations_are_read_or_refused() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let machine = Machine::small().file("/D/c/1.conf", SEEDS[1]).file("/D/b/x.ini", SEEDS[2]);
    for round in 0..2000 {
        let mut bytes = SEEDS[round % SEEDS.len()].as_bytes().to_vec();
        for _ in 0..=random.below(8) {
            mutate(&mut bytes, &mut random);
        }
        let machine = machine.clone().file("/D/s.conf", bytes);
        for mode in [Mode::Main, Mode::Fragment] {
            match read("/D/s.conf", mode, &machine) {
                Ok(configuration) => {
                    for process in configuration.groups.iter().flat_map(|group| &group.processes) {
                        let _ = split_command(&process.command);
                    }
                }
                Err(mistakes) => {
                    let first = mistakes.problems.first().expect("a refusal has a reason");
                    assert!(!first.message.is_empty());
                    assert!(mistakes.problems.iter().all(|problem| !problem.place.file.is_empty()));
                }
            }
        }
    }
}
