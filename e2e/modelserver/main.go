// Command modelserver stands in for the model of a coding agent, on a loopback port, so that real agents can be
// tested without a network: whoever offers it a tool that runs commands is told once to run -cmd, and is then
// answered with what the tool said. It speaks the streaming dialects of Anthropic, OpenAI and Google.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// doc is a JSON object.
type doc map[string]any

func main() {
	order := flag.String("cmd", "cat .env", "the command that the agent is told to run")
	portFile := flag.String("port-file", "", "file to write the port to")
	logFile := flag.String("log", os.DevNull, "file to append every request to")
	flag.Parse()
	journal, err := os.OpenFile(*logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	if err := announce(*portFile, l.Addr().(*net.TCPAddr).Port); err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(l, &server{order: *order, journal: journal}))
}

// announce writes the port, in one piece, because somebody waits for the file.
func announce(file string, port int) error {
	if file == "" {
		_, err := fmt.Println(port)
		return err
	}
	tmp := filepath.Join(filepath.Dir(file), "."+filepath.Base(file))
	if err := os.WriteFile(tmp, fmt.Appendln(nil, port), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

type server struct {
	order   string
	mu      sync.Mutex
	journal io.Writer
}

// A dialect reads one request and writes its answer.
type dialect struct {
	read  func(doc) asked
	write func(*answer)
}

// asked is what matters of a request.
type asked struct {
	tools  map[string]doc // name → JSON schema of the arguments
	result *string        // what the last tool call gave
}

// An answer is either text or one tool call.
type answer struct {
	text       string
	tool, args string // args is JSON
	request    doc
	stream     bool
	http.ResponseWriter
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	fmt.Fprintf(s.journal, "%s %s %s\n", r.Method, r.URL.Path, raw)
	s.mu.Unlock()
	var body doc
	_ = json.Unmarshal(raw, &body) // a GET has none
	d, ok := speaks(r)
	if !ok {
		s.aside(w, r)
		return
	}
	a := &answer{request: body, stream: body["stream"] == true, ResponseWriter: w}
	if strings.Contains(r.URL.Path, ":stream") {
		a.stream = true
	}
	q := d.read(body)
	switch tool, args := shellCall(q.tools, s.order); {
	case q.result != nil:
		a.text = "MODEL GOT: " + *q.result
	case tool != "":
		a.tool, a.args = tool, args
	default:
		a.text = "MODEL SAYS HELLO"
	}
	d.write(a)
}

func speaks(r *http.Request) (dialect, bool) {
	switch p := r.URL.Path; {
	case r.Method != http.MethodPost:
	case strings.HasSuffix(p, "/messages"):
		return dialect{readAnthropic, writeAnthropic}, true
	case strings.HasSuffix(p, "/responses"):
		return dialect{readResponses, writeResponses}, true
	case strings.HasSuffix(p, "/chat/completions"):
		return dialect{readChat, writeChat}, true
	case strings.Contains(p, "enerateContent"):
		return dialect{readGemini, writeGemini}, true
	}
	return dialect{}, false
}

// aside answers what agents ask besides.
func (s *server) aside(w http.ResponseWriter, r *http.Request) {
	switch p := r.URL.Path; {
	case strings.HasSuffix(p, "/count_tokens"):
		sendJSON(w, doc{"input_tokens": 1})
	case strings.HasSuffix(p, ":countTokens"):
		sendJSON(w, doc{"totalTokens": 1})
	case strings.HasSuffix(p, "/models"):
		sendJSON(w, doc{"object": "list", "models": []any{}, "data": []any{doc{"id": "e2e-model", "object": "model", "created": 1, "owned_by": "e2e"}}})
	case r.Method == http.MethodHead || p == "/":
		sendJSON(w, doc{})
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintln(w, `{"error":{"type":"not_found_error","message":"the stand-in has nothing here"}}`)
	}
}

var shellTool = regexp.MustCompile(`(?i)^((bash|shell)(_command)?|(exec|execute|run_shell|run_terminal)_commands?|terminal)$`)

// shellCall picks the tool that runs commands and fills in what its schema asks for.
func shellCall(tools map[string]doc, order string) (name, args string) {
	for name, schema := range tools {
		if !shellTool.MatchString(name) {
			continue
		}
		a := doc{}
		for k, v := range schema.sub("properties") {
			kind := text(v, "type")
			switch {
			case (k == "cmd" || k == "command") && kind == "array":
				a[k] = []string{"bash", "-c", order}
			case k == "cmd" || k == "command":
				a[k] = order
			case k == "description":
				a[k] = "what the test says"
			}
		}
		return name, toJSON(a)
	}
	return "", ""
}

func sendJSON(w http.ResponseWriter, v doc) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintln(w, toJSON(v))
}

// event sends one server-sent event, with its name where the dialect has names.
func (a *answer) event(name string, v doc) {
	h := a.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "text/event-stream")
	}
	if name != "" {
		v["type"] = name
		fmt.Fprintf(a, "event: %s\n", name)
	}
	fmt.Fprintf(a, "data: %s\n\n", toJSON(v))
	if f, ok := a.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only plain data is ever given
	}
	return string(b)
}

func (d doc) sub(key string) doc {
	m, _ := d[key].(map[string]any)
	return m
}

// each gives the objects of a list.
func (d doc) each(key string) (out []doc) {
	l, _ := d[key].([]any)
	for _, v := range l {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func (d doc) str(key string) string { return text(map[string]any(d), key) }

func text(v any, key string) string {
	m, _ := v.(map[string]any)
	s, _ := m[key].(string)
	return s
}

// plain is the text of a tool's result: a string, or a list of parts that have one.
func plain(v any) *string {
	var b strings.Builder
	switch v := v.(type) {
	case string:
		b.WriteString(v)
	case []any:
		for _, part := range v {
			b.WriteString(text(part, "text"))
		}
	default:
		b.WriteString(toJSON(v))
	}
	s := b.String()
	return &s
}
