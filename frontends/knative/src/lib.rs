//! serving.knative.dev kinds and config-autoscaler, translated to core types.
