//! Replicas are child processes of this machine.
