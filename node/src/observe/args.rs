//! The options of what is observed: [`ObserveArgs`].

use std::time::Duration;

use ipnet::IpNet;
use rivulet_core::listen_address::ListenAddress;

/// The options of what is observed.
#[derive(Debug, Clone, clap::Args)]
pub struct ObserveArgs {
    /// Serve metrics and health at this address, as PORT or ADDRESS:PORT
    ///
    /// `/metrics` is for Prometheus. `/readyz` says whether each stage does its work and if not,
    /// why not and since when; `/livez` whether its thread still moves.
    #[arg(long, env = "RIVULET_METRICS", value_name = "ADDRESS")]
    pub metrics: Option<ListenAddress>,

    /// Answer only these networks and this machine, such as `10.42.0.0/24`; by default everybody
    #[arg(
        long,
        env = "RIVULET_METRICS_FROM",
        value_name = "NETWORK,…",
        value_delimiter = ','
    )]
    pub metrics_from: Vec<IpNet>,

    /// A stage is no longer ready when it has had something to do and has committed nothing for
    /// this long
    #[arg(
        long,
        env = "RIVULET_STALLED_AFTER",
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub stalled_after: u64,
}

impl ObserveArgs {
    pub(super) fn stalled_after(&self) -> Duration {
        Duration::from_secs(self.stalled_after)
    }
}
