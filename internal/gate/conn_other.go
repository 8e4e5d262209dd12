//go:build !linux

package gate

import (
	"context"
	"net/netip"
)

func dialTCP(ctx context.Context, to netip.AddrPort) (Conn, error) { return dialNet(ctx, to) }
