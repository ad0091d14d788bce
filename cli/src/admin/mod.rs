//! The admin API: what runs and why, for people, scripts and Prometheus; and changes to it.

mod auth;
mod health;
mod listen;
mod logs;
mod metrics;
mod problem;
mod routes;
mod server;

#[cfg(test)]
mod tests;

pub(crate) use auth::{Token, TokenError};
pub(crate) use health::{Health, HealthServer};
pub(crate) use listen::AdminError;
pub(crate) use problem::ApiProblem;
pub(crate) use routes::{DecisionList, FunctionList, ProblemList};
pub(crate) use server::{AdminParts, AdminServer};
