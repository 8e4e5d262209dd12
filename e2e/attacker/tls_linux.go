package main

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

func init() {
	add("udp-ask ADDRESS TEXT", udpAsk)
	add("tls HOW ADDRESS NAME HOST", tlsGet)
}

// udpAsk sends a datagram and prints what comes back.
func udpAsk(args []string) error {
	c, err := net.Dial("udp", args[0])
	if err != nil {
		return err
	}
	if _, err := c.Write([]byte(args[1])); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Second / 2))
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		return err
	}
	fmt.Println(string(buf[:n]))
	return nil
}

// tlsGet shakes hands with NAME as the server name, asks for HOST, and prints the answer. HOW is how the first flight goes out.
func tlsGet(args []string) error {
	how, addr, name, host := args[0], args[1], args[2], args[3]
	raw, err := net.DialTimeout("tcp", addr, 3*time.Second)
	if err != nil {
		return err
	}
	_ = raw.SetDeadline(time.Now().Add(8 * time.Second))
	conf := &tls.Config{ServerName: name, InsecureSkipVerify: true}
	first := &flight{Conn: raw}
	switch how {
	case "whole":
	case "nosni":
		conf.ServerName = "" // and InsecureSkipVerify: Go then sends none
	case "tls12":
		conf.MaxVersion = tls.VersionTLS12
	case "bytes": // a packet each
		first.send = func(hello []byte) error {
			for i, b := range hello {
				if _, err := raw.Write([]byte{b}); err != nil {
					return err
				}
				if i%50 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			return nil
		}
	case "late": // the name comes much later than the rest
		first.send = func(hello []byte) error {
			at := max(bytes.Index(hello, []byte(name)), 1)
			if _, err := raw.Write(hello[:at+1]); err != nil {
				return err
			}
			time.Sleep(300 * time.Millisecond)
			_, err := raw.Write(hello[at+1:])
			return err
		}
	case "records": // the handshake message cut into TLS records of 16 bytes
		first.send = func(hello []byte) error {
			_, err := raw.Write(recut(hello, 16, 16))
			return err
		}
	case "second": // all but the name in the first record, the name in a second one that comes later
		first.send = func(hello []byte) error {
			at := max(bytes.Index(hello, []byte(name))-5, 1)
			cut := recut(hello, at, 1<<14)
			if _, err := raw.Write(cut[:at+5]); err != nil {
				return err
			}
			time.Sleep(300 * time.Millisecond)
			_, err := raw.Write(cut[at+5:])
			return err
		}
	case "padded": // much more than fits a packet, or a small buffer, before the name; only to the server's answer
		first.send = func(hello []byte) error {
			answer := make([]byte, 1)
			if _, err := raw.Write(padded(hello)); err != nil {
				return err
			}
			if _, err := io.ReadFull(raw, answer); err != nil || answer[0] != 22 {
				return fmt.Errorf("no ServerHello: %v", err)
			}
			fmt.Println("SITE that shakes hands as", name)
			os.Exit(0)
			return nil
		}
	case "ech": // the outer name is allowed, the inner one is NAME
		conf.EncryptedClientHelloConfigList, err = os.ReadFile(filepath.Join(os.Getenv("WORLD"), "ech"))
		if err != nil {
			return err
		}
		conf.InsecureSkipVerify = false
		conf.MinVersion = tls.VersionTLS13
	case "alert": // a warning before the handshake, which lenient servers pass over
		first.send = func(hello []byte) error {
			_, err := raw.Write(append([]byte{21, 3, 1, 0, 2, 1, 0}, hello...))
			return err
		}
	default:
		return fmt.Errorf("unknown way %s", how)
	}
	c := tls.Client(first, conf)
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host); err != nil {
		return err
	}
	text, err := io.ReadAll(c)
	fmt.Print(string(text))
	if len(text) == 0 {
		return fmt.Errorf("no answer: %v", err)
	}
	return nil
}

// flight is a connection whose first write goes out in a way of its own.
type flight struct {
	net.Conn
	send func([]byte) error
}

func (f *flight) Write(p []byte) (int, error) {
	if f.send == nil {
		return f.Conn.Write(p)
	}
	send := f.send
	f.send = nil
	return len(p), send(p)
}

// recut divides the handshake message of one record over several: the first of n bytes, the others of m.
func recut(record []byte, n, m int) (out []byte) {
	for body := record[5:]; len(body) > 0; n = m {
		k := min(n, len(body))
		out = append(out, 22, 3, 1, byte(k>>8), byte(k))
		out = append(out, body[:k]...)
		body = body[k:]
	}
	return out
}

// padded puts a padding extension (RFC 7685) of 12,000 bytes before all others.
func padded(record []byte) []byte {
	hello := slices.Clone(record[5:])
	at := 4 + 2 + 32
	at += 1 + int(hello[at])                           // session
	at += 2 + int(binary.BigEndian.Uint16(hello[at:])) // cipher suites
	at += 1 + int(hello[at])                           // compression
	extra := append([]byte{0, 21, 12000 >> 8, 12000 & 255}, make([]byte, 12000)...)
	binary.BigEndian.PutUint16(hello[at:], binary.BigEndian.Uint16(hello[at:])+uint16(len(extra)))
	hello = slices.Insert(hello, at+2, extra...)
	n := len(hello) - 4
	hello[1], hello[2], hello[3] = byte(n>>16), byte(n>>8), byte(n)
	return append([]byte{22, 3, 1, byte(len(hello) >> 8), byte(len(hello))}, hello...)
}
