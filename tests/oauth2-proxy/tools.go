//go:build tools

// Package tools pins the oauth2-proxy that the relay's tests start: its command is a dependency of this module.
package tools

import _ "github.com/oauth2-proxy/oauth2-proxy/v7"
