//! KEDA's externalscaler.proto: generated code, client and server glue.
//!
//! [`client`] is what a trigger of type `external` or `external-push` calls; [`server`] is what others
//! call when a scaler of ours stands behind such a trigger.

#[allow(
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::too_many_lines
)]
mod generated {
    tonic::include_proto!("externalscaler");
}

pub use generated::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
    MetricValue, ScaledObjectRef, external_scaler_client as client,
    external_scaler_server as server,
};

/// The protocol's description (a `FileDescriptorSet`), for servers that tell it to tools.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/externalscaler.bin"));

impl MetricSpec {
    /// What one replica should carry: the float where it is above zero, else the whole number.
    pub fn target(&self) -> f64 {
        float_or(self.target_size_float, self.target_size)
    }
}

impl MetricValue {
    /// The value: the float where it is above zero, else the whole number.
    pub fn value(&self) -> f64 {
        float_or(self.metric_value_float, self.metric_value)
    }
}

/// KEDA's rule for a number that old servers send as an integer alone.
#[allow(clippy::cast_precision_loss)]
fn float_or(float: f64, whole: i64) -> f64 {
    if float > 0.0 { float } else { whole as f64 }
}
