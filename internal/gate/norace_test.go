//go:build !race

package gate

const racing = false
