//! Settings of systemd, and the keys that do the same.

use super::DEPENDENCIES;

/// The key for a setting of systemd, as a hint.
pub(super) fn systemds(word: &str) -> Option<String> {
    Some(match word {
        "timeoutstartsec" | "start_timeout_sec" => {
            "it is called start_timeout, and is for programs with ready".to_owned()
        }
        "runtimemaxsec" | "activedeadlineseconds" | "runtime_max" | "max_run_time" => {
            "it is called max_runtime".to_owned()
        }
        "successexitstatus" | "success_exit_status" => {
            "exitcodes lists statuses; on_exit = { HUP = \"success\" } also signals".to_owned()
        }
        "restartpreventexitstatus" | "stop_exit_codes" => "on_exit = { 78 = \"stop\" }".to_owned(),
        "restartforceexitstatus" => "on_exit = { 75 = \"restart\" }".to_owned(),
        "on-exit" | "onexit" | "restartpolicyrules" => "it is called on_exit: on_exit = { 78 = \"fatal\" }".to_owned(),
        "watchdogsec" => "it is called watchdog".to_owned(),
        "notification-fd" | "notify" | "ready_fd" => "ready = \"notify\", or ready = { fd = 3 }".to_owned(),
        "partof" | "bindsto" => "restart_with = [\"…\"] restarts it with another".to_owned(),
        "execstart" => "it is called command".to_owned(),
        "execstartpre" => "it is called pre_start".to_owned(),
        "execstartpost" => "it is called post_start".to_owned(),
        "execstop" => "it is called pre_stop; stopsignal follows it".to_owned(),
        "execstoppost" | "finish" => "it is called post_stop".to_owned(),
        "capabilityboundingset" | "ambientcapabilities" => "it is called capabilities".to_owned(),
        "ioschedulingclass" | "ioschedulingpriority" | "ioprio" => {
            "it is called ionice: ionice = \"best-effort:7\"".to_owned()
        }
        "cpuschedulingpolicy" | "cpuschedulingpriority" | "scheduler" => {
            "it is called sched: sched = \"batch\"".to_owned()
        }
        "cpuaffinity" | "affinity" | "cpuset" => "it is called cpus: cpus = \"0-3\"".to_owned(),
        "nonewprivileges" => "it is called no_new_privileges".to_owned(),
        "execreload" => "reloadsignal names the signal that reloads".to_owned(),
        "restartsec" | "restart_delay" | "restart_sec" => "backoff = { delay = \"…\" }".to_owned(),
        "timeoutstopsec" => "it is called stopwaitsecs".to_owned(),
        "killmode" => "stop_kill selects what a stop ends, stop_scope what gets stopsignal".to_owned(),
        "startlimitburst" | "max_retries" | "max_restarts" => "it is called startretries".to_owned(),
        "after" | "requires" | "wants" | "before" => DEPENDENCIES.to_owned(),
        "description" | "name" => "the name is that of the table, [program.NAME]: leave it out".to_owned(),
        _ => return None,
    })
}
