//! The stages of an experiment: [`LifeCycle`].

/// The stages of an experiment, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LifeCycle {
    Configuration,
    Stabilization,
    CarryOut,
    Terminated,
}

impl LifeCycle {
    pub(crate) const ALL: [LifeCycle; 4] = [
        LifeCycle::Configuration,
        LifeCycle::Stabilization,
        LifeCycle::CarryOut,
        LifeCycle::Terminated,
    ];

    /// Its name in the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LifeCycle::Configuration => "configuration",
            LifeCycle::Stabilization => "stabilization",
            LifeCycle::CarryOut => "carry out",
            LifeCycle::Terminated => "terminated",
        }
    }

    /// The `record_name` of the message with which it begins.
    pub(crate) fn record_name(self) -> &'static str {
        match self {
            LifeCycle::Configuration => "experiment_configured",
            LifeCycle::Stabilization => "stabilization_started",
            LifeCycle::CarryOut => "experiment_started",
            LifeCycle::Terminated => "experiment_terminated",
        }
    }
}
