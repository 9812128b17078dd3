//! The thread that holds the worker, and how the worker passes from one thread to the next.
//!
//! Before each write to a file the worker is put into a slot; afterwards the thread takes it out again, if it still owns
//! it. Whichever thread ends the write first, through the [`Watch`], gets the worker: if that is a successor, the thread in the
//! write finds [`Superseded`] and from then on only writes that one file. So all pending work
//! must be in the worker at each write: reads are level-triggered, and the rest are chores.

use std::io;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Instant;

use muster_sys::footprint;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use tracing::error;

use super::super::Consoles;
use super::super::backlog::{Origin, Waiting};
use super::super::coalesce::GATHERING;
use super::super::file::LogFile;
use super::super::files::Unused;
use super::super::idle::IDLE;
use super::super::stream::{ForFiles, Moment};
use super::second::Part;
use super::slow::append;
use super::succession::{Shared, Superseded, lock};
use super::{Chore, ENDING, LARGE_PIPES, LONG_LINES, Lent, MOST_FAST, ORDERS, Order, Pump, Worker, Writer};

/// The thread that holds the worker.
pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) pump: Pump,
    /// Empty during a write, and permanently once superseded.
    worker: Option<Box<Worker>>,
}

/// The files of a stream.
type Paths = Arc<[PathBuf]>;

type Flow<T> = Result<T, Box<Superseded>>;

impl Deref for Driver {
    type Target = Worker;

    fn deref(&self) -> &Worker {
        self.worker.as_ref().expect("it is here except within a write")
    }
}

impl DerefMut for Driver {
    fn deref_mut(&mut self) -> &mut Worker {
        self.worker.as_mut().expect("it is here except within a write")
    }
}

impl Driver {
    pub(super) fn of(worker: Box<Worker>, shared: Arc<Shared>) -> Driver {
        Driver { shared, pump: worker.own.clone(), worker: Some(worker) }
    }

    pub(super) fn run(mut self) {
        match self.pump() {
            Ok(Some(done)) => {
                // The caller may have timed out.
                let _ = done.send(());
            }
            Ok(None) => {}
            Err(superseded) => superseded.serve(&self.shared, &self.pump),
        }
    }

    /// Reads and writes until the last command. Returns whom to notify of its completion.
    fn pump(&mut self) -> Flow<Option<Sender<()>>> {
        let mut events = [EpollEvent::empty(); 64];
        if let Some(done) = self.do_chores()? {
            return Ok(Some(done));
        }
        loop {
            let timeout = self.timeout();
            if timeout.is_none() {
                footprint::rest_beside();
            }
            let ready = match self.epoll.wait(&mut events, timeout) {
                Ok(0) if self.fast.is_empty() => {
                    self.rest(Moment::now());
                    self.do_chores()?;
                    continue;
                }
                Ok(ready) => ready,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => {
                    error!(%error, "cannot wait for the output of programs, it is lost from now on");
                    return Ok(None);
                }
            };
            if let Some(done) = self.turn(&events[..ready], ready == events.len())? {
                return Ok(Some(done));
            }
        }
    }

    /// Handles everything that is ready once. The last command returns whom to notify.
    fn turn(&mut self, events: &[EpollEvent], are_there_more: bool) -> Flow<Option<Sender<()>>> {
        let moment = Moment::now();
        self.busy_at = moment.now;
        self.pace.begin(moment.now);
        self.read_fast(moment)?;
        self.do_chores()?;
        for event in events {
            match event.data() {
                ORDERS => {
                    if let Some(done) = self.take_orders()? {
                        return Ok(Some(done));
                    }
                }
                // No writer is left, and nothing remains to be read.
                token if event.events() == EpollFlags::EPOLLHUP && !self.is_terminal(token) => {
                    self.close(token, moment)
                }
                token if self.park(token) => {}
                token => drop(self.read_once(token, moment)?),
            }
            self.do_chores()?;
        }
        self.give_out_parts(moment);
        self.do_chores()?;
        self.share_floods();
        if self.pace.is_fast() && events.len() + self.fast.len() <= MOST_FAST {
            events.iter().filter(|event| event.data() != ORDERS).for_each(|event| self.begin_fast(event.data()));
        }
        let pause = match self.is_ending && !are_there_more {
            true => ENDING,
            false if self.pace.is_fast() => GATHERING,
            false => return Ok(None),
        };
        let order = self.orders.recv_timeout(pause).ok();
        self.pace.has_gathered(Instant::now());
        match order {
            Some(order) => self.take(order),
            None => Ok(None),
        }
    }

