//! A live table of programs on a terminal.
//!
//! `terminal.rs` handles the terminal in raw mode and restores it, `keys.rs` parses keys, `view.rs` draws, `figures.rs`
//! parses the daemon's metrics. The list is requested when an event reports a change, and metrics
//! every two seconds.

mod figures;
mod keys;
mod terminal;
mod view;

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use muster_api::{Info, LogFormat, LogQuery, LogStream, Program, Route, Verb, Why};

use self::figures::Figures;
use self::keys::Key;
use self::terminal::Terminal;
use self::view::{Screen, Table};
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::live::{Live, News};
use crate::session::Session;

/// How long a message stays at least; the next metrics after that remove it.
const MESSAGE: Duration = Duration::from_secs(10);

/// How often metrics are requested.
const FIGURES: Duration = Duration::from_secs(2);

/// The current page.
enum Page {
    Programs,
    Logs(String),
    Why(String),
}

struct Top<'a> {
    client: &'a Client,
    info: Info,
    asked: Instant,
    programs: Vec<Program>,
    figures: Figures,
    next_figures: Instant,
    selected: usize,
    message: String,
    message_since: Instant,
    page: Page,
    is_over: bool,
}

/// Shows programs until the user quits or the daemon exits.
pub(crate) fn run(session: &Session<'_>) -> Result<Exit, Failure> {
    let broken = |error: io::Error| Failure::new(Exit::Failed, format!("cannot use the terminal: {error}"));
    // Fail before anything is drawn, while the terminal is unchanged.
    let mut top = Top::new(&session.client)?;
    let mut terminal = Terminal::enter().map_err(broken)?;
    let (mut bell, ring) = io::pipe().map_err(broken)?;
    // A full pipe wakes the reader anyway.
    let live = Live::follow(&session.client, move || drop((&ring).write(&[0])))?;
    loop {
        let (width, height) = Terminal::size();
        let picture = top.draw(Screen { width, height, coloured: session.coloured })?;
        terminal.write(&picture).map_err(broken)?;
        let patience = top.next_figures.saturating_duration_since(Instant::now());
        let ready = terminal.wait(bell.as_fd(), patience).map_err(broken)?;
        if ready.is_over || top.is_over {
            return Ok(Exit::Well);
        }
        if ready.keys {
            top.take_keys(&read_keys().map_err(broken)?)?;
        }
        if ready.other && top.take_news(&mut bell, &live)? {
            return Ok(Exit::Well);
        }
        if top.is_over {
            return Ok(Exit::Well);
        }
        top.refresh_figures()?;
    }
}

fn read_keys() -> io::Result<Vec<u8>> {
    let mut bytes = [0; 256];
    // Standard input is a terminal and ready, so this returns the available bytes.
    let count = nix::unistd::read(io::stdin(), &mut bytes)?;
    // End of file: the terminal was closed.
    Ok(if count == 0 { b"q".to_vec() } else { bytes[..count].to_vec() })
}

