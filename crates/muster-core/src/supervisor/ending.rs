//! The end of everything: who asks for it, how it is hurried, and the last words.

use std::time::Duration;

use super::Supervisor;
use crate::batch::Purpose;
use crate::effect::{Effect, Event, ShutdownReason};
use crate::name::InstanceId;
use crate::program::Instance;
use crate::shutdown::{Shutdown, Wish};
use crate::signal::Signal;
use crate::time::Time;

impl Supervisor {
    pub(super) fn ask_shutdown(&mut self, now: Time, reason: ShutdownReason, timeout: Option<Duration>) {
        match &mut self.shutdown {
            None => self.begin_shutdown(now, reason, timeout, 0),
            Some(shutdown) => {
                if matches!(reason, ShutdownReason::Signal(_)) && shutdown.is_signalled_again() {
                    self.hurry_shutdown(now);
                } else if let Some(timeout) = timeout.filter(|&timeout| shutdown.would_be_shorter(now, timeout)) {
                    self.shorten_shutdown(now, reason, timeout);
                }
            }
        }
    }

    pub(super) fn begin_shutdown(&mut self, now: Time, reason: ShutdownReason, timeout: Option<Duration>, code: u8) {
        let timeout = timeout.unwrap_or(self.settings.shutdown_timeout);
        self.effects.push_back(Effect::Publish(Event::ShutdownBegan { reason: reason.clone(), timeout }));
        let wishes = self.wishes(now);
        self.shutdown = Some(Shutdown::begin(now, timeout, reason, code, wishes));
        let all = self.everybody();
        self.lower_goals(now, &all);
        self.begin_batch(now, &all, Purpose::Shutdown);
    }

    /// Somebody has less patience than whoever began it. Those whose turn came keep it, with less time.
    fn shorten_shutdown(&mut self, now: Time, reason: ShutdownReason, timeout: Duration) {
        self.effects.push_back(Effect::Publish(Event::ShutdownBegan { reason, timeout }));
        let wishes = self.wishes(now);
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.share_anew(now, timeout, wishes);
        }
        // Their batch is given up where it stands. Leaving it one by one would let it go on.
        for batch in self.instances.iter_mut().filter_map(|instance| instance.batch.take()) {
            self.batches.end(batch);
        }
        let all = self.everybody();
        self.begin_batch(now, &all, Purpose::Shutdown);
    }

    fn everybody(&self) -> Vec<InstanceId> {
        self.instances.iter().map(Instance::id).collect()
    }

    /// What each instance wants of a shutdown's budget, by its place.
    fn wishes(&self, now: Time) -> Vec<Option<Wish>> {
        let patience = |instance: &Instance| instance.is_live().then(|| instance.patience(now));
        let patience: Vec<Option<Duration>> = self.instances.iter().map(patience).collect();
        let critical = self.graph.critical(|place| patience[place].unwrap_or_default());
        let wish = |(place, patience): (usize, &Option<Duration>)| {
            let own = (*patience)?;
            let rank = self.graph.rank(place).unwrap_or(self.instances[place].program().priority);
            let critical = self.graph.node(place).map_or(own, |node| critical[node]);
            Some(Wish { rank, critical })
        };
        patience.iter().enumerate().map(wish).collect()
    }

    /// A second signal: everything gets SIGKILL now.
    pub(super) fn hurry_shutdown(&mut self, now: Time) {
        self.effects.push_back(Effect::Publish(Event::ShutdownHurried));
        self.kill_all(now);
    }

    pub(super) fn kill_all(&mut self, now: Time) -> Vec<InstanceId> {
        let live = self.instances.iter().filter(|instance| instance.is_live()).map(Instance::id);
        let live: Vec<InstanceId> = live.collect();
        for &id in &live {
            self.tell(now, id, |instance, turn| instance.kill_run(turn));
        }
        live
    }

    /// Everything has stopped, or time is up. The last words.
    pub(super) fn finish(&mut self, now: Time) {
        // Whom the budget did not reach, the kernel must not let outlive the daemon.
        let left = self.kill_all(now);
        let Some(shutdown) = self.shutdown.take().filter(|_| !self.has_exited) else { return };
        self.has_exited = true;
        let finished = self.requests.end_all();
        self.reply_all(finished);
        self.effects.push_back(Effect::SignalStrays { signal: Signal::KILL });
        let (event, code) = shutdown.into_account(left);
        self.effects.push_back(Effect::Publish(event));
        self.effects.push_back(Effect::Exit { code });
    }
}
