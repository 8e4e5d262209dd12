package gate

import (
	"net"
	"strings"
	"testing"
)

func TestParsePort(t *testing.T) {
	for _, tt := range []struct {
		text            string
		outside, inside uint16
		problem         string
	}{
		{"3000", 3000, 3000, ""},
		{"8080:3000", 8080, 3000, ""},
		{"127.0.0.1:8080:3000", 8080, 3000, ""},
		{"127.0.0.1:3000", 3000, 3000, ""},
		{"localhost:3000", 3000, 3000, ""},
		{"localhost:8080:3000", 8080, 3000, ""},
		{"[::1]:8080:3000", 8080, 3000, ""},
		{"0.0.0.0:8080:3000", 0, 0, "127.0.0.1 and ::1 alone"},
		{"0.0.0.0:3000", 0, 0, "127.0.0.1 and ::1 alone"},
		{"[::]:8080:3000", 0, 0, "127.0.0.1 and ::1 alone"},
		{"192.168.1.2:80:80", 0, 0, "127.0.0.1 and ::1 alone"},
		{"example.com:80:80", 0, 0, "127.0.0.1 and ::1 alone"},
		{"", 0, 0, "is no port"},
		{"0", 0, 0, "is no port"},
		{"65536", 0, 0, "is no port"},
		{"-1", 0, 0, "is no port"},
		{"3000:", 0, 0, "is no port"},
		{":3000", 0, 0, "is no port"},
		{"3000/tcp", 0, 0, "is no port"},
		{"8080:3000:1", 0, 0, "127.0.0.1 and ::1 alone"},
	} {
		p, err := ParsePort(tt.text)
		if tt.problem != "" {
			if err == nil || !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("%q: %v, %v", tt.text, p, err)
			}
			continue
		}
		if err != nil || p.Outside != tt.outside || p.Inside != tt.inside {
			t.Errorf("%q: %v, %v", tt.text, p, err)
		}
	}
}

// TestPublishTaken: a port that somebody listens on is refused before anything starts.
func TestPublishTaken(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	if p, err := Publish([]Port{{Outside: port, Inside: 1}}); err == nil || !strings.Contains(err.Error(), "in use") {
		p.Close()
		t.Error(err)
	}
}
