//! Resource limits.

/// A resource limit: getrlimit(2). `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// The resource.
    pub resource: Resource,
    /// Soft limit, the one enforced.
    pub soft: Option<u64>,
    /// Hard limit, up to which the process may raise the soft one.
    pub hard: Option<u64>,
}

macro_rules! resources {
    ($($(#[$doc:meta])* $variant:ident $name:literal),* $(,)?) => {
        /// A resource that setrlimit(2) can limit.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Resource { $($(#[$doc])* $variant),* }

        impl Resource {
            /// Every resource.
            pub const ALL: &[Resource] = &[$(Resource::$variant),*];

            /// Its name in the configuration: the C constant without `RLIMIT_`, in lower case.
            pub const fn name(self) -> &'static str {
                match self { $(Resource::$variant => $name),* }
            }
        }
    };
}

resources! {
    /// Address space, bytes.
    As "as",
    /// Core dump size, bytes.
    Core "core",
    /// CPU time, seconds.
    Cpu "cpu",
    /// Data segment, bytes.
    Data "data",
    /// File size, bytes.
    Fsize "fsize",
    /// File locks.
    Locks "locks",
    /// Locked memory, bytes.
    Memlock "memlock",
    /// POSIX message queues, bytes.
    Msgqueue "msgqueue",
    /// Limit for the nice value.
    Nice "nice",
    /// Open file descriptors.
    Nofile "nofile",
    /// Number of processes of the user.
    Nproc "nproc",
    /// Resident set size, bytes; no effect since Linux 2.6.
    Rss "rss",
    /// Limit for the real-time priority.
    Rtprio "rtprio",
    /// CPU time under real-time scheduling without a blocking call, microseconds.
    Rttime "rttime",
    /// Queued signals.
    Sigpending "sigpending",
    /// Stack, bytes.
    Stack "stack",
}
