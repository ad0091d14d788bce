//go:build helm

// Package helm pins the version of Helm that tests run.
package helm

import (
	_ "helm.sh/helm/v3/cmd/helm"
)
