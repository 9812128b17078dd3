//! Clients of programs that start on a connection, as a scenario says when they come.

use muster_core::{Input, Instance};
use muster_spec::{Goal, InstanceId, StartOn, State};

use super::World;

impl World<'_> {
    /// A client comes: a run takes it at once, and otherwise it waits as long as the program's sockets are open.
    pub(super) fn contact(&mut self, number: usize) {
        let name = &self.plan.connects[number].to;
        let is_meant = |instance: &&Instance| instance.name() == name || instance.program().name == *name;
        let is_open = |instance: &&Instance| {
            let is_wanted = instance.goal() == Goal::Up && instance.state() != State::Fatal;
            is_wanted && instance.program().start_on == StartOn::Connection
        };
        let those: Vec<&Instance> = self.supervisor.snapshot().iter().filter(is_meant).filter(is_open).collect();
        let Some(program) = those.first().map(|instance| instance.program().name.clone()) else { return };
        let is_taken = self.supervisor.snapshot().iter().any(|instance| {
            let run = instance.run_began().and(instance.run()).and_then(|run| self.runs.get(&run));
            instance.program().name == program && run.is_some_and(|run| !run.is_over)
        });
        if is_taken {
            return;
        }
        let waiting = self
            .supervisor
            .snapshot()
            .iter()
            .filter(|instance| instance.program().name == program && instance.awaits_contact());
        self.inputs.extend(waiting.map(|instance| Input::Contacted { instance: instance.id() }));
        self.clients.insert(program);
    }

    /// Whether a client waits already.
    pub(super) fn look_for_clients(&mut self, instance: InstanceId) {
        let name = self.supervisor.get(instance).map(|instance| &instance.program().name);
        if name.is_some_and(|name| self.clients.contains(name)) {
            self.inputs.push_back(Input::Contacted { instance });
        }
    }
}
