//! Decides how many replicas a function needs: pure decisions, the engine loop round them, a history of reasons.

pub mod collector;
pub mod kpa;
pub mod window;
