//! What is understood of what the API says.
