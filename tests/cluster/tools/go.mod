// Small programs of our own for the test cluster.
module zeron.dev/test-cluster/tools

go 1.24.0
