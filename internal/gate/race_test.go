//go:build race

package gate

const racing = true