    /// Reads the stream that writes without a pause, and watches it again when it pauses.
    fn read_fast(&mut self, moment: Moment) -> Flow<()> {
        let mut index = 0;
        while let Some(&token) = self.fast.get(index) {
            let is_parked = self.park(token);
            if !is_parked && self.read_once(token, moment)?.is_some() && self.pace.is_fast() {
                index += 1;
                continue;
            }
            self.fast.swap_remove(index);
            if !is_parked {
                self.watch(token);
            }
        }
        Ok(())
    }

    fn take_orders(&mut self) -> Flow<Option<Sender<()>>> {
        let _ = self.own.bell.read();
        while let Ok(order) = self.orders.try_recv() {
            if let Some(done) = self.take(order)? {
                return Ok(Some(done));
            }
        }
        Ok(None)
    }

    /// Carries out one command. The last one returns whom to notify of its completion.
    fn take(&mut self, order: Order) -> Flow<Option<Sender<()>>> {
        match order {
            Order::Attach(stream, policies) => {
                let Some((stream, policies)) = self.hand_on(stream, policies) else { return self.do_chores() };
                if !stream.files.is_empty() {
                    self.begin_watching();
                }
                let files = Arc::clone(&stream.files);
                self.attach(stream, &policies);
                self.chores.extend(files.iter().cloned().map(Chore::Prepare));
            }
            Order::Drain { runs, notice } => {
                let tokens: Vec<u64> = runs.iter().flat_map(|&run| self.streams_of(run)).collect();
                self.chores.extend(tokens.into_iter().map(Chore::Drain));
                self.chores.push_back(Chore::Notify(runs, notice));
            }
            Order::Resume(token) => self.watch(token),
            Order::HangUp(run) => {
                self.hang_up(run);
                self.partner.repeat(|| Order::HangUp(run));
            }
            Order::Settle(path) => {
                self.partner.repeat(|| Order::Settle(path.clone()));
                self.chores.push_back(Chore::Settle(path));
            }
            Order::ChangePolicy(path, policy) => {
                self.files.change_policy(&path, policy);
                self.partner.repeat(|| Order::ChangePolicy(path, policy));
            }
            Order::Reopen => {
                self.partner.repeat(|| Order::Reopen);
                let here = self.files.reopen();
                self.chores.extend(here.into_iter().map(Chore::Reopen));
            }
            Order::Gather => {
                self.is_ending = true;
                self.partner.repeat(|| Order::Gather);
            }
            Order::Adopt(moved) => {
                self.begin_watching();
                self.adopt(*moved);
            }
            Order::Gone(part, streams) => self.partner.forget(&part, streams),
            Order::Finish { done, deadline } => {
                self.partner.begin_finish(deadline);
                let tokens: Vec<u64> = self.streams.keys().copied().collect();
                self.chores.extend(tokens.into_iter().map(|token| Chore::Finish(token, deadline)));
                self.chores.push_back(Chore::Done(deadline, done));
            }
        }
        self.do_chores()
    }

