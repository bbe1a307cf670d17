//go:build tools

// Package dex pins the Dex server that the tests and the demo start: its command is a dependency of this module.
package dex

import _ "github.com/dexidp/dex/cmd/dex"
