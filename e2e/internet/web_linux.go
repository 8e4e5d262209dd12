package main

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/crypto/cryptobyte"
)

// site is every web site there is.
type site struct {
	zone *zone
	log  *journal
	dir  string
	ca   *authority
	git  repository
}

// serveWeb listens on every address: in clear on 80 and 8080, with TLS on 443 and 8443, HTTP/1.1 and HTTP/2.
func (s *site) serveWeb() (err error) {
	if s.ca, err = newAuthority(s.dir); err != nil {
		return err
	}
	mux := s.routes()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		sni := "-"
		if r.TLS != nil {
			sni = r.TLS.ServerName
		}
		s.log.printf("http host=%s sni=%s addr=%s %s %s %s %s", r.Host, sni, at, r.Proto, r.Method, r.URL, r.Header.Get("X-Secret"))
		mux.ServeHTTP(w, r)
	})
	keys, err := s.echKeys()
	if err != nil {
		return err
	}
	conf := &tls.Config{EncryptedClientHelloKeys: keys, GetCertificate: func(hi *tls.ClientHelloInfo) (*tls.Certificate, error) {
		s.log.printf("tls sni=%s addr=%s", hi.ServerName, hi.Conn.LocalAddr())
		name := hi.ServerName
		if name == "" {
			name, _, _ = net.SplitHostPort(hi.Conn.LocalAddr().String())
		}
		return s.ca.certificate(name)
	}}
	both := new(http.Protocols) // HTTP/2 in clear, too, by prior knowledge
	both.SetHTTP1(true)
	both.SetHTTP2(true)
	both.SetUnencryptedHTTP2(true)
	for port, secure := range map[int]bool{80: false, 8080: false, 443: true, 8443: true} {
		l, err := net.Listen("tcp", fmt.Sprint(":", port))
		if err != nil {
			return err
		}
		server := &http.Server{Handler: h, TLSConfig: conf.Clone(), Protocols: both}
		if secure {
			go server.ServeTLS(l, "", "")
		} else {
			go server.Serve(l)
		}
	}
	return nil
}

func (s *site) routes() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "SITE %s\n", r.Host)
	})
	m.HandleFunc("/bytes", download)
	m.HandleFunc("/sum", sum)
	m.HandleFunc("/upload", upload)
	m.HandleFunc("/sse", events)
	m.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.FormValue("to"), http.StatusFound)
	})
	m.HandleFunc("/ws", websocket)
	m.HandleFunc("/dns-query", s.doh)
	m.HandleFunc("/grpc.Echo/Say", grpcEcho)
	s.packages(m)
	s.git.dir = filepath.Join(s.dir, "git")
	m.Handle("/git/", s.git.overHTTP())
	if s.zone.model != "" {
		m.Handle("api.test/", model(s.dir, s.zone.model))
	}
	return m
}

// block is what downloads consist of, over and over; it does not compress.
var block = func() []byte {
	b := make([]byte, 1<<20)
	_, _ = rand.Read(b)
	return b
}()

// size is n of a request such as /bytes?n=64M.
func size(r *http.Request) int64 {
	text := r.FormValue("n")
	shift := strings.Index("-KMG", text[max(len(text)-1, 0):])
	if shift > 0 {
		text = text[:len(text)-1]
	}
	n, _ := strconv.ParseInt(text, 10, 64)
	return n << (10 * max(shift, 0))
}

func download(w http.ResponseWriter, r *http.Request) {
	n := size(r)
	w.Header().Set("Content-Length", fmt.Sprint(n))
	for n > 0 {
		k, err := w.Write(block[:min(n, int64(len(block)))])
		if err != nil {
			return
		}
		n -= int64(k)
	}
}

// sum is the checksum of the download of the same size.
func sum(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	for n := size(r); n > 0; n -= int64(len(block)) {
		h.Write(block[:min(n, int64(len(block)))])
	}
	fmt.Fprintf(w, "%x\n", h.Sum(nil))
}

func upload(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	if _, err := io.Copy(h, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%x\n", h.Sum(nil))
}

// events sends n events, with a pause before each.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	pause, _ := time.ParseDuration(r.FormValue("pause"))
	n, _ := strconv.Atoi(r.FormValue("n"))
	_ = http.NewResponseController(w).Flush()
	for i := range n {
		time.Sleep(pause)
		fmt.Fprintf(w, "data: event %d\n\n", i+1)
		_ = http.NewResponseController(w).Flush()
	}
}

// doh is DNS over HTTPS, RFC 8484.
func (s *site) doh(w http.ResponseWriter, r *http.Request) {
	raw, err := base64.RawURLEncoding.DecodeString(r.FormValue("dns"))
	if r.Method == http.MethodPost {
		raw, err = io.ReadAll(r.Body)
	}
	q := new(dns.Msg)
	if err != nil || q.Unpack(raw) != nil {
		http.Error(w, "not a DNS message", http.StatusBadRequest)
		return
	}
	m := s.zone.answer(q, s.log, "doh")
	if m == nil {
		return
	}
	out, err := m.Pack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/dns-message")
	_, _ = w.Write(out)
}

// grpcEcho is a method of a gRPC service, by hand: messages framed with five bytes over HTTP/2, both ways at once, the
// status in the trailers.
func grpcEcho(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		http.Error(w, "this is gRPC", http.StatusHTTPVersionNotSupported)
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	head := make([]byte, 5)
	for {
		if _, err := io.ReadFull(r.Body, head); err != nil {
			break
		}
		n := int64(head[1])<<24 | int64(head[2])<<16 | int64(head[3])<<8 | int64(head[4])
		var message bytes.Buffer
		if _, err := io.CopyN(&message, r.Body, n); err != nil {
			break
		}
		_, _ = w.Write(append(head, message.Bytes()...))
		_ = flush.Flush()
	}
	w.Header().Set("Grpc-Status", "0")
}

// echKeys makes a key for Encrypted Client Hello whose public name is allowed.test, and writes what a client has to
// know of it to DIR/ech (draft-ietf-tls-esni-18, section 4).
func (s *site) echKeys() ([]tls.EncryptedClientHelloKey, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddUint16(0xfe0d)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(1)       // which config
		b.AddUint16(0x0020) // DHKEM(X25519, HKDF-SHA256)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(key.PublicKey().Bytes()) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint16(1) // HKDF-SHA256
			b.AddUint16(1) // AES-128-GCM
		})
		b.AddUint8(32)
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte("allowed.test")) })
		b.AddUint16(0) // no extensions
	})
	config, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	var list cryptobyte.Builder
	list.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(config) })
	if err := os.WriteFile(filepath.Join(s.dir, "ech"), list.BytesOrPanic(), 0o644); err != nil {
		return nil, err
	}
	return []tls.EncryptedClientHelloKey{{Config: config, PrivateKey: key.Bytes(), SendAsRetry: true}}, nil
}