    /// Does the pending chores, in order.
    fn do_chores(&mut self) -> Flow<Option<Sender<()>>> {
        while let Some(chore) = self.chores.pop_front() {
            match chore {
                Chore::Write { files, index, bytes, writer } => {
                    self.write(&files, index, [&bytes, &[]], &writer, Instant::now())?;
                }
                Chore::Detach(path) => {
                    let last = self.files.detach(&path);
                    self.end_file(&path, last)?;
                }
                Chore::Closed(path, streams) => self.partner.tell_end(Part::File(path), streams),
                Chore::Settle(path) => {
                    let last = self.files.settle(&path);
                    self.end_file(&path, last)?;
                }
                Chore::Reopen(path) => self.visit(&path, |file| file.reopen(Instant::now()))?,
                Chore::Prepare(path) => self.visit(&path, |file| file.prepare(Instant::now()))?,
                Chore::Drain(token) => {
                    self.draining = Some(token);
                    self.drain_stream(token, Moment::now())?;
                    self.draining = None;
                }
                Chore::Notify(runs, notice) => {
                    let Some(notice) = self.partner.pass_on(runs, notice) else { continue };
                    self.report_drain(notice.number());
                    let Consoles { stdout, stderr, .. } = &self.common.consoles;
                    stderr.drain_is_over(notice.number());
                    stdout.notify(notice.clone());
                    stderr.notify(notice);
                }
                Chore::Finish(token, deadline) => {
                    self.chores.push_front(Chore::Close(token));
                    if Instant::now() < deadline {
                        self.chores.push_front(Chore::Drain(token));
                    }
                }
                Chore::Close(token) => self.close(token, Moment::now()),
                Chore::Done(deadline, done) => {
                    self.wait_for_late_files(deadline);
                    self.partner.wait_finish(deadline);
                    return Ok(Some(done));
                }
            }
        }
        Ok(None)
    }

    /// Reads as much as the pipe holds now. Another process may still write to it, so its end is not awaited.
    fn drain_stream(&mut self, token: u64, moment: Moment) -> Flow<()> {
        if self.read_once(token, moment)?.is_some() {
            let mut left = self.held_by_kernel(token);
            // One read more: if no other process holds the pipe, that is its end, and its last line is complete.
            while let Some(count) = self.read_once(token, moment)?
                && left > 0
            {
                left = left.saturating_sub(count);
            }
        }
        let worker = &mut **self;
        let Some(stream) = worker.streams.get_mut(&token) else { return Ok(()) };
        let held = stream.deliver(moment, &mut worker.scratch);
        let writer = Writer { token, is_rest: held.is_rest, origin: stream.origin.clone() };
        let files = Arc::clone(&stream.files);
        self.write_to_all(&files, [&held.head, &[]], &writer, moment.now)
    }

