//! CPU, memory and restarts of each program, from the daemon's metrics.

use std::collections::HashMap;
use std::time::Instant;

/// The metrics of one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figure {
    cpu_seconds: f64,
    /// Share of one processor since the last update; `None` at the first.
    pub(crate) cpu: Option<f64>,
    pub(crate) memory: Option<f64>,
    pub(crate) restarts: f64,
}

/// The last metrics.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    of: HashMap<String, Figure>,
    at: Option<Instant>,
}

impl Figures {
    /// Updates them from the text of the metrics.
    pub(crate) fn update(&mut self, text: &str, now: Instant) {
        let elapsed = self.at.replace(now).map(|at| now.saturating_duration_since(at).as_secs_f64());
        let mut current: HashMap<String, Figure> = HashMap::new();
        for (name, metric, value) in text.lines().filter_map(sample) {
            let figure = current.entry(name.to_owned()).or_default();
            match metric {
                "cpu_seconds" => figure.cpu_seconds = value,
                "memory_bytes" => figure.memory = Some(value),
                "restarts_total" => figure.restarts = value,
                _ => {}
            }
        }
        for (name, figure) in &mut current {
            let before = self.of.get(name).filter(|_| figure.memory.is_some());
            // Another run, or an exited child, makes it less than before.
            figure.cpu = before
                .zip(elapsed)
                .filter(|(_, elapsed)| *elapsed > 0.0)
                .map(|(before, elapsed)| (figure.cpu_seconds - before.cpu_seconds).max(0.0) / elapsed);
        }
        self.of = current;
    }

    pub(crate) fn of(&self, name: &str) -> Figure {
        self.of.get(name).copied().unwrap_or_default()
    }
}

/// Name, metric without `muster_program_`, and value of a sample about an instance. Names contain no escapes.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let (metric, rest) = line.strip_prefix("muster_program_")?.split_once("{name=\"")?;
    let (name, rest) = rest.split_once('"')?;
    Some((name, metric, rest.rsplit_once(' ')?.1.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn metrics(cpu: f64) -> String {
        format!(
            "# HELP muster_program_cpu_seconds x\n\
             muster_program_cpu_seconds{{name=\"web:0\",program=\"web\",group=\"web\"}} {cpu}\n\
             muster_program_memory_bytes{{name=\"web:0\",program=\"web\",group=\"web\"}} 5242880\n\
             muster_program_restarts_total{{name=\"web:0\",program=\"web\",group=\"web\"}} 3\n\
             muster_program_restarts_total{{name=\"db\",program=\"db\",group=\"db\"}} 0\ngarbage\n"
        )
    }

    #[test]
    fn the_share_of_a_processor_is_what_was_used_since_the_look_before() {
        let (mut figures, begin) = (Figures::default(), Instant::now());
        figures.update(&metrics(10.0), begin);
        let first = figures.of("web:0");
        assert_eq!((first.cpu, first.memory, first.restarts), (None, Some(5_242_880.0), 3.0));
        figures.update(&metrics(11.0), begin + Duration::from_secs(2));
        assert_eq!(figures.of("web:0").cpu, Some(0.5));
        figures.update(&metrics(1.0), begin + Duration::from_secs(4));
        assert_eq!(figures.of("web:0").cpu, Some(0.0), "another run");
        assert_eq!((figures.of("db").cpu, figures.of("absent")), (None, Figure::default()));
    }
}
