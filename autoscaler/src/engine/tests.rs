//! The engine with a fake back end, on a paused clock.
