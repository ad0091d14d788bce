//! keda.sh, keda.k8s.io and http.keda.sh kinds, translated to core types.
