//! Whole-system tests: real processes, loopback, a real broker.
