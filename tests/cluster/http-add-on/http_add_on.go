//go:build http_add_on

// Package httpaddon pins the version of KEDA's HTTP add-on that tests run.
package httpaddon

import (
	_ "github.com/kedacore/http-add-on/interceptor"
	_ "github.com/kedacore/http-add-on/operator"
	_ "github.com/kedacore/http-add-on/scaler"
)
