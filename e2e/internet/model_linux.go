package main

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// model hands requests on to modelserver, which is started with the first of them and lies beside this program.
func model(dir, order string) http.Handler {
	start := sync.OnceValues(func() (http.Handler, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		port := filepath.Join(dir, "model.port")
		cmd := exec.Command(filepath.Join(filepath.Dir(self), "modelserver"), "-port-file", port, "-log", filepath.Join(dir, "model.log"), "-cmd", order)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		for range 500 {
			if text, err := os.ReadFile(port); err == nil {
				to := &url.URL{Scheme: "http", Host: "127.0.0.1:" + strings.TrimSpace(string(text))}
				proxy := httputil.NewSingleHostReverseProxy(to)
				proxy.FlushInterval = -1
				return proxy, nil
			}
			time.Sleep(10 * time.Millisecond)
		}
		return nil, fmt.Errorf("modelserver did not start")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, err := start()
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		h.ServeHTTP(w, r)
	})
}