    /// Processes one read, and returns how much it read. `None` if there is nothing for now.
    fn read_once(&mut self, token: u64, moment: Moment) -> Flow<Option<usize>> {
        let Some((read, buffer)) = self.read(token) else { return Ok(None) };
        let taken = match read {
            Ok(0) => None,
            Ok(count) => {
                self.take_in(token, &buffer[..count], moment)?;
                Some(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.buffer = buffer;
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Some(0),
            Err(_) => None,
        };
        self.buffer = buffer;
        if taken.is_none() {
            self.close(token, moment);
        }
        Ok(taken)
    }

    fn take_in(&mut self, token: u64, read: &[u8], moment: Moment) -> Flow<()> {
        let worker = &mut **self;
        let Some(stream) = worker.streams.get_mut(&token) else { return Ok(()) };
        let filtered = stream.filter(read);
        let read = &*filtered;
        let is_alone = worker.files.are_of_one_stream(&stream.files);
        stream.allow_long(read, is_alone, &worker.common.long_lines, LONG_LINES + worker.partner.threads() - 1);
        let passed = stream.take(read, moment, &mut worker.scratch);
        worker.pace.has_read(read.len());
        let large_pipes = &worker.common.large_pipes;
        if stream.is_busy(read.len()) && large_pipes.load(Ordering::Relaxed) < LARGE_PIPES && stream.enlarge() {
            large_pipes.fetch_add(1, Ordering::Relaxed);
        }
        let begins_to_flood = stream.note_flood(read.len());
        let bytes = passed.as_deref().unwrap_or(read);
        let ForFiles { head, body, is_rest } = stream.cut(bytes, is_alone);
        if stream.line.enters_queue() {
            worker.idle.push(token, moment.now + IDLE);
        }
        worker.flooding.extend(begins_to_flood.then_some(token));
        if !head.is_empty() || !body.is_empty() {
            let (files, origin) = (Arc::clone(&stream.files), stream.origin.clone());
            let writer = Writer { token, is_rest, origin };
            self.write_to_all(&files, [&head, &bytes[body]], &writer, moment.now)?;
            if head.capacity() > 0
                && let Some(stream) = self.streams.get_mut(&token)
            {
                stream.reuse(head);
            }
        }
        if let Some(passed) = passed {
            self.scratch.put_passed(passed);
        }
        Ok(())
    }

    /// Writes to every file of a stream. All but the first are chores, because the first write may not return.
    fn write_to_all(&mut self, files: &Paths, pieces: [&[u8]; 2], writer: &Writer, now: Instant) -> Flow<()> {
        if files.is_empty() || pieces.iter().all(|piece| piece.is_empty()) {
            return Ok(());
        }
        for index in (1..files.len()).rev() {
            let (files, bytes, writer) = (Arc::clone(files), pieces.concat(), writer.clone());
            self.chores.push_front(Chore::Write { files, index, bytes, writer });
        }
        self.write(files, 0, pieces, writer, now)?;
        for _ in 1..files.len() {
            if let Some(Chore::Write { files, index, bytes, writer }) = self.chores.pop_front() {
                self.write(&files, index, [&bytes, &[]], &writer, now)?;
            }
        }
        Ok(())
    }

    /// Writes to one file, or queues for it if it is late.
    fn write(&mut self, files: &Paths, index: usize, pieces: [&[u8]; 2], writer: &Writer, now: Instant) -> Flow<()> {
        let (path, origin) = (&files[index], &writer.origin);
        let pieces = self.files.join(path, writer.token, writer.is_rest, pieces);
        if pieces.iter().all(|piece| piece.is_empty()) {
            return Ok(());
        }
        let file = loop {
            if let Some(file) = self.files.lend(path) {
                break file;
            }
            if self.files.push(path, &pieces, origin) {
                return Ok(());
            }
        };
        let ends_line = pieces.iter().rev().find_map(|piece| piece.last()).is_none_or(|&last| last == b'\n');
        if self.files.is_on_late_device(&file) {
            self.give_away(path, file, &pieces.concat(), ends_line, origin);
            return Ok(());
        }
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        self.lent = Some(Lent { files: Arc::clone(files), index, bytes, ends_line, device: file.device() });
        let (file, left) = self.lay_down(file, origin, |file| append(file, pieces, origin, now))?;
        if left.is_empty() {
            self.files.put_back(path, file);
        } else {
            self.give_away(path, file, &left, ends_line, origin);
        }
        Ok(())
    }

    /// Runs an operation on a file while the worker is in its slot.
    fn lay_down(
        &mut self,
        mut file: Box<LogFile>,
        origin: &Origin,
        work: impl FnOnce(&mut LogFile) -> Vec<u8>,
    ) -> Flow<(Box<LogFile>, Vec<u8>)> {
        *lock(&self.shared.slot) = self.worker.take();
        let ticket = self.shared.watch.begin();
        let left = work(&mut file);
        if !self.shared.watch.end(ticket) {
            return Err(Box::new(Superseded { file, ticket, rest: Waiting::new(&left, origin) }));
        }
        self.worker = lock(&self.shared.slot).take();
        Ok((file, left))
    }

    /// Runs an operation on a file that streams write to, unless it is late.
    fn visit(&mut self, path: &Path, work: impl FnOnce(&mut LogFile)) -> Flow<()> {
        let Some(file) = self.files.lend(path) else { return Ok(()) };
        let file = self.without_bytes(path, file, work)?;
        self.files.put_back(path, file);
        Ok(())
    }

    /// No stream writes to this file any longer. Closing a file can also take long.
    fn end_file(&mut self, path: &Path, last: Option<Unused>) -> Flow<()> {
        let Some(Unused { file, all_streams }) = last else { return Ok(()) };
        self.chores.push_front(Chore::Closed(path.to_owned(), all_streams));
        self.without_bytes(path, file, |file| {
            file.reopen(Instant::now());
            file.end();
        })?;
        Ok(())
    }

    /// Runs an operation other than writing on a file.
    fn without_bytes(
        &mut self,
        path: &Path,
        file: Box<LogFile>,
        work: impl FnOnce(&mut LogFile),
    ) -> Flow<Box<LogFile>> {
        let origin = Origin { counters: Arc::default(), bound: 0, is_blocking: false, spare: None };
        self.lent = Some(Lent {
            files: Arc::from([path.to_owned()]),
            index: 0,
            bytes: 0,
            ends_line: true,
            device: file.device(),
        });
        let (file, _) = self.lay_down(file, &origin, |file| {
            work(file);
            Vec::new()
        })?;
        Ok(file)
    }
}
