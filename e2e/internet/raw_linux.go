package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/ipv4"
)

// serveRaw is what is not the web: servers that speak first, an echo, and sinks that note what they are sent.
func (s *site) serveRaw() error {
	greet := map[int]string{
		25:   "220 mail.test ESMTP stand-in\r\n",
		3306: "\x4a\x00\x00\x00\x0a8.0.0-stand-in\x00",
		4444: "EVIL\n",
	}
	for port, greeting := range greet {
		if err := s.serveTCP(port, func(c net.Conn) {
			fmt.Fprint(c, greeting)
			s.note(c)
		}); err != nil {
			return err
		}
	}
	if err := s.serveTCP(7, func(c net.Conn) { _, _ = io.Copy(c, c) }); err != nil {
		return err
	}
	// A web server that reads requests as loosely as can be: it takes everything, and says thank you once.
	if err := s.serveTCP(9, func(c net.Conn) {
		buf := make([]byte, 1)
		if _, err := io.ReadFull(c, buf); err != nil {
			return
		}
		s.log.printf("raw %s %q", c.LocalAddr(), buf)
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nSUNK\n")
		s.note(c)
	}); err != nil {
		return err
	}
	for _, port := range []int{7, 443, 9999} {
		if err := s.serveUDP(port); err != nil {
			return err
		}
	}
	return nil
}

func (s *site) serveTCP(port int, each func(net.Conn)) error {
	l, err := net.Listen("tcp", fmt.Sprint(":", port))
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				time.Sleep(10 * time.Millisecond) // out of descriptors
				continue
			}
			go func() {
				defer c.Close()
				each(c)
			}()
		}
	}()
	return nil
}

// note writes what a connection brings to the log.
func (s *site) note(c net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if n > 0 {
			s.log.printf("raw %s %q", c.LocalAddr(), buf[:n])
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				s.log.printf("raw %s reset", c.LocalAddr())
			}
			return
		}
	}
}

// serveUDP notes datagrams and sends them back, from the address that they were sent to.
func (s *site) serveUDP(port int) error {
	c, err := net.ListenPacket("udp4", fmt.Sprint(":", port))
	if err != nil {
		return err
	}
	p := ipv4.NewPacketConn(c)
	if err := p.SetControlMessage(ipv4.FlagDst, true); err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, cm, from, err := p.ReadFrom(buf)
			if err != nil {
				continue
			}
			s.log.printf("udp %s:%d %q", cm.Dst, port, buf[:min(n, 200)])
			_, _ = p.WriteTo(buf[:n], &ipv4.ControlMessage{Src: cm.Dst}, from)
		}
	}()
	return nil
}
