//go:build tools

// Package tools holds the programs that cargo xtask setup builds from this module.
package tools

import (
	_ "github.com/envoyproxy/gateway/cmd/envoy-gateway/root"
	_ "helm.sh/helm/v3/cmd/helm"
)
