//! The status of projections as metrics, through the `metrics` facade.

use super::{PartitionStatus, ProjectionId};

/// Sets the gauges of a partition that this process leads.
#[cfg(feature = "metrics")]
#[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
pub(super) fn record(projection: &ProjectionId, status: &PartitionStatus) {
    let labels = [
        ("projection", projection.name.to_string()),
        ("version", projection.version.to_string()),
        ("partition", status.partition.to_string()),
    ];
    metrics::gauge!("eventcore_projection_position", &labels).set(status.position.get() as f64);
    metrics::gauge!("eventcore_projection_lag_events", &labels).set(status.behind() as f64);
    metrics::gauge!("eventcore_projection_lag_seconds", &labels).set(status.lag.as_secs_f64());
    metrics::gauge!("eventcore_projection_events_per_second", &labels).set(status.rate);
    metrics::gauge!("eventcore_projection_epoch", &labels).set(status.epoch as f64);
    metrics::gauge!("eventcore_projection_waiting_letters", &labels)
        .set(status.waiting_letters as f64);
    let failing = f64::from(u8::from(status.last_error.is_some()));
    metrics::gauge!("eventcore_projection_failing", &labels).set(failing);
}

/// Without the feature there is nobody to tell.
#[cfg(not(feature = "metrics"))]
pub(super) fn record(_: &ProjectionId, _: &PartitionStatus) {}
