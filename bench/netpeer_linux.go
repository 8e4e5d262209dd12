package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// clientArg as the first argument makes this program the client, which waits
// for orders, a line each, and answers with one figure.
const clientArg = "__client"

// Every peer has a port of its own for pages: all their connections begin at
// one address outside, and the ports there of those that have ended stay taken
// for a minute.
const (
	streamPort = "9001"
	webPorts   = 9002 // and those that follow
	peersMost  = 4
)

func webPort(peer int) string { return fmt.Sprint(webPorts + peer) }

// serveNet is what the clients talk to: zeros and a sink on one port, a small
// page on the other.
func serveNet() error {
	l, err := net.Listen("tcp", worldAddr+":"+streamPort)
	if err != nil {
		return err
	}
	body := []byte("hello, sandbox\n")
	for i := range peersMost {
		web, err := net.Listen("tcp", worldAddr+":"+webPort(i))
		if err != nil {
			return err
		}
		go http.Serve(web, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) }))
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go stream(c)
		}
	}()
	return nil
}

// stream reads a letter and a number: d sends so many bytes, u takes them and
// says when it has them.
func stream(c net.Conn) {
	defer c.Close()
	var head [9]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return
	}
	n := int64(binary.LittleEndian.Uint64(head[1:]))
	block := make([]byte, 1<<20)
	for n > 0 {
		var k int
		var err error
		if head[0] == 'd' {
			k, err = c.Write(block[:min(n, int64(len(block)))])
		} else {
			k, err = c.Read(block)
		}
		if err != nil {
			return
		}
		n -= int64(k)
	}
	if head[0] == 'u' {
		c.Write([]byte("k"))
	}
}

// client does what it is told: «down BYTES», «up BYTES» give seconds; «web N
// CONNECTIONS» and «conns N» give microseconds for one, «idle N» holds so many
// connections open from now on.
func client(host, webPort string) {
	orders := bufio.NewScanner(os.Stdin)
	var held []net.Conn
	for orders.Scan() {
		var what string
		var n, m int64
		fmt.Sscan(orders.Text(), &what, &n, &m)
		var figure float64
		var err error
		start := time.Now()
		switch what {
		case "down", "up":
			err = transfer(host, what[0], n)
			figure = time.Since(start).Seconds()
		case "web":
			err = keepAlive(host+":"+webPort, int(n), int(m))
			figure = time.Since(start).Seconds() * 1e6 / float64(n)
		case "conns":
			var to *net.TCPAddr
			if to, err = net.ResolveTCPAddr("tcp4", host+":"+webPort); err == nil { // lookups are not what is measured
				start = time.Now()
				for range n {
					if err = page(to.String()); err != nil {
						break
					}
				}
			}
			figure = time.Since(start).Seconds() * 1e6 / float64(n)
		case "idle":
			for int64(len(held)) < n && err == nil {
				var c net.Conn
				if c, err = net.Dial("tcp", host+":"+webPort); err == nil {
					held = append(held, c)
					_, err = get(c, bufio.NewReader(c))
				}
			}
		}
		if err != nil {
			fmt.Println("failed", strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		fmt.Println(figure)
	}
}

func transfer(host string, way byte, n int64) error {
	c, err := net.Dial("tcp", host+":"+streamPort)
	if err != nil {
		return err
	}
	defer c.Close()
	head := append([]byte{way}, binary.LittleEndian.AppendUint64(nil, uint64(n))...)
	if _, err := c.Write(head); err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	if way == 'd' {
		got := int64(0)
		for got < n {
			k, err := c.Read(block)
			if err != nil {
				return fmt.Errorf("after %d of %d bytes: %w", got, n, err)
			}
			got += int64(k)
		}
		return nil
	}
	for n > 0 {
		k, err := c.Write(block[:min(n, int64(len(block)))])
		if err != nil {
			return err
		}
		n -= int64(k)
	}
	_, err = io.ReadFull(c, block[:1])
	return err
}

// get asks for the page on an open connection.
func get(c net.Conn, in *bufio.Reader) (int64, error) {
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: " + worldName + "\r\n\r\n")); err != nil {
		return 0, err
	}
	r, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	return io.Copy(io.Discard, r.Body)
}

func keepAlive(to string, n, connections int) error {
	var wg sync.WaitGroup
	failed := make(chan error, connections)
	for range connections {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, err := net.Dial("tcp", to)
			if err != nil {
				failed <- err
				return
			}
			defer c.Close()
			in := bufio.NewReader(c)
			for range n / connections {
				if _, err := get(c, in); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// page is a connection of its own for one request.
func page(to string) error {
	c, err := net.Dial("tcp", to)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = get(c, bufio.NewReader(c))
	return err
}
