//! KEDA's externalscaler.proto: generated code, client and server glue.