impl<'a> Top<'a> {
    fn new(client: &'a Client) -> Result<Top<'a>, Failure> {
        let mut top = Top {
            client,
            info: client.ask(&Route::Info)?.read(&[200])?,
            asked: Instant::now(),
            programs: Vec::new(),
            figures: Figures::default(),
            next_figures: Instant::now(),
            selected: 0,
            message: String::new(),
            message_since: Instant::now(),
            page: Page::Programs,
            is_over: false,
        };
        top.refresh()?;
        top.refresh_figures()?;
        Ok(top)
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        self.programs = self.client.ask(&Route::Programs { select: None, fields: None })?.read(&[200])?;
        self.asked = Instant::now();
        self.selected = self.selected.min(self.programs.len().saturating_sub(1));
        Ok(())
    }

    fn refresh_figures(&mut self) -> Result<(), Failure> {
        if Instant::now() < self.next_figures {
            return Ok(());
        }
        let answer = self.client.ask(&Route::Metrics)?;
        self.figures.update(&String::from_utf8_lossy(&answer.body), Instant::now());
        self.info = self.client.ask(&Route::Info)?.read(&[200])?;
        self.next_figures = Instant::now() + FIGURES;
        if self.message_since.elapsed() >= MESSAGE {
            self.message.clear();
        }
        // Advance uptimes, too.
        let elapsed = self.asked.elapsed().as_secs_f64();
        self.asked = Instant::now();
        self.programs.iter_mut().for_each(|program| program.uptime = program.uptime.map(|uptime| uptime + elapsed));
        Ok(())
    }

    /// Whether the daemon has exited.
    fn take_news(&mut self, bell: &mut PipeReader, live: &Live) -> Result<bool, Failure> {
        let mut rings = [0; 4096];
        let _ = bell.read(&mut rings);
        match live.wait(Duration::ZERO) {
            News::Nothing => {}
            News::Changed => self.refresh()?,
            News::Ended(None) => return Ok(true),
            News::Ended(Some(error)) => return Err(self.client.broken(error)),
        }
        Ok(false)
    }

    fn take_keys(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        for key in keys::parse(bytes) {
            self.take_key(key)?;
        }
        Ok(())
    }

    fn take_key(&mut self, key: Key) -> Result<(), Failure> {
        let page = view::rows(Terminal::size().1);
        let last = self.programs.len().saturating_sub(1);
        match key {
            Key::Quit => self.is_over = true,
            Key::Back => self.page = Page::Programs,
            Key::Up => self.selected = self.selected.saturating_sub(1),
            Key::Down => self.selected = (self.selected + 1).min(last),
            Key::PageUp => self.selected = self.selected.saturating_sub(page),
            Key::PageDown => self.selected = (self.selected + page).min(last),
            Key::First => self.selected = 0,
            Key::Last => self.selected = last,
            Key::Start => self.act(Verb::Start)?,
            Key::Stop => self.act(Verb::Stop)?,
            Key::Restart => self.act(Verb::Restart)?,
            Key::Logs => self.page = self.name().map_or(Page::Programs, Page::Logs),
            Key::Why => self.page = self.name().map_or(Page::Programs, Page::Why),
        }
        Ok(())
    }

    fn name(&self) -> Option<String> {
        self.programs.get(self.selected).map(|program| program.name.clone())
    }

    /// Sends the command without waiting: its effect is shown as it happens.
    fn act(&mut self, verb: Verb) -> Result<(), Failure> {
        let Some(name) = self.name() else { return Ok(()) };
        let route = Route::Action { verb, select: name.clone(), wait: Duration::ZERO, rolling: None };
        let answer = self.client.ask(&route)?;
        self.message_since = Instant::now();
        self.message = match answer.status {
            200 | 202 => format!("{} {name}: accepted", verb.name()),
            _ => format!("{} {name}: {}", verb.name(), answer.problem()),
        };
        Ok(())
    }

    fn draw(&self, screen: Screen) -> Result<String, Failure> {
        let Top { info, programs, figures, selected, message, .. } = self;
        Ok(match &self.page {
            Page::Programs => Table { info, programs, figures, selected: *selected, message }.draw(screen),
            Page::Logs(name) => {
                view::text(&format!("{name}: latest output"), &self.log(name, screen)?, message, screen)
            }
            Page::Why(name) => {
                let why: Why = self.client.ask(&Route::Why { name: name.clone() })?.read(&[200])?;
                view::text(&why.summary, &why.story, message, screen)
            }
        })
    }

    fn log(&self, name: &str, screen: Screen) -> Result<Vec<String>, Failure> {
        let lines = Some(screen.height as u64);
        let query = LogQuery { stream: LogStream::Both, lines, since: None, follow: false, format: LogFormat::Raw };
        let answer = self.client.ask(&Route::Logs { name: name.to_owned(), query })?;
        if answer.status != 200 {
            return Err(answer.problem().into());
        }
        Ok(String::from_utf8_lossy(&answer.body).lines().map(str::to_owned).collect())
    }
}
