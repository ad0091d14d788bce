//! Data plane: accept, route, admit or hold, balance, forward; counts what is in flight.
