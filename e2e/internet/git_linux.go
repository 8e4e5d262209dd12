package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// repository is one git repository, app.git, made when it is first asked for. It may be pushed to.
type repository struct {
	dir  string
	once sync.Once
}

func (r *repository) make() {
	r.once.Do(func() {
		bare := filepath.Join(r.dir, "git/app.git")
		for _, args := range [][]string{
			{"init", "-q", "--bare", "-b", "main", bare},
			{"-C", bare, "config", "http.receivepack", "true"},
			{"-C", bare, "fast-import", "--quiet"},
		} {
			cmd := exec.Command("git", args...)
			cmd.Env = r.environ()
			cmd.Stdin = strings.NewReader("commit refs/heads/main\ncommitter E <e@example.invalid> 0 +0000\ndata 6\nfirst\n\nM 644 inline hello\ndata 17\nhello from afar!\n\n")
			if out, err := cmd.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "internet: git %v: %v %s\n", args, err, out)
			}
		}
	})
}

func (r *repository) environ() []string {
	return []string{"PATH=/usr/bin:/bin", "HOME=" + r.dir, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}
}

// overHTTP is git's smart HTTP, by git's own program.
func (r *repository) overHTTP() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.make()
		h := cgi.Handler{Path: "/usr/lib/git-core/git-http-backend", Env: append(r.environ(), "GIT_PROJECT_ROOT="+r.dir, "GIT_HTTP_EXPORT_ALL=1")}
		h.ServeHTTP(w, q)
	})
}

// serveSSH takes everybody in, for git and nothing else.
func (s *site) serveSSH() error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return err
	}
	conf := &ssh.ServerConfig{NoClientAuth: true}
	conf.AddHostKey(signer)
	return s.serveTCP(22, func(c net.Conn) {
		conn, channels, requests, err := ssh.NewServerConn(c, conf)
		if err != nil {
			return
		}
		s.log.printf("ssh user=%s addr=%s", conn.User(), c.LocalAddr())
		go ssh.DiscardRequests(requests)
		for n := range channels {
			if n.ChannelType() != "session" {
				_ = n.Reject(ssh.UnknownChannelType, "no")
				continue
			}
			ch, requests, err := n.Accept()
			if err != nil {
				return
			}
			go s.git.overSSH(ch, requests)
		}
	})
}

func (r *repository) overSSH(ch ssh.Channel, requests <-chan *ssh.Request) {
	defer ch.Close()
	for q := range requests {
		if q.Type != "exec" {
			_ = q.Reply(q.Type == "env", nil)
			continue
		}
		_ = q.Reply(true, nil)
		program, path, _ := strings.Cut(string(q.Payload[4:]), " ")
		status := make([]byte, 4)
		if program != "git-upload-pack" && program != "git-receive-pack" {
			fmt.Fprintf(ch, "you said: %s\n", q.Payload[4:])
		} else {
			r.make()
			cmd := exec.Command(program, filepath.Join(r.dir, strings.Trim(path, "'")))
			cmd.Env, cmd.Stdout, cmd.Stderr = r.environ(), ch, ch.Stderr()
			// By a pipe of our own: Run would wait for the client's side to end.
			if in, err := cmd.StdinPipe(); err == nil {
				go func() {
					_, _ = io.Copy(in, ch)
					in.Close()
				}()
			}
			if cmd.Run() != nil {
				binary.BigEndian.PutUint32(status, 1)
			}
		}
		_, _ = ch.SendRequest("exit-status", false, status)
		return
	}
}
