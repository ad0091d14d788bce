//! What objects mean together.
