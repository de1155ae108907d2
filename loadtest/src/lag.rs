//! How far the standbys are behind while a crowd trades, as the primary's status says it.

use crate::Fault;
use crate::crowd::Access;
use hdrhistogram::Histogram;
use merit_client::v1;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long an exchange may take until its standby follows.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was seen.
#[derive(Debug)]
pub(crate) struct Lag {
    /// Records that were durable at the primary and not at the standby.
    pub(crate) records: Histogram<u64>,
    /// Age of its last word, ms.
    pub(crate) ms: Histogram<u64>,
    /// Looks at which no standby followed, or the primary went on alone.
    pub(crate) alone: u64,
}

/// Waits until a standby follows: an exchange that begins takes its members in only with one.
pub(crate) async fn followed(access: &Access) -> Result<(), Fault> {
    let client = access.client("operator")?;
    let until = Instant::now() + PATIENCE;
    loop {
        let why = match client.get_status(v1::GetStatusRequest {}).await {
            Ok(status) => {
                let replication = status.replication.ok_or("the exchange has no standby")?;
                if !replication.alone && replication.followers.iter().any(|it| it.connected) {
                    return Ok(());
                }
                "no standby follows".to_owned()
            }
            Err(error) => error.to_string(),
        };
        if Instant::now() > until {
            return Err(why.into());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Looks until it is asked to stop.
pub(crate) struct Watch {
    stop: oneshot::Sender<()>,
    looking: JoinHandle<Result<Lag, Fault>>,
}

impl Watch {
    /// Begins to look, as the operator of an exchange of one's own.
    pub(crate) fn begin(access: &Access) -> Result<Self, Fault> {
        let client = access.client("operator")?;
        let (stop, mut stopped) = oneshot::channel();
        let looking = tokio::spawn(async move {
            let mut lag = Lag { records: Histogram::new(3)?, ms: Histogram::new(3)?, alone: 0 };
            loop {
                let status = client.get_status(v1::GetStatusRequest {}).await?;
                let replication = status.replication.ok_or("the exchange has no standby")?;
                let following = replication.followers.iter().filter(|it| it.connected);
                let nearest = following.min_by_key(|it| it.lag_records);
                match nearest.filter(|_| !replication.alone) {
                    Some(it) => {
                        lag.records.record(it.lag_records)?;
                        lag.ms.record(it.lag_ms)?;
                    }
                    None => lag.alone += 1,
                }
                tokio::select! {
                    _ = &mut stopped => return Ok(lag),
                    () = tokio::time::sleep(INTERVAL) => {}
                }
            }
        });
        Ok(Self { stop, looking })
    }

    /// What was seen.
    pub(crate) async fn end(self) -> Result<Lag, Fault> {
        // An error means that looking has failed, and says so itself.
        let _ = self.stop.send(());
        self.looking.await?
    }
}
