//! What all Kubernetes-shaped manifests share: located YAML, object metadata, problems, pod template to workload.
