//! Declared objects of a cluster: projection to functions, status, webhooks, child objects.
