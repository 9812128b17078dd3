//! `GET /v1/schedule`: the programs that start by a schedule, and when.

use hyper::StatusCode;
use muster_api as api;
use muster_api::Problem;
use muster_core::Instance;
use muster_load::effective_config::cron_texts;
use muster_spec::ScheduleSpec;

use super::slices;
use crate::operations::schedule::upcoming;
use crate::shared::Shared;
use muster_server::response::Answer;

pub(super) async fn schedule(shared: &Shared, times: Option<usize>) -> Result<Answer, Problem> {
    let has_schedule = |instance: &&Instance| instance.program().schedule.is_some() && !instance.is_leaving();
    let chosen: Vec<_> = shared.supervisor.borrow().snapshot().iter().filter(has_schedule).map(Instance::id).collect();
    let number = times.unwrap_or(api::DEFAULT_TIMES);
    let text = slices::list(&shared.turns, b"[", chosen, b"]", |id, text| {
        let supervisor = shared.supervisor.borrow();
        // A reload may have removed it, or its schedule, in the meantime.
        let instance = supervisor.get(id);
        let Some((instance, schedule)) = instance.and_then(|it| Some((it, it.program().schedule.as_deref()?))) else {
            return Ok(());
        };
        serde_json::to_writer(text, &entry(shared, instance, schedule, number))
    });
    slices::answer(StatusCode::OK, text.await)
}

fn entry(shared: &Shared, instance: &Instance, schedule: &ScheduleSpec, number: usize) -> api::ScheduledProgram {
    let times = upcoming(shared, instance, schedule, number).into_iter();
    api::ScheduledProgram {
        name: instance.name().to_owned(),
        armed: instance.is_armed(),
        cron: cron_texts(schedule),
        overlap: schedule.overlap.name().to_owned(),
        jitter: schedule.jitter.as_secs_f64(),
        times: times.map(|(at, local)| api::ScheduledTime { at: api::Timestamp::from_unix_ms(at), local }).collect(),
    }
}
