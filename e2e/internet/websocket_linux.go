package main

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
)

// websocket sends every message back (RFC 6455, without fragments).
func websocket(w http.ResponseWriter, r *http.Request) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer c.Close()
	accept := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(accept[:]))
	if rw.Flush() != nil {
		return
	}
	for {
		head := make([]byte, 2)
		if _, err := io.ReadFull(rw, head); err != nil {
			return
		}
		n := uint64(head[1] & 127)
		long := make([]byte, map[uint64]int{126: 2, 127: 8}[n])
		if _, err := io.ReadFull(rw, long); err != nil {
			return
		}
		switch len(long) {
		case 2:
			n = uint64(binary.BigEndian.Uint16(long))
		case 8:
			n = binary.BigEndian.Uint64(long)
		}
		mask := make([]byte, 4)
		if _, err := io.ReadFull(rw, mask); err != nil || n > 1<<24 {
			return
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(rw, body); err != nil {
			return
		}
		for i := range body {
			body[i] ^= mask[i%4]
		}
		_, _ = rw.Write(append(append([]byte{head[0], head[1] & 127}, long...), body...))
		if rw.Flush() != nil || head[0]&15 == 8 {
			return
		}
	}
}
