//! The steps of a story of one program.

/// The possible steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    Boots,
    StartIsAsked,
    StopIsAsked,
    RestartIsAsked,
    /// The configuration is read again, and everything starts as at boot: supervisord's HUP.
    BootsAgain,
    /// TERM to the daemon, the first or a further one.
    TermComes,
    IsSpawned,
    IsNotSpawned,
    ExitsWell,
    /// Exits with a status in odd runs, is killed by a signal in even ones.
    Fails,
    TreeIsGone,
    TimePasses,
    /// To shortly before the next deadline.
    AlmostEnoughTimePasses,
    SaysReady,
    AsksForTime,
    Pings,
    CheckSucceeds,
    CheckFails,
}

/// All of them.
pub const STEPS: [Step; 18] = [
    Step::Boots,
    Step::StartIsAsked,
    Step::StopIsAsked,
    Step::RestartIsAsked,
    Step::BootsAgain,
    Step::TermComes,
    Step::IsSpawned,
    Step::IsNotSpawned,
    Step::ExitsWell,
    Step::Fails,
    Step::TreeIsGone,
    Step::TimePasses,
    Step::AlmostEnoughTimePasses,
    Step::SaysReady,
    Step::AsksForTime,
    Step::Pings,
    Step::CheckSucceeds,
    Step::CheckFails,
];
