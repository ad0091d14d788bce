//! Event sources: each turns a trigger into a metric value.
