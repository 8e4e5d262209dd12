//go:build race

package sandbox

// racing: the race detector keeps books in memory that a child of ours finds by
// way of the heap.
const racing = true
